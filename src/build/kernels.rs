//! Kernels that were compiled before, each kept whole under the digest of everything that went into it.
//!
//! In: a plan, the tree's id, the tools' digest. Out: what compiling the plan would leave, without compiling. What cannot
//! be read, unpacked or had of a server counts as not there. Must not judge the tree: a kernel is kept by who knows that
//! the tree still was what its id says when the compilers were done.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, EntryType, Header};

use super::SharedCache;
use super::plan::BuildPlan;
use super::remote::Shelves;
use super::run::{Compiled, Stats, checked};
use super::trace::Trace;
use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};

/// Names inside an archive.
const KERNEL: &str = "kernel";
const SYSTEM_MAP: &str = "System.map";
const CONFIG: &str = "config";
const RELEASE: &str = "release";
const MODULES: &str = "lib/modules";
/// Of zstd: an image is packed already, and its symbols do not get much smaller by more.
const LEVEL: i32 = 3;
/// Bytes of an archive unpacked, more than any kernel with all its modules has.
const LARGEST: u64 = 2 << 30;
/// Bytes of all that is kept on this machine; what was not asked for longest goes first.
const ROOM: u64 = 2 << 30;

/// Where a kernel was that did not have to be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Taken {
    /// On this machine.
    Here,
    /// In the shared cache.
    Shared,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here => "kept whole on this machine",
            Self::Shared => "whole in the shared cache",
        })
    }
}

/// The kernels of one tree and one set of tools, here and with others.
#[derive(Debug)]
pub struct Kernels {
    folder: PathBuf,
    tree: String,
    toolchain: Sha256,
    shelves: Shelves,
}

impl Kernels {
    /// Kept in `folder`, whatever their tree, and in a shared cache. `tree` is the git tree id of what is compiled,
    /// `toolchain` stands for every package of the builder image.
    #[must_use]
    pub fn new(folder: PathBuf, shared: &SharedCache, tree: String, toolchain: Sha256) -> Self {
        Self {
            folder,
            tree,
            toolchain,
            shelves: Shelves::new(shared),
        }
    }

    /// What the plan would leave, if it was compiled before, here or by others.
    #[must_use]
    pub fn find(&self, plan: &BuildPlan) -> Option<Compiled> {
        let started = Instant::now();
        let digest = self.digest(plan);
        self.find_here(plan, digest, started)
            .or_else(|| self.borrow(plan, digest, started))
    }

    fn find_here(&self, plan: &BuildPlan, digest: Sha256, started: Instant) -> Option<Compiled> {
        let path = self.path(digest);
        let packed = fs::read(&path).ok()?;
        let compiled = unpacked(plan, &packed, Taken::Here, started)?;
        let used = File::options().write(true).open(&path);
        let _stays_old = used.and_then(|file| file.set_modified(SystemTime::now()));
        Some(compiled)
    }

    fn borrow(&self, plan: &BuildPlan, digest: Sha256, started: Instant) -> Option<Compiled> {
        let packed = self.shelves.get(&key(digest))?;
        let compiled = unpacked(plan, &packed, Taken::Shared, started)?;
        let _borrowed_again_next_time = self.put(digest, &packed);
        Some(compiled)
    }

    /// Keeps what was compiled, and leaves it for others.
    ///
    /// # Errors
    /// For products that cannot be read, and a cache that cannot be written to; then it is compiled another time.
    pub fn keep(&self, plan: &BuildPlan, compiled: &Compiled) -> Result<(), FileError> {
        let digest = self.digest(plan);
        let failed = |source| FileError::new("pack", &compiled.bzimage, source);
        let packed = pack(compiled).map_err(failed)?;
        self.shelves.put(&key(digest), &packed);
        self.put(digest, &packed)
    }

    fn put(&self, digest: Sha256, packed: &[u8]) -> Result<(), FileError> {
        files::replace(&self.path(digest), packed)?;
        make_room(&self.folder, ROOM)
            .map_err(|source| FileError::new("make room in", &self.folder, source))
    }

    /// What the user has to know of the servers, and has not been told yet.
    #[must_use]
    pub fn news(&self) -> Vec<String> {
        self.shelves.news()
    }

    fn digest(&self, plan: &BuildPlan) -> Sha256 {
        let mut hasher = Hasher::default();
        let (tree, tools) = (&self.tree, self.toolchain);
        hasher.update(format!("kernel 1\n{tree}\n{tools}\n").as_bytes());
        hasher.update(plan.inputs().as_bytes());
        hasher.finish()
    }

    fn path(&self, digest: Sha256) -> PathBuf {
        self.folder.join(format!("{}.tar.zst", digest.short(32)))
    }
}

/// No key of ccache: what a job may leave on a shelf is never taken for a kernel.
fn key(digest: Sha256) -> String {
    format!("kernel-{digest}")
}

fn pack(compiled: &Compiled) -> io::Result<Vec<u8>> {
    let mut packer = zstd::Encoder::new(Vec::new(), LEVEL)?;
    packer.include_checksum(true)?;
    let mut archive = Builder::new(packer);
    archive.follow_symlinks(false);
    for (name, path) in [
        (KERNEL, &compiled.bzimage),
        (SYSTEM_MAP, &compiled.system_map),
        (CONFIG, &compiled.config),
    ] {
        archive.append_path_with_name(path, name)?;
    }
    let mut header = Header::new_gnu();
    header.set_size(compiled.release.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, RELEASE, compiled.release.as_bytes())?;
    if let Some(modules) = &compiled.modules_dir {
        archive.append_dir_all(Path::new(MODULES).join(&compiled.release), modules)?;
    }
    archive.into_inner()?.finish()
}

/// The products in an archive, laid out in the plan's work folder; nothing where they are not what was planned.
fn unpacked(plan: &BuildPlan, packed: &[u8], taken: Taken, started: Instant) -> Option<Compiled> {
    let folder = plan.work.join("found");
    files::remove_dir(&folder).ok()?;
    files::create_dir(&folder).ok()?;
    unpack(packed, &folder).ok()?;
    let release = files::read(&folder.join(RELEASE)).ok()?;
    if !release.ends_with(&plan.localversion) {
        return None;
    }
    let modules = folder.join(MODULES).join(&release);
    let compiled = Compiled {
        bzimage: folder.join(KERNEL),
        system_map: folder.join(SYSTEM_MAP),
        config: folder.join(CONFIG),
        modules_dir: plan.has_modules().then_some(modules),
        release,
        log: plan.log(),
        stats: Stats {
            seconds: started.elapsed().as_secs_f64(),
            taken: Some(taken),
            ..Stats::default()
        },
        trace: Trace::without_make(plan.jobs),
    };
    checked(plan, compiled).ok()
}

fn unpack(packed: &[u8], folder: &Path) -> io::Result<()> {
    // To its end, where the checksum is, before anything of it is believed.
    let mut whole = Vec::new();
    zstd::Decoder::new(packed)?
        .take(LARGEST)
        .read_to_end(&mut whole)?;
    for entry in Archive::new(whole.as_slice()).entries()? {
        let mut entry = entry?;
        // Who may leave a kernel may leave any kernel; but of this machine nothing outside the folder is theirs.
        let is_plain = matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::Directory
        );
        if !is_plain || !entry.unpack_in(folder)? {
            return Err(io::Error::other("something that no kernel has"));
        }
    }
    Ok(())
}

/// Removes what was not asked for longest, until what is left fits.
fn make_room(folder: &Path, room: u64) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        kept.push((about.modified()?, about.len(), entry.path()));
    }
    kept.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    let mut sum = 0;
    for (_, size, path) in kept {
        sum += size;
        if sum > room {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::remote::fake::{Conduct, Fake, cache};
    use super::*;

    const RELEASED: &str = "6.1.0-wslk-1";

    /// A machine: its folder, and a plan to compile there.
    struct Machine {
        folder: tempfile::TempDir,
        plan: BuildPlan,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let plan = BuildPlan {
                config: "CONFIG_MODULES=y\n".to_owned(),
                localversion: "-wslk-1".to_owned(),
                ..BuildPlan::example(folder.path().join("work"))
            };
            Self { folder, plan }
        }

        fn kernels(&self, shared: &SharedCache) -> Kernels {
            self.of("tree", shared)
        }

        fn of(&self, tree: &str, shared: &SharedCache) -> Kernels {
            let folder = self.folder.path().join("kernels");
            Kernels::new(folder, shared, tree.to_owned(), Sha256::of("tools"))
        }

        /// What compiling would leave.
        fn compiled(&self) -> Compiled {
            let tree = self.plan.tree();
            let modules = self.plan.staged().join(MODULES).join(RELEASED);
            fs::create_dir_all(&tree).expect("a folder");
            fs::create_dir_all(modules.join("kernel")).expect("a folder");
            for (path, text) in [
                (tree.join("bzImage"), "image"),
                (tree.join("System.map"), "map"),
                (tree.join(".config"), "# by kconfig\nCONFIG_MODULES=y\n"),
                (modules.join("modules.dep"), "kernel/a.ko:\n"),
                (modules.join("kernel/a.ko"), "module"),
            ] {
                fs::write(path, text).expect("written");
            }
            Compiled {
                bzimage: tree.join("bzImage"),
                system_map: tree.join("System.map"),
                config: tree.join(".config"),
                modules_dir: Some(modules),
                release: RELEASED.to_owned(),
                log: self.plan.log(),
                stats: Stats::default(),
                trace: Trace::without_make(1),
            }
        }

        fn keep(&self, shared: &SharedCache) {
            let kept = self.kernels(shared).keep(&self.plan, &self.compiled());
            kept.expect("kept");
        }

        fn archive(&self) -> PathBuf {
            let kept = fs::read_dir(self.folder.path().join("kernels")).expect("a folder");
            let paths: Vec<PathBuf> = kept.map(|entry| entry.expect("an entry").path()).collect();
            assert_eq!(paths.len(), 1, "{paths:?}");
            paths[0].clone()
        }
    }

    fn alone() -> SharedCache {
        SharedCache::default()
    }

    /// Everything of a kernel, in text.
    fn content(compiled: &Compiled) -> String {
        let modules = compiled.modules_dir.as_ref().expect("modules");
        let files = [
            &compiled.bzimage,
            &compiled.system_map,
            &compiled.config,
            &modules.join("modules.dep"),
            &modules.join("kernel/a.ko"),
        ];
        let texts = files.map(|path| fs::read_to_string(path).expect("there"));
        format!("{}\n{}", compiled.release, texts.join("\n"))
    }

    #[test]
    fn a_kernel_is_found_as_it_was_kept() {
        let machine = Machine::new();
        assert_eq!(machine.kernels(&alone()).find(&machine.plan), None);
        machine.keep(&alone());
        let found = machine.kernels(&alone()).find(&machine.plan).expect("kept");
        assert_eq!(content(&found), content(&machine.compiled()));
        assert_eq!(found.stats.taken, Some(Taken::Here));
        let modules = found.modules_dir.expect("modules");
        assert!(modules.ends_with(Path::new(MODULES).join(RELEASED)));
    }

    #[test]
    fn another_input_is_another_kernel() {
        let machine = Machine::new();
        machine.keep(&alone());
        let known = |plan: BuildPlan| machine.kernels(&alone()).find(&plan).is_some();
        let plan = || machine.plan.clone();
        let config = "CONFIG_MODULES=y\n# CONFIG_A is not set\n".to_owned();
        let others = [
            BuildPlan { config, ..plan() },
            BuildPlan {
                localversion: "-1".to_owned(),
                ..plan()
            },
            BuildPlan {
                timestamp: "yesterday".to_owned(),
                ..plan()
            },
            BuildPlan {
                arch: crate::kconfig::Arch::Arm64,
                ..plan()
            },
        ];
        for other in others {
            assert!(!known(other.clone()), "{other:?}");
        }
        assert_eq!(machine.of("other", &alone()).find(&machine.plan), None);
        let elsewhere = machine.folder.path().join("elsewhere");
        assert!(known(BuildPlan {
            jobs: 99,
            work: elsewhere,
            silence: Duration::ZERO,
            ..plan()
        }));
    }

    #[test]
    fn a_damaged_archive_is_no_kernel() {
        let machine = Machine::new();
        machine.keep(&alone());
        let (path, expected) = (machine.archive(), content(&machine.compiled()));
        let whole = fs::read(&path).expect("there");
        let find = || machine.kernels(&alone()).find(&machine.plan);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).expect("written");
            // A bit that says nothing may be lost.
            let found = find().map(|found| content(&found));
            assert!(found.is_none_or(|found| found == expected), "byte {at}");
            fs::write(&path, &whole[..at]).expect("written");
            assert_eq!(find(), None, "{at} bytes");
        }
    }

    #[test]
    fn others_find_what_was_left_for_them() {
        let server = Fake::start(Conduct::Good);
        let (first, second) = (Machine::new(), Machine::new());
        first.keep(&server.cache());
        let find = |shared: &SharedCache| second.kernels(shared).find(&second.plan);
        let taken = |found: Option<Compiled>| found.and_then(|found| found.stats.taken);
        assert_eq!(taken(find(&alone())), None);
        let found = find(&server.cache()).expect("shared");
        assert_eq!(content(&found), content(&first.compiled()));
        assert_eq!(taken(Some(found)), Some(Taken::Shared));
        assert_eq!(taken(find(&alone())), Some(Taken::Here), "from now on");
    }

    #[test]
    fn a_server_that_is_no_good_is_no_kernel() {
        let machine = Machine::new();
        for shared in [
            Fake::start(Conduct::Babbles).cache(),
            Fake::start(Conduct::Full).cache(),
            cache("redis://127.0.0.1:1"),
        ] {
            assert_eq!(machine.kernels(&shared).find(&machine.plan), None);
        }
        let mixes = Fake::start(Conduct::Mixes);
        machine.kernels(&mixes.cache()).shelves.put("other", b"x");
        assert_eq!(machine.kernels(&mixes.cache()).find(&machine.plan), None);
    }

    #[test]
    fn what_leads_out_of_the_folder_is_not_unpacked() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("a folder");
        let packed = |fill: &dyn Fn(&mut Builder<Vec<u8>>)| {
            let mut archive = Builder::new(Vec::new());
            fill(&mut archive);
            let plain = archive.into_inner().expect("an archive");
            zstd::encode_all(plain.as_slice(), LEVEL).expect("packed")
        };
        let link = packed(&|archive| {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            let added = archive.append_link(&mut header, "lib", "..");
            added.expect("added");
        });
        let above = packed(&|archive| {
            let mut header = Header::new_gnu();
            header.set_size(1);
            let name = &mut header.as_old_mut().name;
            name[..9].copy_from_slice(b"../kernel");
            header.set_cksum();
            archive.append(&header, &b"x"[..]).expect("added");
        });
        for archive in [link, above] {
            assert!(unpack(&archive, &inner).is_err());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert_eq!(fs::read_dir(&inner).expect("a folder").count(), 0);
    }

    #[test]
    fn room_is_made_by_what_was_not_asked_for_longest() {
        let folder = tempfile::tempdir().expect("a folder");
        for (age, name) in [(3, "c"), (1, "a"), (2, "b")] {
            let path = folder.path().join(name);
            fs::write(&path, [0; 10]).expect("written");
            let file = File::options().write(true).open(&path).expect("there");
            let time = SystemTime::now() - Duration::from_secs(age * 60);
            file.set_modified(time).expect("set");
        }
        make_room(folder.path(), 25).expect("made");
        let is_there = |name| folder.path().join(name).exists();
        assert!(is_there("a") && is_there("b") && !is_there("c"));
    }

    #[test]
    fn a_job_can_leave_no_kernel() {
        let key = key(Sha256::of("kernel"));
        assert!(key.contains('-'), "{key}: ccache's are letters and digits");
    }
}
