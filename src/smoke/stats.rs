//! What CRIU counted while it dumped: its `stats-dump` image.
//!
//! In: the file's bytes. Out: [`DumpStats`]. The form is CRIU's own: two magic numbers, a length, and a
//! message whose fields are numbers. Must not interpret the numbers.

use std::fs;
use std::io;
use std::path::Path;

/// `IMG_SERVICE_MAGIC` and `STATS_MAGIC` of CRIU's `magic.h`.
const MAGIC: [u32; 2] = [0x5510_5940, 0x5709_3306];
/// Fields of `dump_stats_entry` in CRIU's `stats.proto`.
const SKIPPED: u64 = 6;
const WRITTEN: u64 = 7;

/// Pages of memory, as a dump counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DumpStats {
    /// Left out because an earlier dump has them.
    pub skipped: u64,
    /// Written.
    pub written: u64,
}

/// Reads the image in a folder of images.
pub(super) fn read(images: &Path) -> io::Result<DumpStats> {
    let bytes = fs::read(images.join("stats-dump"))?;
    parse(&bytes).ok_or_else(|| io::Error::other("CRIU's statistics make no sense"))
}

fn parse(bytes: &[u8]) -> Option<DumpStats> {
    let word = |at: usize| {
        bytes
            .get(at..at + 4)?
            .try_into()
            .ok()
            .map(u32::from_le_bytes)
    };
    if [word(0)?, word(4)?] != MAGIC {
        return None;
    }
    let mut message = Message(bytes.get(12..12 + usize::try_from(word(8)?).ok()?)?);
    // The outer message holds one field, the entry itself.
    let (_, entry) = message.next()?;
    let Field::Bytes(entry) = entry else {
        return None;
    };
    let mut stats = DumpStats::default();
    let mut entry = Message(entry);
    while let Some((number, field)) = entry.next() {
        match (number, field) {
            (SKIPPED, Field::Number(pages)) => stats.skipped = pages,
            (WRITTEN, Field::Number(pages)) => stats.written = pages,
            _ => {}
        }
    }
    Some(stats)
}

/// A message in the wire form of protocol buffers.
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The next field with its number; `None` at the end or where it makes no sense.
    fn next(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        Some((key >> 3, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As CRIU 4.2 writes it, with 300 pages skipped and 7 written.
    fn image() -> Vec<u8> {
        let entry = [0x08, 1, 0x10, 2, 0x28, 9, 0x30, 0xac, 0x02, 0x38, 7];
        let mut bytes = Vec::new();
        MAGIC
            .iter()
            .for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend(13_u32.to_le_bytes());
        bytes.extend([0x0a, 11]);
        bytes.extend(entry);
        bytes
    }

    #[test]
    fn reads_what_criu_counted() {
        let stats = DumpStats {
            skipped: 300,
            written: 7,
        };
        assert_eq!(parse(&image()), Some(stats));
    }

    #[test]
    fn what_is_cut_short_or_not_ours_is_nothing() {
        let image = image();
        for length in 0..14 {
            assert_eq!(parse(&image[..length]), None, "{length}");
        }
        let mut other = image;
        other[0] ^= 1;
        assert_eq!(parse(&other), None);
    }
}
