//! A finished build: where its files are, what was proved about it, and whether it is still what it was.
//!
//! In: its folder and manifest. Out: paths, evidence, a verdict on its bytes. Must not change anything in
//! it but the boot test's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::manifest::{ManifestFault, SCHEMA};
use super::store::MANIFEST;
use super::sums::{self, SUMS};
use super::{
    AUDIT, ArtefactError, BuildId, CONFIG, Evidence, KERNEL, MODULES_DISK, Manifest, RunDetails,
    SYSTEM_MAP, altered,
};
use crate::digest::Sha256;
use crate::files::{self, FileError};

/// The boot test's folder in a build's folder. It comes after the build, so the sums do not cover it, but for
/// those of a build that came from a publication: there a later test replaces what was published.
const BOOT: &str = "boot/";
/// The report in the boot test's folder.
const REPORT: &str = "report.json";

/// A finished build.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    folder: PathBuf,
    manifest: Manifest,
    run: RunDetails,
}

impl Build {
    pub(super) fn new(folder: PathBuf, manifest: Manifest, run: RunDetails) -> Self {
        Self {
            folder,
            manifest,
            run,
        }
    }

    /// The build `id` in a folder of its own; one that claims to be another is damaged.
    pub fn read(folder: &Path, id: &BuildId) -> Result<Self, ArtefactError> {
        let file = folder.join(MANIFEST);
        let text = files::read_if_there(&file)?
            .ok_or_else(|| ArtefactError::Missing { file: file.clone() })?;
        let manifest = Manifest::parse(&text).map_err(|fault| match fault {
            ManifestFault::Schema(found) => ArtefactError::Schema {
                file: file.clone(),
                found,
                known: SCHEMA,
            },
            ManifestFault::Unreadable(reason) => ArtefactError::Damaged {
                file: file.clone(),
                reason,
            },
        })?;
        if manifest.id != *id {
            let reason = format!("it belongs to build {}", manifest.id);
            return Err(ArtefactError::Damaged { file, reason });
        }
        Ok(Self::new(
            folder.to_owned(),
            manifest,
            RunDetails::read(folder)?,
        ))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &BuildId {
        &self.manifest.id
    }

    /// The facts about it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How it was made.
    #[must_use]
    pub fn run(&self) -> &RunDetails {
        &self.run
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kernel image.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join(KERNEL)
    }

    /// The kernel's symbol table.
    #[must_use]
    pub fn system_map(&self) -> PathBuf {
        self.folder.join(SYSTEM_MAP)
    }

    /// The final configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    /// The audit of the configuration.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.folder.join(AUDIT)
    }

    /// The modules disk; a kernel without loadable modules has none.
    #[must_use]
    pub fn modules_disk(&self) -> Option<PathBuf> {
        self.manifest
            .outputs
            .contains_key(MODULES_DISK)
            .then(|| self.folder.join(MODULES_DISK))
    }

    /// The folder of the boot test's report and logs. It need not exist.
    #[must_use]
    pub fn boot_folder(&self) -> PathBuf {
        self.folder.join(BOOT)
    }

    /// Keeps a boot test's report; the one before it is replaced.
    pub fn record(&self, report: &impl Serialize) -> Result<(), ArtefactError> {
        let path = self.boot_folder().join(REPORT);
        let text = serde_json::to_string_pretty(report)
            .map_err(|error| FileError::new("write", &path, io::Error::other(error)))?;
        files::replace(&path, text + "\n")?;
        Ok(())
    }

    /// What the boot test left, if there was one. Whether it still counts: [`Evidence::proves`].
    pub fn evidence(&self) -> Result<Option<Evidence>, ArtefactError> {
        let file = self.boot_folder().join(REPORT);
        let Some(text) = files::read_if_there(&file)? else {
            return Ok(None);
        };
        let damaged = |error: serde_json::Error| ArtefactError::Damaged {
            file,
            reason: error.to_string(),
        };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Whether a boot test was passed by the very bytes that this build consists of.
    pub fn is_proven(&self) -> Result<bool, ArtefactError> {
        Ok(self
            .evidence()?
            .is_some_and(|evidence| evidence.proves(&self.manifest)))
    }

    /// Reads every file again and compares it with the manifest and with `SHA256SUMS`.
    pub fn verify(&self) -> Result<(), ArtefactError> {
        let file = self.folder.join(SUMS);
        let text = files::read_if_there(&file)?
            .ok_or_else(|| ArtefactError::Missing { file: file.clone() })?;
        let sums = sums::parse(&text).map_err(|reason| ArtefactError::Damaged {
            file: file.clone(),
            reason,
        })?;
        let outputs = self.manifest.outputs.iter();
        if let Some((name, _)) = outputs
            .clone()
            .find(|(name, output)| sums.get(*name) != Some(&output.sha256))
        {
            let reason = format!("it and {MANIFEST} disagree about {name}");
            return Err(ArtefactError::Damaged { file, reason });
        }
        if !sums.contains_key(MANIFEST) {
            let reason = format!("{MANIFEST} is not in it");
            return Err(ArtefactError::Damaged { file, reason });
        }
        sums.par_iter()
            .filter(|(name, _)| !name.starts_with(BOOT))
            .try_for_each(|(name, expected)| self.verify_file(name, *expected))
    }

    fn verify_file(&self, name: &str, expected: Sha256) -> Result<(), ArtefactError> {
        let file = self.folder.join(name);
        match Sha256::of_file(&file) {
            Ok(found) if found == expected => Ok(()),
            Ok(found) => Err(altered(file, expected, found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ArtefactError::Missing { file })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The cheap check: every output is there and has its size.
    pub(super) fn with_sizes_checked(self) -> Result<Self, ArtefactError> {
        for (name, output) in &self.manifest.outputs {
            let file = self.folder.join(name);
            match fs::metadata(&file) {
                Ok(metadata) if metadata.len() == output.size => {}
                Ok(metadata) => {
                    let (expected, found) = (output.size.to_string(), metadata.len().to_string());
                    return Err(ArtefactError::Altered {
                        file,
                        what: "size",
                        expected,
                        found,
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return Err(ArtefactError::Missing { file });
                }
                Err(e) => return Err(FileError::new("read", &file, e).into()),
            }
        }
        Ok(self)
    }
}
