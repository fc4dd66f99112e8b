//! A small real kernel, compiled by every engine that is here, stopped half-way and gone on with.
//!
//! Takes minutes, so it runs with `WSLK_SLOW_TESTS=1` only, on the tree that `WSLK_TEST_TREE` names
//! (an unpacked 6.x kernel, not written to). `WSLK_TEST_ENGINES` picks engines: `docker,podman`.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wslk::build::{
    self, BuildError, BuildPlan, Builder, Engine, EngineChoice, Image, KconfigSolver, Limits,
    Target,
};
use wslk::exec::Duct;
use wslk::home::Home;
use wslk::process::Interrupt;
use wslk::report::{Event, Lines, Reporter, Sink};

/// What tinyconfig lacks for a kernel with a module.
const ADDED: &str = "CONFIG_64BIT=y\nCONFIG_MODULES=y\nCONFIG_LIBCRC32C=m\nCONFIG_CRYPTO=y\n\
    CONFIG_LOCALVERSION=\"-microsoft-standard-WSL2-wslk-test\"\n# CONFIG_LOCALVERSION_AUTO is not set\n";

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

/// Stops the build when so many objects were made.
#[derive(Debug)]
struct StopAt {
    interrupt: Interrupt,
    units: Mutex<u64>,
}

impl Sink for StopAt {
    fn take(&self, event: &Event) {
        if let Event::Moved { done, .. } = event
            && *done >= *self.units.lock().expect("not poisoned")
        {
            self.interrupt.set();
        }
    }
}

#[test]
fn a_real_kernel_with_every_engine() {
    let (Ok(_), Ok(tree)) = (
        std::env::var("WSLK_SLOW_TESTS"),
        std::env::var("WSLK_TEST_TREE"),
    ) else {
        say("skipped: needs WSLK_SLOW_TESTS=1 and WSLK_TEST_TREE");
        return;
    };
    let engines = std::env::var("WSLK_TEST_ENGINES").unwrap_or("docker,podman,host".into());
    let mut images = Vec::new();
    for engine in engines.split(',') {
        let choice: EngineChoice = engine.parse().expect("an engine");
        match one(choice, PathBuf::from(&tree)) {
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
fn one(choice: EngineChoice, tree: PathBuf) -> Result<Vec<u8>, BuildError> {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(folder.path().join("home"), folder.path().join("cache"));
    let reporter = Reporter::new(vec![Box::new(Lines::new(std::io::stderr(), true))]);
    let builder = |interrupt: &Interrupt| -> Result<Builder, BuildError> {
        let engine = Engine::find(choice, Arc::new(Duct::new(interrupt.clone())), &reporter)?;
        let image = Image::ensure(&engine, &reporter)?;
        Ok(Builder::new(engine, image, Limits::default(), &home))
    };
    let interrupt = Interrupt::default();
    let first = builder(&interrupt)?;

    let solver = KconfigSolver::new(
        &first,
        &tree,
        home.cache().join("kconfig-work"),
        Target::X86_64,
    );
    let base = solver.base("tinyconfig").expect("tinyconfig");
    let merged: String = base
        .lines()
        .filter(|line| !line.contains("LOCALVERSION"))
        .map(|l| format!("{l}\n"))
        .collect();
    let config = solver
        .olddefconfig(&(merged + ADDED))
        .expect("olddefconfig");
    assert!(config.contains("CONFIG_LIBCRC32C=m"));
    assert_eq!(
        solver.olddefconfig(&config).expect("again"),
        config,
        "olddefconfig has a fixed point"
    );

    let plan = BuildPlan {
        source: tree,
        config,
        work: home
            .work()
            .join(BuildPlan::key("tree", &first, Target::X86_64)),
        target: Target::X86_64,
        jobs: first.cpus(),
        timestamp: BuildPlan::TIMESTAMP.to_owned(),
        ccache: Some(home.ccache()),
        silence: BuildPlan::SILENCE,
    };
    let stop = StopAt {
        interrupt,
        units: Mutex::new(150),
    };
    let stopped = build::run(&plan, &first, &Reporter::new(vec![Box::new(stop)]));
    assert!(
        matches!(stopped, Err(BuildError::Interrupted { .. })),
        "{stopped:?}"
    );

    let second = builder(&Interrupt::default())?;
    let compiled = build::run(&plan, &second, &reporter).expect("compiles");
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

    let again = build::run(&plan, &second, &reporter).expect("nothing to do");
    say(&format!("{choice:?}, again: {:?}", again.stats));
    Ok(std::fs::read(compiled.bzimage).expect("an image"))
}
