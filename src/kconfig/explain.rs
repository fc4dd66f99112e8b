//! Why an option has the value it has.

use serde::{Deserialize, Serialize};

/// Why an option is not as wanted, from the nearest reason down to options that a user can set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The reasons; a deeper one says why the one above it holds.
    pub steps: Vec<Step>,
    /// Lines that, put into a fragment, would remove the reasons; alternatives stand in one entry,
    /// joined by " or ".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// 0 for a reason of the option itself, 1 for a reason of that reason, and so on.
    pub depth: usize,
    /// What kind of reason it is.
    pub kind: StepKind,
    /// The reason as a sentence without full stop.
    pub text: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// The tree has no such option.
    Absent,
    /// Its Kconfig file could not be read.
    Unread,
    /// A dependency, a menu, an `if` or a prompt's condition is not met.
    Unmet,
    /// It has no prompt: it follows from others.
    NotSettable,
    /// Another option selects it.
    Selected,
    /// Another member of its choice is set.
    Choice,
    /// The number is out of range.
    Range,
    /// The compiler or another tool decides.
    Tool,
    /// What the user can do.
    Advice,
    /// Everything we know of is met.
    Unexplained,
}
