//! The way back that needs no Linux: two scripts that lie beside the kernels on the Windows side.
//!
//! Out: the files to write into our folder there. `rollback.cmd` puts `.wslconfig` back, by a double-click if
//! need be; `trial.cmd` tries a new kernel while WSL is down and takes it back if it fails. Both read
//! `state\*.txt` and copy the bytes of `candidates\`, which [`layout`](super::layout) names, and trust nothing
//! that is missing or damaged. Must not write anything itself: `install` does, under its journal.
//!
//! The scripts run in `cmd.exe` as Windows 10 and 11 have it, and use nothing else that may be missing.
//! `tests/wine` runs them.

const ROLLBACK: &str = include_str!("rescue/rollback.cmd");
const TRIAL: &str = include_str!("rescue/trial.cmd");

/// Names in our folder on the Windows side, and the bytes that belong there.
pub fn files() -> [(&'static str, Vec<u8>); 2] {
    [
        ("rollback.cmd", for_cmd(ROLLBACK)),
        ("trial.cmd", for_cmd(TRIAL)),
    ]
}

/// With the line ends of Windows: `cmd.exe` loses its place at labels in a file that has bare line feeds.
fn for_cmd(script: &str) -> Vec<u8> {
    let lines = script.lines().flat_map(|line| [line, "\r\n"]);
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts() -> impl Iterator<Item = (&'static str, String)> {
        files().into_iter().map(|(name, bytes)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (name, text)
        })
    }

    /// The code page is whatever the user's Windows has, until the script itself changes it.
    #[test]
    fn scripts_are_ascii_with_the_line_ends_of_windows() {
        for (name, text) in scripts() {
            assert!(text.is_ascii(), "{name}");
            assert_eq!(
                text.matches('\n').count(),
                text.matches("\r\n").count(),
                "{name}"
            );
            assert!(text.ends_with("\r\n") && !text.contains("\r\r"), "{name}");
        }
    }

    /// With it, `!` in a path would vanish.
    #[test]
    fn delayed_expansion_stays_off() {
        for (name, text) in scripts() {
            assert!(
                text.contains("setlocal enableextensions disabledelayedexpansion"),
                "{name}"
            );
            assert!(!text.to_lowercase().contains("enabledelayed"), "{name}");
        }
    }

    /// A jump to a label that is not there ends the script at once, half-way through.
    #[test]
    fn every_jump_has_its_label() {
        for (name, text) in scripts() {
            let labels: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix(':'))
                .collect();
            let words: Vec<&str> = text.split_whitespace().collect();
            for pair in words.windows(2) {
                let target = match pair {
                    ["goto", label] => *label,
                    ["call" | "(call", label] if label.starts_with(':') => &label[1..],
                    _ => continue,
                };
                let target = target.trim_end_matches(')');
                let known = labels.iter().filter(|label| **label == target).count();
                assert_eq!(known, 1, "{name}: {target}");
            }
        }
    }
}
