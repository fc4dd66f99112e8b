//! Managed memory: written by the host, worked on by the device, read by the host.
//!
//! Never touched by both at once: where that is not supported the process would be killed for it.

use super::{MIB, enter, pattern};
use crate::probe::account::{Finding, Told};
use crate::probe::driver::abi::{Attribute, mixed};
use crate::probe::part::{Orders, Setback};

const BYTES: usize = 16 * MIB;
const SEED: u32 = 9;
const KEY: u32 = 1234;

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (_, context) = enter(orders, told)?;
    let both = context
        .device()
        .attribute(Attribute::ConcurrentManagedAccess);
    told.evidence(match both {
        Ok(1) => "the driver says that both sides may touch it at once".to_owned(),
        Ok(_) => "the driver says that both sides may not touch it at once".to_owned(),
        Err(refusal) => refusal.to_string(),
    });
    told.stage("cuMemAllocManaged");
    let mut memory = context.manage(BYTES)?;
    told.stage("touch by the host");
    memory.fill(|place| pattern(place, SEED));
    told.stage("touch by the device");
    context.kernel()?.mix(&memory, (BYTES / 4) as u32, KEY)?;
    told.stage("read by the host");
    match memory.count_wrong(|place| mixed(pattern(place, SEED), place, KEY)) {
        0 => Ok(Finding::works(format!(
            "{} MiB written by the host, changed by the device, read by the host",
            BYTES / MIB
        ))),
        wrong => Err(Setback::Broken(format!(
            "the device was said to have changed it, and {wrong} words are wrong"
        ))),
    }
}
