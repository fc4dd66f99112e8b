//! The compiler cache: what ccache is told, and what it may take for the same.
//!
//! In: a folder, and a word for the compiler. Out: a [`Job`] that has both. Paths inside a container are
//! fixed and so is everything else that varies, so that object files of any build fit any other.

use std::path::PathBuf;

use crate::digest::Sha256;

use super::{EngineKind, Job, Mount, ccache_log, plan};

/// Where a job sees the compiler cache.
const FOLDER: &str = "/ccache";

/// Where ccache keeps object files, and for which compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCache {
    /// The folder, this machine's.
    pub folder: PathBuf,
    /// The tools of the image, so that ccache need not read the compiler for each file; `None` where
    /// there is no image, and it must.
    pub toolchain: Option<Sha256>,
}

impl CompilerCache {
    /// `job` with the cache mounted and its settings.
    ///
    /// Depend mode takes the list of headers from the compiler instead of preprocessing every file
    /// first. Measured on 60 files of 6.1.190 with GCC 14, processor time against the compiler alone:
    /// a cold cache costs 1.07 with it and 1.52 without (1.15 where the preprocessed text is what is
    /// compiled, which changes debug information and so the build id); a hit costs 0.04 either way. What
    /// it gives up is a hit where headers changed and the preprocessed text did not; yet from 6.1.176 to
    /// 6.1.187 that text is the same for 3.2 % of the objects in all, and to 6.1.190 for 3.4 %.
    ///
    /// It does not see the compiler's own headers; those are the image's, and so is the compiler: its
    /// digest stands for both.
    pub(super) fn given_to(&self, job: Job, kind: EngineKind) -> Job {
        let job = job
            .mount(Mount::write(&self.folder, FOLDER))
            .env("CCACHE_DIR", FOLDER)
            .env("CCACHE_DEPEND", "1")
            .env("CCACHE_MAXSIZE", "5G")
            .env(
                "CCACHE_STATSLOG",
                format!("{}/{}", plan::BUILD, ccache_log::FILE),
            )
            .env("CCACHE_TEMPDIR", format!("{FOLDER}/tmp"));
        match (kind, self.toolchain) {
            // Paths differ from machine to machine without a container's fixed ones.
            (EngineKind::Host, _) | (_, None) => job
                .env("CCACHE_BASEDIR", plan::BUILD)
                .env("CCACHE_NOHASHDIR", "1")
                .env("CCACHE_COMPILERCHECK", "content"),
            (_, Some(toolchain)) => job.env("CCACHE_COMPILERCHECK", format!("string:{toolchain}")),
        }
    }
}
