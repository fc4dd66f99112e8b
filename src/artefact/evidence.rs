//! The binding of a boot test's report to the bytes that were tested.
//!
//! In: the text of `boot/report.json`, which the boot test writes and knows whole. Out: the few keys
//! that decide whether it still counts. Must not judge the rest of the report.

use serde::{Deserialize, Serialize};

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
        let digest = |name: &str| manifest.outputs.get(name).map(|output| output.sha256);
        self.verdict == "passed"
            && digest(KERNEL) == Some(self.kernel)
            && digest(MODULES_DISK) == self.modules_disk
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
