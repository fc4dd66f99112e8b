//! `trial.cmd`: a kernel is tried while no Linux runs, and stays or goes.

use std::fs;
use std::time::Duration;

use crate::machine::{
    CRASHED, Check, DENIED, Kernel, Machine, NOT_CONNECTED, NOT_FOUND, PANIC,
    STOCK as STOCK_RELEASE, TIMEOUT,
};
use crate::prefix::{Wine, wine};
use crate::rollback::{EDITED, GOOD, STOCK, ways};
use crate::windows::{NUMBER, RELEASE, Ways, Windows, name};

/// What a trial writes: as blessed, and the console as a file.
pub const TRIED: &[u8] = b"# mine\r\n[wsl2]\r\nmemory=4GB\r\nkernel=C:\\\\wslk\\\\b2\\\\bzImage\r\ndebugConsoleLogFile=C:\\\\wslk\\\\console\\\\0007.log\r\n";
/// What stays.
pub const BLESSED: &[u8] =
    b"# mine\r\n[wsl2]\r\nmemory=4GB\r\nkernel=C:\\\\wslk\\\\b2\\\\bzImage\r\n";

/// In seconds that tests make as short as one ping: a program's start and answer take wine a dozen of them.
const DEADLINE: u32 = 60;
const PASSES: Check = Check::Ends(0, "");
const BOOTS: Kernel = Kernel::Boots(RELEASE);
const GOOD_BOOTS: Kernel = Kernel::Boots("6.6.36.3-wslk");

pub fn trial_ways() -> Ways {
    Ways {
        new: Some(Some(TRIED.to_vec())),
        blessed: Some(Some(BLESSED.to_vec())),
        ..ways()
    }
}

/// A trial that waits.
pub fn waiting<'w>(
    wine: &'w Wine,
    user: &str,
    new: Kernel,
    good: Kernel,
    check: Check,
) -> Windows<'w> {
    let kernels = vec![
        (Some(TRIED.to_vec()), new),
        (Some(BLESSED.to_vec()), new),
        (Some(EDITED.to_vec()), new),
        (Some(GOOD.to_vec()), good),
    ];
    let windows = Windows::new(wine, user, Machine::new(kernels, check));
    windows.put_ways(&trial_ways());
    windows.put_trial(DEADLINE, "/home/me/bin/wslk trial-check 0007");
    windows.configure(Some(TRIED));
    windows
}

/// Runs the trial; afterwards nothing of it may be left, RunOnce included.
fn try_it(windows: &Windows, code: i32) -> String {
    let ran = windows.run(&["trial.cmd", NUMBER]);
    assert_eq!(ran.code, Some(code), "{}", ran.text);
    assert!(!windows.path("state/trial.txt").exists(), "{}", ran.text);
    assert_eq!(windows.litter(), Vec::<String>::new(), "{}", ran.text);
    assert!(!windows.log_on(), "{}", ran.text);
    assert_eq!(
        windows.verdict("number").as_deref(),
        Some(NUMBER),
        "{}",
        ran.text
    );
    ran.text
}

#[test]
fn a_kernel_that_starts_and_passes_stays() {
    let Some(wine) = wine("bless") else { return };
    let windows = waiting(&wine, "John R&D (me)!", BOOTS, GOOD_BOOTS, PASSES);
    fs::write(
        windows.path(&format!("console/{NUMBER}.log")),
        "[    0.0] Linux\n",
    )
    .unwrap();
    let said = try_it(&windows, 0);
    assert_eq!(
        windows.verdict("verdict").as_deref(),
        Some("blessed"),
        "{said}"
    );
    assert_eq!(windows.verdict("to").as_deref(), Some("current"));
    assert!(
        windows
            .verdict("console")
            .is_some_and(|path| path.ends_with(r"\console\0007.log"))
    );
    assert_eq!(windows.config().as_deref(), Some(BLESSED), "{said}");
    let log = windows.machine().log.clone();
    let expected = [
        "wsl --shutdown",
        r#"wsl -d "De bian-12" -e uname -r"#,
        r#"wsl -d "De bian-12" -u root -- /home/me/bin/wslk trial-check 0007"#,
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_kernel_that_fails_goes_whatever_way_it_fails() {
    let Some(wine) = wine("revert") else { return };
    let table = [
        (Kernel::Hangs, PASSES, "no answer within 60 s"),
        (Kernel::Dies(TIMEOUT), PASSES, "HCS_E_CONNECTION_TIMEOUT"),
        (Kernel::Dies(NOT_FOUND), PASSES, "wsl ended with -1"),
        (Kernel::Dies(CRASHED), PASSES, "WSL_E_VM_CRASHED"),
        (Kernel::Dies(DENIED), PASSES, "E_ACCESSDENIED"),
        (
            Kernel::Dies(NOT_CONNECTED),
            PASSES,
            "Fehlercode: Wsl/Service/CreateInstance/CreateVm/WSAENOTCONN",
        ),
        (
            Kernel::DiesInUtf16(NOT_FOUND),
            PASSES,
            "all its words are in console\\0007.wsl.txt",
        ),
        (
            Kernel::Boots(STOCK_RELEASE),
            PASSES,
            "another kernel runs: 6.6.114.1-microsoft-standard-WSL2",
        ),
        (
            Kernel::Boots("6.6.87.2-wslk+"),
            PASSES,
            "another kernel runs: 6.6.87.2-wslk+",
        ),
        (Kernel::Babbles, PASSES, ""),
        (
            BOOTS,
            Check::Ends(9, "modprobe tun: not found\n"),
            "the check failed: modprobe tun: not found",
        ),
        (Kernel::DiesLater(CRASHED), PASSES, "WSL_E_VM_CRASHED"),
    ];
    for (kernel, check, reason) in table {
        let windows = waiting(&wine, "me", kernel, GOOD_BOOTS, check);
        let said = try_it(&windows, 1);
        let why = windows.verdict("reason").unwrap_or_default();
        assert!(why.contains(reason), "{kernel:?}: {why}\n{said}");
        assert_eq!(
            windows.verdict("verdict").as_deref(),
            Some("reverted"),
            "{said}"
        );
        assert_eq!(windows.verdict("to").as_deref(), Some("previous"), "{said}");
        assert_eq!(windows.config().as_deref(), Some(GOOD), "{said}");
        assert_eq!(windows.machine().asked("--shutdown"), 2, "{said}");
    }
}

#[test]
fn all_that_wsl_said_is_kept() {
    let Some(wine) = wine("words") else { return };
    let windows = waiting(
        &wine,
        "me",
        Kernel::DiesInUtf16(NOT_FOUND),
        GOOD_BOOTS,
        PASSES,
    );
    try_it(&windows, 1);
    let kept = fs::read(windows.path("console/0007.wsl.txt")).unwrap();
    let units: Vec<u16> = kept
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert_eq!(String::from_utf16_lossy(&units), NOT_FOUND);
}

#[test]
fn the_report_of_a_panic_is_kept_and_an_older_one_is_not() {
    let Some(wine) = wine("panic") else { return };
    for panics in [true, false] {
        let windows = waiting(&wine, "me", Kernel::Dies(CRASHED), GOOD_BOOTS, PASSES);
        let temp = windows.path("../Temp");
        let reports = temp.join("wsl-crashes");
        fs::create_dir_all(&reports).unwrap();
        fs::write(reports.join("kernel-panic-1-a.txt"), "long ago").unwrap();
        let report = reports.join("kernel-panic-2-b.txt");
        windows.machine().panic = panics.then_some(report);
        // wine's own variable is not to be had from outside.
        let temp = name(&temp.canonicalize().unwrap());
        windows.put_scripts(|_, bytes| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace("%TEMP%", &temp).into_bytes()
        });
        let said = try_it(&windows, 1);
        let kept = windows.text("console/0007.panic.txt");
        assert_eq!(kept.as_deref(), panics.then_some(PANIC), "{said}");
        let named = windows.verdict("panic").unwrap_or_default();
        assert_eq!(named.ends_with("0007.panic.txt"), panics, "{named}\n{said}");
    }
}

#[test]
fn where_the_good_kernel_fails_too_stock_comes() {
    let Some(wine) = wine("stock") else { return };
    for good in [Kernel::Hangs, Kernel::Dies(NOT_FOUND)] {
        let windows = waiting(&wine, "me", Kernel::Dies(TIMEOUT), good, PASSES);
        let said = try_it(&windows, 1);
        assert_eq!(windows.verdict("to").as_deref(), Some("stock"), "{said}");
        assert!(
            windows
                .verdict("reason")
                .is_some_and(|why| why.contains("TIMEOUT")),
            "{said}"
        );
        assert_eq!(windows.config().as_deref(), Some(STOCK), "{said}");
        assert_eq!(windows.machine().asked("--shutdown"), 3, "{said}");
    }
    // A first kernel, and no file before it.
    let windows = waiting(&wine, "me", Kernel::Hangs, GOOD_BOOTS, PASSES);
    windows.put_ways(&Ways {
        good: Some(None),
        stock: Some(None),
        ..trial_ways()
    });
    windows.put_trial(DEADLINE, "");
    try_it(&windows, 1);
    assert_eq!(
        (windows.config(), windows.verdict("to").as_deref()),
        (None, Some("stock"))
    );
}

#[test]
fn a_check_that_cannot_be_run_is_no_failure() {
    let Some(wine) = wine("check") else { return };
    for check in [
        Check::Ends(127, "sh: wslk: not found\n"),
        Check::Ends(7, ""),
    ] {
        let windows = waiting(&wine, "me", BOOTS, GOOD_BOOTS, check);
        let said = try_it(&windows, 0);
        assert_eq!(
            windows.verdict("verdict").as_deref(),
            Some("blessed"),
            "{said}"
        );
        let why = windows.verdict("reason").unwrap_or_default();
        let Check::Ends(code, _) = check else {
            continue;
        };
        assert_eq!(
            why,
            format!("the check could not be run: it ended with {code}")
        );
    }
    let windows = waiting(&wine, "me", BOOTS, GOOD_BOOTS, Check::Hangs);
    windows.put_trial(DEADLINE, "");
    try_it(&windows, 0);
    assert_eq!(windows.machine().asked("-u root"), 0);
}

#[test]
fn what_the_user_edited_meanwhile_is_kept() {
    let Some(wine) = wine("edited in a trial") else {
        return;
    };
    let windows = waiting(&wine, "me", Kernel::Dies(TIMEOUT), GOOD_BOOTS, PASSES);
    windows.configure(Some(EDITED));
    let said = try_it(&windows, 1);
    assert_eq!(windows.config().as_deref(), Some(GOOD), "{said}");
    assert_eq!(windows.saved(), [EDITED.to_vec()]);
    assert_eq!(
        windows.verdict("saved").as_deref(),
        Some(r"backups\0007-edited-1.wslconfig")
    );
    // And where it is kept, its console line stays too: that is not ours to edit here.
    let windows = waiting(&wine, "me", BOOTS, GOOD_BOOTS, PASSES);
    windows.configure(Some(EDITED));
    try_it(&windows, 0);
    assert_eq!(windows.config().as_deref(), Some(EDITED));
}

#[test]
fn after_a_power_cut_the_next_logon_goes_back() {
    let Some(wine) = wine("power cut") else {
        return;
    };
    for user in ["me", "John R&D (me)!", "100% ^x"] {
        let windows = waiting(&wine, user, Kernel::Hangs, GOOD_BOOTS, PASSES);
        windows.put_trial(1000, "");
        // Long enough to be in the midst of waiting.
        assert!(windows.run_cut_short(&["trial.cmd", NUMBER], Duration::from_secs(12)));
        assert_eq!(windows.config().as_deref(), Some(TRIED));
        assert!(
            windows
                .text("state/trial.txt")
                .is_some_and(|text| text.contains("phase=running"))
        );
        if user.contains('%') {
            // wine drops it out of the command line.
            windows.run(&["rollback.cmd", "interrupted"]);
        } else {
            assert!(windows.log_on(), "{user}");
        }
        assert_eq!(windows.config().as_deref(), Some(GOOD), "{user}");
        assert_eq!(windows.verdict("verdict").as_deref(), Some("reverted"));
        let why = windows.verdict("reason");
        assert_eq!(why.as_deref(), Some("Windows stopped during the trial"));
        assert!(!windows.path("state/trial.txt").exists());
        // Nothing more to do, and nothing is done.
        windows.run(&["rollback.cmd", "interrupted"]);
        assert_eq!(windows.config().as_deref(), Some(GOOD));
        windows.log_on();
    }
}

#[test]
fn a_trial_that_does_not_wait_is_not_begun() {
    let Some(wine) = wine("no trial") else { return };
    let windows = waiting(&wine, "me", BOOTS, GOOD_BOOTS, PASSES);
    for words in [["trial.cmd", "0008"], ["trial.cmd", ""]] {
        assert_eq!(windows.run(&words).code, Some(2));
    }
    fs::write(windows.path("state/trial.txt"), b"\0\xff\"&number=").unwrap();
    assert_eq!(windows.run(&["trial.cmd", NUMBER]).code, Some(2));
    fs::remove_file(windows.path("state/trial.txt")).unwrap();
    assert_eq!(windows.run(&["trial.cmd", NUMBER]).code, Some(2));
    assert_eq!(windows.config().as_deref(), Some(TRIED));
    assert_eq!(windows.machine().log, Vec::<String>::new());
}
