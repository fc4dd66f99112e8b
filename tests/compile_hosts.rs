//! Compilers on other machines, with a real distcc in a real builder image, and hosts as `ci/compile-host` makes them.
//! Whatever a host does, the same bytes come out as without it.
//!
//! A tree of a few C files with a makefile stands in for a kernel, containers in the machine's own network for other
//! machines. Without an engine with the builder image this is skipped and says so.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wslk::build::{
    self, BuildPlan, Builder, CompileHost, CompilerCache, Engine, EngineChoice, HostStats, Image,
    Limits, Recipe, SharedCache,
};
use wslk::digest::Sha256;
use wslk::exec::Duct;
use wslk::home::Home;
use wslk::kconfig::Arch;
use wslk::process::Interrupt;
use wslk::report::{Event, Reporter, Sink};

/// Object files of the tree.
const OBJECTS: u64 = 40;

/// What build.sh asks of a kernel's makefile, and a compiler's command line as kbuild writes it.
const MAKEFILE: &str = r"
sources := $(sort $(notdir $(wildcard *.c)))
objects := $(sources:%.c=$(O)/%.o)
bzImage: $(objects)
	@mkdir -p $(O)/arch/x86/boot
	@cat $(objects) >$(O)/arch/x86/boot/bzImage && echo map >$(O)/System.map
CC ?= gcc
$(O)/%.o: %.c
	@echo '  CC      $*.o'
	@cd $(O) && $(CC) -Wp,-MMD,.$*.o.d -I$(CURDIR) -include include/generated/autoconf.h -O2 -c -o $*.o $(CURDIR)/$*.c
syncconfig:
	@mkdir -p $(O)/include/generated $(O)/include/config
	@printf '/*\n * Linux/x86 6.1.0 Kernel Configuration\n */\n' >$(O)/include/generated/autoconf.h
	@echo 6.1.0-test >$(O)/include/config/kernel.release
	@touch $(O)/include/config/auto.conf
";

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

type Deed<'a> = Box<dyn Fn() + Send + Sync + 'a>;

/// Keeps what a user would be warned of, and does something once, at a number of objects.
struct Ear {
    warnings: Mutex<Vec<String>>,
    at: u64,
    deed: Mutex<Option<Deed<'static>>>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ear")
    }
}

impl Sink for Ear {
    fn take(&self, event: &Event) {
        match event {
            Event::Warning { text } => {
                self.warnings.lock().expect("whole").push(text.clone());
            }
            Event::Moved { done, .. } if *done >= self.at => {
                if let Some(deed) = self.deed.lock().expect("whole").take() {
                    deed();
                }
            }
            _ => {}
        }
    }
}

struct Yard {
    folder: tempfile::TempDir,
    config: String,
    engine: Engine,
    image: Image,
}

/// One build on a machine of its own: empty home, empty local cache.
struct Built {
    bytes: Sha256,
    hosts: Vec<HostStats>,
    warnings: Vec<String>,
}

/// Each engine that has the builder image.
fn engines() -> Vec<(Engine, Image)> {
    let runner = Arc::new(Duct::new(Interrupt::default()));
    let reference = Recipe::embedded().reference();
    let mut found = Vec::new();
    for choice in [EngineChoice::Docker, EngineChoice::Podman] {
        let Ok(engine) = Engine::find(choice, Arc::clone(&runner) as _, &Reporter::silent()) else {
            continue;
        };
        if let Some(image) = Image::find(&engine, &reference).expect("an answer") {
            found.push((engine, image));
        }
    }
    if found.is_empty() {
        say("skipped: no container engine with the builder image");
    }
    found
}

fn yard() -> Option<Yard> {
    let (engine, image) = engines().into_iter().next()?;
    Some(Yard::new(engine, image))
}

fn plant(tree: &Path) {
    fs::create_dir(tree).expect("a folder");
    fs::write(tree.join("Makefile"), MAKEFILE).expect("written");
    fs::write(tree.join("all.h"), "struct all { int one, other; };\n").expect("written");
    for n in 0..OBJECTS {
        // Some work for the compiler, so that several are at work at a time.
        let more: String = (0..60)
            .map(|m| format!("int f{n}_{m}(struct all *all) {{ int sum = {m}; for (int i = 0; i < all->one; i++) sum = sum * {n} + all->other / (i + 1); return sum; }}\n"))
            .collect();
        let text = format!("#include <all.h>\n{more}");
        fs::write(tree.join(format!("f{n:02}.c")), text).expect("written");
    }
}

impl Yard {
    fn new(engine: Engine, image: Image) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        plant(&folder.path().join("tree"));
        Self {
            folder,
            config: "# CONFIG_MODULES is not set\n".to_owned(),
            engine,
            image,
        }
    }

    fn build(&self, hosts: &[&Host]) -> Built {
        self.build_and(hosts, true, u64::MAX, Box::new(|| {}))
    }

    fn build_and(&self, hosts: &[&Host], ccache: bool, at: u64, deed: Deed<'static>) -> Built {
        let names: Vec<String> = hosts.iter().map(|host| host.name()).collect();
        self.build_with(&names, ccache, at, deed)
    }

    fn build_with(&self, hosts: &[String], ccache: bool, at: u64, deed: Deed<'static>) -> Built {
        let machine = tempfile::tempdir().expect("a folder");
        let home = Home::new(machine.path().join("home"), machine.path().join("cache"));
        let (engine, image) = (self.engine.clone(), Some(self.image.clone()));
        let builder = Builder::new(engine, image, Limits::default(), &home);
        let ear = Arc::new(Ear {
            warnings: Mutex::default(),
            at,
            deed: Mutex::new(Some(deed)),
        });
        let reporter = Reporter::new(vec![Box::new(Arc::clone(&ear))]);
        let parse = |host: &String| host.parse::<CompileHost>().expect("a host");
        let cache = CompilerCache {
            folder: home.ccache(),
            toolchain: builder.toolchain().expect("packages"),
            shared: SharedCache::default(),
        };
        let plan = BuildPlan {
            source: self.folder.path().join("tree"),
            config: self.config.clone(),
            localversion: String::new(),
            work: home.work().join("k"),
            arch: Arch::X86,
            jobs: 1,
            timestamp: BuildPlan::TIMESTAMP.to_owned(),
            ccache: ccache.then_some(cache),
            hosts: hosts.iter().map(parse).collect(),
            silence: Duration::from_secs(200),
        };
        let compiled = build::run(&plan, &builder, &reporter);
        let compiled = compiled.expect("builds, whatever the hosts do");
        let warnings = ear.warnings.lock().expect("whole").clone();
        Built {
            bytes: Sha256::of_file(&compiled.bzimage).expect("there"),
            hosts: compiled.stats.hosts,
            warnings,
        }
    }

    fn engine(&self) -> String {
        self.engine.kind().to_string()
    }

    /// A machine as its owner sets it up.
    fn host(&self) -> Host {
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/compile-host");
        let mut command = Command::new(script);
        command.args([
            "--allow",
            "127.0.0.1",
            "--listen",
            "127.0.0.1",
            "--jobs",
            "2",
        ]);
        command.args(["--port", &port.to_string(), "--engine", &self.engine()]);
        Host::started(command, port, self.engine())
    }

    /// A machine whose compiler goes by a name that its owner chose, and adds to what it is told.
    fn impostor(&self, name: &str, more: &str) -> Host {
        let port = free_port();
        let serve = format!(
            "mkdir /tmp/bin && printf '#!/bin/sh\\nexec /usr/bin/gcc \"$@\" {more}\\n' >/tmp/bin/{name} && chmod +x /tmp/bin/{name}; \
             echo /tmp/bin/{name} >/tmp/commands; \
             PATH=/tmp/bin:$PATH DISTCC_CMDLIST=/tmp/commands DISTCC_CMDLIST_NUMWORDS=1 exec distccd --daemon \
             --no-detach --allow 127.0.0.1 --listen 127.0.0.1 --port {port} --jobs 2"
        );
        let mut command = Command::new(self.engine());
        command.args(["run", "--rm", "--network=host", "--user=65534:65534"]);
        command.arg(format!("--label=wslk.compile-host={port}"));
        command.args([
            "--tmpfs=/tmp:exec,mode=1777",
            &self.image.reference,
            "sh",
            "-c",
        ]);
        command.arg(serve);
        Host::started(command, port, self.engine())
    }

    /// The name that a host's compiler must have.
    fn compiler(&self) -> String {
        let machine = tempfile::tempdir().expect("a folder");
        let home = Home::new(machine.path().join("home"), machine.path().join("cache"));
        let (engine, image) = (self.engine.clone(), Some(self.image.clone()));
        let builder = Builder::new(engine, image, Limits::default(), &home);
        let toolchain = builder.toolchain().expect("packages").expect("an image");
        format!("wslk-{}-gcc", toolchain.short(12))
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
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

    fn name(&self) -> String {
        format!("127.0.0.1:{}/2", self.port)
    }

    /// What does this to the container.
    fn deed(&self, verb: &'static str) -> Deed<'static> {
        let (engine, port) = (self.engine.clone(), self.port);
        Box::new(move || does(&engine, port, verb))
    }
}

fn does(engine: &str, port: u16, verb: &str) {
    let filter = format!("label=wslk.compile-host={port}");
    let listed = Command::new(engine)
        .args(["ps", "--quiet", "--filter", &filter])
        .output();
    let listed = String::from_utf8(listed.expect("an answer").stdout).expect("text");
    for id in listed.split_whitespace() {
        let _gone = Command::new(engine).args([verb, id]).output();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        does(&self.engine, self.port, "unpause");
        does(&self.engine, self.port, "kill");
        let _gone = self.client.kill();
        let _gone = self.client.wait();
    }
}

fn answered(built: &Built) -> Vec<u64> {
    built.hosts.iter().map(|host| host.answered).collect()
}

#[test]
fn what_hosts_compile_is_what_would_be_compiled_here() {
    let Some(yard) = yard() else { return };
    let alone = yard.build(&[]);
    assert!(alone.hosts.is_empty() && alone.warnings.is_empty());
    let (one, other) = (yard.host(), yard.host());
    for ccache in [true, false] {
        let built = yard.build_and(&[&one, &other], ccache, u64::MAX, Box::new(|| {}));
        assert_eq!(built.bytes, alone.bytes, "ccache: {ccache}");
        assert_eq!(built.warnings, [""; 0]);
        let compiled = answered(&built);
        assert!(compiled.iter().all(|files| *files > 0), "{:?}", built.hosts);
        say(&format!("ccache {ccache}: {:?} of {OBJECTS}", built.hosts));
    }
}

#[test]
fn a_host_that_dies_and_one_that_stalls_change_nothing() {
    let Some(yard) = yard() else { return };
    let alone = yard.build(&[]);
    let (mortal, slow) = (yard.host(), yard.host());
    let (kill, pause) = (mortal.deed("kill"), slow.deed("pause"));
    let (engine, port) = (slow.engine.clone(), slow.port);
    let deed = move || {
        kill();
        pause();
        let engine = engine.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(5));
            does(&engine, port, "unpause");
        });
    };
    let built = yard.build_and(&[&mortal, &slow], true, OBJECTS / 4, Box::new(deed));
    assert_eq!(built.bytes, alone.bytes);
    let compiled: u64 = answered(&built).iter().sum();
    assert!(compiled > 0 && compiled < OBJECTS, "{:?}", built.hosts);
    say(&format!(
        "killed and stalled: {:?} of {OBJECTS}",
        built.hosts
    ));
}

#[test]
fn no_file_goes_to_a_host_that_is_not_what_it_must_be() {
    let Some(yard) = yard() else { return };
    let alone = yard.build(&[]);
    let name = yard.compiler();
    let liar = yard.impostor(&name, "-O0");
    let stranger = yard.impostor("wslk-000000000000-gcc", "");
    let nobody = format!("127.0.0.1:{}", free_port());
    let hosts = [liar.name(), stranger.name(), nobody];
    let built = yard.build_with(&hosts, true, u64::MAX, Box::new(|| {}));
    assert_eq!(built.bytes, alone.bytes);
    assert!(built.hosts.is_empty(), "{:?}", built.hosts);
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
    for (engine, image) in engines() {
        let yard = Yard::new(engine, image);
        let mut host = yard.host();
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
    let host = yard.host();
    let built = yard.build(&[&host]);
    assert!(built.hosts.is_empty(), "{:?}", built.hosts);
    assert!(
        built.warnings[0].contains("CONFIG_DEBUG_INFO"),
        "{:?}",
        built.warnings
    );
}
