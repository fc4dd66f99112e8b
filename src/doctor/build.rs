//! What it takes to build a kernel here, and to boot-test it.
//!
//! In: a [`Machine`] and the [`Contract`]: who needs no kernel needs no room for one. Out: the checks `engine`,
//! `kvm`, `disk`, `memory`.

use super::contract::{Contract, Stand};
use super::machine::Machine;
use super::{Check, Status};
use crate::wsl::host::Wsl;
use crate::wsl::mounts::is_foreign;

const GIB: u64 = 1 << 30;
/// Source, object files, modules disk and images of one build of Microsoft's configuration.
const ROOM: u64 = 12 * GIB;
/// Below this not even the source and its configuration fit.
const NO_ROOM: u64 = 4 * GIB;
/// What linking a kernel with BTF takes at its peak.
const MEMORY: u64 = 4 * GIB;
pub(super) fn checks(machine: &Machine, contract: &Contract) -> Vec<Check> {
    if machine.wsl == Wsl::One {
        let none = |id| Check::not_applicable(id, "nothing is built under WSL1");
        return ["engine", "kvm", "disk", "memory"].map(none).into();
    }
    vec![
        engine(machine),
        kvm(machine),
        disk(machine, contract),
        memory(machine),
    ]
}

fn engine(machine: &Machine) -> Check {
    let id = "engine";
    match &machine.engine {
        Ok(name) if name == "host" => {
            Check::warn(id, "neither docker nor podman is installed: builds use this machine's own tools")
                .seen("docker info, podman version")
                .next("install docker.io or podman, or the compiler and tools that `wslk build` names")
        }
        Ok(name) => Check::ok(id, format!("{name} answers")).seen(format!("asked {name}")),
        Err(tried) if tried.contains("no answer within") => {
            Check::unknown(id, "no container engine answered in time")
                .seen(tried)
                .next("wslk doctor --deep gives it more time")
        }
        Err(tried) if tried.contains("ermission denied") => {
            Check::warn(id, "the container engine does not let this user in")
                .seen(tried)
                .next("sudo usermod -aG docker $USER, then log in again")
        }
        Err(tried) => Check::warn(id, "no container engine answers, so nothing can be built")
            .seen(tried)
            .next("start it, for example with `sudo service docker start`; in WSL Docker Desktop must be running"),
    }
}

fn kvm(machine: &Machine) -> Check {
    let id = "kvm";
    let slower = "boot tests are emulated: the same verdict, several times slower";
    if machine.qemu.is_none() {
        return Check::warn(
            id,
            "QEMU is not installed, so no kernel can be boot-tested here",
        )
        .seen("no qemu-system-x86_64")
        .next("install qemu-system-x86 (Debian, Ubuntu) or qemu-kvm (Fedora)");
    }
    match (&machine.kvm, &machine.senses.kvm) {
        (None, _) => Check::warn(id, slower).seen("there is no /dev/kvm").next(
            match machine.is_wsl2() {
                true => "nestedVirtualization=true in .wslconfig, and a kernel with KVM, would speed it up",
                false => "virtualisation in the firmware's settings would speed it up",
            },
        ),
        (Some(Err(why)), _) => Check::warn(id, format!("/dev/kvm may not be opened: {slower}"))
            .seen(format!("/dev/kvm: {why}"))
            .next("sudo usermod -aG kvm $USER, then log in again"),
        (Some(Ok(())), None) => {
            Check::unknown(id, "/dev/kvm opens; whether a guest really runs was not tried")
                .seen("/dev/kvm")
                .next("wslk doctor --deep runs a tiny guest")
        }
        (_, Some(Ok(()))) => Check::ok(id, "KVM works").seen("a tiny guest ran and ended"),
        (_, Some(Err(why))) => Check::warn(id, "KVM only pretends to work: boot tests find out and emulate, several times slower")
            .seen(why)
            .next("nothing to do: the verdict of an emulated boot test is the same"),
    }
}

fn disk(machine: &Machine, contract: &Contract) -> Check {
    let id = "disk";
    let seen = machine.senses.home.display().to_string();
    let Some(free) = machine.senses.space else {
        return Check::unknown(id, "the free space cannot be seen").seen(seen);
    };
    let free_text = gib(free);
    if let Some(kind) = machine.home_fs.as_deref().filter(|kind| is_foreign(kind)) {
        return Check::warn(
            id,
            format!("{free_text} are free, on a file system of Windows ({kind})"),
        )
        .seen(seen)
        .next("choose a folder of Linux with --home: builds here are slow and may fail");
    }
    let no_kernel_needed = machine.is_wsl2() && contract.stand() == Stand::Enough;
    match free {
        free if free >= ROOM => Check::ok(id, format!("{free_text} are free")),
        free => {
            let status = match free < NO_ROOM && !no_kernel_needed {
                true => Status::Fail,
                false => Status::Warn,
            };
            let needed = format!(
                "{free_text} are free, and a build takes up to {}",
                gib(ROOM)
            );
            Check::new(id, status, needed)
                .next("make room, or choose another folder with --home and XDG_CACHE_HOME")
        }
    }
    .seen(seen)
}

fn memory(machine: &Machine) -> Check {
    let id = "memory";
    let Some((memory, swap)) = machine.memory else {
        return Check::unknown(id, "the memory cannot be seen").seen("/proc/meminfo");
    };
    let cpus = machine.senses.cpus;
    let has = format!("{} and {cpus} processors", gib(memory));
    let seen = format!("/proc/meminfo; {} of swap", gib(swap));
    let check = match memory + swap / 2 >= MEMORY {
        true => Check::ok(id, has),
        false => Check::warn(
            id,
            format!(
                "{has}; linking a kernel with BTF takes up to {}",
                gib(MEMORY)
            ),
        )
        .next(match machine.is_wsl2() {
            true => "set memory=8GB below [wsl2] in .wslconfig, or build with --jobs 1",
            false => "add swap, or build with --jobs 1",
        }),
    };
    check.seen(seen)
}

fn gib(bytes: u64) -> String {
    format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB)
}
