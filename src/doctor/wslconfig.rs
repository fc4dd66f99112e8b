//! `.wslconfig` as WSL will read it, and the network that it chooses.
//!
//! In: a [`Machine`]. Out: the checks `wslconfig` and `networking`. Must not lint: the linter did.

use std::collections::BTreeSet;

use super::machine::{ConfigFacts, Machine};
use super::system::unasked;
use super::{Check, Status};
use crate::wsl::host::Wsl;
use crate::wsl::wslconfig::{Effect, Finding, Reading};

/// The keys that choose a kernel, in lower case.
const KERNEL_KEYS: [&str; 2] = ["kernel", "kernelmodules"];
/// So many findings are named; the rest becomes a number.
const NAMED: usize = 3;

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    vec![wslconfig(machine), networking(machine)]
}

fn wslconfig(machine: &Machine) -> Check {
    let id = "wslconfig";
    if machine.wsl == Wsl::One {
        return Check::not_applicable(id, "what it says is for WSL2");
    }
    match &machine.windows.config {
        None => Check::not_applicable(id, "there is no Windows profile here"),
        Some(Err(why)) => unasked(id, ".wslconfig cannot be read", why),
        Some(Ok(facts)) => read(id, facts),
    }
}

fn read(id: &'static str, facts: &ConfigFacts) -> Check {
    let unheard: Vec<usize> = facts.account.iter().filter_map(unheard).collect();
    let told = |finding: &&Finding| finding.is_error() || unheard.is_empty();
    let kernel = about_kernel(facts);
    let serious = facts
        .findings
        .iter()
        .any(|finding| finding.is_error() && kernel.contains(&finding.line));
    let findings: Vec<&Finding> = facts.findings.iter().filter(told).collect();
    let mut lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    // A finding on the same line says it better.
    let told_of: BTreeSet<usize> = findings.iter().map(|finding| finding.line).collect();
    let ignored = unheard.iter().filter(|line| !told_of.contains(line));
    let lost = serious || !unheard.is_empty();
    lines.extend(
        ignored
            .map(|line| format!("line {line}: it is about the kernel, and WSL does not take it")),
    );
    lines.extend(
        facts
            .misnamed
            .iter()
            .map(|name| format!("{name} lies beside it, and WSL does not look at it")),
    );
    let hint = findings.first().map(|finding| match &finding.corrected {
        Some(line) => format!("{}; line {}: {line}", finding.problem.hint(), finding.line),
        None => finding.problem.hint(),
    });
    let status = match (lost, lines.is_empty()) {
        (true, _) => Status::Fail,
        (false, false) => Status::Warn,
        (false, true) => Status::Ok,
    };
    let summary = match lines.is_empty() {
        true => chosen(facts),
        false => shortened(&lines),
    };
    let check = Check::new(id, status, summary).seen(&facts.name);
    match (hint, facts.misnamed.is_empty()) {
        (Some(hint), _) => check.next(hint),
        (None, false) => check.next("rename it to .wslconfig, or remove it"),
        (None, true) => check,
    }
}

fn shortened(lines: &[String]) -> String {
    let named = lines
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match lines.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// What a file in order chooses.
fn chosen(facts: &ConfigFacts) -> String {
    let choice = facts.file.kernel();
    match (facts.file.is_absent(), choice.kernel, choice.modules) {
        (true, ..) => "there is none: WSL takes its defaults and its stock kernel".to_owned(),
        (_, None, _) => "WSL reads it as it was meant: the stock kernel".to_owned(),
        (_, Some(kernel), None) => format!("{kernel}, without modules"),
        (_, Some(kernel), Some(modules)) => format!("{kernel} with {modules}"),
    }
}

/// The number of a line that was meant to choose a kernel or its modules, and that WSL does not take so.
fn unheard(reading: &Reading) -> Option<usize> {
    let (name, _) = reading.text.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let taken = matches!(
        reading.effect,
        Effect::Set { .. } | Effect::None | Effect::Late { .. }
    );
    (KERNEL_KEYS.contains(&name.as_str()) && !taken).then_some(reading.line)
}

/// The lines that are about the kernel or its modules.
fn about_kernel(facts: &ConfigFacts) -> BTreeSet<usize> {
    let about = |reading: &&Reading| {
        let name = reading.text.split('=').next().unwrap_or_default();
        KERNEL_KEYS.contains(&name.trim().to_ascii_lowercase().as_str())
    };
    let lines = facts.account.iter().filter(about);
    lines.map(|reading| reading.line).collect()
}

fn networking(machine: &Machine) -> Check {
    let id = "networking";
    if !machine.is_wsl2() {
        return Check::not_applicable(id, "the networking modes are WSL2's");
    }
    let configured = match &machine.windows.config {
        Some(Ok(facts)) => facts.file.value("wsl2", "networkingMode"),
        _ => None,
    };
    let (mode, seen) = match (&machine.windows.networking, configured) {
        (Some(Ok(mode)), _) if !mode.is_empty() => (mode.clone(), "wslinfo --networking-mode"),
        (_, Some(mode)) => (mode.to_ascii_lowercase(), ".wslconfig, not the running WSL"),
        (_, None) => {
            return Check::unknown(id, "the networking mode is not known")
                .seen("wslinfo --networking-mode says nothing")
                .next("the check `seccomp` sees what matters of it");
        }
    };
    let check = match mode.as_str() {
        "mirrored" => Check::warn(id, "mirrored: WSL puts a seccomp filter on every process").next(
            "set networkingMode=nat in .wslconfig, then wsl --shutdown, where CRIU is to work",
        ),
        mode => Check::ok(id, mode),
    };
    check.seen(seen)
}
