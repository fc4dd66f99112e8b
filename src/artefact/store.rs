//! Finished builds on disk: found by name, published whole, and checked again.
//!
//! In: a folder of builds, and names. Out: [`Build`]s. A build is made in a [`Draft`] beside its place
//! and renamed, so one that is there is complete. Must not decide what is built, nor hold the lock: the
//! pipeline does both.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use super::manifest::SCHEMA;
use super::sums::{self, SUMS};
use super::{
    ArtefactError, Build, BuildId, BuildRef, Change, Inputs, Manifest, Output, RUN, RunDetails,
};
use crate::digest::Sha256;
use crate::files::{self, FileError, Staging};
use crate::home::Home;

/// The manifest's name in a build's folder.
pub const MANIFEST: &str = "manifest.json";

/// All builds of one `WSLK_HOME`.
#[derive(Debug, Clone)]
pub struct Store {
    builds: PathBuf,
}

/// The builds that there are.
#[derive(Debug, Default)]
pub struct Listing {
    /// The sound ones, newest first.
    pub builds: Vec<Build>,
    /// Why others could not be read.
    pub damaged: Vec<ArtefactError>,
}

/// What the store knows about a build that is about to be made.
#[derive(Debug)]
pub enum Lookup {
    /// It is there: nothing has to be built.
    Unchanged(Box<Build>),
    /// It is not there; these inputs differ from the newest build of the same profile.
    Changed {
        /// That build.
        since: BuildId,
        /// The inputs, by name.
        changes: Vec<Change>,
    },
    /// It is there, but not sound: it has to be built again.
    Damaged(ArtefactError),
    /// There was no build of this profile yet.
    First,
}

impl Store {
    /// The builds of `home`.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        Self {
            builds: home.builds(),
        }
    }

    /// Reads every manifest. No build yet is an empty list.
    pub fn list(&self) -> Result<Listing, ArtefactError> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            match self.open(&id) {
                Ok(build) => listing.builds.push(build),
                Err(error) => listing.damaged.push(error),
            }
        }
        listing
            .builds
            .sort_by(|a, b| (b.run().finished, b.id()).cmp(&(a.run().finished, a.id())));
        Ok(listing)
    }

    /// The one build that `name` fits. A whole id that is also the beginning of another is that id.
    pub fn find(&self, name: &BuildRef) -> Result<Build, ArtefactError> {
        let Listing {
            builds,
            mut damaged,
        } = self.list()?;
        let known: Vec<BuildId> = builds.iter().map(|build| build.id().clone()).collect();
        let mut found: Vec<Build> = builds
            .into_iter()
            .filter(|build| name.fits(build.id()))
            .collect();
        if *name == BuildRef::Latest {
            found.truncate(1);
        }
        if found.len() > 1 {
            let matches = found.iter().map(|build| build.id().clone()).collect();
            return Err(ArtefactError::Ambiguous {
                wanted: name.to_string(),
                matches,
            });
        }
        if let Some(build) = found.pop() {
            return Ok(build);
        }
        // The build that was meant may be the one that cannot be read: then its damage is the answer.
        let meant = damaged.iter().position(|error| names_a_build(error, name));
        Err(meant.map_or(
            ArtefactError::NoSuchBuild {
                wanted: name.to_string(),
                known,
            },
            |at| damaged.swap_remove(at),
        ))
    }

    /// Whether what `inputs` lead to is there already, and if not, what is different this time.
    ///
    /// Reads manifests and file sizes only, so that "nothing to do" is an answer of milliseconds.
    pub fn lookup(
        &self,
        id: &BuildId,
        profile: &str,
        inputs: &Inputs,
    ) -> Result<Lookup, ArtefactError> {
        if self.folder(id).exists() {
            return Ok(match self.open(id).and_then(Build::with_sizes_checked) {
                Ok(build) => Lookup::Unchanged(Box::new(build)),
                Err(error) => Lookup::Damaged(error),
            });
        }
        let before = self
            .list()?
            .builds
            .into_iter()
            .find(|build| build.manifest().profile == profile);
        Ok(before.map_or(Lookup::First, |build| Lookup::Changed {
            changes: inputs.changes_since(&build.manifest().inputs),
            since: build.id().clone(),
        }))
    }

    /// The build with exactly this id.
    pub fn open(&self, id: &BuildId) -> Result<Build, ArtefactError> {
        Build::read(&self.folder(id), id)
    }

    /// An empty folder for the build `id`; it vanishes unless it is published.
    pub fn draft(&self, id: &BuildId) -> Result<Draft, ArtefactError> {
        let target = self.folder(id);
        Ok(Draft {
            staging: Staging::beside(&target)?,
            target,
        })
    }

    fn folder(&self, id: &BuildId) -> PathBuf {
        self.builds.join(id.as_str())
    }

    /// Folders that are named like a build; drafts and whatever else lies there are none.
    fn ids(&self) -> Result<Vec<BuildId>, ArtefactError> {
        let error = |source| FileError::new("read", &self.builds, source);
        let entries = match fs::read_dir(&self.builds) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(error)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(error(e).into()),
        };
        Ok(entries
            .iter()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect())
    }
}

/// Whether the error is about a file in the folder of a build that `name` fits.
fn names_a_build(error: &ArtefactError, name: &BuildRef) -> bool {
    let file = match error {
        ArtefactError::Damaged { file, .. }
        | ArtefactError::Missing { file }
        | ArtefactError::Schema { file, .. } => file,
        ArtefactError::File(error) => error.path(),
        _ => return false,
    };
    let id = file
        .parent()
        .and_then(Path::file_name)
        .and_then(|folder| folder.to_str()?.parse().ok());
    id.is_some_and(|id| name.fits(&id))
}

/// A build under construction.
#[derive(Debug)]
pub struct Draft {
    staging: Staging,
    target: PathBuf,
}

impl Draft {
    /// Where an output of this name is to be written.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.staging.path().join(name)
    }

    /// Takes a copy of a file as the output `name`. The original stays, since make would make it again.
    pub fn copy(&self, name: &str, from: &Path) -> Result<(), ArtefactError> {
        let to = self.path(name);
        files::create_dir(to.parent().unwrap_or(self.staging.path()))?;
        fs::copy(from, to).map_err(|source| FileError::new("copy", from, source))?;
        Ok(())
    }

    /// Writes the output `name`.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), ArtefactError> {
        let path = self.path(name);
        fs::write(&path, content).map_err(|source| FileError::new("write", &path, source))?;
        Ok(())
    }

    /// Makes the draft the build `manifest.id`, with every file in it as an output. A build of that id
    /// that was there before is replaced, boot evidence included: it was about other bytes.
    pub fn publish(
        self,
        mut manifest: Manifest,
        mut run: RunDetails,
    ) -> Result<Build, ArtefactError> {
        let folder = self.staging.path().to_owned();
        manifest.schema = SCHEMA;
        manifest.outputs = outputs_in(&folder)?;
        run.finished = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let text = manifest.render();
        let mut sums: BTreeMap<String, Sha256> = manifest
            .outputs
            .iter()
            .map(|(name, output)| (name.clone(), output.sha256))
            .collect();
        sums.insert(MANIFEST.to_owned(), Sha256::of(&text));
        self.write(MANIFEST, text)?;
        self.write(SUMS, sums::render(&sums))?;
        self.write(RUN, run.render())?;
        Ok(Build::new(self.put_in_place()?, manifest, run))
    }

    /// Makes the draft the build `id`, which was made elsewhere and is all here: manifest, sums and evidence too.
    ///
    /// # Errors
    /// Whatever [`Build::verify`] finds.
    pub fn adopt(self, id: &BuildId) -> Result<Build, ArtefactError> {
        Build::read(self.staging.path(), id)?.verify()?;
        Build::read(&self.put_in_place()?, id)
    }

    fn put_in_place(self) -> Result<PathBuf, ArtefactError> {
        let folder = self.staging.path();
        files::flush(folder)?;
        // A draft is private to its maker; what is finished may be read like any file.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .map_err(|source| FileError::new("publish", folder, source))?;
        let _old = set_aside(&self.target)?;
        Ok(self.staging.publish()?)
    }
}

/// Moves a folder out of the way into one that vanishes when the answer is dropped.
fn set_aside(folder: &Path) -> Result<Option<Staging>, ArtefactError> {
    if !folder.exists() {
        return Ok(None);
    }
    let old = Staging::beside(folder)?;
    fs::rename(folder, old.path().join("old"))
        .map_err(|source| FileError::new("replace", folder, source))?;
    Ok(Some(old))
}

/// The digest and size of every file.
fn outputs_in(folder: &Path) -> Result<BTreeMap<String, Output>, ArtefactError> {
    let error = |source| FileError::new("read", folder, source);
    let entries: Vec<fs::DirEntry> = fs::read_dir(folder)
        .and_then(Iterator::collect)
        .map_err(error)?;
    let output = |entry: &fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let size = entry.metadata().map_err(error)?.len();
        Ok((
            name,
            Output {
                sha256: Sha256::of_file(&entry.path())?,
                size,
            },
        ))
    };
    entries.par_iter().map(output).collect()
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::{inputs, manifest};
    use super::super::{CONFIG, KERNEL, MODULES_DISK};
    use super::*;
    use crate::exec::{Cmd, Duct, Runner as _};

    struct Bench {
        store: Store,
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(&Home::new(folder.path(), folder.path().join("cache")));
            Self { store, folder }
        }

        /// Publishes a build of these inputs; `finished` is set by hand, for seconds are too coarse for tests.
        fn publish(&self, version: &str, inputs: &Inputs, finished: u64) -> Build {
            let id = BuildId::new(version, "criu", inputs).unwrap();
            let draft = self.store.draft(&id).unwrap();
            draft.write(KERNEL, "kernel").unwrap();
            draft.write(MODULES_DISK, "disk").unwrap();
            let build = draft
                .publish(
                    Manifest {
                        id,
                        inputs: inputs.clone(),
                        ..manifest()
                    },
                    RunDetails::default(),
                )
                .unwrap();
            let dated = RunDetails {
                finished,
                ..build.run().clone()
            };
            fs::write(build.folder().join(RUN), dated.render()).unwrap();
            Build::read(build.folder(), build.id()).unwrap()
        }

        fn find(&self, name: &str) -> Result<Build, ArtefactError> {
            self.store.find(&name.parse().unwrap())
        }
    }

    #[test]
    fn a_build_is_published_whole_and_found_by_any_name() {
        let bench = Bench::new();
        let older = bench.publish("6.6.1.1", &inputs(), 1);
        let newer = bench.publish("6.6.2.1", &inputs().with("x", "y"), 2);
        for name in [
            "latest",
            "6.6.2",
            newer.id().as_str(),
            newer.id().hex(),
            &newer.id().hex()[..3],
        ] {
            assert_eq!(bench.find(name).unwrap(), newer, "{name}");
        }
        assert_eq!(bench.find("6.6.1").unwrap(), older);
        assert!(
            matches!(bench.find("6.6"), Err(ArtefactError::Ambiguous { matches, .. }) if matches.len() == 2)
        );
        assert!(
            matches!(bench.find("5"), Err(ArtefactError::NoSuchBuild { known, .. }) if known[0] == *newer.id())
        );
        assert_eq!(
            fs::read_dir(bench.folder.path().join("builds"))
                .unwrap()
                .count(),
            2,
            "no litter"
        );
    }

    #[test]
    fn who_builds_when_and_how_is_in_neither_manifest_nor_sums() {
        let bench = Bench::new();
        let published = |run: RunDetails| {
            let draft = bench.store.draft(&manifest().id).unwrap();
            draft.write(KERNEL, "kernel").unwrap();
            let build = draft.publish(manifest(), run).unwrap();
            let text = |name: &str| fs::read_to_string(build.folder().join(name)).unwrap();
            (text(MANIFEST), text(SUMS), text(RUN))
        };
        let here = published(RunDetails::default());
        let there = published(RunDetails {
            origin: "/somewhere".to_owned(),
            engine: "podman".to_owned(),
            seconds: 9.0,
            ..RunDetails::default()
        });
        assert_eq!((here.0, here.1), (there.0, there.1));
        assert_ne!(here.2, there.2);
    }

    #[test]
    fn an_empty_home_has_no_builds() {
        let bench = Bench::new();
        let error = bench.find("latest").unwrap_err();
        assert!(error.hint().unwrap().contains("no builds yet"));
        let id = manifest().id;
        assert!(matches!(
            bench.store.lookup(&id, "criu", &inputs()).unwrap(),
            Lookup::First
        ));
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let bench = Bench::new();
        let draft = bench.store.draft(&manifest().id).unwrap();
        draft.write(KERNEL, "half").unwrap();
        drop(draft);
        assert!(bench.store.list().unwrap().builds.is_empty());
        assert_eq!(
            fs::read_dir(bench.folder.path().join("builds"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn nothing_changed_and_what_changed() {
        let bench = Bench::new();
        let build = bench.publish("6.6.1.1", &inputs(), 1);
        let lookup = |inputs: &Inputs, profile: &str| {
            let id = BuildId::new("6.6.1.1", profile, inputs).unwrap();
            bench.store.lookup(&id, profile, inputs).unwrap()
        };
        assert!(matches!(lookup(&inputs(), "criu"), Lookup::Unchanged(found) if *found == build));
        let Lookup::Changed { since, changes } = lookup(&inputs().with("gcc", "14.2.0"), "criu")
        else {
            panic!("a new compiler is a change")
        };
        assert_eq!(
            (since, changes.len(), changes[0].name.as_str()),
            (build.id().clone(), 1, "gcc")
        );
        assert!(matches!(lookup(&inputs(), "tiny"), Lookup::First));
    }

    #[test]
    fn a_build_with_a_lost_or_short_file_is_not_taken_for_whole() {
        let bench = Bench::new();
        let build = bench.publish("6.6.1.1", &inputs(), 1);
        let lookup = || bench.store.lookup(build.id(), "criu", &inputs()).unwrap();
        fs::write(build.kernel(), "short").unwrap();
        assert!(matches!(
            lookup(),
            Lookup::Damaged(ArtefactError::Altered { what: "size", .. })
        ));
        fs::remove_file(build.kernel()).unwrap();
        assert!(matches!(
            lookup(),
            Lookup::Damaged(ArtefactError::Missing { .. })
        ));
        assert!(matches!(
            build.verify(),
            Err(ArtefactError::Missing { .. } | ArtefactError::Altered { .. })
        ));
    }

    #[test]
    fn publishing_again_replaces_the_build_and_voids_its_evidence() {
        let bench = Bench::new();
        let build = bench.publish("6.6.1.1", &inputs(), 1);
        build.record(&serde_json::json!({"schema": 1})).unwrap();
        let again = bench.publish("6.6.1.1", &inputs(), 2);
        assert!(!again.boot_folder().exists());
        assert_eq!(
            fs::read_dir(bench.folder.path().join("builds"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn verify_finds_a_changed_byte_anywhere() {
        let bench = Bench::new();
        let draft = bench.store.draft(&manifest().id).unwrap();
        draft.write(KERNEL, "kernel").unwrap();
        draft.write(CONFIG, "config").unwrap();
        let build = draft.publish(manifest(), RunDetails::default()).unwrap();
        build.verify().unwrap();
        for name in [KERNEL, CONFIG, MANIFEST] {
            let path = build.folder().join(name);
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            bad[0] ^= 1;
            fs::write(&path, bad).unwrap();
            assert!(
                matches!(build.verify(), Err(ArtefactError::Altered { file, .. }) if file == path),
                "{name}"
            );
            fs::write(&path, good).unwrap();
        }
        fs::write(build.folder().join(SUMS), "what?\n").unwrap();
        assert!(matches!(build.verify(), Err(ArtefactError::Damaged { .. })));
    }

    #[test]
    fn coreutils_accepts_the_sums() {
        let bench = Bench::new();
        let draft = bench.store.draft(&manifest().id).unwrap();
        draft.write(KERNEL, "kernel").unwrap();
        draft.write("System.map", "").unwrap();
        let build = draft.publish(manifest(), RunDetails::default()).unwrap();
        let check = Cmd::new("sha256sum")
            .args(["--check", "--strict", SUMS])
            .dir(build.folder());
        let said = Duct::default().run(&check).unwrap().text();
        assert_eq!(said, "System.map: OK\nbzImage: OK\nmanifest.json: OK\n");
    }

    #[test]
    fn each_fault_of_a_manifest_names_the_file_and_a_way_out() {
        type Expected = fn(&ArtefactError) -> bool;
        let faults: [(&str, Expected); 4] = [
            ("truncated", |e| matches!(e, ArtefactError::Damaged { .. })),
            ("newer-schema", |e| {
                matches!(
                    e,
                    ArtefactError::Schema {
                        found: 9,
                        known: 2,
                        ..
                    }
                )
            }),
            ("other-build", |e| {
                matches!(e, ArtefactError::Damaged { .. })
            }),
            ("missing", |e| matches!(e, ArtefactError::Missing { .. })),
        ];
        for (name, expected) in faults {
            let bench = Bench::new();
            let build = bench.publish("6.6.1.1", &inputs(), 1);
            let file = build.folder().join(MANIFEST);
            let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/faults/manifest")
                .join(name)
                .join(MANIFEST);
            fs::remove_file(&file).unwrap();
            if fixture.exists() {
                fs::copy(&fixture, &file).unwrap();
            }
            let error = bench.find(build.id().as_str()).unwrap_err();
            assert!(expected(&error), "{name}: {error:?}");
            assert!(
                error.to_string().contains(file.to_str().unwrap()),
                "{error}"
            );
            assert!(error.hint().is_some(), "{name}");
            assert!(
                matches!(
                    bench.store.lookup(build.id(), "criu", &inputs()),
                    Ok(Lookup::Damaged(_))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn evidence_comes_back() {
        let bench = Bench::new();
        let build = bench.publish("6.6.1.1", &inputs(), 1);
        assert_eq!(build.evidence().unwrap(), None);
        assert!(!build.is_proven().unwrap());
        let report = serde_json::json!({
            "schema": 1, "verdict": "passed", "kernel": Sha256::of("kernel"), "modules_disk": Sha256::of("disk"), "more": [],
        });
        build.record(&report).unwrap();
        assert!(build.is_proven().unwrap());
        fs::write(build.boot_folder().join("report.json"), "{").unwrap();
        assert!(matches!(
            build.is_proven(),
            Err(ArtefactError::Damaged { .. })
        ));
    }
}
