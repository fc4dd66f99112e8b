//! CRIU, and what this shell lets it do.
//!
//! In: a [`Machine`]. Out: the checks `criu`, `privileges`, `seccomp`. Judged by what the suite asks before its
//! first victim starts.

use super::machine::Machine;
use super::{Check, Status};
use crate::smoke::Blocked;
use crate::smoke::precheck::{self, Ground};
use crate::wsl::host::Wsl;

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    if machine.wsl == Wsl::One {
        let none = |id| Check::not_applicable(id, "CRIU cannot work under WSL1");
        return ["criu", "privileges", "seccomp"].map(none).into();
    }
    vec![criu(machine), privileges(machine), seccomp(machine)]
}

fn criu(machine: &Machine) -> Check {
    let id = "criu";
    let mut ground = Ground::default();
    let judged = precheck::version(&machine.criu, &machine.release, &mut ground);
    let seen = "criu --version";
    let kernel = &machine.release;
    match (judged, ground.version, ground.warnings.as_slice()) {
        (Err(blocked), ..) => obstacle(id, machine.required(), blocked),
        (Ok(()), Some(version), []) => {
            Check::ok(id, format!("CRIU {version} is new enough for {kernel}"))
        }
        (Ok(()), _, warnings) => Check::warn(id, warnings.join("; "))
            .next("install CRIU 4.1.1 or later (Debian 13 has it)"),
    }
    .seen(seen)
}

fn privileges(machine: &Machine) -> Check {
    let id = "privileges";
    let seen = "/proc/self/status: CapEff";
    if !machine.senses.root_user {
        return Check::unknown(id, "only root can tell whether root may do what CRIU does")
            .seen("this shell is not root's")
            .next("sudo wslk doctor");
    }
    let mut ground = Ground::default();
    let check = match precheck::privileges(&machine.status, &mut ground) {
        Err(blocked) => obstacle(id, machine.required(), blocked),
        Ok(()) if ground.warnings.is_empty() => Check::ok(id, "root may do all that CRIU does"),
        Ok(()) => Check::warn(id, ground.warnings.join("; "))
            .next("run it on a machine that grants CAP_SYS_RESOURCE"),
    };
    check.seen(seen)
}

fn seccomp(machine: &Machine) -> Check {
    let id = "seccomp";
    let seen = "/proc/self/status: Seccomp, Seccomp_filters";
    let check = match precheck::no_seccomp(&machine.status) {
        Err(blocked) => obstacle(id, machine.required(), blocked),
        Ok(()) if machine.status.is_empty() => {
            Check::unknown(id, "whether a seccomp filter is in force cannot be seen")
        }
        Ok(()) => Check::ok(id, "no seccomp filter is in CRIU's way"),
    };
    check.seen(seen)
}

fn obstacle(id: &'static str, status: Status, blocked: Blocked) -> Check {
    Check::new(id, status, blocked.reason).next(blocked.hint)
}
