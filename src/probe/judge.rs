//! The judge: one part after the other, each in a process of its own with a deadline.
//!
//! In: [`Options`]. Out: a [`CapabilityReport`]. Whatever a part does, or does not do any more, is a verdict.
//! Must not load the driver itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::account::{Account, Finding, Told as _};
use super::catalogue::{self, Entry, GPU, Kind};
use super::machine::{self, KernelTalk, Machine};
use super::part::Orders;
use super::{CapabilityReport, Options, ProbeError, Row, Verdict, criu, holder, vllm, windows};
use crate::exec::{Cmd, ExecError, Output, Runner, Stdout};
use crate::files;
use crate::report::{Reporter, Unit};

/// Probes every row that was asked for.
///
/// # Errors
/// [`ProbeError::Interrupted`], or a work folder that cannot be made. Everything else is a verdict.
pub fn run(
    options: &Options,
    runner: &dyn Runner,
    reporter: &Reporter,
) -> Result<CapabilityReport, ProbeError> {
    let began = Instant::now();
    files::create_dir(&options.work)?;
    let mut judge = Judge {
        options,
        runner,
        work: options.work.clone(),
        ground: Ground::Unknown,
        facts: Vec::new(),
    };
    let wanted: Vec<&Entry> = catalogue::ALL
        .iter()
        .filter(|entry| options.wants(entry.name))
        .collect();
    let task = reporter.task("probing", Unit::Steps, Some(wanted.len() as u64));
    let rows = wanted.into_iter().map(|entry| {
        task.advance_to(0, entry.name);
        let row = judge.row(entry);
        task.advance(1);
        row
    });
    let rows: Result<Vec<Row>, ProbeError> = rows.collect();
    drop(task);
    files::remove_dir(&options.work)?;
    Ok(CapabilityReport {
        machine: Machine::look(&options.surroundings, judge.facts),
        rows: rows?,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// What is known about the driver that all parts need.
#[derive(Debug, Clone, PartialEq)]
enum Ground {
    Unknown,
    Firm,
    /// Why there is nothing to stand on, and what was said about it.
    Gone(Finding),
}

struct Judge<'a> {
    options: &'a Options,
    runner: &'a dyn Runner,
    work: PathBuf,
    ground: Ground,
    facts: Vec<(String, String)>,
}

impl Judge<'_> {
    fn row(&mut self, entry: &Entry) -> Result<Row, ProbeError> {
        let began = Instant::now();
        let limit = entry.deadline(self.options.deadline);
        let account = match entry.kind {
            Kind::Driver => self.driver(entry, limit)?,
            Kind::Criu => criu::look(self.options, self.runner, limit),
            Kind::Vllm => vllm::look(self.options, self.runner, limit)?,
            Kind::Windows => windows::look(entry.name, self.options, self.runner, limit)?,
        };
        Ok(row(entry, account, began.elapsed()))
    }

    /// A row of the driver: tried if the ground is firm. Without a driver nothing more is started, and after a
    /// driver that hung or died at its start it would only hang or die again.
    fn driver(&mut self, entry: &Entry, limit: Duration) -> Result<Account, ProbeError> {
        if entry.name == GPU {
            return self.look_at_ground(limit);
        }
        if self.ground == Ground::Unknown {
            let ground = catalogue::ALL.iter().find(|entry| entry.name == GPU);
            let limit = ground.map_or(limit, |entry| entry.deadline(self.options.deadline));
            self.look_at_ground(limit)?;
        }
        match &self.ground {
            Ground::Gone(finding) => Ok(Account {
                finding: Some(Finding::not_testable(match finding.verdict {
                    Verdict::NotTestable => finding.summary.clone(),
                    _ => format!("the driver does not start: {}", finding.summary),
                })),
                ..Account::default()
            }),
            Ground::Unknown | Ground::Firm => self.part(entry.name, limit),
        }
    }

    fn look_at_ground(&mut self, limit: Duration) -> Result<Account, ProbeError> {
        let account = self.part(GPU, limit)?;
        let facts = account.facts.iter().cloned();
        self.facts = facts.map(|(name, value)| (name, plain(value))).collect();
        self.ground = match &account.finding {
            Some(finding) if finding.verdict != Verdict::Works => Ground::Gone(finding.clone()),
            _ => Ground::Firm,
        };
        Ok(account)
    }

    /// Starts a part, hears it out, and cleans up behind it.
    fn part(&self, name: &str, limit: Duration) -> Result<Account, ProbeError> {
        let work = self.work.join(name);
        files::create_dir(&work)?;
        let orders = Orders {
            library: self.options.library.clone(),
            work: work.clone(),
            hold: self.options.hold,
            pin: self.options.pin,
            seconds: limit.as_secs_f64(),
            criu: self.options.criu.clone(),
            environment: self.options.environment.clone(),
            shared: None,
        };
        let talk = KernelTalk::now(self.runner);
        let mut account = Account::default();
        let ended = match orders.arguments(name) {
            Ok(arguments) => {
                let cmd = Cmd::new(&self.options.program)
                    .args(arguments)
                    .stdout(Stdout::Lines)
                    .total(limit);
                let cmd = orders.surround(cmd);
                self.runner.run_with(&cmd, &mut |line| account.hear(line))
            }
            Err(source) => Err(ExecError::Start {
                command: name.to_owned(),
                source,
            }),
        };
        holder::end(&work.join(holder::ROLE));
        files::remove_dir(&work)?;
        conclude(&mut account, ended)?;
        if account.finding.as_ref().is_some_and(Finding::is_bad) {
            talk.since(self.runner)
                .into_iter()
                .for_each(|line| account.evidence(line));
        }
        Ok(account)
    }
}

/// What the end of a part means, where it did not say so itself.
pub(super) fn conclude(
    account: &mut Account,
    ended: Result<Output, ExecError>,
) -> Result<(), ProbeError> {
    let stage = account
        .stage
        .clone()
        .unwrap_or_else(|| "its first step".to_owned());
    let end = match ended {
        Ok(Output {
            status: Some(0), ..
        }) if account.finding.is_some() => return Ok(()),
        Ok(output) => Finding::failed(format!("crashed in {stage}: {}", output.ending())),
        Err(ExecError::TimedOut { limit, .. }) => Finding::failed(format!(
            "hung in {stage}: no answer within {} s",
            limit.as_secs()
        )),
        Err(ExecError::Interrupted { .. }) => return Err(ProbeError::Interrupted),
        Err(error) => Finding::not_testable(error.to_string()),
    };
    // A driver may also break when all is done. What had worked by then does not stand; what had not does.
    match &account.finding {
        Some(before) if before.verdict != Verdict::Works => account.evidence(end.summary),
        Some(before) => {
            let text = format!("before that: {}", before.summary);
            account.evidence(text);
            account.finding = Some(end);
        }
        None => account.finding = Some(end),
    }
    Ok(())
}

/// What a driver prints may hold anything, also what moves a terminal's cursor.
fn plain(text: String) -> String {
    match text.contains(char::is_control) {
        true => text.replace(char::is_control, " "),
        false => text,
    }
}

fn row(entry: &Entry, account: Account, time: Duration) -> Row {
    let finding = account
        .finding
        .unwrap_or_else(|| Finding::failed("ended without an answer"));
    Row {
        row: entry.name.to_owned(),
        title: entry.title.to_owned(),
        stage: account.stage.filter(|_| finding.is_bad()).map(plain),
        verdict: finding.verdict,
        code: finding.code,
        summary: plain(finding.summary),
        evidence: account.evidence.into_iter().map(plain).collect(),
        figures: account.figures,
        curves: account.curves,
        documented: machine::one_line(entry.documented),
        seconds: time.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::account::Word;

    fn output(status: Option<i32>, signal: Option<i32>) -> Result<Output, ExecError> {
        Ok(Output {
            status,
            signal,
            ..Output::default()
        })
    }

    fn concluded(account: &mut Account, ended: Result<Output, ExecError>) -> (Verdict, String) {
        conclude(account, ended).expect("a verdict");
        let finding = account.finding.clone().expect("a finding");
        (finding.verdict, finding.summary)
    }

    #[test]
    fn every_end_of_a_part_is_a_verdict() {
        let told = |stage: &str| Account {
            stage: Some(stage.to_owned()),
            ..Account::default()
        };
        let timed_out = ExecError::TimedOut {
            command: "x".to_owned(),
            limit: Duration::from_secs(3),
        };
        let table = [
            (
                output(None, Some(11)),
                Verdict::Failed,
                "crashed in lock: signal 11",
            ),
            (
                output(Some(1), None),
                Verdict::Failed,
                "crashed in lock: exit status 1",
            ),
            (
                Err(timed_out),
                Verdict::Failed,
                "hung in lock: no answer within 3 s",
            ),
            (
                Err(ExecError::NotFound {
                    program: "wslk".to_owned(),
                }),
                Verdict::NotTestable,
                "wslk is not installed",
            ),
        ];
        for (ended, verdict, summary) in table {
            let got = concluded(&mut told("lock"), ended);
            assert_eq!(got, (verdict, summary.to_owned()));
        }
    }

    #[test]
    fn a_hang_behind_the_answer_counts() {
        let mut account = Account::default();
        account.say(Word::Finding(Finding::works("done")));
        assert_eq!(
            concluded(&mut account, output(Some(0), None)).0,
            Verdict::Works
        );
        let crashed = output(None, Some(11));
        assert_eq!(concluded(&mut account.clone(), crashed).0, Verdict::Failed);
        let hung = ExecError::TimedOut {
            command: String::new(),
            limit: Duration::from_secs(1),
        };
        assert_eq!(concluded(&mut account, Err(hung)).0, Verdict::Failed);
    }

    #[test]
    fn an_interrupt_is_no_verdict() {
        let interrupted = ExecError::Interrupted {
            command: String::new(),
        };
        assert!(matches!(
            conclude(&mut Account::default(), Err(interrupted)),
            Err(ProbeError::Interrupted)
        ));
    }

    #[test]
    fn text_of_a_driver_cannot_move_the_cursor() {
        let mut account = Account::default();
        account.hear("a\u{1b}[2Jb\tc");
        let row = row(&catalogue::ALL[1], account, Duration::ZERO);
        assert_eq!(row.evidence, ["it printed: a [2Jb c"]);
    }

    #[test]
    fn the_stage_is_told_where_it_matters() {
        let entry = &catalogue::ALL[1];
        let account = |finding| Account {
            stage: Some("kernel".to_owned()),
            finding: Some(finding),
            ..Account::default()
        };
        let stage = |finding| row(entry, account(finding), Duration::ZERO).stage;
        assert_eq!(stage(Finding::works("x")), None);
        assert_eq!(stage(Finding::not_testable("x")), None);
        assert_eq!(stage(Finding::failed("x")).as_deref(), Some("kernel"));
        assert_eq!(
            row(entry, Account::default(), Duration::ZERO).verdict,
            Verdict::Failed
        );
    }
}
