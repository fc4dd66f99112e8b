//! Whether anything can be tested here at all.
use serde::{Deserialize, Serialize};

/// Why no scenario could be run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// What is in the way.
    pub reason: String,
    /// What the user can do about it.
    pub hint: String,
}
