//! `rollback.cmd`: from a running Windows, whatever state the files are in.

use std::fs;

use crate::machine::{Check, Machine};
use crate::prefix::{Wine, wine};
use crate::windows::{Ways, Windows, name};

/// The file with our kernel in it.
pub const NEW: &[u8] = b"# mine\r\n[wsl2]\r\nmemory=4GB\r\nkernel=C:\\\\wslk\\\\b2\\\\bzImage\r\n";
/// The file with the kernel before it.
pub const GOOD: &[u8] = b"# mine\r\n[wsl2]\r\nmemory=4GB\r\nkernel=C:\\\\wslk\\\\b1\\\\bzImage\r\n";
/// The file without any.
pub const STOCK: &[u8] = b"# mine\r\n[wsl2]\r\nmemory=4GB\r\n";
/// What the user made of [`NEW`]: of the same length but for one digit, so that only the bytes tell.
pub const EDITED: &[u8] =
    b"# mine\r\n[wsl2]\r\nmemory=8GB\r\nkernel=C:\\\\wslk\\\\b2\\\\bzImage\r\n";
/// What `rollback.cmd` puts above a file that it did not write.
pub const HEAD: &[u8] = b"# Kernel switched off by rollback.cmd of wslk. \"wslk status\" tells more.\r\n[wsl2]\r\nkernel=\r\nkernelModules=\r\n";

/// The way of a user's second kernel.
pub fn ways() -> Ways {
    let some = |bytes: &[u8]| Some(Some(bytes.to_vec()));
    Ways {
        new: some(NEW),
        blessed: None,
        good: some(GOOD),
        stock: some(STOCK),
    }
}

/// The way of a user's first kernel.
fn first_ways() -> Ways {
    Ways {
        good: Some(Some(STOCK.to_vec())),
        ..ways()
    }
}

pub fn idle() -> Machine {
    Machine::new(Vec::new(), Check::Ends(0, ""))
}

fn installed<'w>(wine: &'w Wine, user: &str, ways: &Ways, config: Option<&[u8]>) -> Windows<'w> {
    let windows = Windows::new(wine, user, idle());
    windows.put_ways(ways);
    windows.configure(config);
    windows
}

/// Runs it, and says what is configured then: it must always end well, shut WSL down, and leave no litter.
fn roll_back(windows: &Windows, words: &[&str]) -> (Option<Vec<u8>>, String) {
    let before = windows.machine().asked("--shutdown");
    let words: Vec<&str> = ["rollback.cmd"].iter().chain(words).copied().collect();
    let ran = windows.run(&words);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    assert_eq!(
        windows.machine().asked("--shutdown"),
        before + 1,
        "{}",
        ran.text
    );
    assert_eq!(windows.litter(), Vec::<String>::new(), "{}", ran.text);
    (windows.config(), ran.text)
}

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("no file".to_owned(), |bytes| {
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[track_caller]
fn expect(
    windows: &Windows,
    words: &[&str],
    bytes: Option<&[u8]>,
    verdict: Option<&str>,
) -> String {
    let (config, said) = roll_back(windows, words);
    assert_eq!(text(config), text(bytes.map(<[u8]>::to_vec)), "{said}");
    if let Some(to) = verdict {
        assert_eq!(
            windows.verdict("verdict").as_deref(),
            Some("rolled-back"),
            "{said}"
        );
        assert_eq!(windows.verdict("to").as_deref(), Some(to), "{said}");
        assert_eq!(windows.verdict("number").as_deref(), Some("0007"), "{said}");
    }
    said
}

#[test]
fn a_double_click_goes_one_step_back_and_then_to_stock() {
    let Some(wine) = wine("one step back") else {
        return;
    };
    let windows = installed(&wine, "me", &ways(), Some(NEW));
    expect(&windows, &[], Some(GOOD), Some("previous"));
    expect(&windows, &[], Some(STOCK), Some("stock"));
    let said = expect(&windows, &[], Some(STOCK), Some("stock"));
    assert!(said.contains("Nothing to do"), "{said}");
}

#[test]
fn the_first_kernel_goes_back_to_the_user_s_own_file() {
    let Some(wine) = wine("first kernel") else {
        return;
    };
    let windows = installed(&wine, "me", &first_ways(), Some(NEW));
    expect(&windows, &[], Some(STOCK), Some("stock"));
    let said = expect(&windows, &[], Some(STOCK), Some("stock"));
    assert!(said.contains("Nothing to do"), "{said}");
    expect(&windows, &["previous"], Some(NEW), Some("current"));
    expect(&windows, &["stock"], Some(STOCK), Some("stock"));
}

#[test]
fn previous_returns_but_not_to_what_failed() {
    let Some(wine) = wine("previous") else { return };
    let windows = installed(&wine, "me", &ways(), Some(NEW));
    expect(&windows, &["previous"], Some(GOOD), Some("previous"));
    expect(&windows, &["previous"], Some(NEW), Some("current"));
    expect(&windows, &["previous"], Some(GOOD), Some("previous"));
    expect(&windows, &["stock"], Some(STOCK), Some("stock"));
    expect(&windows, &["previous"], Some(GOOD), Some("previous"));
    fs::write(
        windows.path("state/verdict.txt"),
        "number=0007\r\nverdict=reverted\r\n",
    )
    .unwrap();
    let said = expect(&windows, &["previous"], Some(GOOD), None);
    assert!(said.contains("failed its trial"), "{said}");
}

#[test]
fn without_a_file_before_there_is_none_after() {
    let Some(wine) = wine("no file before") else {
        return;
    };
    let none = Ways {
        good: Some(None),
        stock: Some(None),
        ..ways()
    };
    let windows = installed(&wine, "me", &none, Some(NEW));
    expect(&windows, &[], None, Some("stock"));
    expect(&windows, &[], None, None);
    expect(&windows, &["previous"], Some(NEW), Some("current"));
    expect(&windows, &["stock"], None, Some("stock"));
    let empty = Ways {
        good: Some(Some(Vec::new())),
        stock: Some(Some(Vec::new())),
        ..ways()
    };
    let windows = installed(&wine, "me", &empty, Some(NEW));
    expect(&windows, &["stock"], Some(b""), Some("stock"));
}

#[test]
fn any_user_name_and_any_directory() {
    let Some(wine) = wine("user names") else {
        return;
    };
    let users = [
        "John R Doe",
        "R&D",
        "100% sure",
        "wow! me!",
        "a ^b (c)",
        "J\u{fc}rgen \u{3a9}",
        "it's; x, y=z",
    ];
    for user in users {
        let windows = installed(&wine, user, &ways(), Some(NEW));
        let said = expect(&windows, &[], Some(GOOD), Some("previous"));
        assert_eq!(said.matches("Syntax error").count(), 0, "{user}: {said}");
    }
    // From elsewhere; `cmd.exe` gets the whole path, between quotes if it has a space.
    for user in ["me", "John Doe"] {
        let windows = installed(&wine, user, &ways(), Some(NEW));
        let script = name(&windows.path("rollback.cmd"));
        let ran = windows.run_in(std::path::Path::new("/"), &[&script, "stock"]);
        assert_eq!(ran.code, Some(0), "{}", ran.text);
        assert_eq!(
            text(windows.config()),
            text(Some(STOCK.to_vec())),
            "{}",
            ran.text
        );
    }
}

/// The user's edits stay below four lines that switch the kernel off, or are kept in a file that is named.
#[test]
fn the_user_s_edits_survive() {
    let Some(wine) = wine("edits") else { return };
    let marked = [b"\xef\xbb\xbf", EDITED].concat();
    let wide: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(EDITED.iter().map(|byte| u16::from(*byte)))
        .flat_map(u16::to_le_bytes)
        .collect();
    let headed = [HEAD, EDITED].concat();
    let table: [(&[&str], &[u8], &[u8]); 5] = [
        (&["stock"], EDITED, &headed),
        (&["stock"], &marked, STOCK),
        (&["stock"], &wide, STOCK),
        (&[], EDITED, GOOD),
        (&["previous"], &wide, GOOD),
    ];
    for (words, edited, after) in table {
        let windows = installed(&wine, "me", &ways(), Some(edited));
        let said = expect(&windows, words, Some(after), None);
        assert_eq!(windows.saved(), [edited.to_vec()], "{said}");
        assert!(said.contains(r"backups\0007-edited-1.wslconfig"), "{said}");
        assert_eq!(
            windows.verdict("saved").as_deref(),
            Some(r"backups\0007-edited-1.wslconfig")
        );
    }
    // Once more: the head is not put above itself, and no kernel is no reason to touch anything.
    for bytes in [headed, b"[wsl2]\r\nmemory=9GB\r\n".to_vec()] {
        let windows = installed(&wine, "me", &ways(), Some(&bytes));
        let said = expect(&windows, &["stock"], Some(&bytes), None);
        assert!(said.contains("Nothing to do"), "{said}");
    }
}

#[test]
fn whatever_is_missing_or_damaged_it_ends_at_stock() {
    let Some(wine) = wine("damage") else { return };
    let headed = [HEAD, NEW].concat();
    let garbage: [&[u8]; 4] = [
        b"",
        b"\0\0\0\0\0\0",
        b"\0\xff%\"number=&|<>^%\"\nnew=\"&echo OWNED&\"\r\nwslconfig=\n=\n\")\"(\n",
        b"number=12ab\r\nnew=C:\\x\\\"y\"&.wslconfig\r\ngood=..\r\nstock=*.wslconfig\r\nwslconfig=Q:\\no\\.wslconfig\r\n",
    ];
    for bytes in garbage {
        let windows = installed(&wine, "me", &ways(), Some(NEW));
        fs::write(windows.path("state/undo.txt"), bytes).unwrap();
        fs::write(windows.path("journal"), bytes).unwrap();
        let said = expect(&windows, &[], Some(&headed), None);
        assert!(!said.contains("OWNED"), "{said}");
    }
    let removals = ["state/undo.txt", "state", "candidates"];
    for removed in removals {
        let windows = installed(&wine, "me", &ways(), Some(NEW));
        let path = windows.path(removed);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let said = expect(&windows, &[], Some(&headed), None);
        assert_eq!(windows.saved(), [NEW.to_vec()], "{said}");
        // Twice in a row.
        expect(&windows, &[], Some(&headed), None);
    }
    // Not even the encoding is known: the file goes, and is kept.
    let marked = [b"\xef\xbb\xbf", NEW].concat();
    let windows = installed(&wine, "me", &ways(), Some(&marked));
    fs::remove_dir_all(windows.path("state")).unwrap();
    expect(&windows, &[], None, None);
    assert_eq!(windows.saved(), [marked]);
}

/// The user's file is judged by itself, not by a copy that could not be made.
#[test]
fn a_folder_that_takes_nothing_does_not_hide_the_kernel() {
    let Some(wine) = wine("nothing can be written") else {
        return;
    };
    let headed = [HEAD, EDITED].concat();
    let table: [(&[&str], &[u8], &[u8]); 3] = [
        (&["stock"], NEW, STOCK),
        (&["stock"], EDITED, &headed),
        (&[], NEW, GOOD),
    ];
    for (words, before, after) in table {
        let windows = installed(&wine, "me", &ways(), Some(before));
        if !windows.freeze("state", true) {
            windows.freeze("state", false);
            eprintln!("SKIPPED: this disk has no files that nobody can change");
            return;
        }
        let (config, said) = roll_back(&windows, words);
        windows.freeze("state", false);
        assert_eq!(text(config), text(Some(after.to_vec())), "{said}");
        assert!(!said.contains("Nothing to do"), "{said}");
    }
}

/// What a power cut left empty, or cut off, is no way back.
#[test]
fn a_way_of_another_size_is_not_followed() {
    let Some(wine) = wine("damaged ways") else {
        return;
    };
    let headed = [HEAD, NEW].concat();
    let table: [(&[&str], &[&str], &[u8]); 4] = [
        (&["stock"], &["stock"], &headed),
        (&["good"], &[], STOCK),
        (&["good", "stock"], &[], &headed),
        (&["new", "good", "stock"], &["previous"], &headed),
    ];
    for (damaged, words, after) in table {
        for bytes in [&b""[..], b"[wsl2]\r\n"] {
            let windows = installed(&wine, "me", &ways(), Some(NEW));
            for way in damaged {
                let file = windows.path(&format!("candidates/0007-{way}.wslconfig"));
                fs::write(file, bytes).unwrap();
            }
            expect(&windows, words, Some(after), None);
        }
    }
}
