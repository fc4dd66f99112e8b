//! A server that keeps object files for many machines, as a user writes it down.
//!
//! In: a URL. Out: a [`CacheServer`], or what was expected instead. Pure. Who logs in is shown to nobody: it is in
//! neither `Display` nor `Debug`.

use std::fmt;
use std::str::FromStr;

use crate::build::address::Address;

/// What is spoken with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Https,
    Redis,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Http, Self::Https, Self::Redis];

    fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Redis => "redis",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Redis => 6379,
        }
    }
}

/// Who we are to a server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Redis knows a default user, who has no name.
    pub(super) name: Option<String>,
    pub(super) password: String,
}

/// A server of a shared cache.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheServer {
    pub(super) protocol: Protocol,
    pub(super) login: Option<Login>,
    pub(super) address: Address,
    /// HTTP: empty, or from the first `/` on to the last name. Redis: empty, or the number of a database.
    pub(super) path: String,
}

impl CacheServer {
    /// `text` without who logs in, for messages about what is perhaps not even a URL.
    #[must_use]
    pub fn shown(text: &str) -> String {
        let Some((before, after)) = text.split_once("://") else {
            let host = text.rsplit_once('@').map(|(_, host)| format!("…@{host}"));
            return host.unwrap_or_else(|| text.to_owned());
        };
        // A password may have a `/` that should not be there.
        match after.rsplit_once('@') {
            Some((_, host)) => format!("{before}://…@{host}"),
            None => text.to_owned(),
        }
    }
}

impl FromStr for CacheServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, rest) = protocol(text)?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let path = path.trim_end_matches('/');
        let plain = |text: &str| text.chars().all(is_plain);
        if !plain(login.unwrap_or_default()) || !plain(path) {
            return Err(
                "in a login and a path, all but letters, digits and -._~ is written as %XX"
                    .to_owned(),
            );
        }
        Ok(Self {
            login: login
                .map(|login| self::login(protocol, login))
                .transpose()?,
            path: match protocol {
                Protocol::Redis => database(path)?,
                Protocol::Http | Protocol::Https => path.to_owned(),
            },
            address: Address::parse(host, protocol.port())?,
            protocol,
        })
    }
}

fn protocol(text: &str) -> Result<(Protocol, &str), String> {
    let mut fits = Protocol::ALL.into_iter().filter_map(|protocol| {
        let rest = text.strip_prefix(protocol.scheme())?.strip_prefix("://")?;
        Some((protocol, rest))
    });
    fits.next().ok_or_else(|| match text.split_once(':') {
        Some(("rediss", _)) => {
            "Redis without TLS only: name the near end of a tunnel as redis://host:port".to_owned()
        }
        _ => "redis://host:port/database, http://host:port/path or https://… expected".to_owned(),
    })
}

/// `name:password`; Redis also takes a password alone.
fn login(protocol: Protocol, text: &str) -> Result<Login, String> {
    let (name, password) = match (text.split_once(':'), protocol) {
        (Some((name, password)), _) => (name, password),
        (None, Protocol::Redis) => ("", text),
        (None, Protocol::Http | Protocol::Https) => (text, ""),
    };
    let decoded = |text: &str| {
        decoded(text)
            .ok_or_else(|| "two hexadecimal digits expected after each % of the login".to_owned())
    };
    Ok(Login {
        name: (!name.is_empty()).then(|| decoded(name)).transpose()?,
        password: decoded(password)?,
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(
            u8::from_str_radix(digits, 16)
                .ok()
                .filter(|_| !digits.starts_with('+'))?,
        );
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn database(path: &str) -> Result<String, String> {
    let number = path.strip_prefix('/').unwrap_or_default();
    match number.is_empty()
        || number
            .parse::<u32>()
            .is_ok_and(|_| !number.starts_with('+'))
    {
        true => Ok(number.to_owned()),
        false => Err("the number of a database expected after the host, if anything".to_owned()),
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%:/".contains(c)
}

impl fmt::Display for CacheServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = match self.protocol {
            Protocol::Redis if !self.path.is_empty() => "/",
            _ => "",
        };
        let scheme = self.protocol.scheme();
        write!(f, "{scheme}://{}{slash}{}", self.address, self.path)
    }
}

impl fmt::Debug for CacheServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheServer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_what_is_shown() {
        let table = [
            (
                "http://cache.example/kernel/",
                "http://cache.example:80/kernel",
            ),
            ("http://cache", "http://cache:80"),
            ("https://cache:8443/a%20b/c", "https://cache:8443/a%20b/c"),
            (
                "http://ci:s%24cret@[fe80::1]:8080/a",
                "http://[fe80::1]:8080/a",
            ),
            ("redis://:pw@cache/3", "redis://cache:6379/3"),
            ("redis://pw@10.0.0.1:1", "redis://10.0.0.1:1"),
            ("redis://u:pw@cache/", "redis://cache:6379"),
        ];
        for (text, shown) in table {
            let server: CacheServer = text.parse().expect(text);
            assert_eq!(server.to_string(), shown);
            assert_eq!(format!("{server:?}"), format!("CacheServer({shown})"));
        }
    }

    #[test]
    fn who_logs_in() {
        let table = [
            ("http://ci:s%24%C3%A9@x", Some((Some("ci"), "s$é"))),
            ("http://ci@x", Some((Some("ci"), ""))),
            ("redis://pw@x", Some((None, "pw"))),
            ("redis://:p:w@x", Some((None, "p:w"))),
            ("redis://x", None),
        ];
        for (text, expected) in table {
            let server: CacheServer = text.parse().expect(text);
            let found = server.login.as_ref();
            let found = found.map(|login| (login.name.as_deref(), login.password.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_and_shown_without_its_login() {
        let table = [
            ("cache:80", "redis://host:port", "cache:80"),
            ("ftp://me:pw@x/", "redis://host:port", "ftp://…@x/"),
            ("rediss://cache", "without TLS", "rediss://cache"),
            (
                "redis+unix:/run/redis",
                "redis://host:port",
                "redis+unix:/run/redis",
            ),
            ("http://", "host's name", "http://"),
            ("http://cache:0", "a port", "http://cache:0"),
            ("http://::1/", "[ ]", "http://::1/"),
            ("http://cache/a b", "%XX", "http://cache/a b"),
            ("http://cache/a|b", "%XX", "http://cache/a|b"),
            ("http://cache/a?b", "%XX", "http://cache/a?b"),
            ("http://u:p$HOME@cache/", "%XX", "http://…@cache/"),
            (
                "http://u:p%4@cache/",
                "two hexadecimal digits",
                "http://…@cache/",
            ),
            ("http://u:a/b@cache/", "%XX", "http://…@cache/"),
            (
                "redis://cache/kernel",
                "number of a database",
                "redis://cache/kernel",
            ),
        ];
        for (text, expected, shown) in table {
            let said = text.parse::<CacheServer>().expect_err(text);
            assert!(said.contains(expected), "{text}: {said}");
            assert_eq!(CacheServer::shown(text), shown);
        }
    }
}
