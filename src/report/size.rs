//! Sizes as people read them: one way, on screens, in logs and on pages.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Bytes in the unit that fits, rounded: `512 B`, `3 KiB`, `14.6 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        _ => {
            let tenths = (u128::from(bytes) * 10 + u128::from(MIB / 2)) / u128::from(MIB);
            format!("{}.{} MiB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_in_the_unit_that_fits() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1025, "2 KiB"),
            (3 << 19, "1.5 MiB"),
            (3_453_952, "3.3 MiB"),
            (u64::MAX, "17592186044416.0 MiB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(size(bytes), expected);
        }
    }
}
