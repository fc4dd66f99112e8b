//! What makes an entry of a shared cache ours: a seal over its key and its bytes.
//!
//! In: a secret, a key, an entry. Out: the entry sealed, or what was sealed, if it is that and for that key. Pure.
//!
//! ccache's own checksum is in the entry: it tells damage, but not an entry that stands where another belongs, and
//! anybody can make it. This one is a keyed digest over both. Without a secret it holds against accidents only.

use crate::digest::Sha256;

/// What a sealed entry begins with; another number for another way to seal.
const MARK: &[u8; 8] = b"wslk\0\0\0\x01";
/// The length of a seal.
const SEAL: usize = 32;
/// Bytes that a sealed entry has more.
pub(super) const ADDED: usize = MARK.len() + SEAL;

/// Why bytes are not the entry that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSealed;

/// Seals with one secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Sealer(Vec<u8>);

impl Sealer {
    pub(super) fn new(secret: &str) -> Self {
        Self(secret.as_bytes().to_vec())
    }

    /// What names begin with on a server, so that those with another secret, or another way to seal, are not in each
    /// other's way. A secret that can be guessed can be tried against it.
    pub(super) fn prefix(&self) -> String {
        format!("wslk-{}-", Sha256::keyed(&self.0, &[MARK]).short(16))
    }

    pub(super) fn seal(&self, key: &str, entry: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(ADDED + entry.len());
        sealed.extend_from_slice(MARK);
        sealed.extend_from_slice(self.digest(key, entry).bytes());
        sealed.extend_from_slice(entry);
        sealed
    }

    pub(super) fn open(&self, key: &str, mut sealed: Vec<u8>) -> Result<Vec<u8>, NotSealed> {
        let rest = sealed.strip_prefix(MARK).ok_or(NotSealed)?;
        let (seal, entry) = rest.split_at_checked(SEAL).ok_or(NotSealed)?;
        if seal != self.digest(key, entry).bytes() {
            return Err(NotSealed);
        }
        sealed.drain(..ADDED);
        Ok(sealed)
    }

    /// A key has no zero byte, so no two pairs look alike.
    fn digest(&self, key: &str, entry: &[u8]) -> Sha256 {
        Sha256::keyed(&self.0, &[key.as_bytes(), &[0], entry])
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_sealed_otherwise_is_not_opened() {
        let ours = Sealer::new("ours");
        let sealed = ours.seal("key", b"object");
        assert_eq!(ours.open("key", sealed.clone()), Ok(b"object".to_vec()));
        assert_eq!(ours.open("other", sealed.clone()), Err(NotSealed));
        let theirs = Sealer::new("theirs");
        assert_eq!(theirs.open("key", sealed.clone()), Err(NotSealed));
        assert_eq!(Sealer::default().open("key", sealed), Err(NotSealed));
        assert_ne!(ours.prefix(), theirs.prefix());
        // Key and entry do not flow into each other.
        let shifted = ours.seal("ke", b"y\0object");
        assert_eq!(ours.open("ke", shifted), Ok(b"y\0object".to_vec()));
        assert_eq!(format!("{ours:?}"), "Sealer");
    }

    proptest! {
        #[test]
        fn no_damage_is_overlooked(
            entry in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            cut in any::<prop::sample::Index>(),
        ) {
            let sealer = Sealer::default();
            let sealed = sealer.seal("key", &entry);
            let mut flipped = sealed.clone();
            flipped[at.index(sealed.len())] ^= 1 << bit;
            prop_assert_eq!(sealer.open("key", flipped), Err(NotSealed));
            let cut = sealed[..cut.index(sealed.len())].to_vec();
            prop_assert_eq!(sealer.open("key", cut), Err(NotSealed));
            prop_assert_eq!(sealer.open("key", sealed), Ok(entry));
        }
    }
}
