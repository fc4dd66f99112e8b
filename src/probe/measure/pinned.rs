//! How much memory of the host can be pinned in one piece: doubled until refused, then halved.
//!
//! Danger: pinned memory is taken from everybody. The search is bounded, never holds two pieces at a time,
//! and gives each back at once; it runs in a process whose end gives back the rest.

use std::time::Instant;

use super::{MIB, available, enter};
use crate::probe::account::{Finding, Told};
use crate::probe::driver::{Context, Refusal};
use crate::probe::part::{Orders, Setback};

/// The first piece.
const FIRST: usize = 64 * MIB;
/// Of 100 bytes that are available, this many are asked for at most.
const SHARE: u64 = 60;

/// Where the search ended.
#[derive(Debug, PartialEq)]
struct Found {
    /// The largest piece that was had.
    most: usize,
    /// The smallest piece that was not.
    refused: Option<(usize, Refusal)>,
    /// Whether time was up before the limit was known.
    cut_short: bool,
}

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (_, context) = enter(orders, told)?;
    let cap = orders.pin.unwrap_or(available() / 100 * SHARE) as usize;
    told.stage("search");
    let until = Instant::now() + orders.patience();
    let found = search(cap, &mut |bytes| context.pin(bytes).map(drop), &|| {
        Instant::now() > until
    });
    told.figure("bound of the search", cap as f64, "bytes");
    told.figure("largest pinned piece", found.most as f64, "bytes");
    told.stage("register");
    told.evidence(match register(&context) {
        Ok(()) => "memory that was there already can be pinned as well".to_owned(),
        Err(refusal) => format!("memory that was there already cannot be pinned: {refusal}"),
    });
    finding(found)
}

fn finding(found: Found) -> Result<Finding, Setback> {
    let mib = |bytes: usize| format!("{} MiB", bytes / MIB);
    match found {
        Found {
            most: 0,
            refused: Some((_, refusal)),
            ..
        } => Err(refusal.into()),
        Found { most: 0, .. } => Err(Setback::Here(
            "no memory is available to be pinned".to_owned(),
        )),
        Found {
            most,
            refused: Some((bytes, refusal)),
            ..
        } => {
            let mut finding = Finding::works(format!(
                "{} in one piece; {} were declined: {refusal}",
                mib(most),
                mib(bytes)
            ));
            finding.code = refusal.code().map(|code| code.0);
            Ok(finding)
        }
        Found {
            most,
            cut_short: true,
            ..
        } => Ok(Finding::works(format!(
            "{} in one piece; time was up before a limit was found",
            mib(most)
        ))),
        Found { most, .. } => Ok(Finding::works(format!(
            "{} in one piece, all that this search asks for",
            mib(most)
        ))),
    }
}

fn search(
    cap: usize,
    pin: &mut dyn FnMut(usize) -> Result<(), Refusal>,
    late: &dyn Fn() -> bool,
) -> Found {
    let mut found = Found {
        most: 0,
        refused: None,
        cut_short: false,
    };
    let mut size = FIRST.min(cap);
    while size > found.most && !found.cut_short {
        match pin(size) {
            Ok(()) => found.most = size,
            Err(refusal) => found.refused = Some((size, refusal)),
        }
        let next = match &found.refused {
            None => size.saturating_mul(2).min(cap),
            // Within a sixteenth is near enough.
            Some((bad, _)) if bad - found.most <= (found.most / 16).max(4 * MIB) => break,
            Some((bad, _)) => found.most + (bad - found.most) / 2,
        };
        found.cut_short = late() && next > found.most;
        size = next;
    }
    found
}

fn register(context: &Context) -> Result<(), Refusal> {
    let mut memory = vec![1_u8; 16 * MIB];
    context.pin_and_unpin(&mut memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::driver::abi::Code;

    fn limit(most: usize) -> impl FnMut(usize) -> Result<(), Refusal> {
        move |bytes| match bytes <= most {
            true => Ok(()),
            false => Err(Refusal::Code {
                call: "cuMemHostAlloc",
                code: Code(2),
            }),
        }
    }

    #[test]
    fn finds_the_limit_within_a_sixteenth() {
        for most in [65, 100, 1000, 4096, 5000, 9999].map(|mib| mib * MIB) {
            let found = search(10_000 * MIB, &mut limit(most), &|| false);
            assert!(
                found.most <= most && found.most + found.most / 16 + 4 * MIB >= most,
                "{most}"
            );
            assert!(found.refused.is_some_and(|(bytes, _)| bytes > most));
        }
    }

    #[test]
    fn stops_at_the_bound() {
        for cap in [1, 10, 64, 100, 128, 1000].map(|mib| mib * MIB) {
            let mut asked = 0;
            let mut pin = |bytes: usize| {
                asked = bytes.max(asked);
                Ok(())
            };
            let found = search(cap, &mut pin, &|| false);
            assert_eq!((found.most, asked), (cap, cap));
            assert!(finding(found).expect("works").summary.contains("all that"));
        }
    }

    #[test]
    fn nothing_at_all_is_a_refusal() {
        let found = search(1000 * MIB, &mut limit(0), &|| false);
        assert_eq!(found.most, 0);
        assert!(matches!(finding(found), Err(Setback::Refused(_))));
        assert!(matches!(
            finding(search(0, &mut limit(0), &|| false)),
            Err(Setback::Here(_))
        ));
    }

    #[test]
    fn time_is_a_bound_too() {
        let found = search(1000 * MIB, &mut limit(1000 * MIB), &|| true);
        assert_eq!((found.most, found.cut_short), (FIRST, true));
    }
}
