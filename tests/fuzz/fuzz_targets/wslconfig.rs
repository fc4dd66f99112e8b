//! Any bytes as `.wslconfig`: what can be read can be edited, the edit does what it says by a second
//! reading of the grammar, and undoing it gives the same bytes back.
//!
//!     tests/fuzz/run 600
//!
//! The first byte chooses the edit, the others are the file.

#![no_main]

#[path = "../../wslconfig/oracle.rs"]
mod oracle;
mod wsl;

use libfuzzer_sys::fuzz_target;

use oracle::{AfterBadHeader, lines, value};
use wsl::wslconfig::{Change, DEBUG_CONSOLE_LOG, Facts, KERNEL, KERNEL_MODULES, Report, WslConfig};

const BOTH_READINGS: [AfterBadHeader; 2] = [
    AfterBadHeader::PreviousSection,
    AfterBadHeader::PreviousLength,
];

fuzz_target!(|input: &[u8]| {
    if let Some((choice, file)) = input.split_first()
        && let Ok(config) = WslConfig::read(file.to_vec())
    {
        look(&config);
        edit(&config, &changes(*choice));
    }
});

fn changes(choice: u8) -> Vec<Change<'static>> {
    let kernel = match choice & 3 {
        0 => (None, None),
        1 => (Some(r"C:\wslk\b1\bzImage"), None),
        2 => (Some(r"D:\a #b\new"), Some(r"D:\temp\m.vhd")),
        _ => (Some(r"C:\wslk\b1\bzImage"), Some(r"C:\wslk\b1\modules.vhd")),
    };
    let mut changes = vec![(KERNEL, kernel.0), (KERNEL_MODULES, kernel.1)];
    match choice >> 2 & 3 {
        0 => changes.push((DEBUG_CONSOLE_LOG, None)),
        1 => changes.push((DEBUG_CONSOLE_LOG, Some(r"C:\log "))),
        2 => changes = vec![(DEBUG_CONSOLE_LOG, Some("\"x\""))],
        _ => {}
    }
    changes
}

fn look(config: &WslConfig) {
    let readings = lines(config.text(), AfterBadHeader::PreviousLength);
    for key in [KERNEL, KERNEL_MODULES, DEBUG_CONSOLE_LOG] {
        let expected = value(&readings, &key.to_string().to_lowercase());
        assert_eq!(config.value(key.section, key.name), expected, "{key}");
    }
    assert_eq!(config.account().len(), readings.len());
    let findings = config.findings(&Facts::unknown());
    if let Some(report) = Report::new(".wslconfig", config.text(), &findings) {
        assert!(!report.drawn().is_empty());
    }
}

fn edit(config: &WslConfig, changes: &[Change<'_>]) {
    let edited = config
        .edit(changes)
        .expect("what can be read can be edited");
    for reading in BOTH_READINGS {
        let lines = lines(edited.config.text(), reading);
        for (key, wanted) in changes {
            let found = value(&lines, &key.to_string().to_lowercase());
            assert_eq!(found.as_deref(), *wanted, "{key} {reading:?}");
        }
    }
    let undone = edited.undo(&edited.config).expect("its own edit");
    assert_eq!(undone.config.bytes(), config.bytes());
    let mut appended = edited.config.bytes().to_vec();
    appended.push(b'\n');
    if let Ok(now) = WslConfig::read(appended) {
        let _any = edited.undo(&now);
    }
}
