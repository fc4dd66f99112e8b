//! Nightly: every new tag through the whole pipeline, judged, compared and published.
//!
//! In: settings and which tags are wanted. Out: a [`Ledger`] with one entry per tag, kept on the disk after
//! every step, so that a night can be cut off anywhere and the next one goes on. Never installs.
//!
//! ```text
//! upstream's tags ─▶ choice: those not settled ─▶ night: each through its stages ─▶ ledger
//!                                                  └─▶ bisect: where a scenario was lost
//! ```

mod bisect;
mod books;
mod choice;
mod collect;
mod failure;
mod ledger;
mod line;
mod night;
pub mod notice;
pub mod site;
pub mod summary;
mod works;

pub use self::books::{Books, BooksError};
pub use self::collect::{Collected, collect, news};
pub use self::ledger::{
    Blame, DriftFacts, Entry, Failure, Judged, Ledger, LedgerError, Regression, Row, SCHEMA,
    Seconds, Stage,
};
pub use self::line::{Booted, Job, Line, Made};
pub use self::night::{Night, Tonight};
pub use self::works::Works;

#[cfg(test)]
mod script;
