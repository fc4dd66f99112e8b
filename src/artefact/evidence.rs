//! The binding of a boot test's report to the bytes that were tested.
//!
//! In: the text of `boot/report.json`, which the boot test writes and knows whole. Out: the few keys
//! that decide whether it still counts. Must not judge the rest of the report.

use serde::{Deserialize, Serialize};

use super::finished::Build;
use super::manifest::Manifest;
use super::{KERNEL, MODULES_DISK};
use crate::digest::Sha256;

/// What of a boot report matters for keeping it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The report's schema number.
    pub schema: u32,
    /// `passed`, `failed` or `not-testable`.
    pub verdict: String,
    /// Digest of the kernel that was booted.
    pub kernel: Sha256,
    /// Digest of the modules disk that was attached; nothing where there was none.
    pub modules_disk: Option<Sha256>,
}

impl Evidence {
    /// Whether the test was passed by the very files that `manifest` names. A rebuilt kernel voids it.
    #[must_use]
    pub fn proves(&self, manifest: &Manifest) -> bool {
        self.verdict == "passed" && self.is_about(manifest)
    }

    /// Whether the very files that `manifest` names were tested, with whatever verdict.
    #[must_use]
    pub fn is_about(&self, manifest: &Manifest) -> bool {
        let digest = |name: &str| manifest.outputs.get(name).map(|output| output.sha256);
        digest(KERNEL) == Some(self.kernel) && digest(MODULES_DISK) == self.modules_disk
    }
}

/// A build that passed a boot test with the very bytes that it consists of. There is no other way to make
/// one than [`Build::proven`].
#[derive(Debug, Clone, PartialEq)]
pub struct Proven(Build);

impl Proven {
    /// The build.
    #[must_use]
    pub fn build(&self) -> &Build {
        &self.0
    }
}

/// A build without a boot test that counts.
#[derive(Debug)]
pub struct Unproven {
    /// The build.
    pub build: Build,
    /// What is missing.
    pub reason: String,
}

impl Build {
    /// Goes by the evidence; the bytes themselves are compared with the manifest by whoever uses them.
    pub fn proven(self) -> Result<Proven, Box<Unproven>> {
        let reason = match self.evidence() {
            Ok(Some(evidence)) if evidence.proves(self.manifest()) => return Ok(Proven(self)),
            Ok(Some(evidence)) if evidence.verdict == "passed" => {
                "the one that was made tested other files (their SHA-256s differ)".to_owned()
            }
            Ok(Some(evidence)) => format!("its verdict is `{}`", evidence.verdict),
            Ok(None) => "none was made".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(Box::new(Unproven {
            build: self,
            reason,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artefact::manifest::Output;
    use crate::artefact::manifest::tests::manifest;

    #[test]
    fn a_pass_counts_for_the_tested_bytes_alone() {
        let digest = |text: &str| Sha256::of(text);
        let output = |text: &str| Output {
            sha256: digest(text),
            size: 1,
        };
        let mut built = manifest();
        built.outputs.insert(KERNEL.to_owned(), output("kernel"));
        built
            .outputs
            .insert(MODULES_DISK.to_owned(), output("disk"));
        let passed = Evidence {
            schema: 1,
            verdict: "passed".to_owned(),
            kernel: digest("kernel"),
            modules_disk: Some(digest("disk")),
        };
        assert!(passed.proves(&built));
        let others = [
            Evidence {
                verdict: "failed".to_owned(),
                ..passed.clone()
            },
            Evidence {
                verdict: "not-testable".to_owned(),
                ..passed.clone()
            },
            Evidence {
                kernel: digest("other"),
                ..passed.clone()
            },
            Evidence {
                modules_disk: Some(digest("other")),
                ..passed.clone()
            },
            Evidence {
                modules_disk: None,
                ..passed
            },
        ];
        for evidence in others {
            assert!(!evidence.proves(&built), "{evidence:?}");
        }
    }
}
