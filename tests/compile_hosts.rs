//! Compilers on other machines, with a real distcc in a real builder image, and hosts as `ci/compile-host` makes them.
//! Whatever a host does, the same bytes come out as without it.
//!
//! A small tree stands in for a kernel, containers in the machine's own network for other machines. Without an engine
//! with the builder image this is skipped and says so.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "small_kernel/mod.rs"]
mod small_kernel;

use std::io::{Read as _, Seek as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wslk::build::{EngineChoice, HostStats};
use wslk::home::Home;

use self::small_kernel::{Built, Deed, Kind, Way, Yard, free_port, say};

const OBJECTS: u64 = 40;
/// Enough work in each file that several are at work at a time. No debug information: that differs on a host.
const KIND: Kind = Kind {
    objects: OBJECTS,
    functions: 60,
    flags: "",
};

fn yard() -> Option<Yard> {
    Yard::contained(KIND)
}

fn with(hosts: &[&Host]) -> Way {
    let names: Vec<String> = hosts.iter().map(|host| host.name()).collect();
    named(&names)
}

fn named(hosts: &[String]) -> Way {
    let parse = |host: &String| host.parse().expect("a host");
    Way {
        hosts: hosts.iter().map(parse).collect(),
        ..Way::default()
    }
}

/// A container that compiles, until it is dropped.
struct Host {
    client: Child,
    port: u16,
    engine: String,
}

impl Host {
    fn started(mut command: Command, port: u16, engine: String) -> Self {
        let mut said = tempfile::tempfile().expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(said.try_clone().expect("a descriptor"));
        let mut host = Self {
            client: command.spawn().expect("started"),
            port,
            engine,
        };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = host.client.try_wait().expect("a state").is_some();
            if has_ended || started.elapsed() > Duration::from_secs(60) {
                let mut text = String::new();
                said.rewind().expect("a file");
                said.read_to_string(&mut text).expect("text");
                panic!("{} brought no host up: {text}", host.engine);
            }
            thread::sleep(Duration::from_millis(50));
        }
        host
    }

    /// A machine as its owner sets it up.
    fn new(yard: &Yard) -> Self {
        let (port, engine) = (free_port(), yard.engine.kind().to_string());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/compile-host");
        let mut command = Command::new(script);
        for (flag, value) in [
            ("--allow", "127.0.0.1"),
            ("--listen", "127.0.0.1"),
            ("--jobs", "2"),
            ("--port", &port.to_string()),
            ("--engine", &engine),
        ] {
            command.args([flag, value]);
        }
        Self::started(command, port, engine)
    }

    /// A machine whose compiler goes by a name that its owner chose, and adds to what it is told.
    fn impostor(yard: &Yard, name: &str, more: &str) -> Self {
        let (port, engine) = (free_port(), yard.engine.kind().to_string());
        let serve = format!(
            "mkdir /tmp/bin && printf '#!/bin/sh\\nexec /usr/bin/gcc \"$@\" {more}\\n' >/tmp/bin/{name} && chmod +x /tmp/bin/{name}; \
             echo /tmp/bin/{name} >/tmp/commands; \
             PATH=/tmp/bin:$PATH DISTCC_CMDLIST=/tmp/commands DISTCC_CMDLIST_NUMWORDS=1 exec distccd --daemon \
             --no-detach --allow 127.0.0.1 --listen 127.0.0.1 --port {port} --jobs 2"
        );
        let image = yard.image.as_ref().expect("a container's");
        let mut command = Command::new(&engine);
        command.args(["run", "--rm", "--network=host", "--user=65534:65534"]);
        command.arg(format!("--label=wslk.compile-host={port}"));
        command.args(["--tmpfs=/tmp:exec,mode=1777", &image.reference]);
        command.args(["sh", "-c", &serve]);
        Self::started(command, port, engine)
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}/2", self.port)
    }

    /// What does this to the container; false if it could not.
    fn deed(&self, verb: &'static str) -> Box<dyn Fn() -> bool + Send + Sync> {
        let (engine, port) = (self.engine.clone(), self.port);
        Box::new(move || does(&engine, port, verb))
    }
}

/// Does this to the container of a port; false if there is none, or it could not be done.
fn does(engine: &str, port: u16, verb: &str) -> bool {
    let filter = format!("label=wslk.compile-host={port}");
    let listed = Command::new(engine)
        .args(["ps", "--all", "--quiet", "--filter", &filter])
        .output();
    let listed = String::from_utf8(listed.expect("an answer").stdout).expect("text");
    let done = |id| Command::new(engine).args([verb, id]).output();
    let done = |id| done(id).is_ok_and(|output| output.status.success());
    let all: Vec<bool> = listed.split_whitespace().map(done).collect();
    !all.is_empty() && all.into_iter().all(|done| done)
}

impl Drop for Host {
    fn drop(&mut self) {
        does(&self.engine, self.port, "unpause");
        does(&self.engine, self.port, "kill");
        let _gone = self.client.kill();
        let _gone = self.client.wait();
    }
}

/// The name that a host's compiler must have.
fn compiler(yard: &Yard) -> String {
    let machine = tempfile::tempdir().expect("a folder");
    let home = Home::new(machine.path().join("home"), machine.path().join("cache"));
    let toolchain = yard.builder(&home).toolchain().expect("packages");
    format!("wslk-{}-gcc", toolchain.expect("an image").short(12))
}

fn hosts(built: &Built) -> &[HostStats] {
    &built.compiled.stats.hosts
}

fn answered(built: &Built) -> Vec<u64> {
    hosts(built).iter().map(|host| host.answered).collect()
}

#[test]
fn what_hosts_compile_is_what_would_be_compiled_here() {
    let Some(yard) = yard() else { return };
    let alone = yard.build(Way::default());
    assert!(hosts(&alone).is_empty() && alone.servers.is_empty() && alone.warnings.is_empty());
    let (one, other) = (Host::new(&yard), Host::new(&yard));
    for no_ccache in [false, true] {
        let way = with(&[&one, &other]);
        let built = yard.build(Way { no_ccache, ..way });
        assert_eq!(built.bytes, alone.bytes, "no ccache: {no_ccache}");
        assert_eq!(built.warnings, [""; 0]);
        let compiled = answered(&built);
        assert!(compiled.iter().all(|files| *files > 0), "{compiled:?}");
        say(&format!(
            "no ccache {no_ccache}: {:?} of {OBJECTS}",
            hosts(&built)
        ));
    }
}

#[test]
fn a_host_that_dies_and_one_that_stalls_change_nothing() {
    let Some(yard) = yard() else { return };
    let alone = yard.build(Way::default());
    let (mortal, slow) = (Host::new(&yard), Host::new(&yard));
    let (kill, pause, go_on) = (
        mortal.deed("kill"),
        slow.deed("pause"),
        slow.deed("unpause"),
    );
    let go_on = Arc::new(go_on);
    let done = Arc::new(AtomicBool::new(false));
    let has_happened = Arc::clone(&done);
    let happens = move || {
        has_happened.store(kill() && pause(), Ordering::Relaxed);
        let go_on = Arc::clone(&go_on);
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(5));
            go_on();
        });
    };
    let built = yard.build(Way {
        deed: Some(Deed(OBJECTS / 4, Box::new(happens))),
        ..with(&[&mortal, &slow])
    });
    assert!(done.load(Ordering::Relaxed), "killed and paused");
    let there = TcpStream::connect(("127.0.0.1", mortal.port));
    assert!(there.is_err(), "the killed one is there");
    assert_eq!(built.bytes, alone.bytes);
    let compiled: u64 = answered(&built).iter().sum();
    assert!(compiled > 0 && compiled < OBJECTS, "{:?}", hosts(&built));
    // A host that is gone is noticed then, not when it has been silent for too long, which is 90 s.
    assert!(built.time < alone.time + Duration::from_secs(60));
    say(&format!(
        "killed and stalled: {:?} of {OBJECTS}, {:.0?} against {:.0?}",
        hosts(&built),
        built.time,
        alone.time
    ));
}

#[test]
fn no_file_goes_to_a_host_that_is_not_what_it_must_be() {
    let Some(yard) = yard() else { return };
    let alone = yard.build(Way::default());
    let liar = Host::impostor(&yard, &compiler(&yard), "-O0");
    let stranger = Host::impostor(&yard, "wslk-000000000000-gcc", "");
    let nobody = format!("127.0.0.1:{}", free_port());
    let built = yard.build(named(&[liar.name(), stranger.name(), nobody]));
    assert_eq!(built.bytes, alone.bytes);
    assert!(hosts(&built).is_empty(), "{:?}", hosts(&built));
    let told = built.warnings.join("\n");
    assert_eq!(built.warnings.len(), 3, "{told}");
    assert!(built.warnings[0].contains("other bytes"), "{told}");
    for warning in &built.warnings[1..] {
        assert!(warning.contains("could not compile a trial file"), "{told}");
    }
}

/// Engines differ in what they need to end a container's first process.
#[test]
fn a_host_ends_when_it_is_told_to() {
    for yard in Yard::each(&[EngineChoice::Docker, EngineChoice::Podman], KIND) {
        let mut host = Host::new(&yard);
        let client = host.client.id().to_string();
        let told = Command::new("kill").arg(client).status();
        assert!(told.expect("a kill").success());
        let ended = host.client.wait().expect("an end");
        assert!(ended.success(), "{}: {ended}", host.engine);
        let left = TcpStream::connect(("127.0.0.1", host.port));
        assert!(left.is_err(), "{} goes on", host.engine);
    }
}

/// What is compiled from preprocessed text has other debug information, and with it the kernel another build id.
#[test]
fn a_kernel_with_debug_information_is_compiled_here() {
    let Some(mut yard) = yard() else { return };
    yard.config.push_str("CONFIG_DEBUG_INFO=y\n");
    let host = Host::new(&yard);
    let built = yard.build(with(&[&host]));
    assert!(hosts(&built).is_empty(), "{:?}", hosts(&built));
    let told = &built.warnings[0];
    assert!(told.contains("CONFIG_DEBUG_INFO"), "{told}\n{}", built.log);
}
