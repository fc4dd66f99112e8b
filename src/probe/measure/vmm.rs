//! Virtual memory management: addresses reserved, memory made, mapped, opened, used, exported.

use super::{MIB, count_wrong, enter, fill};
use crate::probe::account::{Finding, Told};
use crate::probe::driver::abi::mixed;
use crate::probe::driver::{Context, DeviceBlock};
use crate::probe::part::{Orders, Setback};

const BYTES: usize = 64 * MIB;
const SEED: u32 = 21;
const KEY: u32 = 5;
/// What an allocator for large models reserves.
const LARGE: usize = 32 << 30;

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (_, context) = enter(orders, told)?;
    told.stage("map");
    let bytes = orders.hold.map_or(BYTES, |hold| (hold as usize).min(BYTES));
    use_mapped(&context, &context.map(bytes, false)?)?;
    told.evidence("memory was made, mapped and used".to_owned());
    told.stage("export");
    let exported = export(&context);
    told.evidence(match &exported {
        Ok(()) => "memory can be exported as a file descriptor".to_owned(),
        Err(Setback::Refused(refusal)) => format!("memory cannot be exported: {refusal}"),
        Err(_) => "the export was said to be done, and there is no file".to_owned(),
    });
    told.stage("reserve");
    let reserved = context.reserve_and_free(LARGE);
    told.evidence(match &reserved {
        Ok(()) => "32 GiB of addresses can be reserved".to_owned(),
        Err(refusal) => format!("32 GiB of addresses cannot be reserved: {refusal}"),
    });
    let lacks: Vec<&str> = [
        (
            exported.is_err(),
            "it cannot be exported to other processes",
        ),
        (reserved.is_err(), "32 GiB cannot be reserved"),
    ]
    .into_iter()
    .filter_map(|(lacks, what)| lacks.then_some(what))
    .collect();
    Ok(Finding::works(match lacks.is_empty() {
        true => "memory is mapped, used, exported; 32 GiB of addresses can be reserved".to_owned(),
        false => format!("memory is mapped and used, but {}", lacks.join(", and ")),
    }))
}

fn use_mapped(context: &Context, block: &DeviceBlock) -> Result<(), Setback> {
    let mut bytes = vec![0; MIB];
    fill(&mut bytes, 0, SEED);
    block.upload(0, &bytes)?;
    context.kernel()?.mix(block, (MIB / 4) as u32, KEY)?;
    block.download(0, &mut bytes)?;
    match count_wrong(&bytes, 0, SEED, |word, place| mixed(word, place, KEY)) {
        0 => Ok(()),
        wrong => Err(Setback::Broken(format!(
            "the memory was said to be mapped, and {wrong} words in it are wrong"
        ))),
    }
}

fn export(context: &Context) -> Result<(), Setback> {
    let block = context.map(2 * MIB, true)?;
    match block.export()? {
        Some(_file) => Ok(()),
        None => Err(Setback::Broken("no file".to_owned())),
    }
}
