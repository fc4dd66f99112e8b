//! Install: a kernel on the Windows side, tried, and taken back.
//!
//! In: a build that passed its boot test, or one with a recorded waiver; a Windows profile. Out: the new
//! state of `.wslconfig` and of our folder beside it, or the old one: every change is a [`Plan`] of
//! [`Step`]s under a journal, and what was cut off is finished or undone by the next command.
//! Must not compile or boot anything; must not overwrite or delete a kernel that is configured, runs, or
//! worked last.
//!
//! Read on with [`layout`] (names), [`hold`] (the lock), [`steps`] and [`journal`], [`change`] (do, undo, settle),
//! [`generations`] (what is known), [`preflight`] (what is refused), [`arrival`] (the plan of an
//! installation), [`rollback`] (the way back, which needs none of the stages), [`trial`] (bless or
//! revert), [`clean`].

pub mod arrival;
pub mod change;
pub mod check;
pub mod clean;
pub mod generations;
pub mod hold;
pub mod journal;
pub mod layout;
pub mod preflight;
pub mod records;
pub mod recover;
pub mod rescue;
pub mod rollback;
pub mod site;
pub mod steps;
pub mod trial;

mod disk;
mod error;
mod pairs;
mod reserve;

pub use self::change::{Plan, carry_out};
pub use self::error::InstallError;
pub use self::generations::{Choice, Generation, Generations, Guard, State, Trial, Ways};
pub use self::hold::Hold;
pub use self::layout::Layout;
pub use self::site::Site;
pub use self::steps::Step;
