//! A shared compiler cache with a real ccache in a real builder image, and real servers: Redis, and nginx with WebDAV.
//! What one machine left another finds, and whatever the servers do, the same bytes come out.
//!
//! A small tree stands in for a kernel. What is not here (an engine with the builder image,
//! redis-server, nginx) is skipped and says so.

#![expect(clippy::expect_used, reason = "a test may panic")]

#[path = "small_kernel/mod.rs"]
mod small_kernel;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wslk::build::{CacheServer, CacheStats, EngineChoice, ServerStats, SharedCache};

use self::small_kernel::{Built, Deed, Kind, Way, Yard, free_port, say};

const OBJECTS: u64 = 12;
/// Entries of an object: the list of its headers, and itself.
const ENTRIES: u64 = 2 * OBJECTS;
const KIND: Kind = Kind {
    objects: OBJECTS,
    functions: 1,
    flags: "-g",
};

fn container() -> Option<Yard> {
    Yard::contained(KIND)
}

fn build(yard: &Yard, shared: &SharedCache) -> Built {
    build_and(yard, shared, None)
}

fn build_and(yard: &Yard, shared: &SharedCache, deed: Option<Deed>) -> Built {
    let built = yard.build(Way {
        shared: shared.clone(),
        deed,
        ..Way::default()
    });
    no_secret_is_in(&built);
    built
}

fn tally(built: &Built) -> &CacheStats {
    built.compiled.stats.cache.as_ref().expect("a cache")
}

fn server(built: &Built) -> &ServerStats {
    &built.servers[0]
}

fn no_secret_is_in(built: &Built) {
    let stats = serde_json::to_string(&(tally(built), &built.servers)).expect("json");
    let said = format!("{:?}{:?}", built.compiled, built.warnings);
    for text in [&stats, &built.log, &said] {
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
        say(&format!("SKIPPED: {program} is not installed"));
    }
    found
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
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
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
            let is_root = fs::metadata("/proc/self").expect("us").uid() == 0;
            let user = if is_root { "user root;" } else { "" };
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
    let first = build(yard, cache);
    assert_eq!((tally(&first).hits(), tally(&first).misses), (0, OBJECTS));
    assert_eq!(server(&first).stored, ENTRIES, "{}", server(&first));
    let second = build(yard, cache);
    assert_eq!((tally(&second).hits(), tally(&second).misses), (OBJECTS, 0));
    assert_eq!(
        (tally(&second).remote, server(&second).found),
        (OBJECTS, ENTRIES)
    );
    assert_eq!(server(&second).stored, 0);
    for built in [&first, &second] {
        assert_eq!((server(built).failed, &built.warnings), (0, &Vec::new()));
        assert_eq!(tally(built).remote_failures, 0);
        assert_eq!(built.bytes, first.bytes);
    }
    (first, second)
}

#[test]
fn the_second_machine_compiles_nothing_with_every_engine() {
    let mut choices = vec![EngineChoice::Docker, EngineChoice::Podman];
    choices.extend(is_there("ccache").then_some(EngineChoice::Host));
    for yard in Yard::each(&choices, KIND) {
        let Some(redis) = Server::redis(&[]) else {
            return;
        };
        let alone = build(&yard, &SharedCache::default());
        assert!(alone.servers.is_empty());
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
    let built = build(&yard, &shared(&[&full]));
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
    let built = build(&yard, &shared(&[&url(":hidden")]));
    assert_eq!((tally(&built).hits(), tally(&built).misses), (0, OBJECTS));
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
        let harmed = build(&yard, &cache);
        assert_eq!(harmed.bytes, first.bytes, "{harm}");
        assert_eq!(
            (tally(&harmed).misses, tally(&harmed).remote),
            (OBJECTS, 0),
            "{harm}"
        );
        // Four were enough, and all that was compiled is there again.
        assert_eq!(
            (server(&harmed).damaged, server(&harmed).stored),
            (4, ENTRIES),
            "{harm}"
        );
        assert!(
            harmed.warnings[0].contains("other bytes than were left"),
            "{:?}",
            harmed.warnings
        );
        let mended = build(&yard, &cache);
        assert_eq!(
            (tally(&mended).remote, server(&mended).damaged),
            (OBJECTS, 0),
            "{harm}"
        );
    }
}

#[test]
fn a_server_that_is_full_or_is_not_there_costs_seconds() {
    let Some(yard) = container() else { return };
    let alone = build(&yard, &SharedCache::default());
    let check = |built: &Built, warned: &str| {
        assert_eq!(built.bytes, alone.bytes, "{warned}");
        assert!(built.warnings[0].contains(warned), "{:?}", built.warnings);
        let more = built.time.saturating_sub(alone.time);
        assert!(more < Duration::from_secs(25), "{warned}: {more:?} more");
    };
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    check(&build(&yard, &shared(&[&nobody])), "connection refused");
    // An address that is nobody's, where nothing answers; some networks say so at once.
    let nowhere = build(&yard, &shared(&["http://192.0.2.1/"]));
    check(&nowhere, "it is left alone");
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    for scheme in ["redis", "http"] {
        let built = build(&yard, &shared(&[&format!("{scheme}://127.0.0.1:{port}")]));
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
    check(&build(&yard, &shared(&[&full.url()])), "OOM");
}

#[test]
fn a_server_that_dies_half_way_leaves_the_rest_to_the_compiler() {
    // So many that some are left when the server is gone.
    let kind = Kind {
        objects: 15 * OBJECTS,
        ..KIND
    };
    let (Some(yard), Some(killed)) = (Yard::contained(kind), Server::redis(&[])) else {
        return;
    };
    let cache = shared(&[&killed.url()]);
    let first = build(&yard, &cache);
    let pid = killed.child.id().to_string();
    // Killed already is as good.
    let kill = move || drop(Command::new("kill").args(["-KILL", &pid]).output());
    let built = build_and(&yard, &cache, Some(Deed(3, Box::new(kill))));
    assert_eq!(built.bytes, first.bytes);
    let told = built.warnings.join("\n");
    assert!(told.contains("it is left alone"), "{told}");
    assert!(
        tally(&built).remote > 0 && tally(&built).misses > 0,
        "{}",
        tally(&built)
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
    let text = fs::read_to_string(&makefile).expect("there");
    fs::write(&makefile, text + &tries).expect("written");
    first_and_second(&yard, &shared(&[&redis.url()]));
}
