//! Publications: builds that were proved, as files that any web server can hand out, and the way back from there.
//!
//! In: a build that passed its boot test. Out: an [`Entry`], a folder below the [`Outlet`] that is there whole or
//! not at all, that nobody changes any more, and that can be checked without trusting whoever hands it out:
//!
//! ```text
//! <root>/index.json                     what there is, for programs
//! <root>/<tag>/<build>/                 the build's own folder as it was, its boot test in boot/, and
//!     entry.json                        what an index or a page needs, sizes and digests included
//!     provenance.json  sbom.json        what it was made of, by whom (in-toto and SLSA, SPDX)
//!     SHA256SUMS  SHA256SUMS.minisig    of all of it; the signature names tag and build too
//! ```
//!
//! The other way, [`arrival`] brings an entry here, checked before anything of it is kept. Must not build, boot or
//! install anything, and must not decide whose keys count.

pub mod arrival;
pub mod index;
pub mod sign;
pub mod wire;

mod entry;
mod error;
mod outlet;
mod provenance;
mod sbom;

pub use self::entry::{Beside, Booted, Entry, Scenario};
pub use self::error::PublishError;
pub use self::index::{Index, IndexEntry, write_index};
pub use self::outlet::{Control, Document, Done, Outlet, Published, Submission, publish};
pub use self::sign::{Signer, TrustedKey};

/// What an index or a page needs of an entry.
pub const ENTRY: &str = "entry.json";
/// Where it was built, from what, with what: an in-toto statement with SLSA's predicate.
pub const PROVENANCE: &str = "provenance.json";
/// What it was made of: an SPDX document.
pub const SBOM: &str = "sbom.json";
/// The kernel beside its control.
pub const CONTROL: &str = "control.json";
/// The signature of `SHA256SUMS`.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";
/// The list of entries, in the outlet's root.
pub const INDEX: &str = "index.json";
/// The boot test's report in an entry, as in a build.
pub const EVIDENCE: &str = "boot/report.json";
