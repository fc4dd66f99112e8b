//! What the parts do, one file per thing to be found out.
//!
//! In: [`Orders`] and a driver. Out: words, and a [`Finding`]. Every measurement ends in a comparison of
//! data: a call that says that it worked proves nothing. Runs in a process of its own, always.

mod bandwidth;
mod checkpoint;
mod gpu;
mod ipc;
mod managed;
mod peer;
mod pinned;
mod room;
mod vmm;

use super::account::{Finding, Told};
use super::driver::{Context, Cuda};
use super::part::{Orders, Setback};

pub(super) use self::ipc::OPENER;
use self::room::available;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Tries what is named.
pub(super) fn run(name: &str, orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    match name {
        "gpu" => gpu::measure(orders, told),
        "cuda-checkpoint" => checkpoint::by_calls(orders, told),
        "cuda-checkpoint-criu" => checkpoint::through_criu(orders, told),
        "cuda-checkpoint-binary" => checkpoint::by_utility(orders, told),
        "pinned-memory" => pinned::measure(orders, told),
        "bandwidth" => bandwidth::measure(orders, told),
        "managed-memory" => managed::measure(orders, told),
        "vmm" => vmm::measure(orders, told),
        "cuda-ipc" => ipc::measure(orders, told),
        OPENER => ipc::open(orders, told),
        "peer-access" => peer::measure(orders, told),
        "nvlink" => peer::links(orders, told),
        _ => Err(Setback::Here(format!("there is no part `{name}`"))),
    }
}

/// The driver, started, and the first device's context.
fn enter(orders: &Orders, told: &mut dyn Told) -> Result<(Cuda, Context), Setback> {
    told.stage("load");
    let cuda = Cuda::load(orders.library())?;
    told.stage("cuInit");
    cuda.init()?;
    told.stage("context");
    Ok((cuda, cuda.device(0)?.enter()?))
}

/// The value of a word of patterned memory: differs from place to place, from seed to seed, and from zero.
pub(super) fn pattern(place: u32, seed: u32) -> u32 {
    (place ^ seed).wrapping_mul(2_654_435_761).rotate_left(13) | 1
}

/// Fills `bytes` with the pattern of the words from `first` on.
pub(super) fn fill(bytes: &mut [u8], first: u32, seed: u32) {
    for (place, word) in (first..).zip(bytes.chunks_exact_mut(4)) {
        word.copy_from_slice(&pattern(place, seed).to_le_bytes());
    }
}

/// How many words are not what [`fill`] made them, after `change` has been made to each.
pub(super) fn count_wrong(
    bytes: &[u8],
    first: u32,
    seed: u32,
    change: impl Fn(u32, u32) -> u32,
) -> u64 {
    let wrong = |(place, word): &(u32, &[u8])| {
        let expected = change(pattern(*place, seed), *place);
        *word != expected.to_le_bytes()
    };
    (first..).zip(bytes.chunks_exact(4)).filter(wrong).count() as u64
}

/// The word as it is.
pub(super) fn unchanged(word: u32, _place: u32) -> u32 {
    word
}

/// 10^9 bytes per second.
fn gb_per_s(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds.max(1e-9) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_notices_what_can_happen_to_memory() {
        let mut bytes = vec![0; 4096];
        fill(&mut bytes, 7, 3);
        assert_eq!(count_wrong(&bytes, 7, 3, unchanged), 0);
        assert_eq!(count_wrong(&bytes, 7, 4, unchanged), 1024, "another seed");
        assert_eq!(count_wrong(&bytes, 8, 3, unchanged), 1024, "another place");
        assert_eq!(count_wrong(&vec![0; 4096], 7, 3, unchanged), 1024, "zeroes");
        bytes[40] ^= 1;
        assert_eq!(count_wrong(&bytes, 7, 3, unchanged), 1);
        bytes.swap(0, 8);
        assert!(count_wrong(&bytes, 7, 3, unchanged) >= 2);
    }

    #[test]
    fn bandwidth_is_decimal() {
        assert!((gb_per_s(2_000_000_000, 0.5) - 4.0).abs() < 1e-9);
    }
}
