//! The screen: all checks in groups, what to do next, and the conclusion.
//!
//! In: a [`Diagnosis`]. Out: text of at most [`WIDTH`] columns. Must not judge.

use super::{Check, Diagnosis, Status};

/// Columns of the screen.
const WIDTH: usize = 100;
/// Where the summaries begin.
const INDENT: usize = 26;
/// The groups and the check that each begins with.
const GROUPS: [(&str, &str); 5] = [
    ("system", "where this is"),
    ("kernel", "the running kernel"),
    ("criu", "CRIU in this shell"),
    ("engine", "building a kernel here"),
    ("docker-desktop", "beside it"),
];

impl Diagnosis {
    /// The same for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut heading = None;
        for check in &self.checks {
            let group = GROUPS.iter().find(|(first, _)| *first == check.id);
            heading = group.map(|(_, title)| *title).or(heading);
            if check.status == Status::NotApplicable {
                continue;
            }
            if let Some(title) = heading.take() {
                let space = if text.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{space}{title}\n"));
            }
            text.push_str(&line(check));
        }
        text.push_str(&self.aside());
        text.push('\n');
        text.push_str(&wrapped(&self.conclusion, 0));
        text.push_str(&self.tally());
        text
    }

    /// The questions that make no sense here, in one line.
    fn aside(&self) -> String {
        let aside: Vec<&str> = self.with(Status::NotApplicable);
        match aside.is_empty() {
            true => String::new(),
            false => format!(
                "\n{}",
                wrapped(&format!("not asked here: {}", aside.join(", ")), 0)
            ),
        }
    }

    fn tally(&self) -> String {
        let counts = [
            (Status::Fail, "failed"),
            (Status::Warn, "to look at"),
            (Status::Unknown, "unknown"),
        ];
        let told = counts.into_iter().filter_map(|(status, word)| {
            let ids = self.with(status);
            (!ids.is_empty()).then(|| format!("{} {word} ({})", ids.len(), ids.join(", ")))
        });
        let told: Vec<String> = told.collect();
        match told.is_empty() {
            true => "Everything is as it should be.\n".to_owned(),
            false => wrapped(&told.join(", "), 0),
        }
    }

    fn with(&self, status: Status) -> Vec<&'static str> {
        let alike = self.checks.iter().filter(|check| check.status == status);
        alike.map(|check| check.id).collect()
    }
}

fn line(check: &Check) -> String {
    let said = match check.evidence.is_empty() {
        true => check.summary.clone(),
        false => format!("{} [{}]", check.summary, check.evidence),
    };
    let head = format!("  {:<8} {:<15}", check.status.word(), check.id);
    let mut text = format!("{head}{}", &wrapped(&said, INDENT)[INDENT..]);
    if let Some(hint) = check.hint.as_ref().filter(|_| check.status != Status::Ok) {
        text.push_str(&wrapped(&format!("next: {hint}"), INDENT));
    }
    text
}

/// Words in lines that begin at a column; a word longer than a line stays whole.
fn wrapped(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{margin}{word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_below_their_beginning() {
        let check = Check::warn("disk", "word ".repeat(30)).seen("x").next("go");
        let text = line(&check);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  warn     disk           word word"));
        assert!(lines[1].starts_with(&format!("{}word", " ".repeat(INDENT))));
        assert_eq!(
            lines.last(),
            Some(&format!("{}next: go", " ".repeat(INDENT)).as_str())
        );
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
    }
}
