//! The footer that makes a fixed VHD of a raw image: 512 bytes behind the last sector.
//!
//! In: the image's size, a time and an identity. Out: bytes, the same ones for the same input. Must not
//! touch the disk. Layout: Microsoft's "Virtual Hard Disk Image Format Specification"; all numbers are
//! big-endian.

/// Bytes of the footer.
pub(super) const FOOTER: usize = 512;
/// Hyper-V attaches only disks whose size is a multiple of this many bytes.
pub(super) const SIZE_UNIT: u64 = 1 << 20;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// The footer counts time from here: 2000-01-01T00:00:00Z, in seconds since 1970.
const EPOCH_2000: u64 = 946_684_800;

/// The footer of a fixed disk of `size` bytes, made at `time` (seconds since 1970).
#[must_use]
pub(super) fn footer(size: u64, time: u64, identity: [u8; 16]) -> [u8; FOOTER] {
    let (cylinders, heads, sectors) = geometry(size / SECTOR);
    let stamp = u32::try_from(time.saturating_sub(EPOCH_2000)).unwrap_or(u32::MAX);
    let mut bytes = [0; FOOTER];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"conectix");
    // Features: the bit that the specification wants always set.
    put(8, &2_u32.to_be_bytes());
    // Version 1.0 of the format.
    put(12, &0x0001_0000_u32.to_be_bytes());
    // A fixed disk has no header that this would point to.
    put(16, &u64::MAX.to_be_bytes());
    put(24, &stamp.to_be_bytes());
    // The creator decides how others read the size: for an unknown one QEMU multiplies the geometry, which
    // is a rounded number, and cuts the end of the file system off. Hyper-V's own name means "the size field".
    put(28, b"win ");
    put(32, &0x000a_0000_u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &size.to_be_bytes());
    put(48, &size.to_be_bytes());
    put(56, &cylinders.to_be_bytes());
    put(58, &[heads, sectors]);
    // Type: fixed.
    put(60, &2_u32.to_be_bytes());
    put(68, &identity);
    let sum = checksum(&bytes);
    bytes[64..68].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The complement of the sum of all bytes, taken while the checksum's own field is zero.
fn checksum(bytes: &[u8; FOOTER]) -> u32 {
    !bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()
}

/// Cylinders, heads and sectors of a track, by the specification's appendix; rounded down.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let total = sectors.min(65535 * 16 * 255);
    let (per_track, heads) = if total >= 65535 * 16 * 63 {
        (255, 16)
    } else {
        small_geometry(total)
    };
    let cylinders = total / per_track / heads;
    // The cap on `total` keeps all three within their types.
    let narrow = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
    (
        u16::try_from(cylinders).unwrap_or(u16::MAX),
        narrow(heads),
        narrow(per_track),
    )
}

/// Sectors of a track and heads for disks under 32 GiB.
fn small_geometry(total: u64) -> (u64, u64) {
    let tracks = total / 17;
    let heads = tracks.div_ceil(1024).max(4);
    if heads <= 16 && tracks < heads * 1024 {
        return (17, heads);
    }
    if total / 31 < 16 * 1024 {
        (31, 16)
    } else {
        (63, 16)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;
    use crate::exec::{Cmd, Duct, ExecError, Runner as _};

    #[test]
    fn the_footer_has_the_published_layout() {
        let bytes = footer(20 << 20, EPOCH_2000 + 1, [7; 16]);
        assert_eq!(&bytes[..12], b"conectix\0\0\0\x02");
        assert_eq!(
            &bytes[12..28],
            &[
                0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1
            ]
        );
        assert_eq!(bytes[40..48], bytes[48..56]);
        assert_eq!(bytes[40..48], (20_u64 << 20).to_be_bytes());
        assert_eq!(bytes[60..64], [0, 0, 0, 2]);
        assert_eq!(bytes[68..84], [7; 16]);
        assert!(bytes[84..].iter().all(|byte| *byte == 0));
        let field = u32::from_be_bytes(bytes[64..68].try_into().unwrap());
        let rest: u32 = bytes.iter().map(|b| u32::from(*b)).sum::<u32>()
            - bytes[64..68].iter().map(|b| u32::from(*b)).sum::<u32>();
        assert_eq!(field, !rest);
        assert_eq!(
            footer(20 << 20, 5, [7; 16])[24..28],
            [0; 4],
            "a time before 2000"
        );
    }

    #[test]
    fn geometry_by_the_specification() {
        // Sectors, then cylinders, heads, sectors of a track, worked out by hand from the pseudocode.
        let table = [
            (40_960, (602, 4, 17)),
            (2_097_152, (2_080, 16, 63)),
            (204_800, (1_003, 12, 17)),
            (266_305_536, (65_270, 16, 255)),
            (u64::MAX, (65_535, 16, 255)),
        ];
        for (sectors, expected) in table {
            assert_eq!(geometry(sectors), expected, "{sectors}");
        }
    }

    /// The reader that the boot test uses sees exactly our image.
    #[test]
    fn qemu_reads_the_whole_image() {
        let folder = tempfile::tempdir().unwrap();
        for mebibytes in [3_u64, 20, 131] {
            let (raw, vhd) = (folder.path().join("raw"), folder.path().join("vhd"));
            let size = mebibytes << 20;
            let mut file = File::create(&raw).unwrap();
            file.write_all(b"first").unwrap();
            file.set_len(size).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"last!", size - 5).unwrap();
            fs::copy(&raw, &vhd).unwrap();
            File::options()
                .append(true)
                .open(&vhd)
                .unwrap()
                .write_all(&footer(size, 1 << 30, [1; 16]))
                .unwrap();
            let compare = Cmd::new("qemu-img")
                .args(["compare", "-f", "raw", "-F", "vpc"])
                .arg(&raw)
                .arg(&vhd);
            match Duct::default().run(&compare) {
                Err(ExecError::NotFound { .. }) => {
                    writeln!(std::io::stderr(), "skipped: qemu-img is not installed").unwrap();
                    return;
                }
                answer => assert!(answer.is_ok(), "{mebibytes} MiB: {answer:?}"),
            }
            let info = Cmd::new("qemu-img")
                .args(["info", "--output=json", "-f", "vpc"])
                .arg(&vhd);
            let info: serde_json::Value =
                serde_json::from_str(&Duct::default().run(&info).unwrap().text()).unwrap();
            assert_eq!(info["virtual-size"], size);
        }
    }
}
