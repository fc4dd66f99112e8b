//! Where sources come from, told by the shape of the text that names them.
//!
//! In: the text of `--source`. Out: an [`Upstream`]. Must not reach for the network; it only looks at
//! what kind of thing lies at a path.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::SourceError;

/// Microsoft's repository.
pub const MICROSOFT: &str = "https://github.com/microsoft/WSL2-Linux-Kernel.git";

const TARBALLS: [&str; 4] = [".tar.gz", ".tgz", ".tar.xz", ".tar.zst"];

/// A place that kernel sources come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A git remote, or the absolute path of a repository.
    Git(String),
    /// A packed tree.
    Tarball(Location),
    /// An unpacked tree; absolute.
    Directory(PathBuf),
}

/// Where a tarball is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// On this machine; absolute.
    Path(PathBuf),
    /// At a web server.
    Url(String),
}

impl FromStr for Upstream {
    type Err = SourceError;

    /// A URL or path that ends like a tarball is one; a folder with a kernel's `Makefile` and `Kconfig` is a
    /// tree; any other folder must be a git repository, bare or not. `file://` in front of a path means
    /// git also where the folder has a tree.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let tarball = TARBALLS.iter().any(|suffix| text.ends_with(suffix));
        match text.split_once("://") {
            Some(("http" | "https", _)) if tarball => {
                Ok(Self::Tarball(Location::Url(text.to_owned())))
            }
            Some(("file", path)) if tarball => at_path(path, tarball),
            Some(("http" | "https" | "git" | "ssh" | "file", _)) => {
                Ok(Self::Git(text.trim_end_matches('/').to_owned()))
            }
            Some(_) => Err(refused(
                text,
                "wslk knows http, https, git, ssh and file addresses",
            )),
            None => at_path(text, tarball),
        }
    }
}

fn at_path(text: &str, tarball: bool) -> Result<Upstream, SourceError> {
    let path =
        fs::canonicalize(text).map_err(|_| refused(text, "there is no such file or folder"))?;
    if path.is_file() {
        return if tarball {
            Ok(Upstream::Tarball(Location::Path(path)))
        } else {
            Err(refused(
                text,
                "it does not end in .tar.gz, .tgz, .tar.xz or .tar.zst",
            ))
        };
    }
    if path.join("Makefile").exists() && path.join("Kconfig").exists() {
        return Ok(Upstream::Directory(path));
    }
    if path.join(".git").exists() || (path.join("HEAD").exists() && path.join("objects").is_dir()) {
        return Ok(Upstream::Git(path.display().to_string()));
    }
    Err(refused(
        text,
        "the folder is neither a kernel tree nor a git repository",
    ))
}

fn refused(text: &str, problem: &'static str) -> SourceError {
    SourceError::Upstream {
        text: text.to_owned(),
        problem,
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(url) | Self::Tarball(Location::Url(url)) => f.write_str(url),
            Self::Tarball(Location::Path(path)) | Self::Directory(path) => path.display().fmt(f),
        }
    }
}

/// The folder of a git upstream that is on this machine.
pub(super) fn local_repository(url: &str) -> Option<PathBuf> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    (!url.contains("://") || url.starts_with("file://"))
        .then(|| path.to_owned())
        .filter(|path| path.is_dir())
}

/// Where a git upstream offers the tree of a tag as a tarball. Known of GitHub only.
pub(super) fn tarball_of(url: &str, tag: &str) -> Option<String> {
    let repository = url.strip_prefix("https://github.com/")?;
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    let owner_and_name = repository
        .split('/')
        .filter(|part| !part.is_empty())
        .count()
        == 2;
    owner_and_name
        .then(|| format!("https://github.com/{repository}/archive/refs/tags/{tag}.tar.gz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_by_shape() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        for name in ["kernel", "bare/objects", "clone/.git", "else"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in [
            "kernel/Makefile",
            "kernel/Kconfig",
            "bare/HEAD",
            "linux.tar.xz",
            "linux.zip",
        ] {
            fs::write(root.join(name), "").unwrap();
        }
        let git = |text: &str| Some(Upstream::Git(text.to_owned()));
        let table = [
            (MICROSOFT.to_owned(), git(MICROSOFT)),
            (
                "git://127.0.0.1/linux/".to_owned(),
                git("git://127.0.0.1/linux"),
            ),
            (
                "https://x.org/a.tar.zst".to_owned(),
                Some(Upstream::Tarball(Location::Url(
                    "https://x.org/a.tar.zst".to_owned(),
                ))),
            ),
            (
                at("linux.tar.xz"),
                Some(Upstream::Tarball(Location::Path(root.join("linux.tar.xz")))),
            ),
            (
                format!("file://{}", at("linux.tar.xz")),
                Some(Upstream::Tarball(Location::Path(root.join("linux.tar.xz")))),
            ),
            (at("kernel"), Some(Upstream::Directory(root.join("kernel")))),
            (at("bare"), git(&at("bare"))),
            (at("clone"), git(&at("clone"))),
            (
                format!("file://{}", at("kernel")),
                git(&format!("file://{}", at("kernel"))),
            ),
            (at("else"), None),
            (at("linux.zip"), None),
            (at("missing.tar.gz"), None),
            ("ftp://x.org/a.tar.gz".to_owned(), None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn tarballs_of_github() {
        let expected = "https://github.com/microsoft/WSL2-Linux-Kernel/archive/refs/tags/linux-msft-wsl-6.6.87.2.tar.gz";
        assert_eq!(
            tarball_of(MICROSOFT, "linux-msft-wsl-6.6.87.2").as_deref(),
            Some(expected)
        );
        for other in [
            "https://example.org/a/b.git",
            "https://github.com/a",
            "/srv/git/linux.git",
        ] {
            assert_eq!(tarball_of(other, "linux-msft-wsl-6.6.87.2"), None);
        }
    }
}
