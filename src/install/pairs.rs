//! Small files of `key=value` lines, as scripts can read and write them too.
//!
//! In: pairs, or such a text. Out: the text, or a value. Must not know what any key means.

/// `key=value` lines, ended as Windows ends them.
pub(super) fn lines(pairs: &[(&str, String)]) -> String {
    let line =
        |(key, value): &(&str, String)| format!("{key}={}\r\n", value.replace(['\r', '\n'], " "));
    pairs.iter().map(line).collect()
}

/// The value of a key in such lines.
pub(super) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whatever_their_end() {
        let text = "number=0007\r\nverdict = reverted \nreason=a=b\r\n";
        for (key, expected) in [
            ("number", "0007"),
            ("verdict", "reverted"),
            ("reason", "a=b"),
        ] {
            assert_eq!(value(text, key), Some(expected));
        }
        assert_eq!(value(text, "to"), None);
    }
}
