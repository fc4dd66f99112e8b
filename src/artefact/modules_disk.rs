//! The modules disk that WSL attaches: a fixed VHD around an ext4, made without root and loop devices.
//!
//! In: the folder that `modules_install` filled, and a [`Toolbox`] that has mke2fs. Out: `modules.vhd`,
//! the same bytes for the same modules. Must not start programs by itself: they live in the builder.
//!
//! ```text
//! lib/modules/<release> ─▶ tar (both layouts, owner root) ─▶ mke2fs -d ─▶ e2fsck -n ─▶ + 512 bytes of footer
//! ```
//!
//! A tar file, and not the folder, is what mke2fs reads (it can since 1.47.1, with libarchive): there an
//! ordinary user may say that root owns a file. A fixed VHD is the bare image with the footer behind it,
//! so nothing is copied, and QEMU, the kernel and Hyper-V all read the same blocks.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ArtefactError;
use super::ext4::{Plan, identity};
use super::modules_tree::{Entry, ModulesTree};
use super::vhd;
use crate::build::{Builder, Job, Mount};
use crate::digest::Sha256;
use crate::files::FileError;
use crate::report::{Reporter, Unit};

/// What mke2fs reads, beside the image.
const TAR: &str = "modules.tar";
/// What it makes.
const IMAGE: &str = "image";
/// A file system that its own checker complains about must not reach a user: `-n` only looks.
/// An ordinary user's PATH lacks the folder that both programs are in.
const MAKE_AND_CHECK: &str = r#"PATH=$PATH:/usr/sbin:/sbin; mke2fs "$@" && exec e2fsck -fn "$0""#;
/// Where a job sees the folder that it works in.
const INSIDE: &str = "/disk";
/// A disk of a gigabyte takes some seconds; a machine that swaps, some more.
const TIME: Duration = Duration::from_secs(600);

/// One run of file system tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The program that it is about, in one word.
    pub label: &'static str,
    /// The folder it runs in, and the only one it may write to.
    pub folder: PathBuf,
    /// Program and arguments; file names are relative to the folder.
    pub argv: Vec<String>,
    /// Environment variables on top of the usual ones.
    pub env: Vec<(String, String)>,
}

/// Why the tools failed; belongs to whoever ran them.
pub type ToolboxError = Box<dyn Error + Send + Sync>;

/// Runs file system tools where they are: in the builder image, or on this machine.
pub trait Toolbox {
    /// Runs to the end; any exit status but 0 is an error that holds the tool's own words.
    fn run(&self, call: &ToolCall) -> Result<(), ToolboxError>;
}

impl Toolbox for Builder {
    fn run(&self, call: &ToolCall) -> Result<(), ToolboxError> {
        let (program, arguments) = call.argv.split_first().ok_or("no program to run")?;
        let job = Job::new(call.label, program)
            .args(arguments)
            .mount(Mount::write(&call.folder, INSIDE))
            .dir(INSIDE)
            .total(TIME);
        let job = call
            .env
            .iter()
            .fold(job, |job, (name, value)| job.env(name, value));
        self.job(&job)?;
        Ok(())
    }
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRequest<'a> {
    /// The folder `lib/modules/<release>` below the one that `modules_install` was given.
    pub modules: &'a Path,
    /// What `uname -r` says under the kernel.
    pub release: &'a str,
    /// The time of everything on the disk, in seconds since 1970: the build's own, so that it can be repeated.
    pub time: u64,
    /// Where the disk is to lie. A file of that name is replaced.
    pub target: &'a Path,
}

/// A modules disk that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModulesDisk {
    /// The VHD.
    pub path: PathBuf,
    /// Its size in bytes, footer included. The file is sparse.
    pub size: u64,
    /// How many kernel modules are on it.
    pub modules: usize,
    /// Digest of the content that the file system was made of.
    pub content: Sha256,
}

/// Makes the modules disk. Nothing but the disk is left behind, on an error nothing at all.
pub fn write_modules_disk(
    request: &DiskRequest<'_>,
    toolbox: &dyn Toolbox,
    reporter: &Reporter,
) -> Result<ModulesDisk, ArtefactError> {
    let tree = ModulesTree::scan(request.modules)?;
    let parent = request.target.parent().unwrap_or(Path::new("."));
    // A folder of its own: whoever runs the tools may own it, and may change nothing else.
    let work = tempfile::Builder::new()
        .prefix(".modules-disk-")
        .tempdir_in(parent)
        .map_err(|source| FileError::new("create a folder in", parent, source))?;
    let disk = make(request, &tree, work.path(), toolbox, reporter)?;
    work.close()
        .map_err(|source| FileError::new("clean up", parent, source))?;
    Ok(disk)
}

fn make(
    request: &DiskRequest<'_>,
    tree: &ModulesTree,
    work: &Path,
    toolbox: &dyn Toolbox,
    reporter: &Reporter,
) -> Result<ModulesDisk, ArtefactError> {
    let files = tree.entries().len() as u64;
    let task = reporter.task("packing modules", Unit::Files, Some(files));
    let content = tree.archive(request.release, request.time, &work.join(TAR), &task)?;
    let plan = Plan::new(tree.entries(), request.release);
    let call = tool_call(work, request.time, plan, content);
    reporter.detail(call.argv.join(" "));
    toolbox.run(&call).map_err(ArtefactError::Toolbox)?;
    let image = work.join(IMAGE);
    let size = close_with_footer(&image, request.time, plan, content)?;
    fs::rename(&image, request.target)
        .map_err(|source| FileError::new("replace", request.target, source))?;
    Ok(ModulesDisk {
        path: request.target.to_owned(),
        size,
        modules: module_count(tree),
        content,
    })
}

fn tool_call(work: &Path, time: u64, plan: Plan, content: Sha256) -> ToolCall {
    let mut argv: Vec<String> = ["sh", "-c", MAKE_AND_CHECK, IMAGE]
        .map(str::to_owned)
        .to_vec();
    argv.extend(plan.arguments(content, TAR, IMAGE));
    let env = [
        ("SOURCE_DATE_EPOCH", time.to_string()),
        ("MKE2FS_CONFIG", "/dev/null".to_owned()),
    ];
    ToolCall {
        label: "mke2fs",
        folder: work.to_owned(),
        argv,
        env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    }
}

/// Makes a VHD of the image, which must have exactly the planned size, and returns the disk's size.
fn close_with_footer(
    image: &Path,
    time: u64,
    plan: Plan,
    content: Sha256,
) -> Result<u64, ArtefactError> {
    let error = |source| FileError::new("finish", image, source);
    let mut file = File::options().append(true).open(image).map_err(error)?;
    let found = file.metadata().map_err(error)?.len();
    if found != plan.size {
        return Err(ArtefactError::WrongImage {
            path: image.to_owned(),
            expected: plan.size,
            found,
        });
    }
    let footer = vhd::footer(plan.size, time, identity("disk", content).0);
    file.write_all(&footer).map_err(error)?;
    claim(&file).map_err(error)?;
    Ok(plan.size + footer.len() as u64)
}

/// Makes the file ours: a builder that we start as root runs as somebody else.
fn claim(file: &File) -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if file.metadata()?.uid() == user.as_raw() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(user.as_raw()), Some(group.as_raw()))
}

/// Files with the names that kbuild gives modules, compressed or not.
fn module_count(tree: &ModulesTree) -> usize {
    let endings = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];
    let is_module = |entry: &&Entry| {
        let name = entry.path().to_string_lossy();
        matches!(entry, Entry::File { .. }) && endings.iter().any(|ending| name.ends_with(ending))
    };
    tree.entries().iter().filter(is_module).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::modules_tree::tests::installed;
    use super::*;

    /// Leaves an empty image of the asked size, or of another, or fails.
    #[derive(Default)]
    struct Fake {
        missing_bytes: u64,
        failure: Option<&'static str>,
        calls: Mutex<Vec<ToolCall>>,
    }

    impl Toolbox for Fake {
        fn run(&self, call: &ToolCall) -> Result<(), ToolboxError> {
            self.calls.lock().unwrap().push(call.clone());
            let kibibytes: u64 = call.argv.last().unwrap().trim_end_matches('k').parse()?;
            let image = File::create(call.folder.join(&call.argv[3]))?;
            image.set_len(kibibytes * 1024 - self.missing_bytes)?;
            self.failure.map_or(Ok(()), |text| Err(text.into()))
        }
    }

    fn write(toolbox: &Fake, target: &Path) -> Result<ModulesDisk, ArtefactError> {
        let tree = installed(&[
            ("modules.dep", 10),
            ("kernel/a.ko", 5000),
            ("kernel/b.ko.xz", 50),
        ]);
        let request = DiskRequest {
            modules: tree.path(),
            release: "6.1.0-x",
            time: 1_700_000_000,
            target,
        };
        write_modules_disk(&request, toolbox, &Reporter::silent())
    }

    #[test]
    fn the_disk_is_an_image_and_a_footer() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("modules.vhd");
        let toolbox = Fake::default();
        let disk = write(&toolbox, &target).unwrap();
        assert_eq!(
            (disk.modules, disk.size),
            (2, fs::metadata(&target).unwrap().len())
        );
        let bytes = fs::read(&target).unwrap();
        assert_eq!(&bytes[bytes.len() - 512..][..8], b"conectix");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "only the disk is left"
        );
        let call = &toolbox.calls.lock().unwrap()[0];
        assert_eq!(
            call.env[0],
            ("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned())
        );
        assert_eq!(call.argv[3], IMAGE);
    }

    #[test]
    fn a_failure_leaves_nothing() {
        let cases = [
            (
                Fake {
                    missing_bytes: 512,
                    ..Fake::default()
                },
                "instead of",
            ),
            (
                Fake {
                    failure: Some("mke2fs: Not a directory while populating"),
                    ..Fake::default()
                },
                "file system",
            ),
        ];
        for (toolbox, words) in cases {
            let folder = tempfile::tempdir().unwrap();
            let error = write(&toolbox, &folder.path().join("modules.vhd")).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.hint().is_some(), toolbox.failure.is_some());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
