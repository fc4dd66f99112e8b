//! Why a case ended before all its cycles, and whose fault that is.
//!
//! In: what stood in the way. Out: a verdict and a sentence. Must not look at anything by itself.

use std::fmt;
use std::io;

use super::Verdict;
use super::criu::CriuError;
use super::stage;
use super::victim::LastWords;
use crate::exec::ExecError;

/// Why a case ended before all its cycles.
#[derive(Debug)]
pub(super) enum Setback {
    /// Our own doing or the surroundings': nothing follows about the kernel.
    Harness(String),
    /// The victim could not set its scene.
    Scene(LastWords),
    Criu(CriuError),
    /// The dump was said to be done, and yet these processes are there.
    Undead(Vec<i32>),
    /// The restored victim ended or gave an error.
    Broken(String),
    /// No answer in time; `restored` says from whom.
    Silent {
        restored: bool,
    },
    /// The data are not what they were.
    Data(Vec<String>),
}

impl From<CriuError> for Setback {
    fn from(error: CriuError) -> Self {
        Self::Criu(error)
    }
}

impl From<io::Error> for Setback {
    fn from(error: io::Error) -> Self {
        Self::Harness(error.to_string())
    }
}

impl Setback {
    /// A victim that ended without a word.
    pub(super) fn gone(restored: bool) -> Self {
        let message = "the victim ended without a word".to_owned();
        if restored {
            Self::Broken(message)
        } else {
            Self::Harness(message)
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Harness(_) | Self::Criu(CriuError::Version(_)) => Verdict::NotTestable,
            Self::Criu(CriuError::Exec(error)) if !matches!(error, ExecError::TimedOut { .. }) => {
                Verdict::NotTestable
            }
            Self::Silent { restored } if !restored => Verdict::NotTestable,
            Self::Scene(words) if !blames_the_kernel(words) => Verdict::NotTestable,
            _ => Verdict::Fails,
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harness(message) => f.write_str(message),
            Self::Scene(words) => write!(f, "the victim could not be set up: {}", words.message),
            Self::Criu(error) => error.fmt(f),
            Self::Undead(pids) => write!(
                f,
                "after the dump these processes are still there: {pids:?}"
            ),
            Self::Broken(message) => write!(f, "the restored victim does not work: {message}"),
            Self::Silent { restored: true } => f.write_str("the restored victim does not answer"),
            Self::Silent { restored: false } => f.write_str("the victim was not ready in time"),
            Self::Data(faults) => f.write_str(&faults.join("; ")),
        }
    }
}

/// Whether it is the kernel that did not let the victim set its scene.
fn blames_the_kernel(words: &LastWords) -> bool {
    !words.surroundings && (words.option.is_some() || stage::is_missing_feature(words.errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smoke::criu::Step;

    #[test]
    fn setbacks_tell_kernel_from_surroundings() {
        let words = |errno| LastWords {
            message: "no".into(),
            errno,
            option: None,
            surroundings: false,
        };
        let named = LastWords {
            option: Some("USER_NS".into()),
            ..words(Some(22))
        };
        let absent = LastWords {
            surroundings: true,
            ..words(Some(38))
        };
        let failed = CriuError::Failed {
            step: Step::Dump,
            errors: vec!["x".into()],
        };
        for (setback, verdict) in [
            (Setback::Harness("x".into()), Verdict::NotTestable),
            (Setback::Scene(words(None)), Verdict::NotTestable),
            (Setback::Scene(words(Some(97))), Verdict::Fails),
            (Setback::Silent { restored: false }, Verdict::NotTestable),
            (Setback::Silent { restored: true }, Verdict::Fails),
            (Setback::Undead(vec![3]), Verdict::Fails),
            (Setback::Broken("x".into()), Verdict::Fails),
            (Setback::Data(vec!["x".into()]), Verdict::Fails),
            (Setback::Criu(failed), Verdict::Fails),
            (Setback::Scene(named), Verdict::Fails),
            (Setback::Scene(absent), Verdict::NotTestable),
        ] {
            assert_eq!(setback.verdict(), verdict, "{setback:?}");
        }
    }
}
