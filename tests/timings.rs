//! `wslk build --timings` as users meet it: a small tree, a `make` that says what kbuild says and takes its time, and
//! then the two files; and how the page looks in a real browser (`WSLK_TEST_BROWSER`, else chromium, in `PATH`;
//! skipped, and said so, where there is none). `WSLK_TEST_TIMINGS=DIR` leaves the page there.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "browser/mod.rs"]
mod browser;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;
use wslk::build::{Asked, Phase, Step, Trace};
use wslk::process::env_var;
use wslk::timings::{self, Span, Subject, Timings};

use self::browser::Browser;

/// Compiles two files at a time, links, packs and installs a module.
const MAKE: &str = r#"#!/bin/sh
for word; do case $word in O=*) tree=${word#O=} ;; INSTALL_MOD_PATH=*) modules=${word#*=} ;; esac; done
log() { [ -z "$CCACHE_STATSLOG" ] || printf '# %s\n%s\n' "$1" "$2" >>"$CCACHE_STATSLOG"; }
step() { mkdir -p "$(dirname "$tree/$3")"; printf '  %-7s %s\n' "$1" "$3"; sleep "$2"; echo made >"$tree/$3"; }
case " $* " in
*' olddefconfig '*) exit ;;
*' include/config/auto.conf '*)
    step HOSTCC 0.1 scripts/kconfig/conf.o
    mkdir -p "$tree/include/generated" "$tree/include/config"
    echo '/* */' >"$tree/include/generated/autoconf.h"; touch "$tree/include/config/auto.conf"; exit ;;
*' modules_install '*)
    folder=$modules/lib/modules/6.1.21.2-test; mkdir -p "$folder/kernel"
    echo "  INSTALL $folder/kernel/x.ko"; sleep 0.1; echo ko >"$folder/kernel/x.ko"
    echo "  DEPMOD  $folder"; sleep 0.1; touch "$folder/modules.dep"; exit ;;
esac
step HOSTCC 0.1 scripts/basic/fixdep
log /src/init/main.c cache_miss
log kernel/fork.c direct_cache_hit
step CC 0.6 init/main.o & step CC 0.6 kernel/fork.o & wait
step AR 0.05 built-in.a
step LD 0.2 vmlinux.o
step MODPOST 0.1 Module.symvers
step LD 0.2 vmlinux
step NM 0.05 System.map
step BUILD 0.1 arch/x86/boot/bzImage
echo 6.1.21.2-test >"$tree/include/config/kernel.release"
"#;

/// An image of the size that is asked for in the end.
const MKE2FS: &str = r#"#!/bin/sh
[ "$1" != -V ] || { echo 'mke2fs 1.47.2' >&2; exit; }
for word; do image=$size size=$word; done
truncate -s "${size%k}K" "$image"
"#;

/// A tree, tools of our own, a home.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let guard = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/kernel-configs/wsl-required.config"
        );
        let guard = fs::read_to_string(guard).expect("there");
        let names = guard
            .lines()
            .filter_map(|line| line.strip_prefix("CONFIG_")?.strip_suffix("=y"));
        let bools = ["X86", "LOCALVERSION_AUTO"].into_iter().chain(names);
        let option = |name: &str| format!("config {name}\n\tbool \"{name}\"\n\n");
        let mut kconfig: String = bools.map(option).collect();
        kconfig.push_str("config LOCALVERSION\n\tstring \"ending\"\n");
        bench.write("tree/Kconfig", &kconfig);
        let version = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 21\nEXTRAVERSION = .2\n";
        bench.write("tree/Makefile", version);
        bench.write("tree/Kbuild", "");
        bench.write("tree/kernel/fork.c", "int x;\n");
        let config = format!("CONFIG_X86=y\n{guard}");
        bench.write("tree/arch/x86/configs/config-wsl", &config);
        for (name, text) in [
            ("make", MAKE),
            ("mke2fs", MKE2FS),
            ("e2fsck", "#!/bin/sh\n"),
            ("depmod", "#!/bin/sh\n"),
            ("ccache", "#!/bin/sh\necho ccache version 4.11\n"),
        ] {
            bench.write(&format!("bin/{name}"), text);
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(bench.path(&format!("bin/{name}")), executable).expect("set");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn wslk(&self, args: &[&str]) -> Output {
        let path = env::var("PATH").expect("a path");
        let output = Command::cargo_bin("wslk")
            .expect("built")
            .args(args)
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("WSLK_HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("settings"))
            .output()
            .expect("starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}\n{said}");
        output
    }

    fn build(&self, flags: &[&str]) -> (Value, String) {
        let common = [
            "--json",
            "build",
            "--source",
            "tree",
            "--engine",
            "host",
            "--profile",
            "stock",
            "--no-boot",
            "--timings",
        ];
        let output = self.wslk(&[&common, flags].concat());
        let document = serde_json::from_slice(&output.stdout).expect("one document");
        (
            document,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

fn kinds(timings: &Value) -> Vec<&str> {
    let kinds = timings["make"]["kinds"].as_array().expect("kinds");
    kinds
        .iter()
        .map(|kind| kind["kind"].as_str().expect("text"))
        .collect()
}

fn step<'a>(timings: &'a Value, target: &str) -> &'a Value {
    let steps = timings["make"]["steps"].as_array().expect("steps");
    let found = steps.iter().find(|step| step["target"] == target);
    found.expect(target)
}

fn at(step: &Value, which: &str) -> f64 {
    step[which].as_f64().expect("a time")
}

fn took(step: &Value) -> f64 {
    at(step, "end") - at(step, "start")
}

#[test]
fn a_build_says_where_its_time_went_and_stays_what_it_is() {
    let bench = Bench::new();
    let (plan, _) = bench.build(&["--dry-run"]);
    let steps = plan["steps"].as_array().expect("steps");
    let last = steps.last().expect("a step");
    assert_eq!(
        (&last["stage"], &last["needed"]),
        (&"timings".into(), &true.into())
    );

    let started = Instant::now();
    let (built, _) = bench.build(&[]);
    let wall = started.elapsed().as_secs_f64();
    let folder = PathBuf::from(built["folder"].as_str().expect("text"));
    let data = built["timings"]["data"].as_str().expect("where it is");
    assert_eq!(Path::new(data), folder.join(timings::DATA));
    let text = fs::read_to_string(data).expect("there");
    told(&serde_json::from_str(&text).expect("a document"), wall);
    let page = fs::read_to_string(folder.join(timings::PAGE)).expect("there");
    assert!(page.contains("Where the time of a build went") && !page.contains("are partial"));

    // They are reports beside the build: it is whole with and without them.
    let outputs = &built["manifest"]["outputs"];
    assert!(outputs.get(timings::PAGE).is_none() && outputs.get("bzImage").is_some());
    let verified = |bench: &Bench| {
        let output = Command::cargo_bin("wslk")
            .expect("built")
            .args(["--json", "verify", "latest"])
            .env("WSLK_HOME", bench.path("home"))
            .env("XDG_CACHE_HOME", bench.path("cache"))
            .current_dir(bench.folder.path())
            .output()
            .expect("starts");
        let found: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let checks = found["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|check| check["id"] == "files")
    };
    assert_eq!(verified(&bench).expect("a check")["status"], "ok");

    let (again, talk) = bench.build(&[]);
    assert_eq!(
        (&again["fresh"], again.get("timings")),
        (&false.into(), None)
    );
    assert!(talk.contains("nothing to time; of when it was: "), "{talk}");
    assert_eq!(fs::read_to_string(data).expect("there"), text);
    let (plan, _) = bench.build(&["--dry-run"]);
    let last = plan["steps"].as_array().and_then(|steps| steps.last());
    assert_eq!(last.expect("a step")["needed"], false);
    went_on(&bench, &folder);
}

/// What the fake took, seen from outside.
fn told(timings: &Value, wall: f64) {
    assert_eq!(timings["schema"], "wslk/timings/1");
    let seconds = timings["seconds"].as_f64().expect("a number");
    assert!(seconds > 1.5 && seconds <= wall, "{seconds} of {wall}");
    let make = timings["totals"]["make"].as_f64().expect("a number");
    assert!(make > 1.4 && make < seconds, "{make} of {seconds}");
    let totals = &timings["totals"];
    let counted = [
        &totals["units"],
        &totals["found"],
        &totals["missed"],
        &totals["kept"],
    ];
    assert_eq!(
        counted.map(|count| count.as_u64()),
        [4, 1, 1, 0].map(Some),
        "{totals}"
    );
    for kind in [
        "kconfig", "tools", "compile", "link", "modules", "image", "install", "depmod",
    ] {
        assert!(
            kinds(timings).contains(&kind),
            "{kind}: {:?}",
            kinds(timings)
        );
    }
    let (main, fork) = (step(timings, "init/main.o"), step(timings, "kernel/fork.o"));
    assert_eq!(
        (&main["cache"], &fork["cache"]),
        (&"missed".into(), &"found".into())
    );
    for unit in [main, fork] {
        assert!(took(unit) > 0.55 && took(unit) < wall, "{unit}");
    }
    let both = at(main, "end").min(at(fork, "end")) - at(main, "start").max(at(fork, "start"));
    assert!(both > 0.1, "{main} {fork}");
    let index = step(timings, "lib/modules/6.1.21.2-test");
    assert!(took(index) >= 0.09, "{index}");
    let stages = timings["stages"].as_array().expect("stages");
    let named = |name: &str| stages.iter().any(|stage| stage["name"] == name);
    for name in [
        "fetch",
        "config",
        "check of the tree",
        "make",
        "modules disk",
        "publish",
    ] {
        assert!(named(name), "{name}: {stages:?}");
    }
}

/// The same once more over the objects of the first time: its timings say that they are partial.
fn went_on(bench: &Bench, folder: &Path) {
    let kept = fs::read_dir(bench.path("cache/wslk/work"))
        .expect("there")
        .flatten();
    for work in kept.filter(|entry| entry.file_name() != "config") {
        let tree = work.path().join("tree");
        fs::write(tree.join("init/.main.o.cmd"), "").expect("written");
    }
    fs::remove_dir_all(folder).expect("removed");
    let (_, talk) = bench.build(&[]);
    assert!(talk.contains("going on from 1 object files"), "{talk}");
    let page = fs::read_to_string(folder.join(timings::PAGE)).expect("there");
    assert!(page.contains("are partial"));
}

/// A build of a size that fills the page.
fn large() -> Timings {
    let mut steps = Vec::new();
    let mut add = |verb: &str, target: String, start: f64, end: f64, cache| {
        steps.push(Step {
            verb: verb.to_owned(),
            module: false,
            target,
            start,
            end: Some(end),
            cache,
        });
    };
    add(
        "HOSTCC",
        "scripts/kconfig/conf.o".to_owned(),
        1.0,
        2.0,
        Some(Asked::Found),
    );
    for number in 0..3000_u32 {
        let start = 5.0 + f64::from(number) * 0.25;
        let long = f64::from(number * 7919 % 97) / 30.0;
        let name = format!("drivers/net/ethernet/some-vendor-with-a-long-name/unit_{number}.o");
        let answer = [Asked::Found, Asked::Missed, Asked::Found][(number / 400) as usize % 3];
        add("CC", name, start, start + 0.2 + long, Some(answer));
    }
    for (number, (verb, target)) in [
        ("LD", "vmlinux.o"),
        ("MODPOST", "Module.symvers"),
        ("BTF", ".btf.vmlinux.bin.o"),
        ("LD", "vmlinux"),
        ("GZIP", "arch/x86/boot/compressed/vmlinux.bin.gz"),
        (
            "INSTALL",
            "lib/modules/6.1/kernel/drivers/net/a-module-with-a-rather-long-name.ko",
        ),
        ("DEPMOD", "lib/modules/6.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let start = 770.0 + 15.0 * number as f64;
        add(verb, target.to_owned(), start, start + 14.0, None);
    }
    let trace = Trace {
        started: Instant::now(),
        seconds: 880.0,
        jobs: 8,
        kept: 17,
        phases: [
            ("syncconfig", 0.6, 4.0),
            ("compile", 4.0, 845.0),
            ("modules_install", 845.0, 878.0),
        ]
        .map(|(name, start, end)| Phase {
            name: name.to_owned(),
            start,
            end,
        })
        .to_vec(),
        steps,
    };
    let spans = [
        ("fetch", 0.0, 4.0),
        ("config", 4.0, 6.0),
        ("check of the tree", 4.0, 9.0),
        ("modules disk", 891.0, 893.0),
        ("boot test", 895.0, 960.0),
    ];
    let spans = spans.map(|(name, start, end)| Span { name, start, end });
    let subject = Subject {
        build: "6.6.87.2-criu-0123456789".to_owned(),
        release: "6.6.87.2-microsoft-standard-WSL2-wslk-0123456789".to_owned(),
        engine: "docker".to_owned(),
    };
    Timings::new(subject, &spans, 960.0, &trace, 10.0)
}

/// How wide the content and the window are, the narrowest and the lowest lane that shows anything, the number of plots.
const LOOKS: &str = "(() => { \
    const lanes = [...d.querySelectorAll('.strip:not(.axis) svg')].map(l => l.getBoundingClientRect()); \
    return [d.documentElement.scrollWidth, d.documentElement.clientWidth, \
        Math.floor(Math.min(...lanes.map(l => l.width))), Math.floor(Math.min(...lanes.map(l => l.height))), \
        d.querySelectorAll('.plots svg').length]; })()";

#[test]
fn the_page_fits_a_phone_and_a_desk() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = env_var("WSLK_TEST_TIMINGS").map_or(folder.path().to_owned(), PathBuf::from);
    timings::write(&place, &large()).expect("written");
    let Some(browser) = Browser::find() else {
        return;
    };
    for width in browser::WIDTHS {
        let found = browser.measure(&place, timings::PAGE, width, LOOKS);
        assert_eq!(found[0], found[1], "wider than {width}: {found:?}");
        assert!(
            found[2] > 200 && found[3] >= 10,
            "lanes at {width}: {found:?}"
        );
        assert_eq!(found[4], 2, "plots at {width}: {found:?}");
    }
}
