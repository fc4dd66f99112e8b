//! Device memory that one process shares and another opens, reads and changes.

use super::{MIB, count_wrong, enter, fill, unchanged};
use crate::exec::{Cmd, Duct, ExecError, Runner as _, Stdout};
use crate::probe::Verdict;
use crate::probe::account::{Account, Finding, Told};
use crate::probe::driver::abi::{IpcHandle, mixed};
use crate::probe::part::{Orders, Setback};
use crate::process;

/// The part that opens what the other has shared.
pub(in crate::probe) const OPENER: &str = "opener";
const BYTES: usize = 4 * MIB;
const WORDS: u32 = (BYTES / 4) as u32;
const SEED: u32 = 33;
const KEY: u32 = 11;

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (_, context) = enter(orders, told)?;
    let mut bytes = vec![0; BYTES];
    fill(&mut bytes, 0, SEED);
    let block = context.allocate(BYTES)?;
    block.upload(0, &bytes)?;
    told.stage("cuIpcGetMemHandle");
    let handle = block.share()?;
    told.stage("open in another process");
    let theirs = second_process(orders, handle)?;
    theirs
        .evidence
        .into_iter()
        .for_each(|text| told.evidence(text));
    match theirs.finding {
        Some(finding) if finding.verdict == Verdict::Works => {}
        Some(finding) => return Ok(finding),
        None => {
            let stage = theirs.stage.unwrap_or_default();
            let why = format!("the other process ended without an answer, in {stage}");
            return Err(Setback::Broken(why));
        }
    }
    told.stage("see what it changed");
    block.download(0, &mut bytes)?;
    match count_wrong(&bytes, 0, SEED, |word, place| mixed(word, place, KEY)) {
        0 => Ok(Finding::works(
            "another process opened the memory, read it and changed it",
        )),
        wrong => Err(Setback::Broken(format!(
            "the other process was told that it had changed the memory, and {wrong} words are wrong here"
        ))),
    }
}

fn second_process(orders: &Orders, handle: IpcHandle) -> Result<Account, Setback> {
    let orders = Orders {
        shared: Some(handle.0.iter().map(|byte| format!("{byte:02x}")).collect()),
        ..orders.clone()
    };
    let cmd = Cmd::new(process::program()?)
        .args(orders.arguments(OPENER)?)
        .stdout(Stdout::Lines)
        .total(orders.patience());
    let cmd = orders.surround(cmd);
    let mut account = Account::default();
    match Duct::default().run_with(&cmd, &mut |line| account.hear(line)) {
        Ok(_) => Ok(account),
        Err(ExecError::TimedOut { .. }) => Err(Setback::Broken(format!(
            "the other process hung in {}",
            account.stage.unwrap_or_default()
        ))),
        Err(error) => Err(Setback::Here(error.to_string())),
    }
}

/// The other process.
pub(super) fn open(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let shared = orders.shared.as_deref().and_then(handle);
    let handle = shared.ok_or_else(|| Setback::Here("no handle to open".to_owned()))?;
    let (_, context) = enter(orders, told)?;
    told.stage("cuIpcOpenMemHandle");
    let block = context.open(handle, BYTES)?;
    told.stage("read in the other process");
    let mut bytes = vec![0; BYTES];
    block.download(0, &mut bytes)?;
    let wrong = count_wrong(&bytes, 0, SEED, unchanged);
    if wrong > 0 {
        let why = format!("the memory was said to be open, and {wrong} words of it are wrong");
        return Err(Setback::Broken(why));
    }
    told.stage("change in the other process");
    context.kernel()?.mix(&block, WORDS, KEY)?;
    Ok(Finding::works("opened, read and changed"))
}

/// 64 bytes in hexadecimal digits.
fn handle(text: &str) -> Option<IpcHandle> {
    let mut bytes = [0; 64];
    if text.len() != 128 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(IpcHandle(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_the_way() {
        let mut bytes = [0; 64];
        (0..64).for_each(|place| bytes[place] = place as u8 * 3);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(handle(&text).expect("a handle").0, bytes);
        for bad in ["", "0", &"g".repeat(128), &"é".repeat(64)] {
            assert!(handle(bad).is_none());
        }
    }
}
