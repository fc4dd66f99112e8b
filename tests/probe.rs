//! The probe against a driver that is none: made here from a C file, so that it can be missing, old, refuse,
//! hang, crash and lie on request.
//!
//! Quick, and without a GPU; what needs a C compiler says so when it is skipped.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake_cuda/fake.c");

/// Which driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Current,
    /// Before 570, without the calls for checkpoints.
    Old,
}

/// The compiled driver; nothing where there is no compiler.
fn driver(age: Age) -> Option<&'static Path> {
    static CURRENT: OnceLock<Option<PathBuf>> = OnceLock::new();
    static OLD: OnceLock<Option<PathBuf>> = OnceLock::new();
    let (made, name, flags): (_, _, &[&str]) = match age {
        Age::Current => (&CURRENT, "current", &[]),
        Age::Old => (&OLD, "old", &["-DOLD"]),
    };
    let make = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Several tests' processes may do this at once: each makes its own.
        let library = folder.join(format!("{name}-{}.so", std::process::id()));
        let mut compiler = std::process::Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(&library)
            .args(flags)
            .arg(SOURCE);
        match compiler.status() {
            Ok(status) => {
                assert!(status.success(), "the fake driver does not compile");
                Some(library)
            }
            Err(_) => None,
        }
    };
    made.get_or_init(make).as_deref()
}

/// A machine with a driver that behaves as told.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// `None` where the driver cannot be compiled; that is said.
    fn new(age: Age, mode: &str) -> Option<Self> {
        let Some(library) = driver(age) else {
            eprintln!("SKIPPED: there is no C compiler to make a driver with");
            return None;
        };
        let bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        fs::create_dir(bench.driver()).expect("made");
        for name in ["libcuda.so.1", "libnvidia-ml.so.1"] {
            fs::copy(library, bench.driver().join(name)).expect("copied");
        }
        fs::write(bench.driver().join("mode"), mode).expect("written");
        Some(bench)
    }

    fn driver(&self) -> PathBuf {
        self.folder.path().join("driver")
    }

    /// A program of this machine alone.
    fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let bin = self.folder.path().join("bin");
        fs::create_dir_all(&bin).expect("made");
        let path = bin.join(name);
        fs::write(&path, script).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
    }

    fn wslk(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("runs")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("wslk").expect("built");
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(self.folder.path())
            .env("WSLK_HOME", self.folder.path().join("home"))
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env("XDG_CONFIG_HOME", self.folder.path().join("settings"))
            .env(
                "PATH",
                format!("{}:{path}", self.folder.path().join("bin").display()),
            )
            .env_remove("WSL_DISTRO_NAME")
            .args(["probe", "--device-memory", "16", "--pin-limit", "256"])
            .arg("--cuda-dir")
            .arg(self.driver())
            .args(args);
        command
    }

    /// The rows of a probe of `only`.
    fn rows(&self, only: &[&str], deadline: &str) -> Vec<Value> {
        let mut args = vec!["--json", "--quiet", "--deadline", deadline];
        only.iter().for_each(|row| args.extend(["--only", row]));
        let output = self.wslk(&args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("a document");
        assert_eq!(answer["schema"], "wslk/probe/1");
        answer["rows"].as_array().expect("rows").clone()
    }

    /// Processes whose arguments name this bench.
    fn leftovers(&self) -> Vec<String> {
        let own = self.folder.path().to_string_lossy().into_owned();
        let processes = fs::read_dir("/proc").expect("listed").flatten();
        processes
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " "))
            .filter(|arguments| arguments.contains(&own))
            .collect()
    }
}

fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    let found = rows.iter().find(|row| row["row"] == name);
    found.unwrap_or_else(|| panic!("{name} in {rows:?}"))
}

fn figure(row: &Value, name: &str) -> f64 {
    let figures = row["figures"].as_array().expect("figures");
    let found = figures.iter().find(|figure| figure["name"] == name);
    found
        .and_then(|figure| figure["value"].as_f64())
        .unwrap_or_else(|| panic!("{name} in {row}"))
}

fn words(row: &Value) -> String {
    row.to_string()
}

#[test]
fn without_a_driver_every_row_is_not_testable_and_that_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::cargo_bin("wslk").expect("built");
    let output = command
        .env("WSLK_HOME", folder.path())
        .env("XDG_CACHE_HOME", folder.path())
        .env_remove("WSL_DISTRO_NAME")
        .args([
            "probe",
            "--json",
            "--cuda-dir",
            "/nowhere",
            "--python",
            "no-such-python",
        ])
        .args([
            "--only",
            "gpu",
            "--only",
            "cuda-checkpoint",
            "--only",
            "vllm",
            "--only",
            "dda",
        ])
        .args(["--only", "bandwidth", "--only", "gpu-p", "--only", "nvlink"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let rows = answer["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 7);
    for row in rows {
        assert_eq!(row["verdict"], "not-testable", "{row}");
        assert!(!row["summary"].as_str().expect("text").is_empty());
    }
    assert!(words(row(rows, "bandwidth")).contains("no driver library"));
}

#[test]
fn what_is_required_and_does_not_work_is_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let wslk = |args: &[&str]| {
        let mut command = Command::cargo_bin("wslk").expect("built");
        command
            .env("WSLK_HOME", folder.path())
            .env("XDG_CACHE_HOME", folder.path())
            .args(["probe", "--cuda-dir", "/nowhere", "--only", "gpu"])
            .args(args);
        command.output().expect("runs")
    };
    let output = wslk(&["--require", "gpu"]);
    assert_eq!(output.status.code(), Some(9));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not-testable"));
    let output = wslk(&["--require", "gpu", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(answer["unmet"], serde_json::json!(["gpu"]));
    assert_eq!(wslk(&["--require", "no-such-row"]).status.code(), Some(2));
}

#[test]
fn a_driver_that_does_all_works_in_all() {
    let Some(bench) = Bench::new(Age::Current, "devices 2\nlinks 2\nlate 120\n") else {
        return;
    };
    let names = [
        "gpu",
        "cuda-checkpoint",
        "pinned-memory",
        "bandwidth",
        "managed-memory",
        "vmm",
        "cuda-ipc",
        "peer-access",
        "nvlink",
    ];
    let rows = bench.rows(&names, "60");
    for name in names {
        assert_eq!(row(&rows, name)["verdict"], "works", "{}", row(&rows, name));
    }
    let checkpoint = row(&rows, "cuda-checkpoint");
    let held = f64::from(16 << 20);
    assert!((figure(checkpoint, "device memory held") - held).abs() < 1.0);
    assert!(figure(checkpoint, "device memory freed") >= held * 0.9);
    for stage in ["lock", "checkpoint", "restore", "unlock"] {
        assert!(figure(checkpoint, stage) >= 0.0);
    }
    let pinned = row(&rows, "pinned-memory");
    assert_eq!(pinned["code"], 2, "the limit was found, by its code");
    assert!((180.0..=192.0).contains(&(figure(pinned, "largest pinned piece") / 1_048_576.0)));
    let bandwidth = row(&rows, "bandwidth");
    assert_eq!(bandwidth["curves"].as_array().expect("curves").len(), 4);
    assert!(figure(bandwidth, "ratio to a plain loop, to-device") > 0.2);
    assert_eq!(bench.leftovers(), [""; 0]);
}

#[test]
fn a_driver_that_lies_is_found_out() {
    let table = [
        ("lie pattern", "cuda-checkpoint", "words are wrong"),
        (
            "lie free",
            "cuda-checkpoint",
            "bytes of device memory 0 were freed",
        ),
        (
            "lie state",
            "cuda-checkpoint",
            "after lock the process should be locked, and is running",
        ),
        ("lie copy", "bandwidth", "came back changed"),
        ("lie kernel", "gpu", "words are wrong"),
        ("lie map", "vmm", "signal 11"),
        ("devices 2\nlie peer", "peer-access", "words are wrong"),
    ];
    for (mode, name, summary) in table {
        let Some(bench) = Bench::new(Age::Current, mode) else {
            return;
        };
        let rows = bench.rows(&["gpu", name], "20");
        let row = row(&rows, name);
        assert_eq!(row["verdict"], "failed", "{mode}: {row}");
        assert!(
            row["summary"]
                .as_str()
                .is_some_and(|text| text.contains(summary)),
            "{mode}: {row}"
        );
        assert!(row["stage"].is_string());
        assert_eq!(bench.leftovers(), [""; 0], "{mode}");
    }
}

#[test]
fn a_driver_that_refuses_is_quoted_with_its_code_and_stage() {
    let table = [
        (
            "code cuCheckpointProcessCheckpoint 801",
            "cuda-checkpoint",
            801,
            "checkpoint",
        ),
        (
            "code cuCheckpointProcessLock 600",
            "cuda-checkpoint",
            600,
            "lock",
        ),
        (
            "code cuCheckpointProcessGetState 304",
            "cuda-checkpoint",
            304,
            "get-state",
        ),
        (
            "code cuMemAllocManaged 801",
            "managed-memory",
            801,
            "cuMemAllocManaged",
        ),
        (
            "code cuIpcOpenMemHandle_v2 801",
            "cuda-ipc",
            801,
            "open in another process",
        ),
        ("code cuMemHostAlloc 2", "pinned-memory", 2, "register"),
        ("code cuMemHostAlloc 2", "bandwidth", 2, "pin"),
        ("code cuMemCreate 801", "vmm", 801, "map"),
        (
            "devices 2\ncode cuCtxEnablePeerAccess 217",
            "peer-access",
            217,
            "cuCtxEnablePeerAccess",
        ),
    ];
    for (mode, name, code, stage) in table {
        let Some(bench) = Bench::new(Age::Current, mode) else {
            return;
        };
        let rows = bench.rows(&["gpu", name], "20");
        let row = row(&rows, name);
        assert_eq!(row["verdict"], "refused", "{mode}: {row}");
        assert_eq!(
            (&row["code"], &row["stage"]),
            (&code.into(), &stage.into()),
            "{mode}: {row}"
        );
    }
}

#[test]
fn after_a_refused_checkpoint_the_process_is_let_go() {
    let Some(bench) = Bench::new(Age::Current, "code cuCheckpointProcessCheckpoint 801") else {
        return;
    };
    let rows = bench.rows(&["cuda-checkpoint"], "20");
    let told = words(row(&rows, "cuda-checkpoint"));
    assert!(
        told.contains("the process runs on, its memory is whole"),
        "{told}"
    );
}

#[test]
fn a_driver_that_hangs_or_dies_costs_its_row_and_no_more() {
    let table = [
        (
            "hang cuCheckpointProcessCheckpoint",
            "cuda-checkpoint",
            "hung in checkpoint",
        ),
        (
            "crash cuCheckpointProcessRestore",
            "cuda-checkpoint",
            "crashed in restore: signal 11",
        ),
        ("hang cuMemHostAlloc", "pinned-memory", "hung in search"),
        (
            "crash cuMemcpyDtoHAsync_v2",
            "bandwidth",
            "crashed in pinned: signal 11",
        ),
        (
            "hang cuIpcOpenMemHandle_v2",
            "cuda-ipc",
            "hung in cuIpcOpenMemHandle",
        ),
        (
            "crash cuIpcOpenMemHandle_v2",
            "cuda-ipc",
            "without an answer, in cuIpcOpenMemHandle",
        ),
    ];
    for (mode, name, summary) in table {
        let Some(bench) = Bench::new(Age::Current, mode) else {
            return;
        };
        let began = Instant::now();
        let rows = bench.rows(&["gpu", name, "vmm"], "4");
        assert!(began.elapsed() < Duration::from_secs(25), "{mode}");
        assert_eq!(row(&rows, name)["verdict"], "failed", "{mode}");
        let told = words(row(&rows, name));
        assert!(told.contains(summary), "{mode}: {told}");
        assert_eq!(
            row(&rows, "vmm")["verdict"],
            "works",
            "{mode}: the others go on"
        );
        assert_eq!(bench.leftovers(), [""; 0], "{mode}");
    }
}

#[test]
fn a_driver_that_does_not_start_is_asked_once() {
    for (mode, verdict, words) in [
        ("hang cuInit", "failed", "hung in cuInit"),
        ("crash cuInit", "failed", "crashed in cuInit"),
        ("code cuInit 999", "failed", "999 UNKNOWN"),
        ("code cuInit 803", "refused", "803 SYSTEM_DRIVER_MISMATCH"),
        ("devices 0", "not-testable", "100 NO_DEVICE"),
        ("code cuInit 34", "not-testable", "34 STUB_LIBRARY"),
    ] {
        let Some(bench) = Bench::new(Age::Current, mode) else {
            return;
        };
        let began = Instant::now();
        let rows = bench.rows(&["vmm", "gpu", "bandwidth", "cuda-ipc"], "2");
        assert!(began.elapsed() < Duration::from_secs(8), "{mode}");
        assert_eq!(row(&rows, "gpu")["verdict"], verdict, "{mode}");
        for name in ["gpu", "vmm", "bandwidth", "cuda-ipc"] {
            let summary = row(&rows, name)["summary"].to_string();
            assert!(summary.contains(words), "{mode}: {name}: {summary}");
        }
        assert_eq!(row(&rows, "vmm")["verdict"], "not-testable", "{mode}");
    }
}

#[test]
fn an_old_driver_is_called_old_and_not_broken() {
    let Some(bench) = Bench::new(Age::Old, "") else {
        return;
    };
    let rows = bench.rows(&["gpu", "cuda-checkpoint", "managed-memory"], "20");
    let row_of = |name| row(&rows, name);
    assert_eq!(row_of("cuda-checkpoint")["verdict"], "not-testable");
    assert!(words(row_of("cuda-checkpoint")).contains("too old"));
    assert_eq!(row_of("managed-memory")["verdict"], "works");
}

#[test]
fn one_gpu_has_no_peer() {
    let Some(bench) = Bench::new(Age::Current, "") else {
        return;
    };
    for row in bench.rows(&["peer-access", "nvlink"], "20") {
        assert_eq!(row["verdict"], "not-testable");
        assert!(words(&row).contains("one GPU"));
    }
}

/// The real CRIU, where there is one that may be used.
#[test]
fn criu_takes_the_process_away_and_brings_it_back() {
    let Some(bench) = Bench::new(Age::Current, "") else {
        return;
    };
    let rows = bench.rows(&["cuda-checkpoint-criu"], "60");
    let row = row(&rows, "cuda-checkpoint-criu");
    if row["verdict"] == "not-testable" {
        eprintln!("SKIPPED: CRIU in between: {}", row["summary"]);
        return;
    }
    assert_eq!(row["verdict"], "works", "{row}");
    assert!(figure(row, "criu restore") > 0.0);
    // A device that stays open is what CRIU cannot take away; the process has to survive the attempt.
    let bench = Bench::new(Age::Current, "device /dev/loop-control").expect("as before");
    let rows = bench.rows(&["cuda-checkpoint-criu"], "60");
    let told = words(&rows[0]);
    assert_eq!(
        (&rows[0]["verdict"], &rows[0]["stage"]),
        (&"failed".into(), &"criu dump".into()),
        "{told}"
    );
    assert!(
        told.contains("the process runs on, its memory is whole"),
        "{told}"
    );
}

#[test]
fn a_dry_run_starts_nothing() {
    let Some(bench) = Bench::new(Age::Current, "crash cuInit") else {
        return;
    };
    let output = bench.wslk(&["--dry-run", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(answer["schema"], "wslk/dry-run/1");
    assert_eq!(
        answer["steps"][0]["what"].as_array().map(Vec::len),
        Some(15)
    );
}

/// NVIDIA's utility, played by a script on the fake driver's state.
const UTILITY: &str = r#"#!/bin/sh
state() { cat "$DIR/state-$1" 2>/dev/null || echo 0; }
move() { [ "$(state "$1")" = "$2" ] || { echo "cannot" >&2; exit 1; }; printf %s "$3" > "$DIR/state-$1"; }
case "$1 $2" in
    "--help ") echo "--get-state --action" ;;
    "--get-state --pid") case "$(state "$3")" in 0) echo running ;; 1) echo locked ;; 2) echo checkpointed ;; esac ;;
    "--action lock") [ "$5 $6" = "--timeout 10000" ] && move "$4" 0 1 ;;
    "--action checkpoint") move "$4" 1 2 ;;
    "--action restore") move "$4" 2 1 ;;
    "--action unlock") move "$4" 1 0 ;;
    *) exit 2 ;;
esac
"#;

#[test]
fn nvidias_utility_is_tried_if_it_is_there() {
    let Some(bench) = Bench::new(Age::Current, "") else {
        return;
    };
    let name = "cuda-checkpoint-binary";
    if std::process::Command::new("cuda-checkpoint")
        .arg("--help")
        .output()
        .is_err()
    {
        let rows = bench.rows(&[name], "20");
        assert_eq!(row(&rows, name)["verdict"], "not-testable");
    }
    let script = UTILITY.replace("$DIR", &bench.driver().to_string_lossy());
    bench.program("cuda-checkpoint", &script);
    let rows = bench.rows(&[name], "20");
    assert_eq!(row(&rows, name)["verdict"], "works", "{}", row(&rows, name));
    bench.program(
        "cuda-checkpoint",
        &script.replace("move \"$4\" 1 2", "exit 1"),
    );
    let rows = bench.rows(&[name], "20");
    assert_eq!(row(&rows, name)["verdict"], "failed");
    assert!(words(row(&rows, name)).contains("--action checkpoint"));
}

#[test]
fn the_report_is_a_page_and_a_document() {
    let Some(bench) = Bench::new(Age::Current, "code cuMemAllocManaged 801\n") else {
        return;
    };
    let output = bench.wslk(&[
        "--deadline",
        "20",
        "--only",
        "gpu",
        "--only",
        "bandwidth",
        "--only",
        "managed-memory",
        "--report",
        "out/report.html",
    ]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("refused (801)"), "{said}");
    let out = bench.folder.path().join("out");
    let json = fs::read(out.join("report.json")).expect("written");
    let json: Value = serde_json::from_slice(&json).expect("a document");
    assert_eq!(json["schema"], "wslk/probe/1");
    let html = fs::read_to_string(out.join("report.html")).expect("written");
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let page = roxmltree::Document::parse_with_options(&html, options).expect("well-formed");
    let name = ("http://www.w3.org/2000/svg", "svg");
    assert_eq!(
        page.descendants()
            .filter(|node| node.has_tag_name(name))
            .count(),
        2
    );
    assert!(
        html.contains("Fake GPU 0 &#60;no &#38; device&#62;"),
        "escaped"
    );
    assert!(html.contains("refused (801)"));
}

#[test]
fn windows_is_asked_from_inside_wsl() {
    let Some(bench) = Bench::new(Age::Current, "") else {
        return;
    };
    let registry = r#"#!/bin/sh
case "$2" in
    *ProductOptions) printf '    ProductType    REG_SZ    WinNT\r\n' ;;
    *) printf '    ProductName    REG_SZ    Windows 11 Pro\r\n    EditionID    REG_SZ    Professional\r\n'
       printf '    CurrentBuild    REG_SZ    26100\r\n' ;;
esac
"#;
    let shell = r#"#!/bin/sh
case "$(cat)" in
    *Get-VMHostAssignableDevice*) printf '{"there":false,"devices":[]}\r\n' ;;
    *Get-VMHostPartitionableGpu*) printf '{"there":true,"devices":["a GPUPARAV"]}\r\n' ;;
esac
"#;
    bench.program("reg.exe", registry);
    bench.program("powershell.exe", shell);
    let args = ["--json", "--only", "dda", "--only", "gpu-p"];
    let output = bench
        .command(&args)
        .env("WSL_DISTRO_NAME", "Debian")
        .output();
    let answer: Value = serde_json::from_slice(&output.expect("runs").stdout).expect("a document");
    assert_eq!(answer["machine"]["wsl"], 2);
    let rows = answer["rows"].as_array().expect("rows");
    for (name, summary) in [
        ("dda", "does not have the command"),
        ("gpu-p", "Windows 11 Pro is not a host"),
    ] {
        let row = row(rows, name);
        assert_eq!(row["verdict"], "refused", "{row}");
        assert!(words(row).contains(summary), "{row}");
    }
}

/// The parts of torch and vLLM that the trial uses; `BROKEN` loses what was put to sleep.
const TORCH: &str = "
import types
int64 = 'int64'
class Tensor(list):
    def __eq__(self, other):
        return types.SimpleNamespace(all=lambda: list(self) == list(other))
def arange(count, device, dtype):
    return Tensor(range(8))
class cuda:
    free = 100
    is_available = staticmethod(lambda: True)
    mem_get_info = staticmethod(lambda: (cuda.free, 200))
";
const ALLOCATOR: &str = "
import contextlib, torch
class CuMemAllocator:
    get_instance = classmethod(lambda cls: cls())
    @contextlib.contextmanager
    def use_memory_pool(self, tag):
        yield
    def sleep(self, offload_tags):
        torch.cuda.free += 32
    def wake_up(self):
        torch.cuda.free -= 32
        if BROKEN:
            torch.arange = lambda *a, **k: torch.Tensor([0])
";
const PLATFORM: &str = "
class current_platform:
    device_name = 'cuda'
    is_pin_memory_available = staticmethod(lambda: False)
";

#[test]
fn vllms_own_allocator_is_put_to_sleep_and_woken() {
    let Some(bench) = Bench::new(Age::Current, "") else {
        return;
    };
    if std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: there is no Python");
        return;
    }
    let site = bench.folder.path().join("site");
    for broken in ["True", "False"] {
        for (path, text) in [
            ("torch.py", TORCH),
            ("vllm/__init__.py", ""),
            ("vllm/platforms/__init__.py", PLATFORM),
            ("vllm/platforms/interface.py", "in_wsl = lambda: True\n"),
            ("vllm/device_allocator/__init__.py", ""),
            (
                "vllm/device_allocator/cumem.py",
                &ALLOCATOR.replace("BROKEN", broken),
            ),
            (
                "vllm-9.8.7.dist-info/METADATA",
                "Metadata-Version: 2.1\nName: vllm\nVersion: 9.8.7\n",
            ),
        ] {
            let path = site.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        // What was compiled from the other text may be as old as this one.
        let _none_yet = fs::remove_dir_all(site.join("vllm/device_allocator/__pycache__"));
        let mut command = bench.command(&["--json", "--only", "vllm"]);
        let output = command.env("PYTHONPATH", &site).output().expect("runs");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("a document");
        let row = &answer["rows"][0];
        let verdict = if broken == "True" { "failed" } else { "works" };
        assert_eq!(row["verdict"], verdict, "{row}");
        for told in [
            "vLLM 9.8.7",
            "takes this for WSL: True",
            "pins memory: False",
            "#47292",
        ] {
            assert!(words(row).contains(told), "{told}: {row}");
        }
        assert!((figure(row, "device memory freed by sleep") - 32.0).abs() < 0.1);
    }
}

/// In a real browser, where there is one: at the widths of a desk and of a phone nothing is cut off or runs out of
/// the page.
#[test]
fn a_browser_shows_all_of_the_page() {
    let Some(bench) = Bench::new(Age::Current, "code cuMemAllocManaged 801\n") else {
        return;
    };
    if std::process::Command::new("chromium")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: there is no chromium to show the page with");
        return;
    }
    let args = [
        "--deadline",
        "20",
        "--report",
        "report.html",
        "--only",
        "gpu",
        "--only",
        "bandwidth",
    ];
    assert!(bench.wslk(&args).status.success());
    let page = fs::read_to_string(bench.folder.path().join("report.html")).expect("written");
    // Only this copy of the page has a script, which tells its frame what the browser has measured.
    let script = "<script>parent.postMessage(`${document.documentElement.scrollWidth} of ${innerWidth}`, '*')</script></body>";
    let measured = page.replace("</body>", script);
    assert_ne!(measured, page);
    fs::write(bench.folder.path().join("measured.html"), measured).expect("written");
    for width in [1280, 390] {
        // A browser's own window has a least width, a frame has none.
        let frame = bench.folder.path().join("frame.html");
        let text = format!(
            "<script>onmessage = told => document.title = told.data</script>\
             <iframe src='measured.html' style='border: 0' width='{width}' height='900'></iframe>"
        );
        fs::write(&frame, text).expect("written");
        let mut browser = Command::new("chromium");
        browser
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            .args(["--dump-dom", "--virtual-time-budget=3000"])
            .arg(format!(
                "--user-data-dir={}",
                bench.folder.path().join("browser").display()
            ))
            .arg(format!("file://{}", frame.display()))
            .timeout(Duration::from_secs(60));
        let shown = String::from_utf8(browser.output().expect("runs").stdout).expect("text");
        assert!(
            shown.contains(&format!("<title>{width} of {width}</title>")),
            "{shown}"
        );
    }
}
