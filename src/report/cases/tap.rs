//! TAP 14: the Test Anything Protocol, one line per case.
//!
//! In: [`Cases`]. Out: a TAP stream, <https://testanything.org/tap-version-14-specification.html>. Diagnostics are
//! YAML; texts in it are written as JSON, which every YAML reader takes.

use std::fmt::Write as _;

use super::{Case, Cases, Outcome};

pub(super) fn write(run: &Cases) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", run.cases.len());
    for (name, value) in &run.properties {
        let _infallible = writeln!(text, "# {name}: {}", one_line(value));
    }
    for (at, case) in run.cases.iter().enumerate() {
        text.push_str(&point(at + 1, case));
    }
    text
}

fn point(number: usize, case: &Case) -> String {
    let name = escaped(&case.name);
    match &case.outcome {
        Outcome::Passed => format!("ok {number} - {name}\n{}", diagnostics(case, None, &[])),
        Outcome::Failed { why, details } => {
            let diagnostics = diagnostics(case, Some(why), details);
            format!("not ok {number} - {name}\n{diagnostics}")
        }
        Outcome::Skipped { why } => {
            format!("ok {number} - {name} # SKIP {}\n", escaped(why))
        }
    }
}

fn diagnostics(case: &Case, why: Option<&str>, details: &[String]) -> String {
    let mut text = "  ---\n".to_owned();
    if let Some(why) = why {
        let _infallible = writeln!(text, "  message: {}\n  severity: fail", quoted(why));
    }
    let _infallible = writeln!(text, "  duration_ms: {:.0}", case.seconds * 1000.0);
    if !details.is_empty() {
        text.push_str("  details:\n");
    }
    for line in details {
        let _infallible = writeln!(text, "    - {}", quoted(line));
    }
    text + "  ...\n"
}

/// A description ends at ` #` unless that is escaped, and at the end of its line.
fn escaped(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(char::is_control)
        .filter(|part| !part.is_empty())
        .collect();
    words.join(" ").trim().to_owned()
}

fn quoted(text: &str) -> String {
    // A text always has a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::nasty;

    #[test]
    fn each_kind_of_outcome_has_its_line() {
        let expected = r#"TAP version 14
1..3
# kernel: 6.6 "a" & <b>
ok 1 - works
  ---
  duration_ms: 1250
  ...
not ok 2 - fails \# 1
  ---
  message: "lost <\"x\"> & 'y' ]]> \u001b[0m"
  severity: fail
  duration_ms: 1250
  details:
    - "a: \"b\" \u0000"
    - "..."
  ...
ok 3 - skipped \\ # SKIP no CRIU \# here
"#;
        assert_eq!(nasty().tap(), expected);
    }
}
