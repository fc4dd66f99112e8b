//! Signatures as minisign makes and reads them.
//!
//! In: the text of `SHA256SUMS`, a key. Out: a signature whose trusted comment names the tag and the build, so
//! that a good signature of another entry does not pass; or the reason why one does not count. What comes from
//! outside is read by `minisign_verify`, which never trusts a length.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ct_codecs::{Base64, Decoder as _};

use super::PublishError;
use crate::artefact::BuildId;
use crate::files;
use crate::source::Tag;

/// A public key that counts, as minisign prints it: `RW` and 54 more characters.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey {
    text: String,
    key: minisign_verify::PublicKey,
}

/// The text is no public key of minisign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no public key of minisign: the second line of a .pub file is one (RW…)")]
pub struct NotAKey(String);

impl FromStr for TrustedKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let text = text.trim();
        minisign_verify::PublicKey::from_base64(text)
            .map(|key| Self {
                text: text.to_owned(),
                key,
            })
            .map_err(|_| NotAKey(text.to_owned()))
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a signature is about: its trusted comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The tag that the kernel was built from.
    pub tag: Tag,
    /// The build.
    pub build: BuildId,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag:{} build:{}", self.tag, self.build)
    }
}

/// Signs entries.
pub struct Signer {
    secret: minisign::SecretKey,
    half: minisign::PublicKey,
    public: TrustedKey,
}

/// minisign's own way to show a secret key shows it.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

impl Signer {
    /// Reads a secret key as `minisign -G` writes it; one made without `-W` needs its password.
    pub fn read(file: &Path, password: Option<String>) -> Result<Self, PublishError> {
        let bad = |reason: String| PublishError::Key {
            file: file.to_owned(),
            reason,
        };
        let text = files::read(file)?;
        let closed = || minisign::SecretKeyBox::from(text.clone());
        let secret = match (open_key(&text), password) {
            (Some(secret), _) => Ok(secret),
            (None, Some(password)) => closed().into_secret_key(Some(password)),
            // Without a password minisign would ask for one, and nobody may be there to answer.
            (None, None) => closed().into_unencrypted_secret_key(),
        };
        let secret = secret.map_err(|error| bad(error.to_string()))?;
        let half = minisign::PublicKey::from_secret_key(&secret)
            .map_err(|error| bad(error.to_string()))?;
        let public = half
            .to_base64()
            .parse()
            .map_err(|error: NotAKey| bad(error.to_string()))?;
        Ok(Self {
            secret,
            half,
            public,
        })
    }

    /// The public half.
    #[must_use]
    pub fn key(&self) -> &TrustedKey {
        &self.public
    }

    /// The text of a signature of `sums`, the text of an entry's `SHA256SUMS`.
    pub fn sign(&self, sums: &str, about: &About) -> Result<String, PublishError> {
        let comment = about.to_string();
        let untrusted = format!("verify with: minisign -V -P {} -m SHA256SUMS", self.public);
        // With the public half it looks at what it made: a damaged key signs nothing.
        minisign::sign(
            Some(&self.half),
            &self.secret,
            sums.as_bytes(),
            Some(&comment),
            Some(&untrusted),
        )
        .map(minisign::SignatureBox::into_string)
        .map_err(|error| PublishError::Signing(error.to_string()))
    }
}

/// A key without a password. `minisign -G -W` leaves its checksum empty, which the crate takes for damage.
fn open_key(text: &str) -> Option<minisign::SecretKey> {
    const ALGORITHM: std::ops::Range<usize> = 2..4;
    let bytes = Base64::decode_to_vec(text.lines().nth(1)?.trim(), None).ok()?;
    let open = bytes.get(ALGORITHM)? == [0, 0];
    open.then(|| minisign::SecretKey::from_bytes(&bytes).ok())?
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is none.
    Unreadable(String),
    /// It is by a key that is not among those trusted: that key's id.
    UnknownKey(String),
    /// It is by a trusted key by its id, and is not of this text.
    Wrong,
    /// It is good, and about something else: what its trusted comment says.
    OtherEntry(String),
}

/// The trusted key that signed `sums` as being `about`.
pub fn check<'a>(
    sums: &str,
    signature: &str,
    about: &About,
    keys: &'a [TrustedKey],
) -> Result<&'a TrustedKey, Fault> {
    let decoded = minisign_verify::Signature::decode(signature)
        .map_err(|error| Fault::Unreadable(error.to_string()))?;
    let mut wrong = false;
    for trusted in keys {
        match trusted.key.verify(sums.as_bytes(), &decoded, false) {
            Ok(()) if decoded.trusted_comment() == about.to_string() => return Ok(trusted),
            Ok(()) => return Err(Fault::OtherEntry(decoded.trusted_comment().to_owned())),
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(_) => wrong = true,
        }
    }
    Err(match wrong {
        true => Fault::Wrong,
        false => Fault::UnknownKey(key_id(signature)),
    })
}

/// The trusted key that signed an entry's list of files, `sums`.
///
/// # Errors
/// [`PublishError`]: nobody signed it, a stranger did, or the signature is of something else.
pub fn signed_by<'a>(
    about: &About,
    sums: &str,
    signature: Option<&str>,
    keys: &'a [TrustedKey],
) -> Result<&'a TrustedKey, PublishError> {
    let entry = format!("{} of {}", about.build, about.tag);
    let Some(signature) = signature else {
        return Err(PublishError::Unsigned { entry });
    };
    check(sums, signature, about, keys).map_err(|fault| match fault {
        Fault::UnknownKey(id) => PublishError::UnknownKey { entry, id },
        Fault::OtherEntry(found) => PublishError::OtherEntry { entry, found },
        Fault::Wrong => PublishError::WrongSignature {
            entry,
            reason: "SHA256SUMS is not what was signed".to_owned(),
        },
        Fault::Unreadable(reason) => PublishError::WrongSignature { entry, reason },
    })
}

/// The id of the key that a signature claims to be by, as minisign prints it.
fn key_id(signature: &str) -> String {
    let id = minisign::SignatureBox::from_string(signature)
        .ok()
        .and_then(|signature| signature.keynum().try_into().ok());
    id.map_or_else(String::new, |id| format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signer(folder: &Path, name: &str, password: Option<&str>) -> Signer {
        let pair = match password {
            None => minisign::KeyPair::generate_unencrypted_keypair(),
            Some(word) => minisign::KeyPair::generate_encrypted_keypair(Some(word.to_owned())),
        };
        let file = folder.join(name);
        let text = pair.unwrap().sk.to_box(None).unwrap().into_string();
        std::fs::write(&file, text).unwrap();
        Signer::read(&file, password.map(str::to_owned)).unwrap()
    }

    fn about() -> About {
        About {
            tag: "6.6.87.2".parse().unwrap(),
            build: "6.6.87.2-criu-0123456789".parse().unwrap(),
        }
    }

    #[test]
    fn only_a_trusted_key_and_this_very_entry_pass() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (
            signer(folder.path(), "ours", None),
            signer(folder.path(), "theirs", None),
        );
        let signature = ours.sign("sums\n", &about()).unwrap();
        let keys = [theirs.key().clone(), ours.key().clone()];
        assert_eq!(check("sums\n", &signature, &about(), &keys), Ok(ours.key()));
        assert_eq!(
            check("other\n", &signature, &about(), &keys),
            Err(Fault::Wrong)
        );
        let other = About {
            tag: "6.6.87.3".parse().unwrap(),
            ..about()
        };
        assert!(matches!(
            check("sums\n", &signature, &other, &keys),
            Err(Fault::OtherEntry(said)) if said.contains("6.6.87.2")
        ));
        let unknown = check("sums\n", &signature, &about(), &keys[..1]);
        assert!(matches!(unknown, Err(Fault::UnknownKey(id)) if id.len() == 16));
    }

    #[test]
    fn a_damaged_key_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        signer(folder.path(), "ours", None);
        let file = folder.path().join("ours");
        let text = std::fs::read_to_string(&file).unwrap();
        // Far enough in to be in the seed.
        let line = text.lines().nth(1).unwrap().to_owned();
        let other = if &line[100..101] == "A" { "B" } else { "A" };
        let damaged = format!("{}{other}{}", &line[..100], &line[101..]);
        std::fs::write(&file, text.replace(&line, &damaged)).unwrap();
        let damaged = Signer::read(&file, None).unwrap();
        assert!(damaged.sign("sums\n", &about()).is_err());
    }

    #[test]
    fn a_comment_that_was_changed_is_no_longer_signed() {
        let folder = tempfile::tempdir().unwrap();
        let ours = signer(folder.path(), "ours", None);
        let signature = ours.sign("sums\n", &about()).unwrap();
        let forged = signature.replace("6.6.87.2", "6.6.99.9");
        let other = About {
            tag: "6.6.99.9".parse().unwrap(),
            build: "6.6.99.9-criu-0123456789".parse().unwrap(),
        };
        assert_eq!(
            check("sums\n", &forged, &other, &[ours.key().clone()]),
            Err(Fault::Wrong)
        );
    }

    #[test]
    fn a_locked_key_needs_its_password_and_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ours = signer(folder.path(), "ours", Some("word"));
        let file = folder.path().join("ours");
        assert!(matches!(
            Signer::read(&file, None),
            Err(PublishError::Key { .. })
        ));
        assert!(Signer::read(&file, Some("other".to_owned())).is_err());
        assert_eq!(format!("{ours:?}"), format!("Signer({})", ours.key()));
    }

    proptest! {
        #[test]
        fn no_signature_makes_it_panic(text in "(untrusted comment: x\n)?[A-Za-z0-9+/=]{0,120}\n(trusted comment: )?.{0,20}\n.{0,90}") {
            let _any = check("sums\n", &text, &about(), &[]);
        }
    }
}
