//! Test results for other programs: JUnit XML and TAP 14.
//!
//! In: [`Cases`], whoever found them. Out: text. Must not judge: what was not tested is skipped, with its reason,
//! and never passed.

mod junit;
mod tap;

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed {
        /// One sentence.
        why: String,
        /// Further lines: a tool's own words, what to do.
        details: Vec<String>,
    },
    /// It could not be tested, or was not meant to be.
    Skipped {
        /// One sentence.
        why: String,
    },
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, unique among all.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Wall time.
    pub seconds: f64,
}

/// The cases of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    /// What was run: `smoke`, `boot`.
    pub name: String,
    /// Facts about the run, such as the kernel's release.
    pub properties: Vec<(&'static str, String)>,
    /// The cases, in order.
    pub cases: Vec<Case>,
    /// Wall time of the whole run.
    pub seconds: f64,
}

impl Cases {
    /// JUnit XML, as continuous integration reads it.
    #[must_use]
    pub fn junit(&self) -> String {
        junit::write(self)
    }

    /// TAP 14.
    #[must_use]
    pub fn tap(&self) -> String {
        tap::write(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with one case of each kind, and with text that no format may take for its own.
    pub(super) fn nasty() -> Cases {
        let case = |name: &str, outcome| Case {
            name: name.to_owned(),
            outcome,
            seconds: 1.25,
        };
        Cases {
            name: "smoke".to_owned(),
            properties: vec![("kernel", "6.6 \"a\" & <b>\n".to_owned())],
            cases: vec![
                case("works", Outcome::Passed),
                case(
                    "fails # 1",
                    Outcome::Failed {
                        why: "lost <\"x\"> & 'y' ]]> \u{1b}[0m".to_owned(),
                        details: vec!["a: \"b\" \u{0}".to_owned(), "...".to_owned()],
                    },
                ),
                case(
                    "skipped \\",
                    Outcome::Skipped {
                        why: "no\nCRIU # here".to_owned(),
                    },
                ),
            ],
            seconds: 3.75,
        }
    }
}
