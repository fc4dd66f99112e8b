//! The ground for all the rest: a driver, a device, and a kernel of ours that really runs there.
//!
//! Out: facts of the machine, and attributes as hints for who reads the other rows.

use super::{MIB, count_wrong, enter, fill};
use crate::probe::account::{Finding, Told, Word};
use crate::probe::driver::abi::{Attribute, mixed};
use crate::probe::driver::{Context, Cuda, Device, Nvml};
use crate::probe::part::{Orders, Setback};

const SEED: u32 = 1;
const KEY: u32 = 77;

pub(super) fn measure(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let (cuda, context) = enter(orders, told)?;
    told.stage("facts");
    facts(cuda, orders, told)?;
    hints(context.device(), told);
    told.stage("kernel");
    launch(&context)?;
    told.evidence("our kernel was compiled by the driver and ran; its result is right".to_owned());
    Ok(Finding::works("the driver runs kernels on the device"))
}

fn facts(cuda: Cuda, orders: &Orders, told: &mut dyn Told) -> Result<(), Setback> {
    let mut fact = |name: &str, value: String| {
        told.say(Word::Fact {
            name: name.to_owned(),
            value,
        });
    };
    fact("library", cuda.path().to_owned());
    let version = cuda.version()?;
    fact(
        "cuda",
        format!("{}.{}", version / 1000, version % 1000 / 10),
    );
    for ordinal in 0..cuda.count()? {
        let device = cuda.device(ordinal)?;
        let (major, minor) = (
            device.attribute(Attribute::ComputeMajor)?,
            device.attribute(Attribute::ComputeMinor)?,
        );
        let gpu = format!(
            "{}, {} MiB, compute {major}.{minor}, {}",
            device.name()?,
            device.memory()? / MIB as u64,
            device.uuid().unwrap_or_else(|refusal| refusal.to_string()),
        );
        fact("gpu", gpu);
    }
    match Nvml::load(orders.library()).and_then(Nvml::driver) {
        Ok(driver) => fact("driver", driver),
        Err(refusal) => told.evidence(format!("the driver's version is not known: {refusal}")),
    }
    Ok(())
}

fn hints(device: Device, told: &mut dyn Told) {
    use Attribute as A;
    let asked = [
        ("integrated", A::Integrated),
        ("TCC driver", A::TccDriver),
        ("maps host memory", A::CanMapHostMemory),
        ("unified addressing", A::UnifiedAddressing),
        ("managed memory", A::ManagedMemory),
        ("pageable memory access", A::PageableMemoryAccess),
        ("concurrent managed access", A::ConcurrentManagedAccess),
        ("host register", A::HostRegisterSupported),
        ("virtual memory management", A::VirtualMemoryManagement),
        ("POSIX handles", A::PosixHandleSupported),
        ("memory pools", A::MemoryPools),
        ("IPC events", A::IpcEvents),
    ];
    let answers: Vec<String> = asked
        .into_iter()
        .map(|(name, attribute)| match device.attribute(attribute) {
            Ok(value) => format!("{name} {value}"),
            Err(refusal) => format!("{name}: {refusal}"),
        })
        .collect();
    told.evidence(format!("the driver says of itself: {}", answers.join(", ")));
}

fn launch(context: &Context) -> Result<(), Setback> {
    let kernel = context.kernel()?;
    let mut bytes = vec![0; MIB];
    fill(&mut bytes, 0, SEED);
    let block = context.allocate(bytes.len())?;
    block.upload(0, &bytes)?;
    kernel.mix(&block, (MIB / 4) as u32, KEY)?;
    block.download(0, &mut bytes)?;
    match count_wrong(&bytes, 0, SEED, |word, place| mixed(word, place, KEY)) {
        0 => Ok(()),
        wrong => Err(Setback::Broken(format!(
            "the kernel was said to have run, and {wrong} of its {} words are wrong",
            MIB / 4
        ))),
    }
}
