//! JUnit XML: the form that Jenkins, GitLab and GitHub's actions read.
//!
//! In: [`Cases`]. Out: an XML 1.0 document. Must not write a character that XML forbids, whatever a kernel's
//! console or CRIU's log held.

use std::fmt::Write as _;

use super::{Case, Cases, Outcome};

pub(super) fn write(run: &Cases) -> String {
    let count = |is: fn(&Outcome) -> bool| run.cases.iter().filter(|c| is(&c.outcome)).count();
    let numbers = format!(
        "name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\"",
        escaped(&run.name),
        run.cases.len(),
        count(|outcome| matches!(outcome, Outcome::Failed { .. })),
        count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
        run.seconds
    );
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _infallible = writeln!(text, "<testsuites {numbers}>\n  <testsuite {numbers}>");
    if !run.properties.is_empty() {
        text.push_str("    <properties>\n");
        for (name, value) in &run.properties {
            let value = escaped(value);
            let _infallible = writeln!(text, "      <property name=\"{name}\" value=\"{value}\"/>");
        }
        text.push_str("    </properties>\n");
    }
    run.cases
        .iter()
        .for_each(|case| text.push_str(&element(&run.name, case)));
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn element(run: &str, case: &Case) -> String {
    let head = format!(
        "    <testcase name=\"{}\" classname=\"wslk.{}\" time=\"{:.3}\"",
        escaped(&case.name),
        escaped(run),
        case.seconds
    );
    match &case.outcome {
        Outcome::Passed => format!("{head}/>\n"),
        Outcome::Failed { why, details } => {
            let why = escaped(why);
            let details = escaped(&details.join("\n"));
            format!(
                "{head}>\n      <failure message=\"{why}\">{details}</failure>\n    </testcase>\n"
            )
        }
        Outcome::Skipped { why } => {
            let why = escaped(why);
            format!("{head}>\n      <skipped message=\"{why}\"/>\n    </testcase>\n")
        }
    }
}

/// Text for an attribute or an element. Line ends must be spelled out in attributes, and what XML 1.0 has no
/// way to write becomes the replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::nasty;
    use proptest::prelude::*;

    #[test]
    fn a_parser_reads_back_what_was_meant() {
        let text = nasty().junit();
        let document = roxmltree::Document::parse(&text).expect("well formed");
        let suite = document
            .root_element()
            .first_element_child()
            .expect("a suite");
        for (name, value) in [("tests", "3"), ("failures", "1"), ("skipped", "1")] {
            assert_eq!(suite.attribute(name), Some(value), "{text}");
        }
        let named = |name: &str| {
            let mut nodes = suite.descendants();
            nodes.find(|node| node.has_tag_name(name)).expect("there")
        };
        let property = named("property").attribute("value");
        assert_eq!(property, Some("6.6 \"a\" & <b>\n"));
        let failure = named("failure");
        let why = failure.attribute("message");
        assert_eq!(why, Some("lost <\"x\"> & 'y' ]]> \u{fffd}[0m"));
        assert_eq!(failure.text(), Some("a: \"b\" \u{fffd}\n..."));
        assert_eq!(
            named("skipped").attribute("message"),
            Some("no\nCRIU # here")
        );
        let cases = suite
            .children()
            .filter(|node| node.has_tag_name("testcase"));
        let passed = cases.filter(|case| case.first_element_child().is_none());
        assert_eq!(passed.count(), 1);
    }

    proptest! {
        #[test]
        fn any_text_makes_a_document(text in any::<String>()) {
            let mut run = nasty();
            run.cases[0].name = text.clone();
            run.properties[0].1 = text;
            prop_assert!(roxmltree::Document::parse(&run.junit()).is_ok());
        }
    }
}
