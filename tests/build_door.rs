//! The one door to the builder image, with real engines: what a job can do, and that nothing of it
//! stays behind. An engine that does not answer, or has no builder image, is skipped and says so.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wslk::build::{BuildError, Builder, Engine, EngineChoice, Image, Job, Limits, Mount, Recipe};
use wslk::exec::{Duct, Stdout};
use wslk::home::Home;
use wslk::process::Interrupt;
use wslk::report::Reporter;

/// A home of its own, and a builder for it.
struct Yard {
    _folder: tempfile::TempDir,
    home: Home,
    builder: Builder,
    program: &'static str,
    interrupt: Interrupt,
}

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

fn yard(choice: EngineChoice) -> Option<Yard> {
    let interrupt = Interrupt::default();
    let runner = Arc::new(Duct::new(interrupt.clone()));
    let engine = match Engine::find(choice, runner, &Reporter::silent()) {
        Ok(engine) => engine,
        Err(error) => {
            say(&format!("skipped: {error}"));
            return None;
        }
    };
    let program = engine.kind().name();
    let image = match choice {
        EngineChoice::Host => None,
        _ => {
            let image = Image::find(&engine, &Recipe::embedded().reference()).expect("an answer");
            if image.is_none() {
                say(&format!("skipped: {program} has no builder image"));
                return None;
            }
            image
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(folder.path().join("home"), folder.path().join("cache"));
    let builder = Builder::new(engine, image, Limits::default(), &home);
    Some(Yard {
        _folder: folder,
        home,
        builder,
        program,
        interrupt,
    })
}

impl Yard {
    fn folder(&self, name: &str) -> std::path::PathBuf {
        let path = self.home.cache().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// Containers of this home, running or not.
    fn containers(&self) -> usize {
        containers(self.program, &self.home)
    }
}

fn containers(program: &str, home: &Home) -> usize {
    if program == "host" {
        return 0;
    }
    let owner = wslk::digest::Sha256::of(home.root().as_os_str().as_encoded_bytes()).short(12);
    let filter = format!("label=wslk={owner}");
    let output = Command::new(program)
        .args(["ps", "--all", "--quiet", "--filter", &filter])
        .output();
    String::from_utf8_lossy(&output.expect("runs").stdout)
        .lines()
        .count()
}

/// Every engine that is here, the host included.
fn yards() -> Vec<Yard> {
    [
        EngineChoice::Docker,
        EngineChoice::Podman,
        EngineChoice::Host,
    ]
    .into_iter()
    .filter_map(yard)
    .collect()
}

/// The engines that make containers.
fn container_yards() -> Vec<Yard> {
    [EngineChoice::Docker, EngineChoice::Podman]
        .into_iter()
        .filter_map(yard)
        .collect()
}

#[test]
fn mounts_are_seen_where_they_are_said_to_be() {
    for yard in yards() {
        let (input, output) = (yard.folder("with, comma"), yard.folder("out"));
        std::fs::write(input.join("x"), "hello").expect("written");
        let job = Job::script("copy", "cp \"$1\" \"$2\"; cat \"$1\"")
            .args(["/in/x", "/out/y"])
            .mount(Mount::read(&input, "/in"))
            .mount(Mount::write(&output, "/out"))
            .dir("/out");
        let said = yard.builder.job(&job).expect(yard.program).text();
        assert_eq!(said, "hello", "{}", yard.program);
        assert_eq!(
            std::fs::read_to_string(output.join("y")).expect("read"),
            "hello"
        );
        assert_eq!(yard.containers(), 0);
    }
}

#[test]
fn a_job_is_confined() {
    for yard in container_yards() {
        let source = yard.folder("source");
        std::fs::write(source.join("x"), "").expect("written");
        std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o777))
            .expect("open to all");
        let script = "id -u; grep -E '^(CapBnd|CapEff|NoNewPrivs)' /proc/self/status; ls /sys/class/net; \
            touch /src/y 2>&1; touch /y 2>&1; ls /var/run/docker.sock /run/podman 2>&1; cat /proc/1/comm";
        let job = Job::script("look", script).mount(Mount::read(&source, "/src"));
        let said = yard.builder.job(&job).expect(yard.program).text();
        let lines: Vec<&str> = said.lines().collect();
        assert_ne!(lines[0], "0", "{said}");
        for zero in [
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            assert!(lines.contains(&zero), "{zero} in {said}");
        }
        assert!(lines.contains(&"lo") && !said.contains("eth0"), "{said}");
        assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
        assert!(!lines.contains(&"/var/run/docker.sock"), "{said}");
    }
}

#[test]
fn limits_are_limits() {
    for yard in container_yards() {
        let limits = Limits {
            cpus: Some(0.5),
            memory: Some(64 << 20),
            pids: 50,
        };
        let builder = Builder::new(
            yard.builder.engine().clone(),
            yard.builder.image().cloned(),
            limits,
            &yard.home,
        );
        assert_eq!(builder.cpus(), 1);
        let hungry = Job::script("eat", "perl -e '$x = \"x\" x (1 << 28); print length $x'");
        let error = builder.job(&hungry).expect_err("no such memory");
        assert!(matches!(error, BuildError::Failed { .. }), "{error:?}");
        assert_eq!(yard.containers(), 0);
    }
}

#[test]
fn a_silent_job_leaves_nothing() {
    for yard in yards() {
        // Deaf to polite signals, with a grandchild, as a hanging compiler may be.
        let script = "trap '' TERM INT HUP; echo begun; sleep 4711 & sleep 4712";
        let job = Job::script("hang", script)
            .stdout(Stdout::Lines)
            .silence(Duration::from_secs(1));
        let error = yard
            .builder
            .job_with(&job, &mut |_| {})
            .expect_err("it hangs");
        assert!(matches!(error, BuildError::Silent { .. }), "{error:?}");
        assert_eq!(yard.containers(), 0);
        assert!(!is_running("sleep 471"), "{}", yard.program);
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    for yard in yards() {
        let interrupt = yard.interrupt.clone();
        let job = Job::script("long", "echo begun; sleep 4721 & sleep 4722")
            .stdout(Stdout::Lines)
            .total(None);
        let error = yard
            .builder
            .job_with(&job, &mut |_| interrupt.set())
            .expect_err("interrupted");
        assert!(matches!(error, BuildError::Interrupted { .. }), "{error:?}");
        assert_eq!(yard.containers(), 0);
        assert!(!is_running("sleep 472"), "{}", yard.program);
    }
}

#[test]
fn our_death_ends_the_job() {
    for (choice, sleep) in [
        (EngineChoice::Docker, "4731"),
        (EngineChoice::Podman, "4732"),
        (EngineChoice::Host, "4733"),
    ] {
        let Some(yard) = yard(choice) else { continue };
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "holds_a_job", "--ignored", "--nocapture"])
            .env(
                "WSLK_TEST_HOLD",
                format!("{}:{sleep}:{}", yard.program, yard.home.root().display()),
            )
            .spawn()
            .expect("starts");
        assert!(
            until(30, || is_running(&format!("sleep {sleep}"))),
            "{} did not start",
            yard.program
        );
        child.kill().expect("SIGKILL");
        child.wait().expect("dead");
        assert!(
            until(15, || !is_running(&format!("sleep {sleep}"))),
            "{} goes on",
            yard.program
        );
        assert!(
            until(15, || yard.containers() == 0),
            "{} keeps the container",
            yard.program
        );
    }
}

/// The victim of [`our_death_ends_the_job`]; does nothing when run otherwise.
#[test]
#[ignore = "a part of our_death_ends_the_job"]
fn holds_a_job() {
    let Ok(what) = std::env::var("WSLK_TEST_HOLD") else {
        return;
    };
    let mut words = what.splitn(3, ':');
    let mut word = || words.next().expect("three words").to_owned();
    let (engine, sleep, root) = (word(), word(), word());
    let Some(yard) = yard(engine.parse().expect("an engine")) else {
        return;
    };
    let home = Home::new(root, yard.home.cache());
    let builder = Builder::new(
        yard.builder.engine().clone(),
        yard.builder.image().cloned(),
        Limits::default(),
        &home,
    );
    let script = format!("trap '' TERM INT HUP; echo begun; sleep {sleep} & sleep {sleep}");
    let job = Job::script("hold", &script)
        .stdout(Stdout::Lines)
        .total(None);
    let _ended = builder.job_with(&job, &mut |_| {});
}

#[test]
fn leftovers_are_removed_and_said() {
    for yard in container_yards() {
        let owner =
            wslk::digest::Sha256::of(yard.home.root().as_os_str().as_encoded_bytes()).short(12);
        let image = &yard.builder.image().expect("an image").id;
        let label = format!("wslk={owner}");
        let name = format!("wslk-{owner}-left-1-1");
        let status = Command::new(yard.program)
            .args([
                "run",
                "--detach",
                "--network=none",
                "--label",
                &label,
                "--name",
                &name,
                image,
                "sleep",
                "4741",
            ])
            .status()
            .expect("runs");
        assert!(status.success());
        assert_eq!(yard.containers(), 1);
        yard.builder
            .remove_leftovers(&Reporter::silent())
            .expect("removed");
        assert_eq!(yard.containers(), 0);
    }
}

#[test]
fn each_bad_end_has_its_own_error() {
    for yard in yards() {
        let job = |script: &str| {
            yard.builder
                .job(&Job::script("bad", script))
                .expect_err("bad")
        };
        match job("echo why >&2; exit 3") {
            BuildError::Failed { said, .. } => assert_eq!(said, "why"),
            other => panic!("{other:?}"),
        }
        let missing = yard
            .builder
            .job(&Job::new("bad", "no-such-tool"))
            .expect_err("missing");
        assert!(matches!(missing, BuildError::NoTool { .. }), "{missing:?}");
    }
    for yard in container_yards() {
        let gone = Image {
            reference: "wslk-builder:gone".into(),
            id: format!("sha256:{}", "0".repeat(64)),
        };
        let builder = Builder::new(
            yard.builder.engine().clone(),
            Some(gone),
            Limits::default(),
            &yard.home,
        );
        let error = builder.job(&Job::new("bad", "true")).expect_err("no image");
        assert!(
            matches!(error, BuildError::EngineRefused { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn tools_tell_their_versions() {
    for yard in yards() {
        let tools = yard.builder.tools().expect("versions");
        assert!(
            tools.contains_key("gcc") && tools.contains_key("make"),
            "{tools:?}"
        );
        // From the second time on, no container is needed for an image.
        assert_eq!(yard.builder.tools().expect("versions"), tools);
        say(&format!("{}: {tools:#?}", yard.program));
    }
}

fn is_running(words: &str) -> bool {
    let output = Command::new("pgrep")
        .args(["-f", "-x", &format!("{words}.*")])
        .output()
        .expect("pgrep");
    !output.stdout.is_empty()
}

fn until(seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}
