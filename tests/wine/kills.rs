//! The scripts are killed between any two of their file operations, and at odd times.
//!
//! `.wslconfig` must then be one of the files that were meant, whole, and what comes after (the next logon, or
//! a second double-click) must end well. Without `WSLK_SLOW_TESTS=all` only some points are tried.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::machine::{Check, Kernel, TIMEOUT};
use crate::prefix::{Wine, wine};
use crate::rollback::{EDITED, GOOD, HEAD, NEW, STOCK, idle, ways};
use crate::trial::{BLESSED, TRIED, waiting};
use crate::windows::{NUMBER, RELEASE, Ways, Windows};

/// The exit code of a script that was killed on purpose.
const KILLED: i32 = 137;

/// Whether to kill at every place: an hour under wine, so `WSLK_SLOW_TESTS=1` is not enough.
fn slow() -> bool {
    std::env::var("WSLK_SLOW_TESTS").is_ok_and(|value| value == "all")
}

/// Lines that do something to a file, the registry, or another program. Between two of these nothing on
/// disk changes, so a kill before each of them is a kill between any two operations.
fn acts(line: &str) -> bool {
    let words = [
        "copy ",
        "move ",
        "del ",
        "mkdir ",
        "attrib ",
        "type nul",
        "reg ",
        "start ",
        ">state",
        ">>state",
        ">\"state",
        ">\"%scratch%",
        "%wsl%",
        "call .\\",
    ];
    let line = line.trim_start();
    !line.starts_with("rem ")
        && !line.starts_with(':')
        && words.iter().any(|word| line.contains(word))
}

/// The places of a script where it can be killed: line numbers of what is run, comments left out.
fn points(script: &str) -> Vec<usize> {
    let acting = lines_of(script)
        .into_iter()
        .enumerate()
        .filter(|(_, line)| acts(line));
    acting.map(|(number, _)| number).collect()
}

/// Without comments, which wine reads byte by byte at every jump.
fn lines_of(script: &str) -> Vec<&str> {
    let said = |line: &&str| !line.is_empty() && !line.starts_with("rem ");
    script.lines().filter(said).collect()
}

/// The script with a line of its own before some of its lines.
fn with_lines_before(script: &str, line_before: impl Fn(usize) -> Option<String>) -> Vec<u8> {
    let mut text = String::new();
    for (number, line) in lines_of(script).into_iter().enumerate() {
        let before = line_before(number).into_iter();
        text.extend(before.flat_map(|before| [before, "\r\n".to_owned()]));
        text += line;
        text += "\r\n";
    }
    text.into_bytes()
}

/// Has a script end before a line as if it had been killed there, or leaves all as they are.
fn arm(windows: &Windows, point: Option<(&str, usize)>) {
    windows.put_scripts(|name, bytes| {
        let text = String::from_utf8(bytes).unwrap();
        with_lines_before(&text, |number| {
            (point == Some((name, number))).then(|| format!("exit {KILLED}"))
        })
    });
}

/// Runs it once to the end; the places that it came through are where it can be killed.
fn places(windows: &Windows, words: &[&str]) -> Vec<(&'static str, usize)> {
    windows.put_scripts(|name, bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let points = points(&text);
        with_lines_before(&text, |number| {
            points
                .contains(&number)
                .then(|| format!(">>state\\passed.txt echo {name} {number}"))
        })
    });
    let ran = windows.run(words);
    assert!(ran.code.is_some_and(|code| code < 2), "{}", ran.text);
    let passed = windows.text("state/passed.txt").unwrap_or_default();
    let place = |line: &str| {
        let (name, number) = line.trim().split_once(' ')?;
        let name = ["rollback.cmd", "trial.cmd"]
            .into_iter()
            .find(|known| *known == name)?;
        Some((name, number.parse().ok()?))
    };
    let found: BTreeSet<(&str, usize)> = passed.lines().filter_map(place).collect();
    found.into_iter().collect()
}

/// A use of `rollback.cmd`: what it is told, what is configured, the ways, what should be configured then.
struct Use<'u>(&'u [&'u str], &'u [u8], &'u Ways, Option<&'u [u8]>);

/// All of them, or every so many.
fn sample<T>(places: Vec<T>, every: usize) -> impl Iterator<Item = T> {
    places.into_iter().step_by(if slow() { 1 } else { every })
}

fn whole(windows: &Windows, meant: &[&[u8]], none_too: bool, when: &str) {
    let config = windows.config();
    let good = config
        .as_deref()
        .map_or(none_too, |bytes| meant.contains(&bytes));
    assert!(
        good,
        "{when}: {:?}",
        config.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    );
}

impl Use<'_> {
    fn words(&self) -> Vec<&str> {
        ["rollback.cmd"].iter().chain(self.0).copied().collect()
    }

    fn windows<'w>(&self, wine: &'w Wine) -> Windows<'w> {
        let windows = Windows::new(wine, "me", idle());
        windows.put_ways(self.2);
        windows.configure(Some(self.1));
        windows
    }
}

/// Kills `rollback.cmd` at a place, looks, and runs it again undisturbed.
fn roll_back_killed(wine: &Wine, place: (&str, usize), story: &Use<'_>) {
    let Use(_, before, _, after) = *story;
    let (windows, words) = (story.windows(wine), story.words());
    arm(&windows, Some(place));
    windows.run(&words);
    windows.cut_power();
    let when = format!("{words:?} at {place:?}");
    let meant: Vec<&[u8]> = [Some(before), after].into_iter().flatten().collect();
    whole(&windows, &meant, after.is_none(), &when);
    arm(&windows, None);
    // A second "previous" returns: then ask for nothing but the rest of the work.
    let returns = words.contains(&"previous") && windows.config().as_deref() == after;
    let again = if returns {
        vec!["rollback.cmd", "interrupted"]
    } else {
        words
    };
    let second = windows.run(&again);
    assert_eq!(second.code, Some(0), "{when}: {}", second.text);
    assert_eq!(
        windows.config().as_deref(),
        after,
        "{when}: {}",
        second.text
    );
    let litter = windows.litter();
    assert_eq!(litter, Vec::<String>::new(), "{when}: {}", second.text);
}

#[test]
fn rollback_killed_anywhere() {
    let Some(wine) = wine("rollback killed") else {
        return;
    };
    let headed = [HEAD, EDITED].concat();
    let first = Ways {
        good: Some(Some(STOCK.to_vec())),
        ..ways()
    };
    let none = Ways {
        good: Some(None),
        stock: Some(None),
        ..ways()
    };
    let ways = ways();
    let stories = [
        Use(&[], NEW, &first, Some(STOCK)),
        Use(&["stock"], NEW, &ways, Some(STOCK)),
        Use(&["stock"], EDITED, &ways, Some(&headed)),
        Use(&["stock"], NEW, &none, None),
        Use(&["previous"], STOCK, &first, Some(NEW)),
    ];
    let mut killed = 0;
    for story in stories.iter().take(if slow() { 5 } else { 3 }) {
        for place in sample(places(&story.windows(&wine), &story.words()), 7) {
            killed += 1;
            roll_back_killed(&wine, place, story);
        }
    }
    eprintln!(
        "rollback.cmd: killed {killed} times; .wslconfig was whole, and came back, every time"
    );
    assert!(killed > 5, "{killed}");
}

/// Kills a trial at a place of one of the scripts, logs on again, and looks.
fn trial_killed(wine: &Wine, place: (&str, usize), new: Kernel, good: Kernel) {
    let windows = waiting(wine, "me", new, good, Check::Ends(0, ""));
    arm(&windows, Some(place));
    // Where the background part is what dies, the rest waits for its deadline.
    let ran = windows.run(&["trial.cmd", NUMBER]);
    windows.cut_power();
    let when = format!("{place:?}, {new:?}");
    whole(&windows, &[TRIED, BLESSED, GOOD, STOCK], false, &when);
    arm(&windows, None);
    let logged = windows.log_on();
    let ran = format!(
        "logged on: {logged}, exit code {:?}: {}",
        ran.code, ran.text
    );
    settled(&windows, &format!("{when}, {ran}"));
}

/// After the next logon: not begun, or a verdict and the file that it names.
fn settled(windows: &Windows, when: &str) {
    let config = windows.config().unwrap_or_default();
    let Some(verdict) = windows.verdict("verdict") else {
        let trial = windows.text("state/trial.txt").unwrap_or_default();
        assert!(trial.contains("phase=pending"), "{when}: {trial}");
        assert_eq!(config, TRIED, "{when}");
        return;
    };
    let to = windows.verdict("to").unwrap_or_default();
    let meant: &[&[u8]] = match (verdict.as_str(), to.as_str()) {
        ("blessed", "current") => &[BLESSED],
        ("reverted", "previous") => &[GOOD],
        ("reverted", "stock") => &[STOCK],
        _ => &[],
    };
    assert!(
        meant.contains(&config.as_slice()),
        "{when}: {verdict} to {to}: {}",
        String::from_utf8_lossy(&config)
    );
    assert!(
        !windows.path("state/trial.txt").exists(),
        "{when}: {verdict}"
    );
}

#[test]
fn trial_killed_anywhere() {
    let Some(wine) = wine("trial killed") else {
        return;
    };
    let boots = Kernel::Boots(RELEASE);
    let stories = [
        (boots, boots),
        (Kernel::Dies(TIMEOUT), Kernel::Dies(TIMEOUT)),
        (Kernel::Dies(TIMEOUT), Kernel::Boots("6.6.36.3-wslk")),
    ];
    let mut killed = 0;
    for (new, good) in stories {
        let windows = waiting(&wine, "me", new, good, Check::Ends(0, ""));
        for place in sample(places(&windows, &["trial.cmd", NUMBER]), 16) {
            killed += 1;
            eprintln!("{killed}: trial killed at {place:?}");
            trial_killed(&wine, place, new, good);
        }
    }
    eprintln!("trial.cmd: killed {killed} times; every one ended in a verdict and its file");
    assert!(killed > 5, "{killed}");
}

/// Within the operations too: whenever the power goes.
#[test]
fn the_power_goes_at_odd_times() {
    let Some(wine) = wine("power") else { return };
    let (count, step) = if slow() { (60, 97) } else { (4, 900) };
    let mut cut = 0;
    for turn in 0..count {
        let after = Duration::from_millis(400 + turn * step);
        let windows = waiting(
            &wine,
            "me",
            Kernel::Dies(TIMEOUT),
            Kernel::Boots("6.6.36.3-wslk"),
            Check::Ends(0, ""),
        );
        arm(&windows, None);
        let was_cut = windows.run_cut_short(&["trial.cmd", NUMBER], after);
        cut += u32::from(was_cut);
        let when = format!("cut after {after:?}");
        whole(&windows, &[TRIED, GOOD, STOCK], false, &when);
        windows.log_on();
        settled(&windows, &when);
    }
    eprintln!(
        "trial.cmd: the power went {cut} times in {count}; .wslconfig was whole, and came back, every time"
    );
}
