//! The whole story with both sides real: wslk installs, `trial.cmd` and `rollback.cmd` do their part under wine,
//! and the next wslk takes over what they decided. Only WSL itself is made up.
//!
//! Without wine, every test here says that it was skipped.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "skips must be seen")]

#[expect(dead_code, reason = "made for the tests of the installation")]
#[path = "../install/bench.rs"]
mod bench;
#[expect(dead_code, reason = "made for the tests of the scripts")]
#[path = "../wine/machine.rs"]
mod machine;
#[path = "../wine/prefix.rs"]
mod prefix;
#[expect(dead_code, reason = "made for the tests of the scripts")]
#[path = "../wine/windows.rs"]
mod windows;

use std::fs;
use std::os::unix::fs::symlink;

use bench::Bench;
use machine::{Check, Kernel, Machine, STOCK, TIMEOUT};
use prefix::{Wine, wine};
use windows::Windows;

const USERS: &str = "# mine\r\n[wsl2]\r\nmemory=8GB  \r\n";
const RELEASE: &str = "6.6.87.2-microsoft-standard-WSL2-a";
const PASSES: Check = Check::Ends(0, "");

/// A kernel that is installed and waits for its trial.
struct Story<'w> {
    windows: Windows<'w>,
    bench: Bench,
    build: String,
}

impl<'w> Story<'w> {
    fn begin(wine: &'w Wine, kernel: Kernel, check: Check) -> Self {
        let windows = Windows::new(wine, "me", Machine::new(Vec::new(), check));
        let users = windows.path("../../../..").canonicalize().unwrap();
        // By another name than Users, for wine to see the drive as we do.
        let profiles = users.with_file_name("profiles");
        symlink(&users, &profiles).unwrap();
        let bench = Bench::at(&profiles.join("me"));
        bench.write_config(USERS);
        let build = bench.publish(&bench::Kernel::new("a"));
        bench.ends(&["install", "--restart", "--yes"], 0);
        let trial = bench.w("state/trial.txt");
        let text = fs::read_to_string(&trial).unwrap();
        // The IF of wine takes "/i" anywhere in its line for an option, so also in a path like /x/install/wslk.
        let line = text
            .lines()
            .find(|line| line.starts_with("check="))
            .unwrap();
        assert!(line.contains("wslk trial-check"), "{line}");
        let text = text.replace(line, "check=/usr/bin/wslk trial-check");
        fs::write(&trial, text.replace("deadline=120", "deadline=6")).unwrap();
        let blessed = fs::read(bench.w("candidates/0001-blessed.wslconfig")).unwrap();
        let kernels = vec![(bench.config(), kernel), (Some(blessed), kernel)];
        *windows.machine() = Machine::new(kernels, check);
        Self {
            windows,
            bench,
            build,
        }
    }

    fn reverts(self, reason: &str) {
        let ran = self.windows.run(&["trial.cmd", "0001"]);
        assert_eq!(ran.code, Some(1), "{}", ran.text);
        assert_eq!(self.bench.config_text(), USERS);
        let (status, talk) = self.bench.ends(&["status"], 0);
        assert!(talk.contains("failed its trial"), "{talk}");
        let row = &status["generations"][0];
        assert_eq!(
            (&row["state"], &status["configured"]),
            (&"failed".into(), &"stock".into())
        );
        let said = row["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{said}");
        assert_eq!(status["next"], "wslk install");
        // And the same kernel can be had again by its name, and taken back once more.
        self.bench.ends(&["rollback", &self.build], 0);
        self.bench.ends(&["rollback", "stock"], 0);
        assert_eq!(self.bench.config_text(), USERS);
    }
}

#[test]
fn a_kernel_is_tried_and_stays_and_every_way_back_works() {
    let Some(wine) = wine("bless") else { return };
    let story = Story::begin(&wine, Kernel::Boots(RELEASE), PASSES);
    let (windows, bench) = (&story.windows, &story.bench);
    let ran = windows.run(&["trial.cmd", "0001"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let (status, talk) = bench.ends(&["status"], 0);
    assert!(talk.contains("passed its trial"), "{talk}");
    assert_eq!(status["generations"][0]["state"], "blessed");
    assert_eq!(status["configured"], story.build.as_str());
    // The made-up WSL runs the kernel, this process does not.
    let drift = status["drift"].as_array().unwrap();
    assert!(
        drift.len() == 1 && drift[0].as_str().unwrap().contains("wsl --shutdown"),
        "{status}"
    );
    assert!(!bench.config_text().contains("debugConsoleLogFile"));

    let ran = windows.run(&["rollback.cmd", "stock"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    assert_eq!(bench.config_text(), USERS);
    let status = bench.status();
    assert_eq!(
        (&status["configured"], &status["previous"]),
        (&"stock".into(), &story.build.clone().into())
    );
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.status()["configured"], story.build.as_str());

    // What the user writes meanwhile is kept by either side.
    let edited = bench.config_text() + "[experimental]\r\nsparseVhd=true\r\n";
    bench.write_config(&edited);
    let ran = windows.run(&["rollback.cmd", "stock"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let status = bench.status();
    assert_eq!(status["configured"], "stock");
    assert_eq!(
        bench.config_text(),
        format!("{USERS}[experimental]\r\nsparseVhd=true\r\n")
    );
}

#[test]
fn a_kernel_that_does_not_boot_is_taken_back() {
    let Some(wine) = wine("dies") else { return };
    Story::begin(&wine, Kernel::Dies(TIMEOUT), PASSES).reverts("HCS_E_CONNECTION_TIMEOUT");
}

#[test]
fn a_kernel_that_hangs_is_taken_back() {
    let Some(wine) = wine("hangs") else { return };
    Story::begin(&wine, Kernel::Hangs, PASSES).reverts("no answer within");
}

#[test]
fn a_setting_that_wsl_ignores_is_noticed() {
    let Some(wine) = wine("ignored") else { return };
    Story::begin(&wine, Kernel::Boots(STOCK), PASSES).reverts("another kernel runs");
}

#[test]
fn a_kernel_that_fails_its_check_is_taken_back() {
    let Some(wine) = wine("check") else { return };
    let check = Check::Ends(9, "error: modprobe tun fails\n");
    Story::begin(&wine, Kernel::Boots(RELEASE), check).reverts("modprobe tun fails");
}
