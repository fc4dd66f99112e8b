//! Redis servers of the tests' own, good ones and bad ones.

use std::collections::HashMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::resp::{self, Reply};
use super::server::CacheServer;
use super::{SharedCache, locked};

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) enum Conduct {
    /// What it should, to whom knows `u` and `p`.
    Good,
    /// Takes connections and says nothing.
    Silent,
    /// Says a byte now and then.
    Drips,
    /// Answers, but not soon.
    Slow,
    /// Speaks something else.
    Babbles,
    /// Takes no more.
    Full,
    /// Gives, for every key, what was left there last.
    Mixes,
    /// Closes each connection after one answer.
    Closes,
}

/// A server with entries by name, on this machine.
#[derive(Debug, Clone)]
pub(in crate::build) struct Fake {
    pub(in crate::build) port: u16,
    pub(in crate::build) entries: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
    last: Arc<Mutex<Vec<u8>>>,
    conduct: Conduct,
}

impl Fake {
    pub(in crate::build) fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let fake = Self {
            port: listener.local_addr().expect("an address").port(),
            entries: Arc::default(),
            last: Arc::default(),
            conduct,
        };
        let served = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let fake = served.clone();
                thread::spawn(move || fake.talk(stream));
            }
        });
        fake
    }

    pub(in crate::build) fn cache(&self) -> SharedCache {
        cache(&format!("redis://u:p@127.0.0.1:{}/3", self.port))
    }

    fn talk(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        let (mut known, mut selected) = (false, false);
        while let Ok(Some(words)) = resp::read_command(&mut reader) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = match words.as_slice() {
                [b"AUTH", b"u", b"p"] => {
                    known = true;
                    Reply::Status("OK".to_owned())
                }
                [b"SELECT", b"3"] if known => {
                    selected = true;
                    Reply::Status("OK".to_owned())
                }
                _ if !selected => Reply::Error("NOAUTH Authentication required.".to_owned()),
                other => match self.answer(other, &mut stream) {
                    Some(reply) => reply,
                    None => return,
                },
            };
            let is_gone = resp::write_reply(&mut stream, &reply).is_err();
            let is_answer = matches!(words[0], b"GET" | b"SET");
            if is_gone || (self.conduct == Conduct::Closes && is_answer) {
                return;
            }
        }
    }

    fn answer(&self, words: &[&[u8]], stream: &mut TcpStream) -> Option<Reply> {
        let ok = Reply::Status("OK".to_owned());
        match (self.conduct, words) {
            (Conduct::Silent, _) => thread::sleep(Duration::from_secs(60)),
            (Conduct::Drips, _) => {
                let mut drops = [&b"$1000\r\n"[..]]
                    .into_iter()
                    .chain(std::iter::repeat(&b"x"[..]));
                while drops
                    .next()
                    .is_some_and(|drop| stream.write_all(drop).is_ok())
                {
                    thread::sleep(Duration::from_millis(50));
                }
            }
            (Conduct::Slow, _) => {
                thread::sleep(Duration::from_secs(2));
                return Some(Reply::Nil);
            }
            (Conduct::Babbles, _) => {
                let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
            (Conduct::Full, [b"SET", ..]) => {
                let said = "OOM command not allowed when used memory > 'maxmemory'.\u{1b}[2J";
                return Some(Reply::Error(said.to_owned()));
            }
            (_, [b"SET", key, entry]) => {
                locked(&self.entries).insert(key.to_vec(), entry.to_vec());
                *locked(&self.last) = entry.to_vec();
                return Some(ok);
            }
            (Conduct::Mixes, [b"GET", _]) => return Some(Reply::Bulk(locked(&self.last).clone())),
            (_, [b"GET", key]) => {
                let entry = locked(&self.entries).get(*key).cloned();
                return Some(entry.map_or(Reply::Nil, Reply::Bulk));
            }
            _ => return Some(Reply::Error("ERR unknown command".to_owned())),
        }
        None
    }
}

/// A shared cache of one server.
pub(in crate::build) fn cache(url: &str) -> SharedCache {
    let server: CacheServer = url.parse().expect(url);
    SharedCache {
        servers: vec![server],
        secret: String::new(),
        write: true,
    }
}
