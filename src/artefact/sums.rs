//! `SHA256SUMS` as coreutils' `sha256sum -c` reads it.
//!
//! In: names and digests. Out: text and back. Must not touch the disk.

use std::collections::BTreeMap;

use crate::digest::Sha256;

/// The file's name in a build's folder.
pub const SUMS: &str = "SHA256SUMS";

/// One line a file, by name: digest, two spaces, name. Names here are our own and need no escapes.
#[must_use]
pub fn render(sums: &BTreeMap<String, Sha256>) -> String {
    sums.iter()
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect()
}

/// Reads what [`render`] wrote; the error says which line is wrong. No name leads out of the folder.
pub fn parse(text: &str) -> Result<BTreeMap<String, Sha256>, String> {
    let entry = |line: &str| {
        let (digest, name) = line.split_once("  ")?;
        leads_in(name).then_some((name.to_owned(), digest.parse().ok()?))
    };
    text.lines()
        .enumerate()
        .map(|(at, line)| {
            entry(line).ok_or_else(|| format!("line {} is no `<SHA-256>  <name>`", at + 1))
        })
        .collect()
}

/// Whether a name is one of something in the folder, for every reader on every system.
#[must_use]
pub fn leads_in(name: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', ':']);
    name.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_lines_are_counted() {
        let good = format!("{}  bzImage\n", Sha256::of("x"));
        assert!(parse(&good).is_ok());
        for bad in [
            "bzImage",
            "abc  bzImage",
            "",
            &format!("{}  ../x", Sha256::of("x")),
            &format!("{}  /etc/x", Sha256::of("x")),
            &format!("{}  boot/../../x", Sha256::of("x")),
            &format!("{}  boot//x", Sha256::of("x")),
            &format!("{}  boot\\x", Sha256::of("x")),
            &format!("{}  c:x", Sha256::of("x")),
        ] {
            assert_eq!(
                parse(&format!("{good}{bad}\n")),
                Err("line 2 is no `<SHA-256>  <name>`".to_owned()),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(names in proptest::collection::btree_set("(boot/)?[A-Za-z0-9_-][A-Za-z0-9._ -]{0,20}", 0..6)) {
            let sums: BTreeMap<String, Sha256> = names.into_iter().map(|n| (n.clone(), Sha256::of(n))).collect();
            prop_assert_eq!(parse(&render(&sums)), Ok(sums));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _any = parse(&text);
        }
    }
}
