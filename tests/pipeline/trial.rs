//! The trial with real kernels: `trial.cmd` under wine, and a WSL whose virtual machine is QEMU.
//!
//! What `.wslconfig` names on the Windows side is what boots; the check that the script then asks for is what two
//! scenarios of CRIU found in that very guest. Without wine it says that it was skipped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use wslk::boot::{self, BootOptions, BootReport, GuestTools, Stand, Subject};
use wslk::exec::Duct;
use wslk::process::Interrupt;
use wslk::report::Reporter;
use wslk::wsl::wslconfig::{DEBUG_CONSOLE_LOG, WslConfig};

use crate::bench::{Bench, Kernel as Published};
use crate::machine::{Check, Hypervisor, Kernel, Machine, STOCK, TIMEOUT};
use crate::prefix::wine;
use crate::windows::Windows;

/// One kernel that does not boot, one that passes, one that boots and cannot dump a socket.
pub fn real_kernels_are_tried(story: &Path, good: &Path, unfit: &Path) {
    let Some(wine) = wine("trial of real kernels") else {
        return;
    };
    let windows = Windows::new(&wine, "me", Machine::new(Vec::new(), Check::Hangs));
    let bench = bench_beside(&windows);
    let broken = bench.publish(&broken(good));
    let unfit = bench.publish(&published("unfit", unfit));
    let good = bench.publish(&published("good", good));
    let lab = Lab {
        folder: bench.w(""),
        tools: tools(story),
        out: bench.path("lab"),
    };
    windows.machine().hypervisor = Some(Hypervisor(Box::new(move |bytes| lab.boot(bytes))));
    let table = [
        (&broken, Some("HCS_E_CONNECTION_TIMEOUT"), "stock"),
        (&good, None, good.as_str()),
        (&unfit, Some("the check failed: unix"), good.as_str()),
    ];
    for (build, fails, configured) in table {
        bench.ends(&["install", build, "--restart", "--yes"], 0);
        let said = run_trial(&windows, &bench, i32::from(fails.is_some()));
        let (status, _) = bench.ends(&["status"], 0);
        assert_eq!(status["configured"], configured, "{status}\n{said}");
        let generations = status["generations"].as_array().unwrap();
        let row = generations.iter().find(|row| row["build"] == **build);
        let row = row.unwrap();
        let reason = row["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(fails.unwrap_or_default()), "{row}");
        // A kernel that cannot unpack itself says nothing.
        if reason.contains("the check failed") {
            let console = fs::read_to_string(bench.w("console").join(console_of(row))).unwrap();
            assert!(console.contains("Linux version"), "{console}");
        }
        eprintln!("trial of {build}: {} {reason}", row["state"]);
    }
}

fn console_of(row: &Value) -> &str {
    let path = row["console"].as_str().unwrap();
    path.rsplit('\\').next().unwrap()
}

/// The profile as wslk sees it.
fn bench_beside(windows: &Windows) -> Bench {
    let users = windows.path("../../../..").canonicalize().unwrap();
    // By another name than Users, for wine to see the drive as we do.
    let profiles = users.with_file_name("profiles");
    symlink(&users, &profiles).unwrap();
    let bench = Bench::at(&profiles.join("me"));
    bench.write_config("[wsl2]\r\nmemory=8GB\r\n");
    bench
}

fn run_trial(windows: &Windows, bench: &Bench, code: i32) -> String {
    let trial = bench.w("state/trial.txt");
    let text = fs::read_to_string(&trial).unwrap();
    let number = text.lines().find_map(|line| line.strip_prefix("number="));
    let number = number.unwrap().to_owned();
    // The IF of wine takes "/i" anywhere in its line for an option, so also in a path like /x/install/wslk; and the
    // ticks of the tests are shorter than seconds.
    let check = text
        .lines()
        .find(|line| line.starts_with("check="))
        .unwrap();
    let text = text.replace(check, "check=/usr/bin/wslk trial-check");
    fs::write(&trial, text.replace("deadline=120", "deadline=3000")).unwrap();
    let ran = windows.run(&["trial.cmd", &number]);
    assert_eq!(ran.code, Some(code), "{}", ran.text);
    ran.text
}

/// A real kernel and its modules under a configuration that `install` accepts: it refuses, and should, a kernel
/// as small as those of the tests, which knows no Hyper-V.
fn published(name: &'static str, folder: &Path) -> Published {
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    Published {
        release: manifest["release"].as_str().unwrap().to_owned(),
        image: fs::read(folder.join("bzImage")).unwrap(),
        modules: fs::read(folder.join("modules.vhd")).ok(),
        ..Published::new(name)
    }
}

/// The same with a hole in its compressed part.
fn broken(folder: &Path) -> Published {
    let mut kernel = Published {
        name: "broken",
        ..published("broken", folder)
    };
    let middle = kernel.image.len() / 2;
    kernel.image[middle..middle + 65536].fill(0);
    kernel
}

/// CRIU and its libraries, as the boot test of the story exported them.
fn tools(story: &Path) -> GuestTools {
    let mut waiting = vec![story.join("cache")];
    while let Some(folder) = waiting.pop() {
        let tar = folder.join("tools.tar");
        if tar.is_file() {
            return GuestTools {
                origin: "the builder image".to_owned(),
                tar,
            };
        }
        let entries = fs::read_dir(&folder).unwrap().map(Result::unwrap);
        waiting.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    panic!("the boot test keeps the guest's tools in the cache");
}

/// What CRIU found, in the words of the check.
fn failed(report: &BootReport) -> String {
    let scenarios = report.smoke.iter().flat_map(|smoke| &smoke.scenarios);
    let reasons = scenarios.filter_map(|found| {
        let reason = found.reason.as_deref()?;
        Some(format!("{}: {reason}", found.name))
    });
    reasons.collect::<Vec<_>>().join("; ")
}

/// Boots what `.wslconfig` names.
struct Lab {
    /// Our folder on the Windows side.
    folder: PathBuf,
    tools: GuestTools,
    out: PathBuf,
}

impl Lab {
    fn boot(&self, wslconfig: &[u8]) -> (Kernel, Check) {
        let config = WslConfig::read(wslconfig.to_vec()).unwrap();
        let passes = Check::Ends(0, "");
        let Some(kernel) = config.kernel().kernel else {
            return (Kernel::Boots(STOCK), passes);
        };
        // An empty configuration has nothing to compare the guest's own with; its release is judged by the script.
        fs::create_dir_all(&self.out).unwrap();
        fs::write(self.out.join("config"), "").unwrap();
        let subject = Subject {
            kernel: self.linux(&kernel),
            config: self.out.join("config"),
            modules: config.kernel().modules.map(|path| self.linux(&path)),
            release: String::new(),
        };
        let report = self.test(&subject);
        if let Some(log) = config.value(DEBUG_CONSOLE_LOG.section, DEBUG_CONSOLE_LOG.name) {
            fs::copy(self.out.join("console.log"), self.linux(&log)).unwrap();
        }
        let Some(release) = report.kernel_release.clone() else {
            return (Kernel::Dies(TIMEOUT), Check::Hangs);
        };
        let check = match report.smoke.as_ref().map(wslk::smoke::SmokeReport::verdict) {
            Some(wslk::smoke::Verdict::Works) => passes,
            _ => Check::Ends(9, failed(&report).leak()),
        };
        (Kernel::Boots(release.leak()), check)
    }

    fn test(&self, subject: &Subject) -> BootReport {
        let options = BootOptions {
            scenarios: vec!["memory".to_owned(), "unix".to_owned()],
            cycles: 1,
            silence: Duration::from_secs(40),
            ..BootOptions::default()
        };
        let stand = Stand {
            program: env!("CARGO_BIN_EXE_wslk").into(),
            tools: &self.tools,
            out: self.out.clone(),
            runner: &Duct::new(Interrupt::default()),
            reporter: &Reporter::silent(),
        };
        boot::test(subject, &options, &stand).unwrap()
    }

    /// A file of our folder by its Windows name.
    fn linux(&self, name: &str) -> PathBuf {
        let (_, below) = name.split_once(r"\AppData\Local\wslk\").unwrap();
        self.folder.join(below.replace('\\', "/"))
    }
}
