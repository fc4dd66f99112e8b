//! What will be run to compile a kernel, as plain data.
//!
//! In: a tree, a configuration, a folder to work in, choices. Out: the make arguments and the
//! [`Job`]. Pure: touches no disk, so a dry run can show it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::{Hasher, Sha256};
use crate::exec::Stdout;
use crate::kconfig::Arch;

use super::hosts::Hosts;
use super::{Builder, CompileHost, CompilerCache, Job, Mount};

/// Compiles, installs modules, tells the release.
const SCRIPT: &str = include_str!("build.sh");
/// Debug information without what GCC bases on its numbers for expanded macros. `IS_ENABLED()` is expanded in another
/// way for a module than for what is built in, and with all views one of 2254 object files of 6.6.36.3 whose preprocessed
/// text was the same had 12 bytes more in `.debug_loclists`: nothing of a kernel but its build id hangs on that, and whoever
/// makes it again gets another. Without views all 2254 are the same. Nobody keeps the debug information but for BTF,
/// which has no use for them.
const NO_VIEWS: &str = "KCFLAGS=-gno-variable-location-views";
/// Where a job sees the source tree.
pub(super) const SOURCE: &str = "/src";
/// Where a job sees the build tree.
pub(super) const BUILD: &str = "/build";
/// Where a job puts the modules.
pub(super) const MODULES: &str = "/modules";
/// How the lines begin with which [`SCRIPT`] tells the runs of make apart.
pub(super) const PHASE_MARK: &str = "make begins: ";
/// The line with which [`SCRIPT`] tells the release string.
pub(super) const RELEASE_MARK: &str = "kernelrelease is ";

/// One kernel to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlan {
    /// The root of the source tree; only read.
    pub source: PathBuf,
    /// The final configuration, as `olddefconfig` wrote it.
    pub config: String,
    /// What the release string ends in. An argument of make and not an option: object files hang on
    /// the options, and but for a handful none has to know the name of the build.
    pub localversion: String,
    /// The folder to work in. It holds the build tree, the staged modules and the log, and is kept
    /// for the next run of the same [`BuildPlan::key`].
    pub work: PathBuf,
    /// What the kernel is for.
    pub arch: Arch,
    /// Compilers at a time.
    pub jobs: usize,
    /// What `uname -v` tells as the time of the build; fixed, since equal inputs shall give equal
    /// bytes. A text that `date --date` understands.
    pub timestamp: String,
    /// The compiler cache; `None` for none.
    pub ccache: Option<CompilerCache>,
    /// Machines that compile for this one; what they do wrong is done here.
    pub hosts: Vec<CompileHost>,
    /// The longest silence before the build is taken for hanging. The link of a large kernel with
    /// BTF says nothing for minutes.
    pub silence: Duration,
}

impl BuildPlan {
    /// The default of [`BuildPlan::timestamp`].
    pub const TIMESTAMP: &'static str = "Thu Jan  1 00:00:00 UTC 1970";
    /// A name for the work folder: two plans may share one if their object files fit together. make
    /// sees a changed configuration by itself, but not a changed tree, compiler or path.
    #[must_use]
    pub fn key(tree: &str, builder: &Builder, arch: Arch) -> String {
        key(
            tree,
            builder.image().map_or("host", |image| &image.id),
            arch,
        )
    }

    /// make's output folder.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.work.join("tree")
    }

    /// Everything make said.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.work.join("make.log")
    }

    /// Where `modules_install` puts `lib/modules/<release>`.
    #[must_use]
    pub fn staged(&self) -> PathBuf {
        self.work.join("modules")
    }

    /// Whether there are modules to build at all.
    #[must_use]
    pub fn has_modules(&self) -> bool {
        self.has("CONFIG_MODULES=y")
    }

    fn has(&self, setting: &str) -> bool {
        self.config.lines().any(|line| line == setting)
    }

    /// The digest of the configuration.
    #[must_use]
    pub fn config_digest(&self) -> Sha256 {
        Sha256::of(&self.config)
    }

    /// The make targets of the compilation.
    #[must_use]
    pub fn targets(&self) -> Vec<&'static str> {
        let modules = self.has_modules().then_some("modules");
        std::iter::once(image(self.arch)).chain(modules).collect()
    }

    /// make's arguments but for the targets.
    ///
    /// All variables are arguments and none is environment, so that a printed command line can be
    /// pasted. `LOCALVERSION`, once set, also keeps kbuild from adding a `+` to the release.
    #[must_use]
    fn make_args(&self, hosts: Option<&Hosts>) -> Vec<String> {
        let lent = hosts.map_or(0, Hosts::slots);
        let mut args = vec![format!("-j{}", self.jobs + lent)];
        args.extend(common_args(self.arch));
        args.extend([
            format!("LOCALVERSION={}", self.localversion),
            format!("KBUILD_BUILD_TIMESTAMP={}", self.timestamp),
            "KBUILD_BUILD_USER=wslk".to_owned(),
            "KBUILD_BUILD_HOST=wslk".to_owned(),
            "KBUILD_BUILD_VERSION=1".to_owned(),
        ]);
        if self.has("CONFIG_DEBUG_INFO=y") {
            args.push(NO_VIEWS.to_owned());
        }
        match hosts {
            // ccache spreads what it has not.
            _ if self.ccache.is_some() => {
                args.extend(["CC=ccache gcc".to_owned(), "HOSTCC=ccache gcc".to_owned()]);
            }
            Some(_) => args.push(format!("CC={} gcc", Hosts::PREFIX)),
            None => {}
        }
        args
    }

    /// All that the products hang on besides the tree and the tools.
    #[must_use]
    pub(super) fn inputs(&self) -> String {
        // The number of compilers at a time is the first argument, and changes nothing.
        let args = self.make_args(None).split_off(1);
        format!(
            "{SCRIPT}\n{}\n{}\n{}",
            self.targets().join(" "),
            args.join("\n"),
            self.config
        )
    }

    /// The job that does it all in one container: compile, install the modules, tell the release.
    #[must_use]
    pub(super) fn job(&self, builder: &Builder, hosts: Option<&Hosts>) -> Job {
        let targets = self.targets().join(" ");
        let job = Job::script("make", SCRIPT)
            .arg(targets)
            .arg(MODULES)
            .args(self.make_args(hosts));
        let job = match hosts {
            Some(hosts) => hosts.given_to(job, self.jobs),
            None => job,
        };
        self.in_place(job, builder)
            .mount(Mount::write(self.staged(), MODULES))
            .stdout(Stdout::Lines)
            .total(None)
            .silence(self.silence)
    }

    /// A job that shows the failure of one make target again, alone and with full command lines.
    #[must_use]
    pub fn again(&self, builder: &Builder, make_target: Option<&str>) -> Job {
        let targets = make_target.map_or_else(|| self.targets(), |one| vec![one]);
        self.in_place(
            Job::new("make", "make")
                .args(self.make_args(None))
                .arg("V=1")
                .args(targets),
            builder,
        )
    }

    fn in_place(&self, job: Job, builder: &Builder) -> Job {
        let job = job
            .mount(Mount::read(&self.source, SOURCE))
            .mount(Mount::write(self.tree(), BUILD))
            .dir(BUILD);
        match &self.ccache {
            Some(ccache) => ccache.given_to(job, builder.engine().kind()),
            None => job,
        }
    }
}

/// A folder's name for what hangs on a tree, the tools that worked on it, and what for.
pub(super) fn key(tree: &str, tools: &str, arch: Arch) -> String {
    let mut hasher = Hasher::default();
    hasher.update(format!("{tree}\n{tools}\n{}\n", arch.kbuild()).as_bytes());
    format!("{}-{}", arch.kbuild(), hasher.finish().short(16))
}

/// make's arguments whatever is made.
pub(super) fn common_args(arch: Arch) -> [String; 4] {
    [
        "-C".to_owned(),
        SOURCE.to_owned(),
        format!("O={BUILD}"),
        format!("ARCH={}", arch.kbuild()),
    ]
}

/// The make target of the image that WSL loads. On arm64 that is `Image`: WSL does not unpack the
/// default `Image.gz`.
fn image(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "bzImage",
        Arch::Arm64 => "Image",
    }
}

/// Where a product lies in a build tree.
pub(super) fn image_path(tree: &Path, arch: Arch) -> PathBuf {
    tree.join("arch")
        .join(arch.name())
        .join("boot")
        .join(image(arch))
}

#[cfg(test)]
impl BuildPlan {
    /// The plan of a build in `work`, for tests.
    pub(super) fn example(work: PathBuf) -> Self {
        Self {
            source: "/trees/linux".into(),
            config: String::new(),
            localversion: "-wslk-1a2b3c4d5e".to_owned(),
            work,
            arch: Arch::X86,
            jobs: 2,
            timestamp: Self::TIMESTAMP.to_owned(),
            ccache: None,
            hosts: Vec::new(),
            silence: Duration::from_secs(900),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(config: &str) -> BuildPlan {
        BuildPlan {
            config: config.to_owned(),
            ..BuildPlan::example("/cache/work/k".into())
        }
    }

    #[test]
    fn modules_are_made_where_there_are_any() {
        assert_eq!(plan("CONFIG_MODULES=y\n").targets(), ["bzImage", "modules"]);
        assert_eq!(plan("# CONFIG_MODULES is not set\n").targets(), ["bzImage"]);
    }

    #[test]
    fn debug_information_has_no_views() {
        let args = |config| plan(config).make_args(None);
        assert!(args("CONFIG_DEBUG_INFO=y\n").contains(&NO_VIEWS.to_owned()));
        assert!(!args("CONFIG_DEBUG_INFO_NONE=y\n").contains(&NO_VIEWS.to_owned()));
    }

    #[test]
    fn everything_that_varies_is_fixed() {
        let args = plan("").make_args(None).join(" ");
        for fixed in [
            "TIMESTAMP=Thu",
            "USER=wslk",
            "HOST=wslk",
            "VERSION=1",
            "LOCALVERSION=-wslk-1a2b3c4d5e ",
            "O=/build",
            "-j2",
        ] {
            assert!(args.contains(fixed), "{fixed} is missing in {args}");
        }
    }
}
