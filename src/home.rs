//! Where everything lives: the one place that knows the names inside `WSLK_HOME` and the cache.
//!
//! In: the two roots. Out: paths. Must not touch the disk.

use std::path::{Path, PathBuf};

/// The two roots under which wslk keeps things: state that matters, and a cache that may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    cache: PathBuf,
}

impl Home {
    /// `root` is `--home`/`WSLK_HOME`; `cache` is `$XDG_CACHE_HOME/wslk`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            cache: cache.into(),
        }
    }

    /// The folder of all state.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all that can be had again.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Held by whatever changes state.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Held by whatever writes to the cache: several homes may have the same one.
    #[must_use]
    pub fn cache_lock(&self) -> PathBuf {
        self.cache.join("lock")
    }

    /// Where the Windows side is, as of the last installation.
    #[must_use]
    pub fn windows(&self) -> PathBuf {
        self.root.join("windows.txt")
    }

    /// Source trees, one folder per git tree id.
    #[must_use]
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// Finished builds, one folder per build id.
    #[must_use]
    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    /// What nights know of every tag.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.root.join("nightly.json")
    }

    /// Held by a night; the stages take [`Self::lock`] one after the other.
    #[must_use]
    pub fn night_lock(&self) -> PathBuf {
        self.root.join("nightly.lock")
    }

    /// Where kernels are published unless the user says where.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.root.join("site")
    }

    /// Build trees (object files): large, and only worth keeping to go on from.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.cache.join("work")
    }

    /// Tarballs and git objects as they came.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// What is known of tarballs, folders and remotes that were seen before.
    #[must_use]
    pub fn source_index(&self) -> PathBuf {
        self.cache.join("sources.json")
    }

    /// The compiler cache.
    #[must_use]
    pub fn ccache(&self) -> PathBuf {
        self.cache.join("ccache")
    }

    /// Kernels, whole, by what went into them.
    #[must_use]
    pub fn kernels(&self) -> PathBuf {
        self.cache.join("kernels")
    }

    /// Kconfig symbol indices, one per source tree.
    #[must_use]
    pub fn indices(&self) -> PathBuf {
        self.cache.join("kconfig")
    }

    /// What Kconfig answered, one folder per source tree, toolchain and architecture.
    #[must_use]
    pub fn answers(&self) -> PathBuf {
        self.cache.join("answers")
    }

    /// What the guest of a boot test needs of CRIU and its libraries, one folder per builder image.
    #[must_use]
    pub fn guest_tools(&self) -> PathBuf {
        self.cache.join("guest-tools")
    }
}
