//! Text that Windows programs print.
//!
//! In: bytes. Out: a `String`. `wsl.exe` writes UTF-16LE without a mark unless WSL_UTF8=1 is set and
//! understood, `cmd.exe /u` always does, `reg.exe` writes the console's code page. Must not fail: what
//! cannot be decoded is replaced.

/// Decodes UTF-16LE (marked, or told by its NUL bytes), UTF-8 with or without a mark.
///
/// Other code pages agree with UTF-8 in ASCII, which is all that is ever looked for in their output.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ if bytes.contains(&0) => utf16(bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text as `wsl.exe` writes it without WSL_UTF8.
    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn either_encoding_reads_the_same() {
        for text in [
            "WSL version: 2.6.1.0\r\n",
            "Versión de WSL: 2.6.1.0",
            "バージョン 2.6.1",
            "",
        ] {
            assert_eq!(decode(text.as_bytes()), text);
            if text.is_ascii() || text.contains(' ') {
                assert_eq!(decode(&wide(text)), text);
            }
            let marked = [&[0xff, 0xfe][..], &wide(text)].concat();
            assert_eq!(decode(&marked), text);
            let marked = [&[0xef, 0xbb, 0xbf][..], text.as_bytes()].concat();
            assert_eq!(decode(&marked), text);
        }
    }

    #[test]
    fn garbage_is_replaced() {
        assert_eq!(decode(&[b'a', 0xff]), "a\u{fffd}");
        assert_eq!(decode(&[0x00, 0xd8, b'a', 0x00]), "\u{fffd}a");
    }
}
