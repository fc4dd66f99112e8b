//! Every way in which a build ends badly has its own error: a `make` that misbehaves as told stands in
//! for the real one, on the host engine.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wslk::build::{self, BuildError, BuildPlan, Builder, Compiled, Engine, Limits};
use wslk::exec::{Cmd, Duct, ExecError, Output, Runner};
use wslk::home::Home;
use wslk::kconfig::Arch;
use wslk::process::Interrupt;
use wslk::report::Reporter;

/// Finds the build tree in its arguments, installs modules, tells the release; else does as FAULT says.
const MAKE: &str = r#"#!/bin/sh
for word; do case $word in O=*) tree=${word#O=} ;; INSTALL_MOD_PATH=*) modules=${word#*=} ;; esac; done
case " $* " in
*' include/config/auto.conf '*) mkdir -p "$tree/include/generated"; echo '/* */' >"$tree/include/generated/autoconf.h"; exit ;;
*' modules_install '*) mkdir -p "$modules/lib/modules/6.1.0-test"; cd "$modules/lib/modules/6.1.0-test"; ln -s x build; touch modules.dep; exit ;;
esac
made() { mkdir -p "$tree/arch/x86/boot"; echo image >"$tree/arch/x86/boot/bzImage"; echo map >"$tree/System.map"; mkdir -p "$tree/include/config"; echo 6.1.0-test >"$tree/include/config/kernel.release"; }
echo '  CC      init/main.o'
fault
"#;

/// Puts programs of our own before the system's.
#[derive(Debug)]
struct WithPath {
    inner: Duct,
    path: String,
}

impl Runner for WithPath {
    fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output, ExecError> {
        self.inner
            .run_with(&cmd.clone().env("PATH", &self.path), on_line)
    }
}

/// A home, and a builder whose make does `fault`.
struct Yard {
    folder: tempfile::TempDir,
    builder: Builder,
    plan: BuildPlan,
}

fn program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

fn yard(fault: &str, interrupt: &Interrupt) -> Yard {
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    program(
        &bin,
        "make",
        &MAKE.replace("fault\n", &format!("{fault}\n")),
    );
    program(&bin, "depmod", "#!/bin/sh\n");

    let home = Home::new(folder.path().join("home"), folder.path().join("cache"));
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").expect("a path")
    );
    let runner = WithPath {
        inner: Duct::new(interrupt.clone()),
        path,
    };
    let builder = Builder::new(
        Engine::host(Arc::new(runner)),
        None,
        Limits::default(),
        &home,
    );
    let plan = BuildPlan {
        source: folder.path().to_owned(),
        config: "CONFIG_MODULES=y\n".to_owned(),
        localversion: String::new(),
        work: home.work().join("k"),
        arch: Arch::X86,
        jobs: 1,
        timestamp: BuildPlan::TIMESTAMP.to_owned(),
        ccache: None,
        hosts: Vec::new(),
        silence: Duration::from_secs(120),
    };
    Yard {
        folder,
        builder,
        plan,
    }
}

fn run(fault: &str) -> (Yard, Result<Compiled, BuildError>) {
    let yard = yard(fault, &Interrupt::default());
    let result = build::run(
        &yard.plan,
        &yard.builder,
        &Arc::default(),
        &Reporter::silent(),
    );
    (yard, result)
}

fn fails(fault: &str) -> (Yard, BuildError) {
    let (yard, result) = run(fault);
    (yard, result.expect_err(fault))
}

#[test]
fn a_good_build_names_its_products() {
    let (yard, result) = run("made");
    let compiled = result.expect("builds");
    assert_eq!(compiled.release, "6.1.0-test");
    assert!(compiled.bzimage.exists() && compiled.system_map.exists());
    let modules = compiled.modules_dir.expect("modules");
    assert!(modules.is_dir() && modules.join("build").symlink_metadata().is_err());
    assert_eq!(compiled.stats.units, 1);
    let log = std::fs::read_to_string(compiled.log).expect("a log");
    assert!(
        log.contains("make begins: compile\n  CC      init/main.o\n"),
        "{log}"
    );
    let phases: Vec<&str> = compiled
        .trace
        .phases
        .iter()
        .map(|phase| phase.name.as_str())
        .collect();
    assert_eq!(phases, ["syncconfig", "compile", "modules_install"]);
    let step = &compiled.trace.steps[0];
    assert_eq!(
        (step.target.as_str(), step.end),
        ("init/main.o", None),
        "nothing was written"
    );
    drop(yard);
}

#[test]
fn a_compiler_error_comes_first() {
    let words = "/src/init/main.c:1:1: error: expected identifier";
    let script = format!(
        "echo noise; echo '{words}' >&2; echo 'make[2]: *** [scripts/Makefile.build:250: init/main.o] Error 1' >&2; exit 2"
    );
    let (yard, error) = fails(&script);
    let hint = error.hint().expect("a hint");
    match error {
        BuildError::Compile {
            errors,
            log,
            reproduce,
        } => {
            assert_eq!(errors, [words]);
            assert!(
                std::fs::read_to_string(&log)
                    .expect("a log")
                    .contains(words)
            );
            assert!(hint.contains(&log.display().to_string()) && hint.contains(&reproduce));
            let tree = yard.plan.tree();
            assert!(
                reproduce.starts_with(&format!("cd {} && make", tree.display())),
                "{reproduce}"
            );
            assert!(reproduce.ends_with("V=1 init/main.o"), "{reproduce}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_killed_compiler_is_no_compiler_error() {
    let script = "echo 'gcc: fatal error: Killed signal terminated program cc1' >&2; exit 2";
    let (_yard, error) = fails(script);
    assert!(
        matches!(&error, BuildError::OutOfMemory { victim, .. } if victim == "cc1"),
        "{error:?}"
    );
}

#[test]
fn a_full_disk_is_named() {
    let script = "echo 'init/main.c: fatal error: error writing to x.s: No space left on device' >&2; exit 2";
    let (_yard, error) = fails(script);
    assert!(matches!(error, BuildError::DiskFull { .. }), "{error:?}");
}

#[test]
fn a_silent_hang_ends() {
    let started = Instant::now();
    let mut yard = yard("sleep 4751 & sleep 4752", &Interrupt::default());
    yard.plan.silence = Duration::from_secs(2);
    let error = build::run(
        &yard.plan,
        &yard.builder,
        &Arc::default(),
        &Reporter::silent(),
    )
    .expect_err("hangs");
    assert!(
        matches!(error, BuildError::Silent { log: Some(_), .. }),
        "{error:?}"
    );
    assert!(error.hint().expect("a hint").contains("make.log"));
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_interrupted_build_names_nothing_and_keeps_what_is_done() {
    let interrupt = Interrupt::default();
    let yard = yard("touch \"$tree/done\"; sleep 4761", &interrupt);
    let done = yard.plan.tree().join("done");
    let stopper = std::thread::spawn({
        let done = done.clone();
        move || {
            for _tick in 0..3000 {
                if done.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            interrupt.set();
        }
    });
    let result = build::run(
        &yard.plan,
        &yard.builder,
        &Arc::default(),
        &Reporter::silent(),
    );
    stopper.join().expect("stopped");
    assert!(
        matches!(result, Err(BuildError::Interrupted { .. })),
        "{result:?}"
    );
    assert!(done.exists());
}

#[test]
fn a_make_that_makes_nothing_is_no_success() {
    let (_yard, error) = fails("true");
    assert!(matches!(error, BuildError::NoProduct { .. }), "{error:?}");
}

#[test]
fn a_configuration_changed_on_the_way_is_an_error() {
    let (_yard, error) = fails("made; echo CONFIG_SURPRISE=y >>\"$tree/.config\"");
    assert!(
        matches!(&error, BuildError::ConfigChanged { line } if line == "CONFIG_SURPRISE=y"),
        "{error:?}"
    );
}

#[test]
fn a_missing_tool_is_no_compiler_error() {
    let (_yard, error) = fails("echo '/bin/sh: 1: flex: not found' >&2; exit 2");
    assert!(matches!(error, BuildError::NoTool { .. }), "{error:?}");
}

#[test]
fn an_unchanged_configuration_keeps_its_time() {
    let (yard, result) = run("made");
    result.expect("builds");
    let config = yard.plan.tree().join(".config");
    let time = |path: &Path| {
        std::fs::metadata(path)
            .expect("there")
            .modified()
            .expect("a time")
    };
    let before = time(&config);
    std::thread::sleep(Duration::from_millis(20));
    build::run(
        &yard.plan,
        &yard.builder,
        &Arc::default(),
        &Reporter::silent(),
    )
    .expect("again");
    assert_eq!(time(&config), before);
    assert!(yard.folder.path().exists());
}
