//! The editor of `.wslconfig` against a second reading of WSL's grammar ([`oracle`]), on files that
//! [`generate`] makes up. `WSLK_WSLCONFIG_CASES` says how many; without it a few thousand.

#![expect(clippy::expect_used, reason = "a test may panic")]

mod generate;
mod oracle;
mod requirements;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wslk::process::env_var;
use wslk::wsl::wslconfig::{Change, DEBUG_CONSOLE_LOG, Facts, KERNEL, KERNEL_MODULES, WslConfig};

use generate::Coding;
use oracle::{AfterBadHeader, Line, Meaning, lines, value};

const BOTH_READINGS: [AfterBadHeader; 2] = [
    AfterBadHeader::PreviousSection,
    AfterBadHeader::PreviousLength,
];

/// What an installation wants: `None` outside leaves a key alone, inside takes it away.
#[derive(Debug, Clone)]
struct Wanted {
    kernel: Option<(Option<String>, Option<String>)>,
    console: Option<Option<String>>,
}

impl Wanted {
    fn changes(&self) -> Vec<Change<'_>> {
        let kernel = self.kernel.iter().flat_map(|(kernel, modules)| {
            [
                (KERNEL, kernel.as_deref()),
                (KERNEL_MODULES, modules.as_deref()),
            ]
        });
        let console = self
            .console
            .iter()
            .map(|file| (DEBUG_CONSOLE_LOG, file.as_deref()));
        kernel.chain(console).collect()
    }

    fn is_changed(&self, key: &str) -> bool {
        self.changes()
            .iter()
            .any(|(changed, _)| full(changed) == key)
    }
}

fn full(key: &impl ToString) -> String {
    key.to_string().to_lowercase()
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let kernel = prop_oneof![
        4 => (generate::path(), generate::path()).prop_map(|(k, m)| (Some(k), Some(m))),
        1 => generate::path().prop_map(|k| (Some(k), None)),
        2 => Just((None, None)),
    ];
    let console = prop::option::of(prop::option::of(generate::path()));
    (prop::option::weighted(0.9, kernel), console)
        .prop_map(|(kernel, console)| Wanted { kernel, console })
}

fn cases() -> u32 {
    let number = |count: std::ffi::OsString| count.to_str()?.parse().ok();
    env_var("WSLK_WSLCONFIG_CASES").map_or(3000, |count| number(count).expect("a number"))
}

#[test]
fn an_edit_does_what_it_should_and_nothing_else() {
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let input = (generate::text(), generate::coding(), wanted());
    if let Err(found) = runner.run(&input, |(text, coding, wanted)| {
        judge(&text, coding, &wanted)
    }) {
        panic!("{found}");
    }
}

fn judge(text: &str, coding: Coding, wanted: &Wanted) -> Result<(), TestCaseError> {
    let bytes = coding.encode(text);
    let config = WslConfig::read(bytes.clone()).expect("text");
    agrees_with_oracle(&config, text)?;
    corrections_are_read(&config)?;
    let edited = config
        .edit(&wanted.changes())
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let undone = edited.undo(&edited.config).expect("its own edit");
    prop_assert_eq!(undone.config.bytes(), &bytes, "undoing is not exact");
    let after = coding.decode(edited.config.bytes());
    let before = BOTH_READINGS.map(|reading| lines(text, reading));
    let after = BOTH_READINGS.map(|reading| lines(&after, reading));
    for (after, reading) in after.iter().zip(BOTH_READINGS) {
        for (key, expected) in wanted.changes() {
            let found = value(after, &full(&key));
            prop_assert_eq!(found.as_deref(), expected, "{:?}", reading);
        }
    }
    for (before, after) in others(&before, wanted).iter().zip(others(&after, wanted)) {
        survive(before, &after)?;
    }
    comments_survive(&before[0], &after[0])?;
    undo_after_the_user(&config, &edited, text, coding)
}

/// The lines that are none of the changed keys', however the file is read.
fn others(readings: &[Vec<Line>; 2], wanted: &Wanted) -> [Vec<Line>; 2] {
    let is_changed = |line: &Line| match &line.meaning {
        Meaning::Set(key, _) => wanted.is_changed(key),
        _ => false,
    };
    let [first, second] = readings;
    let pairs = first.iter().zip(second);
    let (first, second) = pairs
        .filter(|(first, second)| !is_changed(first) && !is_changed(second))
        .map(|(first, second)| (first.clone(), second.clone()))
        .unzip();
    [first, second]
}

/// A corrected line is one that WSL reads.
fn corrections_are_read(config: &WslConfig) -> Result<(), TestCaseError> {
    for finding in config.findings(&Facts::unknown()) {
        prop_assert!(config.text().get(finding.at.clone()).is_some());
        if let Some(line) = &finding.corrected {
            let lines = lines(line, AfterBadHeader::PreviousSection);
            let is_read = lines.iter().all(|line| line.meaning != Meaning::Dropped);
            prop_assert!(is_read, "{} becomes {:?}", finding, line);
        }
    }
    Ok(())
}

/// What the tested code reads is what the oracle reads, for every key of the file.
fn agrees_with_oracle(config: &WslConfig, text: &str) -> Result<(), TestCaseError> {
    let lines = lines(text, AfterBadHeader::PreviousLength);
    let keys = lines.iter().filter_map(|line| match &line.meaning {
        Meaning::Set(key, _) => key.split_once('.').map(|split| (key, split)),
        _ => None,
    });
    for (key, (section, name)) in keys {
        if section != "\0" {
            prop_assert_eq!(config.value(section, name), value(&lines, key), "{}", key);
        }
    }
    for key in [KERNEL, KERNEL_MODULES] {
        prop_assert_eq!(
            config.value(key.section, key.name),
            value(&lines, &full(&key))
        );
    }
    Ok(())
}

/// All lines from before are there, in their order, as they were. Only the last one may have got a line end.
fn survive(before: &[Line], after: &[Line]) -> Result<(), TestCaseError> {
    let mut rest = after.iter();
    for (at, line) in before.iter().enumerate() {
        let is_last = at + 1 == before.len();
        let same = |found: &Line| {
            found.meaning == line.meaning
                && (found.text == line.text
                    || (is_last
                        && ["\n", "\r\n"]
                            .iter()
                            .any(|end| format!("{}{end}", line.text) == found.text)))
        };
        prop_assert!(rest.any(same), "{:?} is gone from {:?}", line, after);
    }
    Ok(())
}

fn comments_survive(before: &[Line], after: &[Line]) -> Result<(), TestCaseError> {
    let comments = |lines: &[Line]| -> Vec<String> {
        lines
            .iter()
            .filter_map(|line| line.comment.as_deref())
            .map(|comment| comment.trim_end_matches('\r').to_owned())
            .collect()
    };
    prop_assert_eq!(comments(before), comments(after));
    Ok(())
}

/// The user has added a line since: it stays, and the old values come back.
fn undo_after_the_user(
    config: &WslConfig,
    edited: &wslk::wsl::wslconfig::Edited,
    text: &str,
    coding: Coding,
) -> Result<(), TestCaseError> {
    let now = format!("# the user's own\n{}", coding.decode(edited.config.bytes()));
    let now = WslConfig::read(coding.encode(&now)).expect("text");
    let undone = edited
        .undo(&now)
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert!(!undone.exact && undone.left.is_empty());
    prop_assert_eq!(undone.config.kernel(), config.kernel());
    let back = coding.decode(undone.config.bytes());
    prop_assert!(back.starts_with("# the user's own\n"));
    let lines = (
        lines(text, AfterBadHeader::PreviousLength),
        lines(&back, AfterBadHeader::PreviousLength),
    );
    for key in [KERNEL, KERNEL_MODULES, DEBUG_CONSOLE_LOG] {
        prop_assert_eq!(value(&lines.0, &full(&key)), value(&lines.1, &full(&key)));
    }
    Ok(())
}
