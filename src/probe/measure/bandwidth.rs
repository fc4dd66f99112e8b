//! Copies between host and device: pinned against pageable memory, both directions, by size.
//!
//! Timed by the device's own events, the best of several. A plain loop of synchronous copies is timed by the
//! wall clock beside it: if the two differ, it is the probe that is wrong.

use std::time::Instant;

use super::{KIB, MIB, available, count_wrong, enter, fill, gb_per_s, unchanged};
use crate::probe::account::{Curve, Finding, Point, Told, Word};
use crate::probe::driver::{Context, DeviceBlock, Pinned, Refusal, Stopwatch};
use crate::probe::part::{Orders, Setback};

const SEED: u32 = 5;
/// Bytes that a size is tried with in all, within [`FEWEST`] and [`MOST`] copies.
const VOLUME: usize = 512 * MIB;
const FEWEST: usize = 5;
const MOST: usize = 50;
/// Without other orders.
const LARGEST: u64 = 1 << 30;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToDevice,
    ToHost,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::ToDevice => "to-device",
            Self::ToHost => "to-host",
        }
    }
}

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (_, context) = enter(orders, told)?;
    let room = (context.free_memory()? / 4).min(available() / 8);
    let largest = orders.hold.unwrap_or(LARGEST).min(room) as usize;
    told.stage("pin");
    let (sizes, mut pinned) = pin(&context, sizes(largest), told)?;
    let largest = sizes.last().copied().unwrap_or(0);
    let bench = Bench {
        block: context.allocate(largest)?,
        watch: context.stopwatch()?,
    };
    told.stage("pinned");
    let fast = bench.both_ways("pinned", pinned.bytes_mut(), &sizes, told)?;
    told.stage("plain loop");
    bench.plain_loop(pinned.bytes_mut(), told)?;
    told.stage("pageable");
    let slow = bench.both_ways("pageable", &mut vec![1; largest], &sizes, told)?;
    told.stage("compare");
    bench.compare(pinned.bytes_mut())?;
    drop(pinned);
    told.evidence(format!("{} MiB came back as they were sent", largest / MIB));
    let ([to, from], [slow_to, slow_from]) = (fast, slow);
    told.figure("pinned over pageable, to-device", to / slow_to, "");
    told.figure("pinned over pageable, to-host", from / slow_from, "");
    Ok(Finding::works(format!(
        "{to:.1} GB/s to the device and {from:.1} GB/s to the host from pinned memory; \
         {slow_to:.1} and {slow_from:.1} from pageable"
    )))
}

/// The largest piece that can be pinned decides what is copied: where little can be, that little is measured.
fn pin(
    context: &Context,
    mut sizes: Vec<usize>,
    told: &mut dyn Told,
) -> Result<(Vec<usize>, Pinned), Setback> {
    let mut declined = None;
    while let Some(&largest) = sizes.last() {
        match context.pin(largest) {
            Ok(pinned) => return Ok((sizes, pinned)),
            Err(refusal) => {
                told.evidence(format!("{} KiB were not pinned: {refusal}", largest / KIB));
                declined = Some(refusal);
            }
        }
        sizes.pop();
    }
    let too_little = || Setback::Here("too little memory to copy anything".to_owned());
    Err(declined.map_or_else(too_little, Setback::from))
}

fn sizes(largest: usize) -> Vec<usize> {
    let all = [
        64 * KIB,
        256 * KIB,
        MIB,
        4 * MIB,
        16 * MIB,
        64 * MIB,
        256 * MIB,
        1024 * MIB,
    ];
    all.into_iter().filter(|size| *size <= largest).collect()
}

fn copies(size: usize) -> usize {
    (VOLUME / size).clamp(FEWEST, MOST)
}

/// What copies are made with.
struct Bench {
    block: DeviceBlock,
    watch: Stopwatch,
}

impl Bench {
    /// Tells the curves of both directions; returns the best bandwidth of each.
    fn both_ways(
        &self,
        memory: &str,
        host: &mut [u8],
        sizes: &[usize],
        told: &mut dyn Told,
    ) -> Result<[f64; 2], Refusal> {
        let mut both = [0.0; 2];
        for (place, way) in [Way::ToDevice, Way::ToHost].into_iter().enumerate() {
            let mut points = Vec::new();
            for size in sizes {
                let gb_per_s = self.best(way, &mut host[..*size])?;
                points.push(Point {
                    bytes: *size as u64,
                    gb_per_s,
                });
                both[place] = gb_per_s.max(both[place]);
            }
            let name = format!("{memory} {}", way.word());
            told.figure(&name, both[place], "GB/s");
            let curve = Curve {
                memory: memory.to_owned(),
                direction: way.word().to_owned(),
                points,
            };
            told.say(Word::Curve(curve));
        }
        Ok(both)
    }

    /// The best of several copies, after one that does not count.
    fn best(&self, way: Way, host: &mut [u8]) -> Result<f64, Refusal> {
        let mut best = f64::INFINITY;
        for copy in 0..=copies(host.len()) {
            let time = self.timed(way, host)?;
            if copy > 0 {
                best = time.min(best);
            }
        }
        Ok(gb_per_s(host.len(), best))
    }

    /// The seconds of one copy, by the device's events.
    fn timed(&self, way: Way, host: &mut [u8]) -> Result<f64, Refusal> {
        let time = match way {
            Way::ToDevice => self.watch.upload(&self.block, host),
            Way::ToHost => self.watch.download(host, &self.block),
        };
        Ok(time?.as_secs_f64())
    }

    /// Holds our way of timing against what a program without events sees: one copy of each kind in turn, at the
    /// largest size.
    fn plain_loop(&self, host: &mut [u8], told: &mut dyn Told) -> Result<(), Refusal> {
        for way in [Way::ToDevice, Way::ToHost] {
            let (mut ours, mut plain) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..=copies(host.len()) {
                ours = self.timed(way, host)?.min(ours);
                let began = Instant::now();
                match way {
                    Way::ToDevice => self.block.upload(0, host)?,
                    Way::ToHost => self.block.download(0, host)?,
                }
                plain = began.elapsed().as_secs_f64().min(plain);
            }
            let name = format!("plain loop {}", way.word());
            told.figure(&name, gb_per_s(host.len(), plain), "GB/s");
            let name = format!("ratio to a plain loop, {}", way.word());
            told.figure(&name, plain / ours.max(1e-9), "");
        }
        Ok(())
    }

    /// A fast copy that copies something else is no copy.
    fn compare(&self, host: &mut [u8]) -> Result<(), Setback> {
        fill(host, 0, SEED);
        self.watch.upload(&self.block, host)?;
        host.fill(0);
        self.watch.download(host, &self.block)?;
        match count_wrong(host, 0, SEED, unchanged) {
            0 => Ok(()),
            wrong => Err(Setback::Broken(format!(
                "the copies were said to be done, and {wrong} words came back changed"
            ))),
        }
    }
}

/// For who compares two devices: the best bandwidth of a copy by way of the host.
pub(super) fn staged(
    (source, from): (&DeviceBlock, &Context),
    (target, to): (&DeviceBlock, &Context),
    host: &mut [u8],
) -> Result<f64, Refusal> {
    let mut best = f64::INFINITY;
    for _ in 0..FEWEST {
        let began = Instant::now();
        from.make_current()?;
        source.download(0, host)?;
        to.make_current()?;
        target.upload(0, host)?;
        to.synchronize()?;
        best = began.elapsed().as_secs_f64().min(best);
    }
    Ok(gb_per_s(host.len(), best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rise_and_stay_within() {
        assert!(sizes(1000).is_empty());
        assert_eq!(sizes(MIB), [64 * KIB, 256 * KIB, MIB]);
        assert_eq!(sizes(usize::MAX).len(), 8);
    }

    #[test]
    fn copies_are_bounded() {
        assert_eq!(copies(64 * KIB), MOST);
        assert_eq!(copies(1024 * MIB), FEWEST);
        assert_eq!(copies(64 * MIB), 8);
    }
}
