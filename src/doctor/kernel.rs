//! The running kernel: whose it is, what it offers to CRIU, and whether another one is needed.
//!
//! In: a [`Machine`] and the [`Contract`]. Out: the checks `kernel`, `contract`, `sockets`, `modules`, `tunnels`,
//! and the conclusion.

use super::contract::{Contract, Loss, Stand, needs};
use super::machine::{KernelConfig, Machine};
use super::{Check, Status};
use crate::install::check;
use crate::kconfig::release::STOCK;
use crate::wsl::host::Wsl;

pub(super) fn checks(machine: &Machine, contract: &Contract) -> Vec<Check> {
    if machine.wsl == Wsl::One {
        let none = |id| Check::not_applicable(id, "WSL1 runs no Linux kernel");
        return ["kernel", "contract", "sockets", "modules", "tunnels"]
            .map(none)
            .into();
    }
    vec![
        kernel(machine),
        judged(machine, contract),
        sockets(machine),
        modules(machine),
        tunnels(machine),
    ]
}

/// With `NET_IPIP` built in, as in Microsoft's 6.1 configuration, CRIU 4.2 ends each dump of a network namespace
/// with "Unsupported link (type 768 kind ipip)".
fn tunnels(machine: &Machine) -> Check {
    let id = "tunnels";
    let check = match machine.tunnels {
        None => return Check::not_applicable(id, "the kernel has no such setting here"),
        Some(false) => Check::ok(
            id,
            "new network namespaces have no tunnels of the kernel's own",
        ),
        Some(true) => Check::warn(
            id,
            "each new network namespace has a tunl0, with which CRIU cannot dump it",
        )
        .next("sudo sysctl -w net.core.fb_tunnels_only_for_init_net=1, before containers start"),
    };
    check.seen("/proc/sys/net/core/fb_tunnels_only_for_init_net; /proc/sys/net/ipv4/conf")
}

/// Whose kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The one that came with this WSL.
    Stock,
    /// Microsoft's by its name, and not the packaged one of this version, or nobody knows.
    Microsofts,
    /// Another.
    Custom,
}

fn whose(machine: &Machine) -> Whose {
    let packaged = match &machine.windows.version {
        Some(Ok(Some(version))) => version.packaged_kernel(),
        _ => None,
    };
    match machine.release.strip_suffix(STOCK) {
        Some(version) if Some(version) == packaged => Whose::Stock,
        Some(_) => Whose::Microsofts,
        None => Whose::Custom,
    }
}

fn kernel(machine: &Machine) -> Check {
    let id = "kernel";
    let release = &machine.release;
    if !machine.is_wsl2() {
        return Check::ok(id, release).seen("uname -r");
    }
    let check = match (whose(machine), machine.configured_kernel()) {
        (Whose::Stock, None) => Check::ok(id, format!("{release}, the stock kernel of this WSL")),
        (Whose::Stock, Some(path)) => Check::warn(
            id,
            format!("{release}, the stock kernel of this WSL, though .wslconfig names {path}"),
        )
        .next("wsl --shutdown, in Windows; if it stays so, `wsl` prints why when it starts"),
        (Whose::Microsofts, None) => Check::ok(id, format!("{release}, Microsoft's by its name")),
        (Whose::Microsofts | Whose::Custom, Some(path)) => {
            Check::ok(id, format!("{release}, from {path}"))
        }
        (Whose::Custom, None) => match machine.windows.config {
            Some(Ok(_)) => Check::warn(
                id,
                format!("{release}, a custom kernel that .wslconfig no longer names"),
            )
            .next("the next start of WSL boots the stock kernel"),
            _ => Check::ok(id, format!("{release}, a custom kernel")),
        },
    };
    check.seen("uname -r")
}

fn judged(machine: &Machine, contract: &Contract) -> Check {
    let id = "contract";
    let seen = match (&machine.config, &contract.from) {
        (KernelConfig::Known { .. }, Some(from)) => from.clone(),
        (KernelConfig::Known { from, .. }, None) => format!("{from} is no configuration"),
        (KernelConfig::Hidden(places), _) => format!(
            "there is no {}; told by traces, {} options cannot be seen",
            places.join(" and no "),
            contract.unseen.len()
        ),
    };
    let names = |losses: &[Loss]| losses.iter().map(Loss::text).collect::<Vec<_>>().join(", ");
    let check = match contract.stand() {
        Stand::Lacking => Check::new(
            id,
            machine.required(),
            format!("CRIU cannot work: {} missing", names(&contract.broken)),
        )
        .next(remedy(machine, &contract.broken)),
        Stand::EnoughForMost => Check::warn(
            id,
            format!(
                "{} of the options that CRIU uses are there; lost: {}",
                contract.kept,
                needs(&contract.lost)
            ),
        )
        .next(format!(
            "where you need one of these: {}",
            remedy(machine, &contract.lost)
        )),
        Stand::Enough => {
            let modules = match contract.as_modules {
                0 => String::new(),
                count => format!(", {count} of them as modules"),
            };
            Check::ok(
                id,
                format!(
                    "all {} options that CRIU uses are there{modules}",
                    contract.kept
                ),
            )
        }
        Stand::Unknown => Check::unknown(id, "what this kernel offers cannot be seen")
            .next("sudo wslk smoke tries it"),
    };
    check.seen(seen)
}

/// Modules may be there for the loading; else it takes another kernel.
fn remedy(machine: &Machine, losses: &[Loss]) -> String {
    let modules = !losses.is_empty() && losses.iter().all(|loss| loss.module);
    match (machine.is_wsl2(), modules) {
        (true, true) => "set kernelModules to the disk that was built with this kernel",
        (true, false) => "wslk build, then wslk install",
        (false, true) => "install the modules of this kernel",
        (false, false) => "boot a kernel that has them",
    }
    .to_owned()
}

/// `criu check` does not see it, and the dump fails later: so it is asked for by itself.
fn sockets(machine: &Machine) -> Check {
    let id = "sockets";
    let probes = &machine.senses.diag;
    let missing: Vec<&_> = probes.iter().filter(|probe| !probe.available).collect();
    let seen = "NETLINK_SOCK_DIAG, each family asked";
    if probes.is_empty() {
        return Check::unknown(id, "socket diagnosis was not asked").seen(seen);
    }
    if missing.is_empty() {
        let all = format!(
            "the kernel describes all {} kinds of sockets to CRIU",
            probes.len()
        );
        return Check::ok(id, all).seen(seen);
    }
    let names: Vec<&str> = missing.iter().map(|probe| probe.family.as_str()).collect();
    let mut options: Vec<&str> = missing.iter().map(|probe| probe.option.as_str()).collect();
    options.dedup();
    let ordinary = |family: &&str| !matches!(*family, "inet-raw" | "inet6-raw" | "packet");
    let status = match names.iter().any(ordinary) {
        true => machine.required(),
        false => Status::Warn,
    };
    let summary = format!(
        "processes with {} sockets cannot be dumped",
        names.join(", ")
    );
    Check::new(id, status, summary)
        .seen(format!("{seen}: {} missing", options.join(", ")))
        .next(match machine.is_wsl2() {
            true => "where you need them: wslk build, then wslk install",
            false => "where you need them: boot a kernel that has these options",
        })
}

fn modules(machine: &Machine) -> Check {
    let id = "modules";
    let folder = format!("/lib/modules/{}", machine.release);
    let mounted = machine.running.iter().find(|check| check.id == id);
    let mounted = mounted.is_some_and(|check| check.status == check::Status::Ok);
    let count = machine.modules.loadable.len();
    match (machine.is_wsl2(), machine.modules.listed) {
        (true, true) if mounted => {
            Check::ok(id, format!("{count} modules on the disk of this kernel")).seen(folder)
        }
        (_, true) => Check::ok(id, format!("{count} modules")).seen(folder),
        _ if machine.container.is_some() => {
            Check::not_applicable(id, "the machine's modules are not in the container")
        }
        (true, false) => Check::warn(
            id,
            "this kernel has no modules: what is not built in is lost",
        )
        .seen(format!("{folder} is not there"))
        .next("set kernelModules beside kernel in .wslconfig (`wslk install` does)"),
        (false, false) => {
            Check::ok(id, "none are there, so only what is built in counts").seen(folder)
        }
    }
}

pub(super) fn conclusion(machine: &Machine, contract: &Contract) -> String {
    if machine.wsl == Wsl::One {
        return "WSL1 has no kernel to checkpoint with: make this distribution WSL2 first."
            .to_owned();
    }
    if !machine.is_wsl2() {
        return elsewhere(machine).to_owned();
    }
    let kernel = match whose(machine) {
        Whose::Custom => "the running kernel",
        Whose::Stock | Whose::Microsofts => "the stock kernel",
    };
    let proof = "`sudo wslk smoke` proves it";
    match (contract.stand(), whose(machine)) {
        (Stand::Enough, Whose::Custom) => {
            format!("The running kernel has all that CRIU needs: {proof}.")
        }
        (Stand::Enough, _) => {
            format!("You need no custom kernel: {kernel} has all that CRIU needs; {proof}.")
        }
        (Stand::EnoughForMost, whose) => {
            let needs = needs(&contract.lost);
            let start = match whose {
                Whose::Custom => "The running kernel",
                _ => "You need no custom kernel: the stock kernel",
            };
            format!("{start} is enough for all but this: {needs}; {proof}.")
        }
        (Stand::Lacking, _) => {
            let names: Vec<&str> = contract.broken.iter().map(|l| l.option.as_str()).collect();
            format!(
                "CRIU cannot work with {kernel}, which lacks {}: `wslk build`, then `wslk install`.",
                names.join(", ")
            )
        }
        (Stand::Unknown, _) => format!("What {kernel} offers cannot be seen: {proof} or not."),
    }
}

fn elsewhere(machine: &Machine) -> &'static str {
    match machine.container {
        Some(_) => "This is a container: ask again in the distribution that it runs on.",
        None => {
            "This is no WSL: kernels can be built and boot-tested here, and installed into a Windows \
             profile with --windows-home."
        }
    }
}
