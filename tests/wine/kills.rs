//! The scripts are killed between any two of their file operations, and at odd times.
//!
//! `.wslconfig` must then be one of the files that were meant, whole, and what comes after (the next logon, or
//! a second double-click) must end well. Without `WSLK_SLOW_TESTS=1` only some points are tried.

use std::time::Duration;

use crate::machine::{Check, Kernel, TIMEOUT};
use crate::prefix::{Wine, wine};
use crate::rollback::{EDITED, GOOD, HEAD, NEW, STOCK, idle, ways};
use crate::trial::{BLESSED, TRIED, waiting};
use crate::windows::{NUMBER, RELEASE, Ways, Windows};

/// The exit code of a script that was killed on purpose.
const KILLED: i32 = 137;

fn slow() -> bool {
    std::env::var_os("WSLK_SLOW_TESTS").is_some()
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
        "%wsl%",
        "call .\\",
        "exit /b 0",
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

/// The script that ends before a line as if it had been killed there.
fn killed_at(script: &str, point: Option<usize>) -> Vec<u8> {
    let mut text = String::new();
    for (number, line) in lines_of(script).into_iter().enumerate() {
        if point == Some(number) {
            text += &format!("exit {KILLED}\r\n");
        }
        text += line;
        text += "\r\n";
    }
    text.into_bytes()
}

fn arm(windows: &Windows, script: &str, point: Option<usize>) {
    windows.put_scripts(|name, bytes| {
        let text = String::from_utf8(bytes).unwrap();
        killed_at(&text, point.filter(|_| name == script))
    });
}

fn script(name: &str) -> String {
    let files = wslk::install::rescue::files();
    let (_, bytes) = files.into_iter().find(|(found, _)| *found == name).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A use of `rollback.cmd`: what it is told, what is configured, the ways, what should be configured then.
struct Use<'u>(&'u [&'u str], &'u [u8], &'u Ways, Option<&'u [u8]>);

/// All points, or every so many of them.
fn sample(points: Vec<usize>, every: usize) -> Vec<usize> {
    let every = if slow() { 1 } else { every };
    points.into_iter().step_by(every).collect()
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

/// Kills `rollback.cmd` at a point, looks, and runs it again undisturbed. Whether it got that far.
fn roll_back_killed(wine: &Wine, point: usize, story: &Use<'_>) -> bool {
    let Use(words, before, ways, after) = *story;
    let windows = Windows::new(wine, "me", idle());
    windows.put_ways(ways);
    windows.configure(Some(before));
    arm(&windows, "rollback.cmd", Some(point));
    let words: Vec<&str> = ["rollback.cmd"].iter().chain(words).copied().collect();
    let ran = windows.run(&words);
    windows.cut_power();
    let when = format!("{words:?} at {point}");
    let meant: Vec<&[u8]> = [Some(before), after].into_iter().flatten().collect();
    whole(&windows, &meant, after.is_none(), &when);
    arm(&windows, "rollback.cmd", None);
    // A second "previous" returns, and a second double-click goes a step further: ask for the state.
    let again = if words.contains(&"previous") && windows.config().as_deref() == after {
        vec!["rollback.cmd"]
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
    assert_eq!(
        windows.litter(),
        Vec::<String>::new(),
        "{when}: {}",
        second.text
    );
    ran.code == Some(KILLED)
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
    let stories = [
        Use(&[], NEW, &first, Some(STOCK)),
        Use(&["stock"], NEW, &ways(), Some(STOCK)),
        Use(&["stock"], EDITED, &ways(), Some(&headed)),
        Use(&["stock"], NEW, &none, None),
        Use(&["previous"], STOCK, &first, Some(NEW)),
    ];
    let (mut tried, mut killed) = (0, 0);
    for story in &stories {
        if !slow() && story.0.contains(&"previous") {
            continue;
        }
        for point in sample(points(&script("rollback.cmd")), 17) {
            tried += 1;
            killed += usize::from(roll_back_killed(&wine, point, story));
        }
    }
    eprintln!(
        "rollback.cmd: {tried} points tried, killed at {killed}; .wslconfig was whole, and came back, every time"
    );
    assert!(killed * 10 >= tried, "{killed} of {tried}");
}

/// Kills a trial at a point of one of the scripts, logs on again, and looks.
fn trial_killed(wine: &Wine, name: &str, point: usize, new: Kernel, good: Kernel) -> bool {
    let windows = waiting(wine, "me", new, good, Check::Ends(0, ""));
    arm(&windows, name, Some(point));
    // Where the background part is what dies, the rest waits for its deadline.
    let ran = windows.run(&["trial.cmd", NUMBER]);
    windows.cut_power();
    let when = format!("{name} at {point}, {new:?}");
    whole(&windows, &[TRIED, BLESSED, GOOD, STOCK], false, &when);
    arm(&windows, name, None);
    let logged = windows.log_on();
    settled(
        &windows,
        &format!(
            "{when}, logged on: {logged}, exit code {:?}: {}",
            ran.code, ran.text
        ),
    );
    ran.code == Some(KILLED)
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
        (Kernel::Dies(TIMEOUT), Kernel::Boots("6.6.36.3-wslk")),
        (Kernel::Dies(TIMEOUT), Kernel::Dies(TIMEOUT)),
    ];
    let (mut tried, mut killed) = (0, 0);
    for (new, good) in stories {
        for name in ["trial.cmd", "rollback.cmd"] {
            for point in sample(points(&script(name)), 19) {
                tried += 1;
                killed += usize::from(trial_killed(&wine, name, point, new, good));
            }
        }
    }
    eprintln!(
        "trial.cmd: {tried} points tried, killed at {killed}; every one ended in a verdict and its file"
    );
    assert!(killed * 10 >= tried, "{killed} of {tried}");
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
        arm(&windows, "", None);
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
