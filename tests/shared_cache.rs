//! A shared compiler cache with a real ccache in a real builder image, and real servers: Redis, and nginx with WebDAV.
//! What one machine left another finds, and whatever the servers do, the same bytes come out.
//!
//! A tree of a few C files with a makefile stands in for a kernel. What is not here (an engine with the builder image,
//! redis-server, nginx) is skipped and says so.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wslk::build::{
    self, BuildPlan, Builder, CacheServer, CacheStats, Compiled, CompilerCache, Engine,
    EngineChoice, Image, Limits, Recipe, ServerStats, SharedCache,
};
use wslk::digest::Sha256;
use wslk::exec::Duct;
use wslk::home::Home;
use wslk::kconfig::Arch;
use wslk::process::Interrupt;
use wslk::report::{Event, Reporter, Sink};

/// Object files of the tree.
const OBJECTS: u64 = 12;
/// Entries of an object: the list of its headers, and itself.
const ENTRIES: u64 = 2 * OBJECTS;

/// What build.sh asks of a kernel's makefile, and a compiler's command line as kbuild writes it.
const MAKEFILE: &str = r"
sources := $(sort $(notdir $(wildcard *.c)))
bzImage:
	@mkdir -p $(O)/arch/x86/boot
	@cd $(O) && for name in $(sources:.c=); do \
	    echo '  CC      '$$name.o; \
	    $(CC) -Wp,-MMD,.$$name.o.d -I$(CURDIR) -include include/generated/autoconf.h -O2 -g -c -o $$name.o \
	        $(CURDIR)/$$name.c || exit; \
	done
	@cd $(O) && cat $(sources:.c=.o) >arch/x86/boot/bzImage && echo map >System.map
syncconfig:
	@mkdir -p $(O)/include/generated $(O)/include/config
	@printf '/*\n * Linux/x86 6.1.0 Kernel Configuration\n */\n' >$(O)/include/generated/autoconf.h
	@echo 6.1.0-test >$(O)/include/config/kernel.release
	@touch $(O)/include/config/auto.conf
";

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

/// Keeps what a user would be warned of, and does something at a number of objects.
#[derive(Debug)]
struct Ear {
    warnings: Mutex<Vec<String>>,
    at: Option<(u64, u32)>,
}

impl Sink for Ear {
    fn take(&self, event: &Event) {
        match event {
            Event::Warning { text } => {
                self.warnings.lock().expect("whole").push(text.clone());
            }
            Event::Moved { done, .. } if self.at.is_some_and(|(units, _)| *done >= units) => {
                let pid = self.at.map_or(0, |(_, pid)| pid).to_string();
                // Killed already is as good.
                let _ended = Command::new("kill").args(["-KILL", &pid]).output();
            }
            _ => {}
        }
    }
}

/// A tree, and an engine to build it with.
struct Yard {
    folder: tempfile::TempDir,
    engine: Engine,
    image: Option<Image>,
}

/// One build on a machine of its own: empty home, empty local cache.
struct Built {
    bytes: Sha256,
    cache: CacheStats,
    warnings: Vec<String>,
    time: Duration,
}

impl Built {
    fn server(&self) -> &ServerStats {
        &self.cache.servers[0]
    }
}

fn yard(choice: EngineChoice) -> Option<Yard> {
    let runner = Arc::new(Duct::new(Interrupt::default()));
    let engine = match Engine::find(choice, runner, &Reporter::silent()) {
        Ok(engine) => engine,
        Err(error) => {
            say(&format!("skipped: {error}"));
            return None;
        }
    };
    let image = match choice {
        EngineChoice::Host => None,
        _ => {
            let reference = Recipe::embedded().reference();
            let image = Image::find(&engine, &reference).expect("an answer");
            if image.is_none() {
                say(&format!("skipped: {} has no {reference}", engine.kind()));
                return None;
            }
            image
        }
    };
    if choice == EngineChoice::Host && !is_there("ccache") {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).expect("a folder");
    fs::write(tree.join("Makefile"), MAKEFILE).expect("written");
    fs::write(tree.join("all.h"), "struct all { int one, other; };\n").expect("written");
    for n in 0..OBJECTS {
        let text = format!(
            "#include <all.h>\nint f{n}(struct all *all) {{ return all->one * {n} + all->other; }}\n"
        );
        fs::write(tree.join(format!("f{n:02}.c")), text).expect("written");
    }
    Some(Yard {
        folder,
        engine,
        image,
    })
}

/// The first engine that makes containers.
fn container() -> Option<Yard> {
    yard(EngineChoice::Docker).or_else(|| yard(EngineChoice::Podman))
}

impl Yard {
    fn build(&self, shared: &SharedCache) -> Built {
        self.build_and(shared, None)
    }

    fn build_and(&self, shared: &SharedCache, at: Option<(u64, u32)>) -> Built {
        let machine = tempfile::tempdir().expect("a folder");
        let home = Home::new(machine.path().join("home"), machine.path().join("cache"));
        let engine = self.engine.clone();
        let builder = Builder::new(engine, self.image.clone(), Limits::default(), &home);
        let ear = Arc::new(Ear {
            warnings: Mutex::default(),
            at,
        });
        let reporter = Reporter::new(vec![Box::new(Arc::clone(&ear))]);
        let started = Instant::now();
        let built = build::run(&self.plan(&home, &builder, shared), &builder, &reporter);
        let compiled = built.expect("builds, whatever the servers do");
        let warnings = ear.warnings.lock().expect("whole").clone();
        no_secret_is_in(&compiled, &warnings);
        Built {
            bytes: Sha256::of_file(&compiled.bzimage).expect("there"),
            cache: compiled.stats.cache.expect("a cache"),
            warnings,
            time: started.elapsed(),
        }
    }

    fn plan(&self, home: &Home, builder: &Builder, shared: &SharedCache) -> BuildPlan {
        BuildPlan {
            source: self.folder.path().join("tree"),
            config: "# CONFIG_MODULES is not set\n".to_owned(),
            localversion: String::new(),
            work: home.work().join("k"),
            arch: Arch::X86,
            jobs: 1,
            timestamp: BuildPlan::TIMESTAMP.to_owned(),
            ccache: Some(CompilerCache {
                folder: home.ccache(),
                toolchain: builder.toolchain().expect("packages"),
                shared: shared.clone(),
            }),
            hosts: Vec::new(),
            silence: Duration::from_secs(120),
        }
    }
}

fn no_secret_is_in(compiled: &Compiled, warnings: &[String]) {
    let stats = serde_json::to_string(&compiled.stats.cache).expect("json");
    let log = fs::read_to_string(&compiled.log).expect("a log");
    for text in [&stats, &log, &format!("{compiled:?}{warnings:?}")] {
        assert!(!text.contains("hidden"), "{text}");
    }
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("PATH=$PATH:/usr/sbin; command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        say(&format!("skipped: {program} is not installed"));
    }
    found
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Server {
    fn start(program: &str, arguments: impl FnOnce(u16, &Path) -> Vec<String>) -> Option<Self> {
        if !is_there(program) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let child = Command::new("env")
            .arg("PATH=/usr/sbin:/usr/bin:/bin")
            .arg(program)
            .args(arguments(port, folder.path()))
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("starts");
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{program} does not listen"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            child,
            port,
            folder,
        })
    }

    fn redis(more: &[&str]) -> Option<Self> {
        Self::start("redis-server", |port, folder| {
            let port = port.to_string();
            let folder = folder.display().to_string();
            let own = [
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                &folder,
                "--port",
                &port,
            ];
            own.iter()
                .chain(more)
                .map(|&word| word.to_owned())
                .collect()
        })
    }

    fn nginx() -> Option<Self> {
        Self::start("nginx", |port, folder| {
            let files = folder.join("files");
            fs::create_dir(&files).expect("a folder");
            let folder = folder.display();
            // Where root starts it, its workers are somebody who must get in here.
            let user = match fs::metadata("/proc/self")
                .map(|about| std::os::unix::fs::MetadataExt::uid(&about))
            {
                Ok(0) => "user root;",
                _ => "",
            };
            let text = format!(
                "daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
                events {{}}
                http {{
                    access_log off; client_body_temp_path {folder}/body; client_max_body_size 64m;
                    proxy_temp_path {folder}/a; fastcgi_temp_path {folder}/b; uwsgi_temp_path {folder}/c;
                    scgi_temp_path {folder}/d;
                    server {{
                        listen 127.0.0.1:{port};
                        location / {{ root {folder}/files; dav_methods PUT; create_full_put_path on; }}
                        location /full/ {{ return 507; }}
                    }}
                }}\n"
            );
            let path = format!("{folder}/nginx.conf");
            fs::write(&path, text).expect("written");
            vec!["-c".to_owned(), path]
        })
    }

    /// What redis-cli says.
    fn cli(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()
            .expect("runs");
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn shared(urls: &[&str]) -> SharedCache {
    let server = |url: &&str| url.parse::<CacheServer>().expect(url);
    SharedCache {
        servers: urls.iter().map(server).collect(),
        secret: String::new(),
        write: true,
    }
}

/// A build that fills an empty server, and another that finds all of it there.
fn first_and_second(yard: &Yard, cache: &SharedCache) -> (Built, Built) {
    let first = yard.build(cache);
    assert_eq!((first.cache.hits(), first.cache.misses), (0, OBJECTS));
    assert_eq!(first.server().stored, ENTRIES, "{}", first.server());
    let second = yard.build(cache);
    assert_eq!((second.cache.hits(), second.cache.misses), (OBJECTS, 0));
    assert_eq!(
        (second.cache.remote, second.server().found),
        (OBJECTS, ENTRIES)
    );
    assert_eq!(second.server().stored, 0);
    for built in [&first, &second] {
        assert_eq!((built.server().failed, &built.warnings), (0, &Vec::new()));
        assert_eq!(built.cache.remote_failures, 0);
        assert_eq!(built.bytes, first.bytes);
    }
    (first, second)
}

#[test]
fn the_second_machine_compiles_nothing_with_every_engine() {
    let choices = [
        EngineChoice::Docker,
        EngineChoice::Podman,
        EngineChoice::Host,
    ];
    for yard in choices.into_iter().filter_map(yard) {
        let Some(redis) = Server::redis(&[]) else {
            return;
        };
        let alone = yard.build(&SharedCache::default());
        assert!(alone.cache.servers.is_empty());
        let (first, _) = first_and_second(&yard, &shared(&[&redis.url()]));
        // Without a container an object holds its build's own folder.
        if yard.image.is_some() {
            assert_eq!(first.bytes, alone.bytes, "{}", yard.engine.kind());
        }
    }
}

#[test]
fn a_web_server_does_as_well() {
    let (Some(yard), Some(nginx)) = (container(), Server::nginx()) else {
        return;
    };
    let url = format!("http://127.0.0.1:{}/kernel/6.1", nginx.port);
    first_and_second(&yard, &shared(&[&url]));
    let below = fs::read_dir(nginx.folder.path().join("files/kernel/6.1"));
    assert!(
        below.expect("a folder").count() > 1,
        "more folders than one"
    );
    // One that is full, and one that is not.
    let full = format!("http://127.0.0.1:{}/full/", nginx.port);
    let built = yard.build(&shared(&[&full]));
    assert!(built.warnings[0].contains("507"), "{:?}", built.warnings);
}

#[test]
fn who_logs_in_is_known_to_the_server_and_to_nobody_else() {
    let (Some(yard), Some(redis)) = (container(), Server::redis(&["--requirepass", "hidden/1"]))
    else {
        return;
    };
    let url = |login: &str| format!("redis://{login}@127.0.0.1:{}/2", redis.port);
    first_and_second(&yard, &shared(&[&url("default:hidden%2F1")]));
    let built = yard.build(&shared(&[&url(":hidden")]));
    assert_eq!((built.cache.hits(), built.cache.misses), (0, OBJECTS));
    assert_eq!(built.warnings.len(), 2, "{:?}", built.warnings);
    assert!(
        built.warnings[0].contains("WRONGPASS"),
        "{:?}",
        built.warnings
    );
}

#[test]
fn bytes_that_nobody_left_there_are_compiled_anew_and_replaced() {
    let (Some(yard), Some(redis)) = (container(), Server::redis(&[])) else {
        return;
    };
    let cache = shared(&[&redis.url()]);
    let (first, _) = first_and_second(&yard, &cache);
    let each = |change: &str| {
        let all = "local keys = redis.call('KEYS', '*'); local values = {}; \
            for i, key in ipairs(keys) do values[i] = redis.call('GET', key) end; ";
        format!(
            "{all} for i, key in ipairs(keys) do local v = values[i]; redis.call('SET', key, {change}) end; return #keys"
        )
    };
    for (harm, change) in [
        ("another key's", "values[i % #keys + 1]"),
        ("cut off", "string.sub(v, 1, #v - 1)"),
        ("half", "string.sub(v, 1, #v / 2)"),
        (
            "one byte",
            "string.sub(v, 1, 60) .. string.char((string.byte(v, 61) + 1) % 256) .. string.sub(v, 62)",
        ),
        ("nothing", "''"),
        ("something else", "'object'"),
    ] {
        assert_eq!(
            redis.cli(&["EVAL", &each(change), "0"]),
            ENTRIES.to_string(),
            "{harm}"
        );
        let harmed = yard.build(&cache);
        assert_eq!(harmed.bytes, first.bytes, "{harm}");
        assert_eq!(
            (harmed.cache.misses, harmed.cache.remote),
            (OBJECTS, 0),
            "{harm}"
        );
        // Four were enough, and all that was compiled is there again.
        assert_eq!(
            (harmed.server().damaged, harmed.server().stored),
            (4, ENTRIES),
            "{harm}"
        );
        assert!(
            harmed.warnings[0].contains("other bytes than were left"),
            "{:?}",
            harmed.warnings
        );
        let mended = yard.build(&cache);
        assert_eq!(
            (mended.cache.remote, mended.server().damaged),
            (OBJECTS, 0),
            "{harm}"
        );
    }
}

#[test]
fn a_server_that_is_full_dies_or_is_not_there_costs_seconds() {
    let Some(yard) = container() else { return };
    let alone = yard.build(&SharedCache::default());
    let check = |built: &Built, warned: &str| {
        assert_eq!(built.bytes, alone.bytes, "{warned}");
        assert!(built.warnings[0].contains(warned), "{:?}", built.warnings);
        let more = built.time.saturating_sub(alone.time);
        assert!(more < Duration::from_secs(25), "{warned}: {more:?} more");
    };
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    check(&yard.build(&shared(&[&nobody])), "connection refused");
    // An address that is nobody's, where nothing answers; some networks say so at once.
    let nowhere = yard.build(&shared(&["http://192.0.2.1/"]));
    check(&nowhere, "it is left alone");
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    for scheme in ["redis", "http"] {
        let built = yard.build(&shared(&[&format!("{scheme}://127.0.0.1:{port}")]));
        check(&built, "no answer within 5 s");
    }
    let Some(full) = Server::redis(&["--maxmemory", "1mb"]) else {
        return;
    };
    // A script that has begun may end.
    full.cli(&[
        "EVAL",
        "for i = 1, 99999 do redis.call('SET', i, i) end",
        "0",
    ]);
    let said = full.cli(&["SET", "x", "y"]);
    assert!(said.contains("OOM"), "{said}");
    check(&yard.build(&shared(&[&full.url()])), "OOM");

    let Some(killed) = Server::redis(&[]) else {
        return;
    };
    let cache = shared(&[&killed.url()]);
    first_and_second(&yard, &cache);
    let built = yard.build_and(&cache, Some((3, killed.child.id())));
    check(&built, "it is left alone");
    assert!(
        built.cache.remote > 0 && built.cache.misses > 0,
        "{}",
        built.cache
    );
}

#[test]
fn the_container_still_has_no_network() {
    let (Some(yard), Some(redis)) = (container(), Server::redis(&[])) else {
        return;
    };
    // A makefile that tries the server by itself, past the door.
    let makefile = yard.folder.path().join("tree/Makefile");
    let tries = format!(
        "bzImage: tries\ntries:\n\t@test \"$$(ls /sys/class/net)\" = lo\n\t@! bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}' 2>/dev/null\n",
        redis.port
    );
    fs::write(&makefile, format!("{MAKEFILE}\n{tries}")).expect("written");
    first_and_second(&yard, &shared(&[&redis.url()]));
}
