//! The rows about Windows as the host of virtual machines: device assignment and GPU partitioning.
//!
//! In: `reg.exe` and `powershell.exe`, inside WSL. Out: an [`Account`]. Only asks: a device that is taken from
//! Windows is gone from every screen, so nothing is dismounted or partitioned for a trial. A missing command
//! and a missing device are told apart.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::account::{Account, Finding, Told as _};
use super::{Options, ProbeError};
use crate::exec::{Cmd, ExecError, Output, Runner, Stdin};
use crate::wsl::decode::decode;
use crate::wsl::host::Wsl;

const VERSION: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const PRODUCT: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\ProductOptions";
/// Where the programs are when a distribution does not take over Windows' PATH.
const REG: [&str; 2] = ["reg.exe", "/mnt/c/Windows/System32/reg.exe"];
const POWERSHELL: [&str; 2] = [
    "powershell.exe",
    "/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe",
];

/// What Windows is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edition {
    name: String,
    id: String,
    build: u32,
    server: bool,
}

/// What one command of Hyper-V answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Answer {
    there: bool,
    devices: Vec<String>,
    error: Option<String>,
}

/// What a row is about.
struct Topic {
    /// The command, and its older name.
    commands: &'static [&'static str],
    /// The first build of Windows Server on which it is supported.
    since: u32,
    /// What an empty list means.
    none: &'static str,
}

fn topic(row: &str) -> Topic {
    match row {
        "dda" => Topic {
            commands: &["Get-VMHostAssignableDevice"],
            since: 14393,
            none: "no device has been taken from Windows, and none was for this",
        },
        _ => Topic {
            commands: &["Get-VMHostPartitionableGpu", "Get-VMPartitionableGpu"],
            since: 26100,
            none: "Windows has no GPU that can be partitioned",
        },
    }
}

/// Asks Windows, if there is one around us.
pub(super) fn look(
    row: &str,
    options: &Options,
    runner: &dyn Runner,
    limit: Duration,
) -> Result<Account, ProbeError> {
    let mut account = Account::default();
    let finding = match options.surroundings.wsl() {
        Wsl::No => Finding::not_testable("this is not WSL, so there is no Windows to ask"),
        Wsl::One | Wsl::Two => {
            let host = Host { runner, limit };
            match host.judge(&topic(row), &mut account) {
                Ok(finding) => finding,
                Err(ExecError::Interrupted { .. }) => return Err(ProbeError::Interrupted),
                Err(error) => {
                    Finding::not_testable(format!("Windows' programs do not answer: {error}"))
                }
            }
        }
    };
    account.finding = Some(finding);
    Ok(account)
}

struct Host<'a> {
    runner: &'a dyn Runner,
    limit: Duration,
}

impl Host<'_> {
    fn judge(&self, topic: &Topic, account: &mut Account) -> Result<Finding, ExecError> {
        account.stage("reg.exe");
        let version = self.ask(&REG, &["query", VERSION], Stdin::Null)?;
        let product = self.ask(&REG, &["query", PRODUCT], Stdin::Null)?;
        let Some(edition) = edition(&decode(&version.stdout), &decode(&product.stdout)) else {
            return Ok(Finding::not_testable(
                "the registry does not say which Windows this is",
            ));
        };
        let kind = if edition.server { "server" } else { "client" };
        account.evidence(format!(
            "{} ({}, build {}), a {kind}",
            edition.name, edition.id, edition.build
        ));
        account.stage("powershell.exe");
        let mut last = Answer::default();
        for command in topic.commands {
            last = self.command(command)?;
            account.evidence(told(command, &last));
            if last.there {
                break;
            }
        }
        Ok(finding(topic, &edition, &last))
    }

    fn command(&self, command: &str) -> Result<Answer, ExecError> {
        let script = Stdin::Bytes(script(command).into_bytes());
        let args = ["-NoProfile", "-NonInteractive", "-Command", "-"];
        let output = self.ask(&POWERSHELL, &args, script)?;
        let text = decode(&output.stdout);
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with('{'));
        Ok(line
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| Answer {
                there: true,
                error: Some("no answer that makes sense".to_owned()),
                ..Answer::default()
            }))
    }

    /// By name, then where Windows has it.
    fn ask(&self, names: &[&str; 2], args: &[&str], stdin: Stdin) -> Result<Output, ExecError> {
        let run = |name: &str| {
            let cmd = Cmd::new(Path::new(name))
                .args(args)
                .stdin(stdin.clone())
                .total(self.limit);
            self.runner.run_with(&cmd, &mut |_| {})
        };
        match run(names[0]) {
            Err(ExecError::NotFound { .. }) => run(names[1]),
            answer => answer,
        }
    }
}

/// One line, as PowerShell reads programs from its standard input. Names of devices only; in UTF-8, whatever
/// the console has.
fn script(command: &str) -> String {
    format!(
        "$ProgressPreference='SilentlyContinue'; [Console]::OutputEncoding=[Text.Encoding]::UTF8; \
         $o=@{{there=$false;devices=@()}}; \
         if(Get-Command {command} -ErrorAction SilentlyContinue){{ $o.there=$true; \
         try{{ $o.devices=@({command} -ErrorAction Stop | ForEach-Object {{ \"$($_.Name)\" }}) }} \
         catch{{ $o.error=$_.Exception.Message }} }}; ConvertTo-Json $o -Compress\n"
    )
}

fn told(command: &str, answer: &Answer) -> String {
    match answer {
        Answer { there: false, .. } => format!("{command} is not there"),
        Answer {
            error: Some(error), ..
        } => format!("{command}: {}", error.trim()),
        Answer { devices, .. } if devices.is_empty() => format!("{command} lists nothing"),
        Answer { devices, .. } => format!("{command}: {}", devices.join(", ")),
    }
}

fn finding(topic: &Topic, edition: &Edition, answer: &Answer) -> Finding {
    let supported = edition.server && edition.build >= topic.since;
    match answer {
        Answer { there: false, .. } => Finding::refused(
            "Windows does not have the command: Hyper-V and its tools are not installed",
        ),
        Answer {
            error: Some(error), ..
        } => Finding::not_testable(format!("the command did not answer: {}", error.trim())),
        _ if !supported => Finding::refused(format!(
            "the command is there, but {} is not a host on which it is supported",
            edition.name
        )),
        Answer { devices, .. } if devices.is_empty() => Finding::not_testable(topic.none),
        Answer { devices, .. } => Finding::works(format!(
            "Windows offers {}; nothing was taken from it for this",
            devices.join(", ")
        )),
    }
}

fn edition(version: &str, product: &str) -> Option<Edition> {
    let kind = value(product, "ProductType")?;
    Some(Edition {
        name: value(version, "ProductName")?.to_owned(),
        id: value(version, "EditionID")
            .unwrap_or("unknown edition")
            .to_owned(),
        build: value(version, "CurrentBuild")?.parse().ok()?,
        server: kind != "WinNT",
    })
}

/// The value of a line such as `    EditionID    REG_SZ    Professional`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, rest) = line.trim().split_once("    ")?;
        let (_, value) = rest.trim_start().split_once("    ")?;
        (found == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;
    use crate::probe::Verdict;

    fn version(name: &str, id: &str, build: u32) -> String {
        format!(
            "\r\n{VERSION}\r\n    ProductName    REG_SZ    {name}\r\n    CurrentBuild    REG_SZ    \
             {build}\r\n    EditionID    REG_SZ    {id}\r\n    UBR    REG_DWORD    0x1\r\n\r\n"
        )
    }

    fn product(kind: &str) -> String {
        format!("\r\n{PRODUCT}\r\n    ProductType    REG_SZ    {kind}\r\n\r\n")
    }

    fn judged(row: &str, windows: (&str, &str, u32, &str), answers: &[&str]) -> Account {
        let (name, id, build, kind) = windows;
        let mut script = Script::default()
            .says("reg.exe query", &version(name, id, build))
            .says("ProductOptions", &product(kind));
        for answer in answers {
            script = script.says("powershell.exe", answer);
        }
        let mut account = Account::default();
        let host = Host {
            runner: &script,
            limit: Duration::from_secs(1),
        };
        account.finding = host.judge(&topic(row), &mut account).ok();
        account
    }

    const CLIENT: (&str, &str, u32, &str) = ("Windows 11 Pro", "Professional", 26100, "WinNT");
    const SERVER: (&str, &str, u32, &str) =
        ("Windows Server 2025", "ServerStandard", 26100, "ServerNT");
    const OLD: (&str, &str, u32, &str) =
        ("Windows Server 2019", "ServerStandard", 17763, "ServerNT");
    const MISSING: &str = "{\"there\":false,\"devices\":[]}\r\n";
    const NONE: &str = "{\"devices\":[],\"there\":true}\r\n";
    const ONE: &str = "{\"devices\":[\"PCIP\\\\VEN_10DE\"],\"there\":true}\r\n";
    const ERROR: &str =
        "{\"devices\":[],\"there\":true,\"error\":\"You do not have permission.\"}\r\n";

    #[test]
    fn what_windows_answers_is_judged_by_its_edition() {
        type Case<'a> = (
            &'a str,
            (&'a str, &'a str, u32, &'a str),
            &'a [&'a str],
            Verdict,
            &'a str,
        );
        let table: &[Case<'_>] = &[
            ("dda", CLIENT, &[MISSING], Verdict::Refused, "not installed"),
            (
                "dda",
                CLIENT,
                &[NONE],
                Verdict::Refused,
                "Windows 11 Pro is not a host",
            ),
            (
                "dda",
                SERVER,
                &[NONE],
                Verdict::NotTestable,
                "no device has been taken",
            ),
            ("dda", SERVER, &[ONE], Verdict::Works, "VEN_10DE"),
            ("dda", SERVER, &[ERROR], Verdict::NotTestable, "permission"),
            (
                "gpu-p",
                CLIENT,
                &[MISSING, MISSING],
                Verdict::Refused,
                "not installed",
            ),
            (
                "gpu-p",
                CLIENT,
                &[MISSING, ONE],
                Verdict::Refused,
                "not a host",
            ),
            ("gpu-p", OLD, &[ONE], Verdict::Refused, "2019 is not a host"),
            (
                "gpu-p",
                SERVER,
                &[NONE],
                Verdict::NotTestable,
                "no GPU that can",
            ),
            (
                "gpu-p",
                SERVER,
                &["garbage"],
                Verdict::NotTestable,
                "makes sense",
            ),
        ];
        for (row, windows, answers, verdict, words) in table {
            let account = judged(row, *windows, answers);
            let finding = account.finding.expect("a finding");
            assert_eq!(finding.verdict, *verdict, "{row} {windows:?} {answers:?}");
            assert!(finding.summary.contains(words), "{}", finding.summary);
            assert!(account.evidence[0].contains(windows.0));
        }
    }

    #[test]
    fn a_registry_without_a_windows_is_no_answer() {
        let script = Script::default().says("reg.exe", "").says("reg.exe", "");
        let host = Host {
            runner: &script,
            limit: Duration::from_secs(1),
        };
        let finding = host
            .judge(&topic("dda"), &mut Account::default())
            .expect("a finding");
        assert_eq!(finding.verdict, Verdict::NotTestable);
    }

    #[test]
    fn the_script_is_one_line() {
        assert_eq!(script("Get-X").trim_end().lines().count(), 1);
        assert!(script("Get-X").contains("if(Get-Command Get-X "));
    }
}
