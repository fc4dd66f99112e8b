//! What a part says while it works, and what the judge has heard of it.
//!
//! In: [`Word`]s, one JSON line each, written the moment they are known. Out: an [`Account`], which is as good
//! as complete when the part hangs or dies after its last word. Must not judge.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::driver::Refusal;

/// A measured quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what: `s`, `bytes`, `GB/s`, or nothing for a ratio.
    pub unit: String,
}

impl Figure {
    /// As people read it.
    #[must_use]
    pub fn text(&self) -> String {
        const GIB: f64 = 1_073_741_824.0;
        match self.unit.as_str() {
            "bytes" if self.value >= GIB => format!("{:.2} GiB", self.value / GIB),
            "bytes" => format!("{:.1} MiB", self.value / 1_048_576.0),
            "s" if self.value < 1.0 => format!("{:.1} ms", self.value * 1e3),
            "" => format!("{:.3}", self.value),
            unit => format!("{:.2} {unit}", self.value),
        }
    }
}

/// A bandwidth at one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Bytes of each copy.
    pub bytes: u64,
    /// 10^9 bytes per second, the best of several copies.
    pub gb_per_s: f64,
}

/// Bandwidth by size, of one kind of memory in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// `pinned` or `pageable`; `peer` or `staged`.
    pub memory: String,
    /// `to-device`, `to-host` or `to-peer`.
    pub direction: String,
    /// By rising size.
    pub points: Vec<Point>,
}

/// The end of a part's work, in its own judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What became of it.
    pub verdict: Verdict,
    /// The driver's code, where that was the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// One sentence.
    pub summary: String,
}

impl Finding {
    /// It was done, and the result is right.
    pub(super) fn works(summary: impl Into<String>) -> Self {
        Self::of(Verdict::Works, summary)
    }

    /// It broke or was a lie.
    pub(super) fn failed(summary: impl Into<String>) -> Self {
        Self::of(Verdict::Failed, summary)
    }

    /// It cannot be tried here.
    pub(super) fn not_testable(summary: impl Into<String>) -> Self {
        Self::of(Verdict::NotTestable, summary)
    }

    /// It was declined.
    pub(super) fn refused(summary: impl Into<String>) -> Self {
        Self::of(Verdict::Refused, summary)
    }

    /// Whether something was tried and did not come off.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.verdict, Verdict::Refused | Verdict::Failed)
    }

    fn of(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self {
            verdict,
            code: None,
            summary: summary.into(),
        }
    }
}

/// A driver that is missing or too old says nothing about what this machine could do; a code does.
impl From<Refusal> for Finding {
    fn from(refusal: Refusal) -> Self {
        let verdict = match refusal.code() {
            None => Verdict::NotTestable,
            Some(code) if code.means_nothing_here() => Verdict::NotTestable,
            Some(code) if code.is_breakage() => Verdict::Failed,
            Some(_) => Verdict::Refused,
        };
        Self {
            code: refusal.code().map(|code| code.0),
            ..Self::of(verdict, refusal.to_string())
        }
    }
}

/// One thing that a part has to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "word")]
pub enum Word {
    /// It begins a step; what follows, also a hang, belongs to it.
    Stage {
        /// The step.
        stage: String,
    },
    /// It saw something.
    Evidence {
        /// One sentence.
        text: String,
    },
    /// It measured something.
    Figure(Figure),
    /// It measured a bandwidth by size.
    Curve(Curve),
    /// A fact of the machine, by name.
    Fact {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// It is done.
    Finding(Finding),
}

/// Where a part's words go.
pub(super) trait Told {
    /// Takes a word, at once.
    fn say(&mut self, word: Word);

    /// Begins a step.
    fn stage(&mut self, stage: &str) {
        self.say(Word::Stage {
            stage: stage.to_owned(),
        });
    }

    /// Tells what was seen.
    fn evidence(&mut self, text: String) {
        self.say(Word::Evidence { text });
    }

    /// Tells a quantity.
    fn figure(&mut self, name: &str, value: f64, unit: &str) {
        self.say(Word::Figure(Figure {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
        }));
    }

    /// Tells how long something took.
    fn time(&mut self, name: &str, time: Duration) {
        self.figure(name, time.as_secs_f64(), "s");
    }
}

/// All that was heard of a part.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Account {
    pub stage: Option<String>,
    pub evidence: Vec<String>,
    pub figures: Vec<Figure>,
    pub curves: Vec<Curve>,
    pub facts: Vec<(String, String)>,
    pub finding: Option<Finding>,
}

/// Lines of foreign talk that are kept.
const KEPT_TALK: usize = 5;

impl Account {
    /// Takes a line of the part's output. What is no word of ours is the driver's own talk.
    pub(super) fn hear(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(word) => self.say(word),
            Err(_) if line.trim().is_empty() => {}
            Err(_) => {
                let talk = self
                    .evidence
                    .iter()
                    .filter(|text| text.starts_with("it printed:"));
                if talk.count() < KEPT_TALK {
                    self.evidence(format!("it printed: {}", line.trim()));
                }
            }
        }
    }
}

impl Told for Account {
    fn say(&mut self, word: Word) {
        match word {
            Word::Stage { stage } => self.stage = Some(stage),
            Word::Evidence { text } => self.evidence.push(text),
            Word::Figure(figure) => self.figures.push(figure),
            Word::Curve(curve) => self.curves.push(curve),
            Word::Fact { name, value } => self.facts.push((name, value)),
            Word::Finding(finding) => self.finding = Some(finding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::abi::Code;
    use super::*;

    #[test]
    fn words_survive_their_line() {
        let words = [
            Word::Stage {
                stage: "lock".to_owned(),
            },
            Word::Evidence {
                text: "a \"b\"\nc".to_owned(),
            },
            Word::Figure(Figure {
                name: "x".to_owned(),
                value: 1.5,
                unit: "s".to_owned(),
            }),
            Word::Curve(Curve {
                memory: "pinned".to_owned(),
                direction: "to-host".to_owned(),
                points: vec![Point {
                    bytes: 4,
                    gb_per_s: 2.0,
                }],
            }),
            Word::Fact {
                name: "gpu".to_owned(),
                value: "x".to_owned(),
            },
            Word::Finding(Finding::works("done")),
        ];
        let mut direct = Account::default();
        let mut heard = Account::default();
        for word in words {
            let line = serde_json::to_string(&word).expect("a word");
            assert!(!line.contains('\n'));
            heard.hear(&line);
            direct.say(word);
        }
        assert_eq!(direct, heard);
        assert_eq!(heard.stage.as_deref(), Some("lock"));
    }

    #[test]
    fn foreign_talk_is_kept_within_bounds() {
        let mut account = Account::default();
        (0..20).for_each(|line| account.hear(&format!("driver: {line}")));
        account.hear("   ");
        account.hear(r#"{"word": "no such"}"#);
        assert_eq!(account.evidence.len(), KEPT_TALK);
        assert_eq!(account.evidence[0], "it printed: driver: 0");
    }

    #[test]
    fn refusals_have_verdicts() {
        let code = |code| Refusal::Code {
            call: "cuX",
            code: Code(code),
        };
        let table = [
            (code(801), Verdict::Refused, Some(801)),
            (code(304), Verdict::Refused, Some(304)),
            (code(100), Verdict::NotTestable, Some(100)),
            (code(34), Verdict::NotTestable, Some(34)),
            (code(700), Verdict::Failed, Some(700)),
            (code(999), Verdict::Failed, Some(999)),
            (Refusal::Absent("cuX"), Verdict::NotTestable, None),
            (
                Refusal::NoLibrary("x".to_owned()),
                Verdict::NotTestable,
                None,
            ),
        ];
        for (refusal, verdict, number) in table {
            let told = format!("{refusal}");
            let finding = Finding::from(refusal);
            assert_eq!((finding.verdict, finding.code), (verdict, number), "{told}");
        }
    }

    #[test]
    fn figures_as_people_read_them() {
        let text = |value, unit: &str| {
            Figure {
                name: String::new(),
                value,
                unit: unit.to_owned(),
            }
            .text()
        };
        assert_eq!(text(3.0 * 1_073_741_824.0, "bytes"), "3.00 GiB");
        assert_eq!(text(64.0 * 1_048_576.0, "bytes"), "64.0 MiB");
        assert_eq!(text(0.0123, "s"), "12.3 ms");
        assert_eq!(text(12.0, "s"), "12.00 s");
        assert_eq!(text(0.987, ""), "0.987");
        assert_eq!(text(24.123, "GB/s"), "24.12 GB/s");
    }
}
