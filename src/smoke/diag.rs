//! Socket diagnosis.
use serde::{Deserialize, Serialize};

/// Whether the kernel answers socket diagnosis for one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagProbe {
    /// The family as the project names it: `unix`, `inet-tcp`, `inet-udp`, `inet-raw`, `inet6-tcp` …
    pub family: String,
    /// The kernel option that provides it, without the `CONFIG_` prefix.
    pub option: String,
    /// Whether the kernel answered.
    pub available: bool,
    /// What the kernel said instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
