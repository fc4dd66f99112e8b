//! Where this is: which Linux, which WSL, what the computer's policy allows.
//!
//! In: a [`Machine`]. Out: the checks `system`, `wsl`, `policy`, `interop`.

use super::contract::{Contract, Stand};
use super::machine::Machine;
use super::{Check, Status};
use crate::wsl::host::Wsl;
use crate::wsl::version::WslVersion;

const POLICY_KEY: &str = crate::wsl::policy::KEY;

pub(super) fn checks(machine: &Machine, contract: &Contract) -> Vec<Check> {
    vec![
        system(machine),
        wsl(machine),
        policy(machine, contract),
        interop(machine),
    ]
}

fn system(machine: &Machine) -> Check {
    let seen = format!("{}, {}", machine.release, machine.senses.arch);
    let name = &machine.system;
    let id = "system";
    let check = match (&machine.container, machine.wsl) {
        (Some(engine), _) => Check::warn(id, format!("a container ({engine}) with {name}"))
            .next("run it outside the container: what it sees here is not the machine"),
        (None, Wsl::One) => Check::fail(id, format!("WSL1 with {name}: no Linux kernel at all"))
            .next("wsl --set-version <distribution> 2, in Windows"),
        (None, Wsl::Two) => {
            let distro = machine.distro.as_ref();
            let named = distro.map_or_else(String::new, |distro| format!(", called {distro}"));
            Check::ok(id, format!("WSL2 with {name}{named}"))
        }
        (None, Wsl::No) if machine.virtual_machine => {
            Check::ok(id, format!("{name} in a virtual machine, no WSL"))
        }
        (None, Wsl::No) => Check::ok(id, format!("{name}, no WSL")),
    };
    check.seen(seen)
}

fn wsl(machine: &Machine) -> Check {
    let id = "wsl";
    match &machine.windows.version {
        None => Check::not_applicable(id, "Windows is not asked from here"),
        Some(Err(why)) => unasked(id, "the version of WSL is not known", why),
        Some(Ok(None)) => Check::warn(id, "the WSL that came with Windows, without a version")
            .seen("wsl.exe --version")
            .next("wsl --update, in Windows"),
        Some(Ok(Some(version))) => known(id, *version),
    }
}

fn known(id: &'static str, version: WslVersion) -> Check {
    let kernel = version.packaged_kernel().map_or_else(
        || "a kernel that this wslk does not know".to_owned(),
        |kernel| format!("kernel {kernel}"),
    );
    let layout = version.layout().text();
    let faults = version.known_faults();
    let check = match faults.first() {
        None => Check::ok(id, format!("WSL {version} brings {kernel} and {layout}")),
        Some(fault) => {
            let all: Vec<&str> = faults.iter().map(|fault| fault.what).collect();
            let all = all.join("; ");
            Check::warn(id, format!("WSL {version} brings {kernel}; {all}")).next(fault.hint)
        }
    };
    check.seen("wsl.exe --version")
}

/// A kernel that nobody wants may well be forbidden.
fn policy(machine: &Machine, contract: &Contract) -> Check {
    let wanted = contract.stand() == Stand::Lacking || machine.configured_kernel().is_some();
    let id = "policy";
    let ask = "ask who manages this computer";
    match &machine.windows.policy {
        None => Check::not_applicable(id, "Windows is not asked from here"),
        Some(Err(why)) => unasked(id, "what this computer's policy allows is not known", why),
        Some(Ok(policy)) if !policy.wsl => Check::fail(id, "this computer's policy forbids WSL")
            .seen(format!(r"{POLICY_KEY}: AllowWSL"))
            .next(ask),
        Some(Ok(policy)) if !policy.kernel => Check::new(
            id,
            if wanted { Status::Fail } else { Status::Warn },
            "this computer's policy forbids custom kernels: WSL would boot the stock kernel",
        )
        .seen(format!(r"{POLICY_KEY}: AllowKernelUserSetting"))
        .next(ask),
        Some(Ok(_)) => Check::ok(id, "custom kernels are allowed").seen(POLICY_KEY),
    }
}

fn interop(machine: &Machine) -> Check {
    let id = "interop";
    if !machine.is_wsl2() {
        return Check::not_applicable(id, "Windows programs are started from WSL only");
    }
    let found = machine.running.iter().find(|check| check.id == id);
    let registered = found.is_some_and(|check| check.status == crate::install::check::Status::Ok);
    let answered = matches!(machine.windows.version, Some(Ok(_)));
    let seen = "/proc/sys/fs/binfmt_misc/WSLInterop";
    match (registered, answered) {
        (_, true) => Check::ok(id, "Windows programs can be started").seen("wsl.exe"),
        (true, false) => Check::warn(id, "Windows programs do not answer in time")
            .seen(seen)
            .next("wslk doctor --deep gives them more time"),
        (false, false) => Check::new(
            id,
            Status::Fail,
            "Windows programs cannot be started from here",
        )
        .seen(seen)
        .next("set enabled=true below [interop] in /etc/wsl.conf, then wsl --shutdown"),
    }
}

/// A question that Windows did not answer.
pub(super) fn unasked(id: &'static str, summary: &str, why: &str) -> Check {
    let hint = match why.contains("no answer within") || why.contains("did not end") {
        true => "wslk doctor --deep gives Windows more time",
        false => "see that Windows programs start here: `cmd.exe /c ver`",
    };
    Check::unknown(id, summary).seen(why).next(hint)
}
