//! A small real kernel, compiled by every engine that is here, stopped half-way and gone on with; and
//! a real compiler without memory, and without disk.
//!
//! Takes minutes, so it runs with `WSLK_SLOW_TESTS=1` only, on the tree that `WSLK_TEST_TREE` names
//! (an unpacked 6.x kernel, not written to). `WSLK_TEST_ENGINES` picks engines: `docker,podman`.
//! `WSLK_TEST_SMALL_DISK` names a folder on a disk of a few MiB, to be filled up.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wslk::build::{
    self, BuildError, BuildPlan, Builder, CompilerCache, Engine, EngineChoice, Image,
    KconfigSolver, Limits,
};
use wslk::exec::Duct;
use wslk::home::Home;
use wslk::kconfig::Arch;
use wslk::process::Interrupt;
use wslk::report::{Event, Lines, Reporter, Sink};

/// What tinyconfig lacks for a kernel with a module.
const ADDED: &str = "CONFIG_64BIT=y\nCONFIG_MODULES=y\nCONFIG_LIBCRC32C=m\nCONFIG_CRYPTO=y\n\
    CONFIG_LOCALVERSION=\"-microsoft-standard-WSL2\"\n# CONFIG_LOCALVERSION_AUTO is not set\n";

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

/// The tree to build, if slow tests are wanted.
fn tree() -> Option<PathBuf> {
    let (slow, tree) = (
        std::env::var("WSLK_SLOW_TESTS"),
        std::env::var("WSLK_TEST_TREE"),
    );
    if slow.is_err() || tree.is_err() {
        say("skipped: needs WSLK_SLOW_TESTS=1 and WSLK_TEST_TREE");
    }
    slow.and(tree).ok().map(PathBuf::from)
}

fn reporter() -> Reporter {
    Reporter::new(vec![Box::new(Lines::new(std::io::stderr(), true))])
}

/// Stops the build when so many objects were made.
#[derive(Debug)]
struct StopAt {
    interrupt: Interrupt,
    units: u64,
}

impl Sink for StopAt {
    fn take(&self, event: &Event) {
        if matches!(event, Event::Moved { done, .. } if *done >= self.units) {
            self.interrupt.set();
        }
    }
}

/// A home of its own for one engine.
struct Yard {
    _folder: tempfile::TempDir,
    home: Home,
    choice: EngineChoice,
}

impl Yard {
    fn new(choice: EngineChoice) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::new(folder.path().join("home"), folder.path().join("cache"));
        Self {
            _folder: folder,
            home,
            choice,
        }
    }

    fn builder(&self, interrupt: &Interrupt, limits: Limits) -> Result<Builder, BuildError> {
        let engine = Engine::find(
            self.choice,
            Arc::new(Duct::new(interrupt.clone())),
            &reporter(),
        )?;
        let image = Image::ensure(&engine, &reporter())?;
        Ok(Builder::new(engine, image, limits, &self.home))
    }

    fn plan(&self, tree: &Path, builder: &Builder) -> BuildPlan {
        let work = self.home.cache().join("kconfig-work");
        let solver = KconfigSolver::new(builder, tree, &work, Arch::X86);
        let base = solver.base("tinyconfig").expect("tinyconfig");
        let kept = base.lines().filter(|line| !line.contains("LOCALVERSION"));
        let merged: String = kept.map(|line| format!("{line}\n")).collect();
        let config = solver
            .olddefconfig(&(merged + ADDED))
            .expect("olddefconfig");
        assert!(config.contains("CONFIG_LIBCRC32C=m"));
        assert_eq!(
            solver.olddefconfig(&config).expect("again"),
            config,
            "a fixed point"
        );
        BuildPlan {
            source: tree.to_owned(),
            config,
            localversion: "-wslk-test".to_owned(),
            work: self
                .home
                .work()
                .join(BuildPlan::key("tree", builder, Arch::X86)),
            arch: Arch::X86,
            jobs: builder.cpus(),
            timestamp: BuildPlan::TIMESTAMP.to_owned(),
            ccache: Some(CompilerCache {
                folder: self.home.ccache(),
                toolchain: builder.toolchain().expect("packages"),
            }),
            hosts: Vec::new(),
            silence: std::time::Duration::from_secs(900),
        }
    }
}

#[test]
fn a_real_kernel_with_every_engine() {
    let Some(tree) = tree() else { return };
    let engines = std::env::var("WSLK_TEST_ENGINES").unwrap_or("docker,podman,host".into());
    let mut images = Vec::new();
    for engine in engines.split(',') {
        let choice: EngineChoice = engine.parse().expect("an engine");
        match one(choice, &tree) {
            Ok(bytes) => images.push((engine.to_owned(), bytes)),
            Err(error) => say(&format!("skipped {engine}: {error}")),
        }
    }
    assert!(!images.is_empty(), "no engine at all");
    // The same image under two engines makes the same bytes.
    let containers: Vec<_> = images
        .iter()
        .filter(|(engine, _)| engine != "host")
        .collect();
    for pair in containers.windows(2) {
        assert!(
            pair[0].1 == pair[1].1,
            "{} and {} made different kernels",
            pair[0].0,
            pair[1].0
        );
    }
}

/// Builds with one engine, interrupted once; an error is only that of an engine that is not here.
fn one(choice: EngineChoice, tree: &Path) -> Result<Vec<u8>, BuildError> {
    let yard = Yard::new(choice);
    let interrupt = Interrupt::default();
    let first = yard.builder(&interrupt, Limits::default())?;
    let plan = yard.plan(tree, &first);
    let stop = Reporter::new(vec![Box::new(StopAt {
        interrupt,
        units: 150,
    })]);
    match build::run(&plan, &first, &Arc::default(), &stop) {
        Err(BuildError::Interrupted { .. }) => {}
        Err(error @ BuildError::NoTool { .. }) if choice == EngineChoice::Host => {
            return Err(error);
        }
        other => panic!("{other:?}"),
    }

    let second = yard.builder(&Interrupt::default(), Limits::default())?;
    let compiled = build::run(&plan, &second, &Arc::default(), &reporter()).expect("compiles");
    say(&format!("{choice:?}: {compiled:#?}"));
    assert!(compiled.stats.kept >= 100, "{:?}", compiled.stats);
    assert!(
        compiled
            .release
            .ends_with("-microsoft-standard-WSL2-wslk-test"),
        "{}",
        compiled.release
    );
    let modules = compiled.modules_dir.expect("modules");
    assert!(
        modules.join("kernel/lib/libcrc32c.ko").exists() && modules.join("modules.dep").exists()
    );
    assert!(!modules.join("build").exists() && !modules.join("source").exists());

    let again = build::run(&plan, &second, &Arc::default(), &reporter()).expect("nothing to do");
    say(&format!("{choice:?}, again: {:?}", again.stats));
    assert_eq!(again.stats.units, 0, "make found something to do");
    Ok(std::fs::read(compiled.bzimage).expect("an image"))
}

#[test]
fn a_real_compiler_without_memory() {
    let Some(tree) = tree() else { return };
    let yard = Yard::new(EngineChoice::Auto);
    let Ok(roomy) = yard.builder(&Interrupt::default(), Limits::default()) else {
        return;
    };
    let plan = yard.plan(&tree, &roomy);
    let limits = Limits {
        memory: Some(24 << 20),
        ..Limits::default()
    };
    let tight = yard
        .builder(&Interrupt::default(), limits)
        .expect("a builder");
    let error = build::run(&plan, &tight, &Arc::default(), &reporter()).expect_err("24 MiB");
    say(&format!("{error}\n{}", error.hint().unwrap_or_default()));
    assert!(matches!(error, BuildError::OutOfMemory { .. }), "{error:?}");
}

#[test]
fn a_real_compiler_without_disk() {
    let (Some(tree), Ok(disk)) = (tree(), std::env::var("WSLK_TEST_SMALL_DISK")) else {
        say("skipped: needs WSLK_TEST_SMALL_DISK");
        return;
    };
    let yard = Yard::new(EngineChoice::Auto);
    let Ok(builder) = yard.builder(&Interrupt::default(), Limits::default()) else {
        return;
    };
    let plan = BuildPlan {
        work: PathBuf::from(disk).join("work"),
        ..yard.plan(&tree, &builder)
    };
    let error =
        build::run(&plan, &builder, &Arc::default(), &reporter()).expect_err("a small disk");
    say(&format!("{error}\n{}", error.hint().unwrap_or_default()));
    assert!(matches!(error, BuildError::DiskFull { .. }), "{error:?}");
}
