//! From what was seen to a verdict.
//!
//! In: what the agent said, what the console shows, how QEMU ended. Out: failures of the kernel, and what could not
//! be tested. Silence is never a pass, and a fault of ours is never a failure of the kernel. Pure.

use super::agent::{Event, Said};
use super::console::{Reading, Sign};
use super::{Failure, FailureKind, Verdict};
use crate::smoke;

/// How QEMU came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself: the guest restarted or switched itself off.
    Exited,
    /// It was killed for a console that said nothing any more.
    Silent,
    /// It was killed when its time was over, though the guest was still talking.
    OutOfTime,
}

/// The verdict and all its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// What the kernel did wrong.
    pub failures: Vec<Failure>,
    /// What could not be tested.
    pub untested: Vec<String>,
    /// What deserves a look though it decides nothing.
    pub warnings: Vec<String>,
}

/// Judges one run.
#[must_use]
pub fn judge(said: &[Said], console: &Reading, ending: Ending) -> Judgement {
    let mut found = Judgement {
        verdict: Verdict::Passed,
        failures: Vec::new(),
        untested: Vec::new(),
        warnings: Vec::new(),
    };
    for said in said {
        found.take(&said.what);
    }
    found.untested.extend(console.ours.clone());
    found.console(console);
    let finished = said.iter().any(|said| said.what == Event::Finished);
    let tested = said
        .iter()
        .any(|said| matches!(said.what, Event::Smoke { .. }));
    if !finished {
        found.unfinished(said, console, ending);
    } else if !tested && found.untested.is_empty() {
        found.untested.push("the agent ran no scenario".to_owned());
    }
    found.verdict = match (found.failures.is_empty(), found.untested.is_empty()) {
        (false, _) => Verdict::Failed,
        (true, false) => Verdict::NotTestable,
        (true, true) => Verdict::Passed,
    };
    found
}

impl Judgement {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Failed { failure } => self.failures.push(failure.clone()),
            Event::Untested { reason } => self.untested.push(reason.clone()),
            Event::Smoke { report } => {
                self.warnings.extend(report.warnings.iter().cloned());
                self.untested.extend(
                    report
                        .blocked
                        .as_ref()
                        .map(|blocked| blocked.reason.clone()),
                );
                if report.scenarios.is_empty() && report.blocked.is_none() {
                    self.untested.push("the suite ran no scenario".to_owned());
                }
                report
                    .scenarios
                    .iter()
                    .for_each(|scenario| self.scenario(scenario));
            }
            _ => {}
        }
    }

    fn scenario(&mut self, report: &smoke::ScenarioReport) {
        let reason = report
            .reason
            .clone()
            .unwrap_or_else(|| format!("the verdict is {}", report.verdict));
        match report.verdict {
            smoke::Verdict::Works => {}
            smoke::Verdict::NotTestable if report.is_untested() => {
                self.untested.push(format!("{}: {reason}", report.name));
            }
            smoke::Verdict::NotTestable => {
                self.warnings
                    .push(format!("{} was not tested: {reason}", report.name));
            }
            // In the guest CRIU is as new as the recipe says, so what it declines is missing in the kernel.
            smoke::Verdict::Fails | smoke::Verdict::Refused => self.failures.push(Failure {
                kind: FailureKind::Scenario,
                reason: format!("{}: {reason}", report.name),
                scenario: Some(report.name.clone()),
                options: if report.missing.is_empty() {
                    report.options.clone()
                } else {
                    report.missing.clone()
                },
                excerpt: report.errors.clone(),
            }),
        }
    }

    /// A panic or an oops counts whatever the scenarios say; unless it is our own program that fell.
    fn console(&mut self, console: &Reading) {
        if console.ours.is_none() {
            self.failures.extend(
                console
                    .panic
                    .as_ref()
                    .map(|sign| failure(FailureKind::Panic, sign)),
            );
            self.failures.extend(
                console
                    .oops
                    .as_ref()
                    .map(|sign| failure(FailureKind::Oops, sign)),
            );
        }
        self.warnings
            .extend(console.stall.as_ref().map(|sign| sign.line.clone()));
    }

    fn unfinished(&mut self, said: &[Said], console: &Reading, ending: Ending) {
        let explained = console.ours.is_some() || console.panic.is_some() || console.oops.is_some();
        if explained {
            return;
        }
        let started = said
            .iter()
            .any(|said| matches!(said.what, Event::Started { .. }));
        let last = last_words(said, console);
        let (kind, reason) = match (started, ending) {
            (true, Ending::OutOfTime) => {
                self.untested.push(format!(
                    "the time was over {last}; the guest was still at work"
                ));
                return;
            }
            (true, Ending::Silent) => (FailureKind::Hang, format!("the kernel hung {last}")),
            (true, Ending::Exited) => (
                FailureKind::EarlyExit,
                format!("the machine restarted {last}"),
            ),
            (false, _) if console.lines == 0 => (
                FailureKind::Mute,
                "the kernel never wrote to the serial console".to_owned(),
            ),
            (false, _) if console.userspace => (
                FailureKind::AgentSilent,
                "the kernel started /init, and the agent never spoke".to_owned(),
            ),
            (false, Ending::Exited) => (
                FailureKind::EarlyExit,
                format!("the machine restarted before userspace, {last}"),
            ),
            (false, _) => (
                FailureKind::Hang,
                format!("the kernel hung before userspace, {last}"),
            ),
        };
        let options = match kind {
            FailureKind::Mute => vec!["SERIAL_8250_CONSOLE".to_owned(), "PRINTK".to_owned()],
            FailureKind::AgentSilent => vec!["DEVTMPFS".to_owned(), "SERIAL_8250".to_owned()],
            _ => Vec::new(),
        };
        let stall = console.stall.as_ref().map(|sign| sign.excerpt.clone());
        let excerpt = stall.unwrap_or_else(|| console.tail.clone());
        self.failures.push(Failure {
            kind,
            reason,
            scenario: None,
            options,
            excerpt,
        });
    }
}

fn failure(kind: FailureKind, sign: &Sign) -> Failure {
    Failure {
        kind,
        reason: sign.line.clone(),
        scenario: None,
        options: sign.options.clone(),
        excerpt: sign.excerpt.clone(),
    }
}

/// Where it was when it stopped: the scenarios in progress, the phase, or the console's last line.
fn last_words(said: &[Said], console: &Reading) -> String {
    let mut phase = None;
    let mut running: Vec<&str> = Vec::new();
    for said in said {
        match &said.what {
            Event::Phase { name } => phase = Some(name),
            Event::Scenario { name } => running.push(name),
            Event::Judged { report } => running.retain(|name| *name != report.name),
            _ => {}
        }
    }
    match (running.is_empty(), phase, console.tail.last()) {
        (false, ..) => format!("in scenario {}", running.join(" and ")),
        (true, Some(phase), _) => format!("in phase {phase}"),
        (true, None, Some(line)) => format!("after `{}`", super::console::words(line)),
        (true, None, None) => "without a word".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::console;
    use crate::smoke::{Blocked, ScenarioReport, SmokeReport};

    const PASSED: &str = include_str!("../../tests/console/passed.log");
    const PANIC: &str = include_str!("../../tests/console/no-initramfs.log");
    const OOPS: &str = include_str!("../../tests/console/oops.log");
    const STALL: &str = include_str!("../../tests/console/stall.log");
    const LOADER: &str = include_str!("../../tests/console/init-without-loader.log");
    const MEMORY: &str = include_str!("../../tests/console/memory-too-small.log");

    fn scenario(name: &str, verdict: smoke::Verdict, missing: &[&str]) -> ScenarioReport {
        ScenarioReport {
            name: name.to_owned(),
            verdict,
            cycles: 2,
            reason: (verdict != smoke::Verdict::Works)
                .then(|| "sockets are not collected".to_owned()),
            hint: None,
            options: vec!["UNIX".to_owned(), "UNIX_DIAG".to_owned()],
            missing: missing.iter().map(|option| (*option).to_owned()).collect(),
            errors: Vec::new(),
            extra: false,
            seconds: 1.0,
        }
    }

    /// What an agent says: `+` started, `p` a phase, `s` a scenario begins, `w` it works, `f` it fails, `n` it could
    /// not be tested, `b` the suite was blocked, `x` a failure of the kernel, `.` finished.
    fn story(steps: &str) -> Vec<Said> {
        let suite = |scenarios| Event::Smoke {
            report: SmokeReport {
                scenarios,
                ..SmokeReport::default()
            },
        };
        let event = |step| match step {
            '+' => Event::Started {
                release: "6.1".into(),
                version: "#1".into(),
                cmdline: String::new(),
            },
            'p' => Event::Phase {
                name: "smoke".into(),
            },
            's' => Event::Scenario {
                name: "unix".into(),
            },
            'w' => suite(vec![scenario("unix", smoke::Verdict::Works, &[])]),
            'f' => suite(vec![scenario(
                "unix",
                smoke::Verdict::Fails,
                &["UNIX_DIAG"],
            )]),
            'n' => suite(vec![scenario("unix", smoke::Verdict::NotTestable, &[])]),
            '0' => suite(Vec::new()),
            'b' => {
                let blocked = Blocked {
                    reason: "criu is missing".into(),
                    hint: "install it".into(),
                };
                Event::Smoke {
                    report: SmokeReport {
                        blocked: Some(blocked),
                        ..SmokeReport::default()
                    },
                }
            }
            'x' => Event::Failed {
                failure: Failure {
                    kind: FailureKind::Modules,
                    reason: "no disk".into(),
                    scenario: None,
                    options: Vec::new(),
                    excerpt: Vec::new(),
                },
            },
            _ => Event::Finished,
        };
        steps
            .chars()
            .map(|step| Said {
                at: 1.0,
                what: event(step),
            })
            .collect()
    }

    /// The agent's story, the console, QEMU's end; and the verdict in one line.
    const ENDS: [(&str, &str, Ending, &str); 22] = [
        ("+pw.", PASSED, Ending::Exited, "Passed"),
        (
            "+pf.",
            PASSED,
            Ending::Exited,
            "Failed Scenario: unix: sockets are not collected [UNIX_DIAG]",
        ),
        (
            "+pn.",
            PASSED,
            Ending::Exited,
            "NotTestable unix: sockets are not collected",
        ),
        (
            "+pb.",
            PASSED,
            Ending::Exited,
            "NotTestable criu is missing",
        ),
        (
            "+p0.",
            PASSED,
            Ending::Exited,
            "NotTestable the suite ran no scenario",
        ),
        (
            "+p.",
            PASSED,
            Ending::Exited,
            "NotTestable the agent ran no scenario",
        ),
        (
            "+xpw.",
            PASSED,
            Ending::Exited,
            "Failed Modules: no disk []",
        ),
        // An oops counts though every scenario works.
        (
            "+pw.",
            OOPS,
            Ending::Exited,
            "Failed Oops: BUG: kernel NULL pointer dereference, address: 0000000000000000 []",
        ),
        // A stall of a busy machine does not, as long as the test got to its end.
        ("+pw.", STALL, Ending::Exited, "Passed"),
        (
            "",
            PANIC,
            Ending::Exited,
            "Failed Panic: Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) [BLK_DEV_INITRD]",
        ),
        (
            "+ps",
            OOPS,
            Ending::Silent,
            "Failed Oops: BUG: kernel NULL pointer dereference, address: 0000000000000000 []",
        ),
        (
            "",
            LOADER,
            Ending::Exited,
            "NotTestable our /init has no loader in the initramfs",
        ),
        (
            "",
            MEMORY,
            Ending::Exited,
            "NotTestable the guest's memory is too small for the initramfs",
        ),
        (
            "+p",
            STALL,
            Ending::Silent,
            "Failed Hang: the kernel hung in phase smoke []",
        ),
        (
            "+ps",
            PASSED,
            Ending::Silent,
            "Failed Hang: the kernel hung in scenario unix []",
        ),
        (
            "+ps",
            PASSED,
            Ending::Exited,
            "Failed EarlyExit: the machine restarted in scenario unix []",
        ),
        (
            "+ps",
            PASSED,
            Ending::OutOfTime,
            "NotTestable the time was over in scenario unix; the guest was still at work",
        ),
        (
            "",
            "",
            Ending::Silent,
            "Failed Mute: the kernel never wrote to the serial console [SERIAL_8250_CONSOLE, PRINTK]",
        ),
        (
            "",
            "",
            Ending::Exited,
            "Failed Mute: the kernel never wrote to the serial console [SERIAL_8250_CONSOLE, PRINTK]",
        ),
        (
            "",
            "[    0.1] tsc: x",
            Ending::Silent,
            "Failed Hang: the kernel hung before userspace, after `tsc: x` []",
        ),
        (
            "",
            "[    0.1] tsc: x",
            Ending::Exited,
            "Failed EarlyExit: the machine restarted before userspace, after `tsc: x` []",
        ),
        (
            "",
            "Run /init as init process",
            Ending::Silent,
            "Failed AgentSilent: the kernel started /init, and the agent never spoke [DEVTMPFS, SERIAL_8250]",
        ),
    ];

    #[test]
    fn the_table_of_ends() {
        for (steps, text, ending, expected) in ENDS {
            let found = judge(&story(steps), &console::read(text), ending);
            let failure =
                |it: &Failure| format!(" {:?}: {} [{}]", it.kind, it.reason, it.options.join(", "));
            let failures: String = found.failures.iter().map(failure).collect();
            let untested: String = found
                .untested
                .iter()
                .map(|reason| format!(" {reason}"))
                .collect();
            assert_eq!(
                format!("{:?}{failures}{untested}", found.verdict),
                expected,
                "{steps} {ending:?}"
            );
        }
    }

    #[test]
    fn a_hang_shows_the_stall_and_a_stall_alone_is_a_warning() {
        let hung = judge(&story("+p"), &console::read(STALL), Ending::Silent);
        assert!(hung.failures[0].excerpt[0].contains("self-detected stall"));
        let passed = judge(&story("+pw."), &console::read(STALL), Ending::Exited);
        assert_eq!(
            passed.warnings,
            ["rcu: INFO: rcu_sched self-detected stall on CPU"]
        );
    }
}
