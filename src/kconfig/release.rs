//! The middle of the release string, `uname -r`: what stands between the version and the build's name.
//!
//! In: base and requests. Out: requests for `LOCALVERSION` and `LOCALVERSION_AUTO`. WSL's init takes a
//! release with a capital `Microsoft` for WSL1, and many programs know WSL by `microsoft` and `WSL2` in
//! it: so the stock ending stays in front of the build's name. That name is none of the configuration's
//! business: every object file would hang on it, and no compiler cache would ever hit.

use super::merge::own_request;
use super::{ConfigFile, KconfigError, Request, Value};

/// How every WSL2 kernel's release goes on after its version.
pub const STOCK: &str = "-microsoft-standard-WSL2";

/// `uname` has room for 64 characters; a version such as 6.18.100.12 and a suffix such as
/// `-wslk-1a2b3c4d5e` take the rest.
const LONGEST: usize = 36;

/// Adds the requests that keep the stock ending, in place of any other for these options.
pub(super) fn add(requests: &mut Vec<Request>, base: &ConfigFile) -> Result<(), KconfigError> {
    let asked = requests
        .iter()
        .find(|request| request.symbol.as_str() == "LOCALVERSION");
    let given = asked
        .map(|request| &request.value)
        .or_else(|| base.value("LOCALVERSION"));
    let given = match given {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let release = front(given, asked.is_some());
    check(&release)?;
    requests.retain(|request| {
        !matches!(
            request.symbol.as_str(),
            "LOCALVERSION" | "LOCALVERSION_AUTO"
        )
    });
    let name = "programs know WSL by this part of the release";
    requests.push(own_request("LOCALVERSION", Value::Text(release), name));
    let auto =
        "the release must come from the inputs alone, not from a git repository around the tree";
    requests.push(own_request("LOCALVERSION_AUTO", Value::No, auto));
    requests.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    Ok(())
}

/// The stock ending, and behind it what a fragment asks for; what a base from elsewhere has behind it
/// names another build.
fn front(given: &str, asked: bool) -> String {
    match given.find(STOCK) {
        Some(at) if asked => given[at..].to_owned(),
        None if asked => format!("{STOCK}{given}"),
        _ => STOCK.to_owned(),
    }
}

fn check(release: &str) -> Result<(), KconfigError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if release.len() > LONGEST || !release.chars().all(legal) || release.contains("Microsoft") {
        return Err(KconfigError::Release(release.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(base: &str, asked: Option<&str>) -> Result<String, KconfigError> {
        let base = ConfigFile::parse("base", &format!("CONFIG_LOCALVERSION=\"{base}\"\n")).unwrap();
        let asked = asked.map(|text| own_request("LOCALVERSION", Value::Text(text.to_owned()), ""));
        let mut requests = Vec::from_iter(asked);
        add(&mut requests, &base)?;
        let lines: Vec<String> = requests.iter().map(ToString::to_string).collect();
        assert_eq!(lines[1], "# CONFIG_LOCALVERSION_AUTO is not set");
        Ok(lines[0]
            .trim_start_matches("CONFIG_LOCALVERSION=")
            .trim_matches('"')
            .to_owned())
    }

    #[test]
    fn the_stock_ending_stays() {
        for (base, asked, expected) in [
            (STOCK, None, STOCK),
            ("-microsoft-standard-WSL2-wslk-old", None, STOCK),
            ("-locietta-WSL2", None, STOCK),
            ("", Some(STOCK), STOCK),
            ("", Some("-mine"), "-microsoft-standard-WSL2-mine"),
        ] {
            assert_eq!(release(base, asked).unwrap(), expected);
        }
        for asked in ["-a b", "-Microsoft", "/x", &"x".repeat(60)] {
            let refused = release("", Some(asked));
            assert!(matches!(refused, Err(KconfigError::Release(_))), "{asked}");
        }
    }
}
