//! A journal that lost its tail: a power cut after which the disk has the files but not the last lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use wslk::install::{Hold, Layout, change};
use wslk::wsl::host::Profile;

use crate::bench::{Bench, Kernel, snapshot};
use crate::kills::assert_startable;

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn restore(bench: &Bench, saved: &Files) {
    let now = snapshot(&bench.drive());
    for path in now.keys().filter(|path| !saved.contains_key(*path)) {
        fs::remove_file(bench.drive().join(path)).unwrap();
    }
    for (path, bytes) in saved
        .iter()
        .filter(|(path, bytes)| now.get(*path) != Some(bytes))
    {
        let path = bench.drive().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn without_journal(mut files: Files) -> Files {
    files.retain(|path, _| !path.ends_with("journal"));
    files
}

/// Before and after every line end and in the middle of every line; with WSLK_SLOW_TESTS every byte.
fn cuts(journal: &[u8]) -> Vec<usize> {
    if std::env::var_os("WSLK_SLOW_TESTS").is_some() {
        return (0..journal.len()).collect();
    }
    let ends = (0..journal.len()).filter(|at| journal[*at] == b'\n');
    ends.flat_map(|end| [end - 9, end, end + 1])
        .filter(|cut| *cut < journal.len())
        .collect()
}

/// What was finished stays as it is, wherever the journal is cut.
fn cut_everywhere(name: &str, prepare: &dyn Fn(&Bench)) {
    let bench = Bench::new();
    bench.write_config("# mine\r\n[wsl2]\r\nmemory=8GB\r\n");
    bench.publish(&Kernel::new("a"));
    prepare(&bench);
    let saved = snapshot(&bench.drive());
    let journal = fs::read(bench.w("journal")).unwrap();
    let layout = Layout::choose(&Profile::at(&bench.profile()).unwrap(), None).unwrap();
    let hold = Hold::take(&layout).unwrap();
    for cut in cuts(&journal) {
        let at = format!("{name}, cut at {cut} of {}", journal.len());
        fs::write(bench.w("journal"), &journal[..cut]).unwrap();
        change::settle(&layout, &hold).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(change::settle(&layout, &hold).unwrap(), None, "{at}");
        let now = snapshot(&bench.drive());
        assert_startable(&bench, &now, &at);
        assert!(
            without_journal(now) == without_journal(saved.clone()),
            "{at}"
        );
        restore(&bench, &saved);
    }
}

#[test]
fn an_installation_whose_last_lines_are_lost_is_finished() {
    cut_everywhere("install", &|bench| {
        bench.ends(&["install"], 0);
    });
}

#[test]
fn a_rollback_whose_last_lines_are_lost_is_finished() {
    cut_everywhere("rollback", &|bench| {
        bench.ends(&["install"], 0);
        bench.ends(&["rollback"], 0);
    });
}

#[test]
fn a_second_installation_and_what_was_removed() {
    cut_everywhere("install, install, clean", &|bench| {
        bench.ends(&["install"], 0);
        let b = bench.publish(&Kernel::new("b"));
        bench.ends(&["install", &b], 0);
        bench.ends(&["clean"], 0);
    });
}

#[test]
fn what_the_user_wrote_since_is_not_replaced() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let edited = bench.config_text() + "[experimental]\r\nsparseVhd=true\r\n";
    bench.write_config(&edited);
    let text = fs::read_to_string(bench.w("journal")).unwrap();
    let switch = text.find("switch begin").unwrap();
    fs::write(bench.w("journal"), &text[..switch]).unwrap();
    let (status, talk) = bench.ends(&["status"], 0);
    assert!(talk.contains("was cut off"), "{talk}");
    assert_eq!(bench.config_text(), edited);
    assert_startable(&bench, &snapshot(&bench.drive()), "edited");
    assert_eq!(status["pending"], status["configured"]);
}
