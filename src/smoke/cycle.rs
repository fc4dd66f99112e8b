//! One scenario from its first process to its verdict.
//!
//! In: a [`Case`]. Out: a [`ScenarioReport`]. Whatever happens, no process of the victim is left when
//! the report is there. The rules that hold for every scenario are here: the same process comes back,
//! its counter stood still while it was down and did not go back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::body::Body;
use super::catalogue;
use super::criu::{self, Criu, CriuError, Feature};
use super::diag::DiagProbe;
use super::entry;
use super::scenario::{Scenario, Variant};
use super::setback::Setback;
use super::victim::{self, Answer, Question};
use super::way::Passage;
use super::{ScenarioReport, Verdict};

/// How often the judge looks for an answer.
const POLL: Duration = Duration::from_millis(3);
/// The victim is watched so long while it is down: several of its ticks.
const STILLNESS: Duration = Duration::from_millis(15);

/// A scenario to be run.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub scenario: &'static Scenario,
    pub variant: &'static Variant,
    pub program: &'a Path,
    pub criu: &'a Criu<'a>,
    pub diag: &'a [DiagProbe],
    /// A folder of this case alone.
    pub dir: PathBuf,
    pub cycles: u32,
    pub limit: Duration,
    /// Whether the restored victim is told to harm its data, so that the check must fail.
    pub tamper: bool,
}

/// What the judge holds after a cycle.
#[derive(Debug)]
struct Evidence {
    before: Answer,
    /// The pulse when the victim was gone, and again right before the restore.
    stopped: u64,
    still: u64,
    after: Answer,
    /// What is wrong with the way down and up itself.
    way: Vec<String>,
}

impl Case<'_> {
    pub(super) fn title(&self) -> String {
        self.scenario.title(self.variant)
    }

    /// Runs all cycles; `passed` hears of each that was whole.
    pub(super) fn run(&self, passed: &mut dyn FnMut(u32)) -> ScenarioReport {
        let began = Instant::now();
        let mut cycles = 0;
        let ending = self.live_through(began + self.limit, &mut |cycle| {
            cycles = cycle;
            passed(cycle);
        });
        let mut report = self.report(ending);
        report.cycles = cycles;
        report.seconds = began.elapsed().as_secs_f64();
        report
    }

    fn live_through(&self, deadline: Instant, passed: &mut dyn FnMut(u32)) -> Result<(), Setback> {
        let absent = |tool: &&&str| !criu::tool_exists(tool);
        if let Some(tool) = self.variant.tools.iter().find(absent) {
            return Err(Setback::Harness(format!("{tool} is not installed")));
        }
        fs::create_dir_all(&self.dir)?;
        let root = victim::start(self.program, self.scenario, &self.dir)?;
        let mut body = Body::new(root);
        let sitting = Sitting {
            case: self,
            deadline,
        };
        let ending = (1..=self.cycles).try_for_each(|cycle| {
            sitting.cycle(cycle, &mut body)?;
            passed(cycle);
            Ok(())
        });
        body.end();
        self.scenario.clear(&self.dir);
        // Only a mount point, and only where there was one.
        let _none_there = fs::remove_dir(entry::root(&self.dir));
        ending
    }

    fn report(&self, ending: Result<(), Setback>) -> ScenarioReport {
        let mut report = ScenarioReport {
            name: self.title(),
            verdict: Verdict::Works,
            cycles: 0,
            reason: None,
            hint: None,
            options: self.scenario.depends_on(self.variant),
            missing: Vec::new(),
            errors: Vec::new(),
            extra: self.variant.extra,
            seconds: 0.0,
        };
        if let Err(setback) = ending {
            self.explain(setback, &mut report);
        }
        report
    }

    fn explain(&self, setback: Setback, report: &mut ScenarioReport) {
        report.verdict = setback.verdict();
        let mut reason = setback.to_string();
        if let Setback::Scene(words) = &setback {
            report.missing.extend(words.option.clone());
        }
        if let Setback::Criu(CriuError::Failed { errors, .. }) = setback {
            if let Some(cause) = catalogue::cause(&errors) {
                report.verdict = cause.verdict;
                report.hint = cause.hint.map(str::to_owned);
                report.missing = cause.options.into_iter().map(str::to_owned).collect();
                reason = format!("{} ({})", cause.text, cause.line);
            }
            report.errors = errors;
        }
        if report.verdict == Verdict::Fails {
            self.name_missing_options(report);
            self.blame_the_build(report, &mut reason);
        }
        if !report.missing.is_empty() {
            reason = format!("the kernel lacks {}: {reason}", configs(&report.missing));
        }
        report.reason = Some(reason);
    }

    /// CRIU's own words may hide that the kernel does not describe the sockets; our probe knows.
    fn name_missing_options(&self, report: &mut ScenarioReport) {
        let needed = |probe: &&DiagProbe| self.scenario.families.contains(&probe.family.as_str());
        for probe in self
            .diag
            .iter()
            .filter(needed)
            .filter(|probe| !probe.available)
        {
            if !report.missing.contains(&probe.option) {
                report.missing.push(probe.option.clone());
            }
        }
    }

    /// A CRIU that was built without a feature says nothing about the kernel.
    fn blame_the_build(&self, report: &mut ScenarioReport, reason: &mut String) {
        let Some(feature) = self.variant.feature else {
            return;
        };
        if matches!(
            self.criu.feature(feature),
            Ok(Feature::Unsupported | Feature::Unknown)
        ) {
            report.verdict = Verdict::NotTestable;
            report.hint = Some(format!("use a CRIU that was built with {feature}"));
            *reason = format!("this CRIU was built without {feature}");
        }
    }
}

fn configs(options: &[String]) -> String {
    options
        .iter()
        .map(|option| format!("CONFIG_{option}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The cycles of one case before its deadline.
struct Sitting<'a> {
    case: &'a Case<'a>,
    deadline: Instant,
}

impl Sitting<'_> {
    fn cycle(&self, cycle: u32, body: &mut Body) -> Result<(), Setback> {
        let number = u64::from(cycle) * 2;
        if cycle == 1 {
            self.wait_for_the_first(body)?;
        }
        let before = self.ask(number - 1, Question::Prepare, body, false)?;
        body.count()?;
        let passage = Passage {
            case: self.case,
            cycle,
            deadline: self.deadline,
        };
        passage.down(body)?;
        let stopped = victim::pulse(&self.case.dir)?;
        std::thread::sleep(STILLNESS);
        let still = victim::pulse(&self.case.dir)?;
        let question = if self.case.tamper {
            Question::TamperedCheck
        } else {
            Question::Check
        };
        let after = passage.up(body, |body| self.ask(number, question, body, true))?;
        let evidence = Evidence {
            before,
            stopped,
            still,
            after,
            way: passage.faults()?,
        };
        // The next images may need the room; the logs stay.
        passage.tidy()?;
        let faults = judge(&evidence, self.case.scenario);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Setback::Data(faults))
        }
    }

    /// The victim is not always the process that was started.
    fn wait_for_the_first(&self, body: &mut Body) -> Result<(), Setback> {
        let dir = &self.case.dir;
        if self.case.scenario.entry.is_elsewhere() {
            self.wait_for(&entry::outside_file(dir), body, false)?;
            if let Some(root) = victim::moved_to(dir) {
                body.moved_to(root);
            }
        }
        self.wait_for(&victim::ready_file(dir), body, false)
    }

    fn ask(
        &self,
        number: u64,
        question: Question,
        body: &Body,
        restored: bool,
    ) -> Result<Answer, Setback> {
        victim::ask(&self.case.dir, number, question)?;
        let path = victim::answer_file(&self.case.dir, number);
        self.wait_for(&path, body, restored)?;
        let text = fs::read(path)?;
        serde_json::from_slice(&text)
            .map_err(|error| Setback::Broken(format!("its answer makes no sense: {error}")))
    }

    /// Waits for a file of the victim, but not for a victim that is dead.
    fn wait_for(&self, path: &Path, body: &Body, restored: bool) -> Result<(), Setback> {
        while !path.exists() {
            // Asked before the last look at the file: it may be the last thing that the victim did.
            let running = body.is_running();
            match victim::last_words(&self.case.dir) {
                Some(words) if restored => return Err(Setback::Broken(words.message)),
                Some(words) => return Err(Setback::Scene(words)),
                None if !running && !path.exists() => return Err(Setback::gone(restored)),
                None if self.left().is_zero() => return Err(Setback::Silent { restored }),
                None => std::thread::sleep(POLL),
            }
        }
        Ok(())
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The rules for every scenario, and then its own.
fn judge(evidence: &Evidence, scenario: &Scenario) -> Vec<String> {
    let Evidence {
        before,
        stopped,
        still,
        after,
        way,
    } = evidence;
    let mut faults = way.clone();
    for (what, before, after) in [
        ("process number", before.pid, after.pid),
        ("session", before.sid, after.sid),
        ("process group", before.pgid, after.pgid),
    ] {
        if before != after {
            faults.push(format!("the {what} was {before} and is {after}"));
        }
    }
    if after.number != before.number + 1 {
        faults.push(format!(
            "question {} was answered as {}",
            before.number + 1,
            after.number
        ));
    }
    if still != stopped {
        faults.push(format!(
            "the counter went on from {stopped} to {still} while the process was down"
        ));
    }
    if after.counter < *stopped || *stopped < before.counter {
        faults.push(format!(
            "the counter went back: {} before the dump, {stopped} at its end, {} after the restore",
            before.counter, after.counter
        ));
    }
    faults.extend(scenario.judge(&before.state, &after.state));
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::exec::Script;
    use crate::smoke::criu::Step;
    use crate::smoke::scenario;

    /// A state of `udp`, which has the shortest one.
    fn evidence() -> Evidence {
        let state = json!({"cycle": 1, "names": [], "ttl": 42, "broadcast": true, "ways": []});
        let answer = |number, counter| Answer {
            number,
            pid: 5,
            sid: 5,
            pgid: 5,
            counter,
            state: state.clone(),
        };
        Evidence {
            before: answer(1, 10),
            stopped: 12,
            still: 12,
            after: answer(2, 12),
            way: Vec::new(),
        }
    }

    #[test]
    fn each_common_fault_is_told() {
        type Change = fn(&mut Evidence);
        let cases: &[(Change, &str)] = &[
            (|_| {}, ""),
            (
                |evidence| evidence.after.counter = 11,
                "the counter went back",
            ),
            (|evidence| evidence.stopped = 9, "the counter went back"),
            (
                |evidence| evidence.still = 13,
                "went on from 12 to 13 while the process was down",
            ),
            (
                |evidence| evidence.after.pid = 6,
                "process number was 5 and is 6",
            ),
            (|evidence| evidence.after.sid = 6, "session"),
            (|evidence| evidence.after.pgid = 6, "process group"),
            (
                |evidence| evidence.after.number = 1,
                "question 2 was answered as 1",
            ),
            (
                |evidence| evidence.way.push("no parent".to_owned()),
                "no parent",
            ),
            (
                |evidence| evidence.after.state = json!({}),
                "makes no sense",
            ),
        ];
        for (change, fault) in cases {
            let mut evidence = evidence();
            change(&mut evidence);
            let faults = judge(&evidence, scenario::find("udp").unwrap()).join("; ");
            assert_eq!(faults.is_empty(), fault.is_empty(), "{faults}");
            assert!(faults.contains(fault), "{faults}");
        }
    }

    fn explained(
        name: &str,
        setback: Setback,
        diag: &[DiagProbe],
        script: &Script,
    ) -> ScenarioReport {
        let scenario = scenario::find(name).unwrap();
        let case = Case {
            scenario,
            variant: scenario.variants.last().unwrap(),
            program: Path::new("wslk"),
            criu: &Criu::new("criu", script),
            diag,
            dir: PathBuf::new(),
            cycles: 2,
            limit: Duration::ZERO,
            tamper: false,
        };
        case.report(Err(setback))
    }

    fn dump_failed(error: &str) -> Setback {
        let errors = vec![error.to_owned(), "Dumping FAILED.".to_owned()];
        Setback::Criu(CriuError::Failed {
            step: Step::Dump,
            errors,
        })
    }

    #[test]
    fn a_missing_diagnosis_is_named() {
        let silent = Script::default();
        let report = explained(
            "unix",
            dump_failed("Sockets (family 1 proto 0) are not collected"),
            &[],
            &silent,
        );
        assert_eq!(
            (report.verdict, &report.missing[..]),
            (Verdict::Fails, &["UNIX_DIAG".to_owned()][..])
        );
        assert!(
            report
                .reason
                .unwrap()
                .starts_with("the kernel lacks CONFIG_UNIX_DIAG: ")
        );

        let probe = DiagProbe {
            family: "unix".into(),
            option: "UNIX_DIAG".into(),
            available: false,
            error: None,
        };
        let report = explained("unix", dump_failed("something else"), &[probe], &silent);
        assert_eq!(report.missing, ["UNIX_DIAG"]);
    }

    #[test]
    fn a_criu_without_nftables_is_no_fault_of_the_kernel() {
        let answer = || crate::exec::Output {
            status: Some(1),
            ..Default::default()
        };
        let script = Script::default().expect("check --feature nftables", answer());
        let report = explained("tcp", dump_failed("no nftables"), &[], &script);
        assert_eq!(report.verdict, Verdict::NotTestable);
        assert!(report.reason.unwrap().contains("built without nftables"));
    }
}
