//! The guest's own programs: CRIU, what CRIU calls, kmod, a shell and their libraries, out of the builder image.
//!
//! In: a [`ToolSource`] that runs a shell script where the programs are. Out: [`GuestTools`], a tar file that is
//! kept per image, since one export takes seconds. Must not know containers.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::BootError;
use super::cpio::{Archive, Node};
use crate::build::BuildError;
use crate::digest::Sha256;
use crate::files::{FileError, Staging};
use crate::report::Reporter;

/// Writes a tar file of the tools to its standard output; complains on standard error.
pub const EXPORT: &str = include_str!("export-tools.sh");

/// Where the guest's tools come from: the builder image, or the host where nothing else can be.
pub trait ToolSource: fmt::Debug {
    /// What tells one set of tools from another: the image's id.
    fn id(&self) -> String;

    /// Runs `script` with `sh` there, as root or not, and puts its standard output into `tar`.
    fn export(&self, script: &str, tar: &Path) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The exported tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestTools {
    /// Where they came from.
    pub origin: String,
    /// The tar file.
    pub tar: PathBuf,
}

impl GuestTools {
    /// The tools of `source`, from `cache` (a folder) where they were exported before.
    pub fn from(
        source: &dyn ToolSource,
        cache: &Path,
        reporter: &Reporter,
    ) -> Result<Self, BootError> {
        let origin = source.id();
        // Another script is another set of tools, and an image id may hold what no file name should.
        let key = Sha256::of(format!("{origin}\n{EXPORT}")).short(16);
        let folder = cache.join(key);
        let tools = Self {
            origin,
            tar: folder.join("tools.tar"),
        };
        if tools.tar.is_file() {
            return Ok(tools);
        }
        reporter.detail(format!(
            "exporting CRIU and its libraries from {}",
            tools.origin
        ));
        let staging = Staging::beside(&folder)?;
        source
            .export(EXPORT, &staging.path().join("tools.tar"))
            .map_err(|source| failed(&tools.origin, source))?;
        match staging.publish() {
            // Somebody else exported the same in the meantime.
            Err(_) if tools.tar.is_file() => {}
            published => drop(published?),
        }
        Ok(tools)
    }

    /// The tools as a file tree.
    pub(super) fn unpack(&self) -> Result<Archive, BootError> {
        let error = |source| FileError::new("read", &self.tar, source);
        let mut archive = Archive::default();
        let mut tar = tar::Archive::new(File::open(&self.tar).map_err(error)?);
        for entry in tar.entries().map_err(error)? {
            let mut entry = entry.map_err(error)?;
            let path = entry.path().map_err(error)?.to_string_lossy().into_owned();
            let target = entry
                .link_name()
                .map_err(error)?
                .map(|path| path.to_string_lossy().into_owned());
            let node = match (entry.header().entry_type(), target) {
                (tar::EntryType::Symlink, Some(target)) => Node::Link { target },
                (tar::EntryType::Link, Some(target)) => self.at(&archive, &target)?,
                (tar::EntryType::Directory, _) => Node::Folder { mode: 0o755 },
                _ => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).map_err(error)?;
                    let mode = entry.header().mode().map_err(error)? & 0o777;
                    Node::File {
                        mode,
                        content: content.into(),
                    }
                }
            };
            archive.put(&path, node);
        }
        Ok(archive)
    }

    fn at(&self, archive: &Archive, path: &str) -> Result<Node, BootError> {
        let missing = || BootError::ToolMissing {
            origin: self.origin.clone(),
            what: path.to_owned(),
        };
        archive.at(path).cloned().ok_or_else(missing)
    }
}

/// What went wrong there; a user who asked us to stop is not told that the image is at fault.
fn failed(origin: &str, source: Box<dyn Error + Send + Sync>) -> BootError {
    match source.downcast_ref() {
        Some(BuildError::Interrupted { .. }) => BootError::Interrupted,
        _ => BootError::Tools {
            origin: origin.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Debug, Default)]
    struct Image {
        exports: Cell<u32>,
        broken: bool,
    }

    impl ToolSource for Image {
        fn id(&self) -> String {
            "sha256:1234".into()
        }

        fn export(&self, script: &str, tar: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
            assert!(script.contains("criu"));
            self.exports.set(self.exports.get() + 1);
            let mut builder = tar::Builder::new(File::create(tar)?);
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(4);
            builder.append_data(&mut header.clone(), "usr/sbin/criu", &b"criu"[..])?;
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header.clone(), "sbin", "usr/sbin")?;
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, "usr/sbin/same", "usr/sbin/criu")?;
            builder.finish()?;
            if self.broken {
                Err("lacks criu".into())
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn exported_once_and_unpacked() {
        let cache = tempfile::tempdir().unwrap();
        let image = Image::default();
        for _ in 0..2 {
            let tools = GuestTools::from(&image, cache.path(), &Reporter::silent()).unwrap();
            let archive = tools.unpack().unwrap();
            assert_eq!(archive.at("usr/sbin/criu"), Some(&Node::program(*b"criu")));
            assert_eq!(archive.at("usr/sbin/same"), archive.at("usr/sbin/criu"));
            assert_eq!(
                archive.at("sbin"),
                Some(&Node::Link {
                    target: "usr/sbin".into()
                })
            );
        }
        assert_eq!(image.exports.get(), 1);
    }

    #[test]
    fn a_failed_export_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let image = Image {
            broken: true,
            ..Image::default()
        };
        let error = GuestTools::from(&image, cache.path(), &Reporter::silent()).unwrap_err();
        assert!(matches!(error, BootError::Tools { .. }), "{error}");
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}
