//! Bytes to text and back, without losing a byte.
//!
//! In: a file's bytes. Out: its text, and for every place in the text the byte it came from, so that an
//! edit of the text is an edit of the bytes and all others stay. Must not know the grammar.

use std::fmt;
use std::ops::Range;

/// How a text is written as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a mark. Bytes that are none (a file saved in a code page) are carried along.
    Utf8,
    /// UTF-8 with a byte order mark, as WSL Settings writes it.
    Utf8Mark,
    /// UTF-16, little end first, with its mark ("Unicode" of older Notepads).
    Utf16Le,
    /// UTF-16, big end first, with its mark. The C runtime under WSL refuses such a file.
    Utf16Be,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Mark => "UTF-8 with a byte order mark",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        })
    }
}

impl Encoding {
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Utf8 => b"",
            Self::Utf8Mark => b"\xEF\xBB\xBF",
            Self::Utf16Le => b"\xFF\xFE",
            Self::Utf16Be => b"\xFE\xFF",
        }
    }

    fn of(bytes: &[u8]) -> Self {
        [Self::Utf8Mark, Self::Utf16Le, Self::Utf16Be]
            .into_iter()
            .find(|encoding| bytes.starts_with(encoding.mark()))
            .unwrap_or(Self::Utf8)
    }

    /// The bytes of a text, without the mark.
    #[must_use]
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 | Self::Utf8Mark => text.as_bytes().to_vec(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

/// Why bytes are no text that could be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A zero character: another encoding without its mark, or no text at all.
    #[error(
        ".wslconfig has a zero character at byte {0}: it is not text, or UTF-16 without its mark"
    )]
    Zero(usize),
    /// UTF-16 with half a character at its end.
    #[error(".wslconfig is UTF-16 with an odd number of bytes")]
    Odd,
    /// UTF-16 with half of a pair.
    #[error(".wslconfig is UTF-16 with half of a surrogate pair near byte {0}")]
    Surrogate(usize),
}

impl Undecodable {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "open the file in Notepad, look that it is what you wrote, and save it with the encoding UTF-8"
    }
}

/// The text of a file, and where its characters came from.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// Places in the text and the bytes they came from. Between two of them both count the same.
    places: Vec<(usize, usize)>,
    /// Bytes that were no UTF-8: places in the text.
    pub(super) foreign: Vec<usize>,
}

impl Decoded {
    /// The bytes that a part of the text came from.
    pub(super) fn bytes(&self, part: &Range<usize>) -> Range<usize> {
        self.byte(part.start)..self.byte(part.end)
    }

    fn byte(&self, at: usize) -> usize {
        let next = self.places.partition_point(|(text, _)| *text <= at);
        match next.checked_sub(1).and_then(|last| self.places.get(last)) {
            Some((text, byte)) => byte + (at - text),
            None => at,
        }
    }

    fn push(&mut self, text: &str, byte: usize) {
        self.places.push((self.text.len(), byte));
        self.text.push_str(text);
    }

    fn close(mut self, bytes: usize) -> Self {
        self.places.push((self.text.len(), bytes));
        self
    }
}

/// Reads bytes as text; the mark at their head says which kind.
pub(super) fn decode(bytes: &[u8]) -> Result<(Encoding, Decoded), Undecodable> {
    let encoding = Encoding::of(bytes);
    let head = encoding.mark().len();
    let decoded = match encoding {
        Encoding::Utf8 | Encoding::Utf8Mark => utf8(bytes, head),
        Encoding::Utf16Le => utf16(bytes, head, u16::from_le_bytes)?,
        Encoding::Utf16Be => utf16(bytes, head, u16::from_be_bytes)?,
    };
    match decoded.text.find('\0') {
        Some(at) => Err(Undecodable::Zero(decoded.byte(at))),
        None => Ok((encoding, decoded.close(bytes.len()))),
    }
}

fn utf8(bytes: &[u8], head: usize) -> Decoded {
    let mut decoded = Decoded::default();
    let mut at = head;
    for chunk in bytes[head..].utf8_chunks() {
        decoded.push(chunk.valid(), at);
        at += chunk.valid().len();
        if !chunk.invalid().is_empty() {
            decoded.foreign.push(decoded.text.len());
            decoded.push("\u{FFFD}", at);
            at += chunk.invalid().len();
        }
    }
    decoded
}

fn utf16(bytes: &[u8], head: usize, unit: fn([u8; 2]) -> u16) -> Result<Decoded, Undecodable> {
    let (pairs, rest) = bytes[head..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Undecodable::Odd);
    }
    let mut decoded = Decoded::default();
    let mut at = head;
    for c in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let c = c.map_err(|_| Undecodable::Surrogate(at))?;
        decoded.push(c.encode_utf8(&mut [0; 4]), at);
        at += 2 * c.len_utf16();
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_found_again_in_the_bytes() {
        let text = "[wsl2]\r\n# grün 𝄞\nkernel=x";
        for encoding in [
            Encoding::Utf8,
            Encoding::Utf8Mark,
            Encoding::Utf16Le,
            Encoding::Utf16Be,
        ] {
            let mut bytes = encoding.mark().to_vec();
            bytes.extend(encoding.encode(text));
            let (found, decoded) = decode(&bytes).unwrap();
            assert_eq!((found, decoded.text.as_str()), (encoding, text));
            for (at, c) in text.char_indices() {
                let part = decoded.bytes(&(at..at + c.len_utf8()));
                assert_eq!(
                    bytes[part],
                    encoding.encode(&c.to_string()),
                    "{c} {encoding}"
                );
            }
            assert_eq!(
                decoded.bytes(&(text.len()..text.len())),
                bytes.len()..bytes.len()
            );
        }
    }

    #[test]
    fn bytes_of_a_code_page_are_carried_along() {
        let (encoding, decoded) = decode(b"# gr\xFCn\nx").unwrap();
        assert_eq!(
            (encoding, decoded.text.as_str()),
            (Encoding::Utf8, "# gr\u{FFFD}n\nx")
        );
        assert_eq!(decoded.foreign, [4]);
        assert_eq!(decoded.bytes(&(4..7)), 4..5);
        assert_eq!(decoded.bytes(&(8..10)), 6..8);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let cases: [(&[u8], Undecodable); 4] = [
            (b"a\0b\0", Undecodable::Zero(1)),
            (b"\xFF\xFEa", Undecodable::Odd),
            (b"\xFF\xFEa\0\0\xD8b\0", Undecodable::Surrogate(4)),
            (b"\xFF\xFE\0\0a\0\0\0", Undecodable::Zero(2)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(bytes).map(|_| ()), Err(expected));
        }
    }
}
