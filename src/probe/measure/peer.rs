//! Two devices: whether one reaches the other's memory, how fast, and over what.
//!
//! What the driver says about peers is a hint. The copy decides: its data, and its bandwidth against a copy by
//! way of the host.

use super::{MIB, bandwidth, count_wrong, enter, fill, gb_per_s, unchanged};
use crate::probe::account::{Finding, Told};
use crate::probe::driver::{Context, Cuda, Nvml};
use crate::probe::part::{Orders, Setback};

const BYTES: usize = 64 * MIB;
const SEED: u32 = 41;
const COPIES: usize = 10;
/// No PCI Express with 16 lanes carries more, in GB/s (generation 5).
const PCIE: f64 = 64.0;

/// Bandwidths between two devices, in GB/s.
struct Measured {
    peer: f64,
    staged: f64,
}

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (cuda, first) = enter(orders, told)?;
    let second = second(cuda, told)?;
    let Measured { peer, staged } = copy(orders, &first, &second, told)?;
    Ok(Finding::works(format!(
        "{peer:.1} GB/s from device to device, {staged:.1} GB/s by way of the host"
    )))
}

/// NVLink: how many links NVML says are up, and whether the copy is as fast as that.
pub(super) fn links(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (cuda, first) = enter(orders, told)?;
    let second = second(cuda, told)?;
    let Measured { peer, .. } = copy(orders, &first, &second, told)?;
    told.stage("nvmlDeviceGetNvLinkState");
    let uuid = first.device().uuid()?;
    let up = Nvml::load(orders.library()).and_then(|nvml| nvml.links(&uuid));
    told.evidence(match &up {
        Ok(up) => format!("NVML says that {up} links of the first device are up"),
        Err(refusal) => format!("NVML does not tell, which means nothing: {refusal}"),
    });
    Ok(match up {
        _ if peer > PCIE => {
            Finding::works(format!("{peer:.1} GB/s, more than PCI Express carries"))
        }
        Ok(0) => Finding::refused(format!(
            "no link is up, and {peer:.1} GB/s may be PCI Express"
        )),
        Ok(up) => Finding::works(format!("{up} links are up, {peer:.1} GB/s")),
        Err(_) => Finding::not_testable(format!(
            "NVML does not tell, and {peer:.1} GB/s may be PCI Express"
        )),
    })
}

fn second(cuda: Cuda, told: &mut dyn Told) -> Result<Context, Setback> {
    let count = cuda.count()?;
    if count < 2 {
        return Err(Setback::Here(
            "there is one GPU, and it takes two".to_owned(),
        ));
    }
    told.evidence(format!("there are {count} GPUs; the first two were tried"));
    told.stage("second context");
    Ok(cuda.device(1)?.enter()?)
}

fn copy(
    orders: &Orders,
    first: &Context,
    second: &Context,
    told: &mut dyn Told,
) -> Result<Measured, Setback> {
    hints(first, second, told);
    let bytes = orders.hold.map_or(BYTES, |hold| (hold as usize).min(BYTES));
    let target = second.allocate(bytes)?;
    first.make_current()?;
    told.stage("cuCtxEnablePeerAccess");
    first.enable_peer(second)?;
    let source = first.allocate(bytes)?;
    let mut host = first.pin(bytes)?;
    fill(host.bytes_mut(), 0, SEED);
    source.upload(0, host.bytes_mut())?;
    told.stage("cuMemcpyPeerAsync");
    let watch = first.stopwatch()?;
    let mut best = f64::INFINITY;
    for _ in 0..COPIES {
        best = watch
            .to_peer((&target, second), &source)?
            .as_secs_f64()
            .min(best);
    }
    told.stage("compare");
    second.make_current()?;
    host.bytes_mut().fill(0);
    target.download(0, host.bytes_mut())?;
    let wrong = count_wrong(host.bytes_mut(), 0, SEED, unchanged);
    if wrong > 0 {
        let why = format!("the copy was said to be done, and {wrong} words are wrong");
        return Err(Setback::Broken(why));
    }
    told.stage("by way of the host");
    let staged = bandwidth::staged((&source, first), (&target, second), host.bytes_mut())?;
    let peer = gb_per_s(bytes, best);
    told.figure("peer copy", peer, "GB/s");
    told.figure("by way of the host", staged, "GB/s");
    told.figure("peer over staged", peer / staged, "");
    Ok(Measured { peer, staged })
}

fn hints(first: &Context, second: &Context, told: &mut dyn Told) {
    let (one, two) = (first.device(), second.device());
    let mut said = Vec::new();
    match one.can_access(two) {
        Ok(can) => said.push(format!("can access {}", u8::from(can))),
        Err(refusal) => said.push(refusal.to_string()),
    }
    for (name, attribute) in [("rank", 1), ("access", 2), ("native atomics", 3)] {
        match one.way_to(two, attribute) {
            Ok(value) => said.push(format!("{name} {value}")),
            Err(refusal) => said.push(refusal.to_string()),
        }
    }
    told.evidence(format!("the driver says of the two: {}", said.join(", ")));
}
