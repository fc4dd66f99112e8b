//! Kernels that were compiled before, each kept whole under the digest of everything that went into it.
//!
//! In: a plan, the tree's id, the tools' digest. Out: what compiling the plan would leave, without compiling. What cannot
//! be read, unpacked or had of a server counts as not there. Must not judge the tree: a kernel is kept by who knows that
//! the tree still was what its id says when the compilers were done.

mod archive;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::BuildError;
use super::plan::BuildPlan;
use super::remote::Shelves;
use super::run::{Compiled, Stats, checked};
use super::trace::Trace;
use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};

/// How archives are called.
const ENDING: &str = ".tar.zst";
/// How the folder of a kernel is called that was found.
const LITTER: &str = "found-";
/// Bytes of all that is kept on this machine; what was not asked for longest goes first.
const ROOM: u64 = 2 << 30;
/// Bytes that go to a server at once: it has as much time for each as for an object file, and may take as little.
const PART: usize = 512 << 10;
/// Parts of one kernel, a gigabyte in all.
const PARTS: usize = 2048;

/// Where a kernel was that did not have to be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Taken {
    /// On this machine, which had compiled it.
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
    shelves: Arc<Shelves>,
    unpacked: Option<tempfile::TempDir>,
}

impl Kernels {
    /// Kept in `folder`, whatever their tree, and on the `shelves`. `tree` is the git tree id of what is compiled,
    /// `toolchain` stands for every package of the builder image.
    #[must_use]
    pub fn new(folder: PathBuf, shelves: Arc<Shelves>, tree: String, toolchain: Sha256) -> Self {
        Self {
            folder,
            tree,
            toolchain,
            shelves,
            unpacked: None,
        }
    }

    /// What the plan would leave, if it was compiled before, here or by others. Its files are there as long as this
    /// value is.
    pub fn find(&mut self, plan: &BuildPlan) -> Option<Compiled> {
        let started = Instant::now();
        let digest = self.digest(plan);
        let here = self.take(digest);
        let here = here.and_then(|packed| self.unpack(plan, &packed, Taken::Here, started));
        // Not kept here too: what others made stays theirs, and goes when their server does.
        here.or_else(|| self.unpack(plan, &self.borrow(digest)?, Taken::Shared, started))
    }

    fn take(&self, digest: Sha256) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let packed = fs::read(&path).ok()?;
        let used = File::options().write(true).open(&path);
        let _stays_old = used.and_then(|file| file.set_modified(SystemTime::now()));
        Some(packed)
    }

    fn borrow(&self, digest: Sha256) -> Option<Vec<u8>> {
        let head = self.shelves.get(&key(digest, None))?;
        let (parts, whole) = read_head(&head)?;
        let mut packed = Vec::new();
        for n in 0..parts {
            let part = self.shelves.get(&key(digest, Some(n)))?;
            packed.extend((part.len() <= PART).then_some(part)?);
        }
        // Parts of two that left them at the same time need not fit together.
        (Sha256::of(&packed) == whole).then_some(packed)
    }

    fn unpack(
        &mut self,
        plan: &BuildPlan,
        packed: &[u8],
        taken: Taken,
        started: Instant,
    ) -> Option<Compiled> {
        let folder = files::only_scratch(&plan.work, LITTER).ok()?;
        let release = archive::unpack(packed, folder.path()).ok()?;
        if !release.ends_with(&plan.localversion) {
            return None;
        }
        let config = folder.path().join(".config");
        files::replace(&config, &plan.config).ok()?;
        let modules = folder.path().join(archive::MODULES).join(&release);
        let compiled = Compiled {
            bzimage: folder.path().join(archive::KERNEL),
            system_map: folder.path().join(archive::SYSTEM_MAP),
            config,
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
        self.unpacked = Some(folder);
        checked(plan, compiled).ok()
    }

    /// Keeps what was compiled, and leaves it for others.
    ///
    /// # Errors
    /// For products that are not what kernels have, and a cache that cannot be written to; then it is compiled another
    /// time.
    pub fn keep(&self, plan: &BuildPlan, compiled: &Compiled) -> Result<(), BuildError> {
        let failed = |source| FileError::new("keep", &compiled.bzimage, source);
        if files::read(&compiled.config)? != plan.config {
            return Err(failed(io::Error::other("its configuration was written anew")).into());
        }
        let digest = self.digest(plan);
        let packed = archive::pack(compiled).map_err(failed)?;
        // Half an archive of a wslk that was killed counts for no room.
        files::sweep(&self.folder)?;
        files::replace(&self.path(digest), &packed)?;
        make_room(&self.folder, ROOM);
        self.lend(digest, &packed);
        Ok(())
    }

    fn lend(&self, digest: Sha256, packed: &[u8]) {
        let parts = packed.chunks(PART);
        let head = format!("{} {}", parts.len(), Sha256::of(packed));
        let lent = parts
            .enumerate()
            .all(|(n, part)| self.shelves.put(&key(digest, Some(n)), part));
        if lent {
            self.shelves.put(&key(digest, None), head.as_bytes());
        }
    }

    fn digest(&self, plan: &BuildPlan) -> Sha256 {
        let mut hasher = Hasher::default();
        let (tree, tools) = (&self.tree, self.toolchain);
        hasher.update(format!("kernel 1\n{tree}\n{tools}\n").as_bytes());
        hasher.update(plan.inputs().as_bytes());
        hasher.finish()
    }

    fn path(&self, digest: Sha256) -> PathBuf {
        self.folder.join(format!("{}{ENDING}", digest.short(32)))
    }
}

/// No key of ccache: what a job may leave on a shelf is never taken for a kernel. One for each part, and one that says
/// how many there are.
fn key(digest: Sha256, part: Option<usize>) -> String {
    match part {
        Some(n) => format!("kernel-{digest}-{n}"),
        None => format!("kernel-{digest}"),
    }
}

/// The number of parts, and the digest of all of them.
fn read_head(head: &[u8]) -> Option<(usize, Sha256)> {
    let (parts, digest) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    let parts = parts.parse().ok().filter(|parts| *parts <= PARTS)?;
    Some((parts, digest.parse().ok()?))
}

/// Removes what was not asked for longest, until what is left fits. What cannot be removed, or is no archive, stays.
fn make_room(folder: &Path, room: u64) {
    let about = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let about = fs::symlink_metadata(&path).ok()?;
        let is_ours = about.is_file() && path.to_string_lossy().ends_with(ENDING);
        is_ours.then_some((about.modified().ok()?, about.len(), path))
    };
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut kept: Vec<_> = entries.filter_map(about).collect();
    kept.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    let mut sum = 0;
    for (_, size, path) in kept {
        sum += size;
        if sum > room {
            let _stays = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::SharedCache;
    use super::super::remote::fake::{Conduct, Fake, cache};
    use super::super::remote::locked;
    use super::archive::MODULES;
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
            let shelves = Arc::new(Shelves::new(shared));
            Kernels::new(folder, shelves, tree.to_owned(), Sha256::of("tools"))
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
                (tree.join(".config"), "CONFIG_MODULES=y\n"),
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
        let mut kernels = machine.kernels(&alone());
        let found = kernels.find(&machine.plan).expect("kept");
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
        let find = || {
            let mut kernels = machine.kernels(&alone());
            kernels.find(&machine.plan).map(|found| content(&found))
        };
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).expect("written");
            // A bit that says nothing may be lost.
            assert!(find().is_none_or(|found| found == expected), "byte {at}");
            fs::write(&path, &whole[..at]).expect("written");
            assert_eq!(find(), None, "{at} bytes");
        }
    }

    #[test]
    fn others_find_what_was_left_for_them() {
        let server = Fake::start(Conduct::Good);
        let (first, second) = (Machine::new(), Machine::new());
        first.keep(&server.cache());
        let find = |shared: &SharedCache| {
            let mut kernels = second.kernels(shared);
            let found = kernels.find(&second.plan)?;
            Some((content(&found), found.stats.taken))
        };
        let shared = (content(&first.compiled()), Some(Taken::Shared));
        assert_eq!(find(&alone()), None);
        assert_eq!(find(&server.cache()), Some(shared));
        assert_eq!(find(&alone()), None, "it stays the server's");
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
        let other = Machine::new();
        for conduct in [Conduct::Mixes, Conduct::Full] {
            let server = Fake::start(conduct);
            other.keep(&server.cache());
            assert_eq!(machine.kernels(&server.cache()).find(&machine.plan), None);
        }
    }

    #[test]
    fn a_kernel_larger_than_a_part_is_shared_in_parts() {
        let server = Fake::start(Conduct::Good);
        let (first, second) = (Machine::new(), Machine::new());
        let kept = |compiled: &Compiled| first.kernels(&server.cache()).keep(&first.plan, compiled);
        let compiled = first.compiled();
        // Such as zstd makes nothing smaller of.
        let mut word = 1_u32;
        let noise = std::iter::repeat_with(|| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word.to_be_bytes()[0]
        });
        let image: Vec<u8> = noise.take(PART * 5 / 2).collect();
        fs::write(&compiled.bzimage, &image).expect("written");
        kept(&compiled).expect("kept");
        let entries = || locked(&server.entries).len();
        assert_eq!(entries(), 4);
        let find = || {
            let mut kernels = second.kernels(&server.cache());
            let found = kernels.find(&second.plan);
            found.map(|found| fs::read(found.bzimage).expect("there"))
        };
        assert!(find() == Some(image));
        let name = |entry: &Vec<u8>| entry.ends_with(b"-1");
        let middle = locked(&server.entries)
            .keys()
            .find(|key| name(key))
            .cloned();
        locked(&server.entries).remove(&middle.expect("a part"));
        assert!(find().is_none());
    }

    /// Each of them sealed by somebody who may.
    #[test]
    fn parts_that_do_not_fit_together_are_no_kernel() {
        let server = Fake::start(Conduct::Good);
        let (first, second) = (Machine::new(), Machine::new());
        let find = || {
            let mut kernels = second.kernels(&server.cache());
            kernels.find(&second.plan).is_some()
        };
        let kernels = first.kernels(&server.cache());
        let digest = kernels.digest(&first.plan);
        let (head, part) = (key(digest, None), key(digest, Some(0)));
        first.keep(&server.cache());
        assert!(find());
        let whole = fs::read(first.archive()).expect("there");
        let other = archive::pack(&Compiled {
            release: "6.1.9-wslk-1".to_owned(),
            modules_dir: None,
            ..first.compiled()
        });
        assert!(kernels.shelves.put(&part, &other.expect("packed")));
        assert!(!find(), "another's part");
        assert!(kernels.shelves.put(&part, &whole) && find());
        let large = vec![0; PART + 1];
        for (bad, content) in [
            (format!("1 {}", Sha256::of(&large)), large.as_slice()),
            (format!("{} {}", PARTS + 1, Sha256::of(&whole)), &whole),
            (format!("-1 {}", Sha256::of(&whole)), &whole),
            ("1".to_owned(), &whole),
            (String::new(), &whole),
        ] {
            assert!(kernels.shelves.put(&head, bad.as_bytes()));
            assert!(kernels.shelves.put(&part, content));
            assert!(!find(), "{bad}");
        }
    }

    #[test]
    fn the_same_kernel_gives_the_same_archive() {
        let packed = [Machine::new(), Machine::new()].map(|machine| {
            machine.keep(&alone());
            fs::read(machine.archive()).expect("there")
        });
        assert_eq!(packed[0], packed[1]);
    }

    #[test]
    fn what_a_killed_wslk_unpacked_goes() {
        let machine = Machine::new();
        machine.keep(&alone());
        let mut kernels = machine.kernels(&alone());
        let folders = || {
            let entries = fs::read_dir(&machine.plan.work).expect("a folder");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with(LITTER))
                .count()
        };
        fs::create_dir(machine.plan.work.join("found-1")).expect("a folder");
        let found = kernels.find(&machine.plan).expect("kept");
        assert!(found.bzimage.exists() && folders() == 1);
        drop(kernels);
        assert_eq!(folders(), 0);
    }

    #[test]
    fn room_is_made_by_what_was_not_asked_for_longest() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = |name: &str| folder.path().join(format!("{name}{ENDING}"));
        for (age, name) in [(3, "c"), (1, "a"), (2, "b")] {
            let path = archive(name);
            fs::write(&path, [0; 10]).expect("written");
            let file = File::options().write(true).open(&path).expect("there");
            let time = SystemTime::now() - Duration::from_secs(age * 60);
            file.set_modified(time).expect("set");
        }
        fs::create_dir(folder.path().join(format!("z{ENDING}"))).expect("a folder");
        make_room(folder.path(), 25);
        let is_there = |name| archive(name).exists();
        assert!(is_there("a") && is_there("b") && !is_there("c"));
    }

    #[test]
    fn a_job_can_leave_no_kernel() {
        for key in [None, Some(3)].map(|part| key(Sha256::of("kernel"), part)) {
            assert!(key.contains('-'), "{key}: ccache's are letters and digits");
        }
    }
}
