//! One scenario from its first process to its verdict.
//!
//! In: a [`Case`]. Out: a [`ScenarioReport`]. Whatever happens, no process of the victim is left when
//! the report is there. The rules that hold for every scenario are here: the same process comes back,
//! its counter stood still while it was down and did not go back.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::body::Body;
use super::catalogue;
use super::criu::{self, Call, Criu, CriuError, Feature, Step};
use super::diag::DiagProbe;
use super::scenario::{Scenario, Variant};
use super::victim::{self, Answer, LastWords, Question};
use super::{ScenarioReport, Verdict};
use crate::exec::ExecError;

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
}

/// What the judge holds after a cycle.
#[derive(Debug)]
struct Evidence {
    before: Answer,
    /// The pulse when the victim was gone, and again right before the restore.
    stopped: u64,
    still: u64,
    after: Answer,
}

/// Why a case ended before all its cycles.
#[derive(Debug)]
enum Setback {
    /// Our own doing or the surroundings': nothing follows about the kernel.
    Harness(String),
    /// The victim could not set its scene.
    Scene(LastWords),
    Criu(CriuError),
    /// The dump was said to be done, and yet these processes are there.
    Undead(Vec<i32>),
    /// The restored victim ended or gave an error.
    Broken(String),
    /// No answer in time; `restored` says from whom.
    Silent {
        restored: bool,
    },
    /// The data are not what they were.
    Data(Vec<String>),
}

impl From<CriuError> for Setback {
    fn from(error: CriuError) -> Self {
        Self::Criu(error)
    }
}

impl From<io::Error> for Setback {
    fn from(error: io::Error) -> Self {
        Self::Harness(error.to_string())
    }
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
        if !self.variant.tools.is_empty()
            && !self
                .variant
                .tools
                .iter()
                .any(|tool| criu::tool_exists(tool))
        {
            return Err(Setback::Harness(format!(
                "{} is not installed",
                self.variant.tools.join(" or ")
            )));
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
            self.wait_for(&victim::ready_file(&self.case.dir), body, false)?;
        }
        let before = self.ask(number - 1, Question::Prepare, body, false)?;
        body.count()?;
        let (stopped, still) = self.down_and_up(cycle, body)?;
        let after = self.ask(number, Question::Check, body, true)?;
        let evidence = Evidence {
            before,
            stopped,
            still,
            after,
        };
        let faults = judge(&evidence, self.case.scenario);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Setback::Data(faults))
        }
    }

    /// Dumps and restores; returns the pulse after the death and before the rebirth.
    fn down_and_up(&self, cycle: u32, body: &mut Body) -> Result<(u64, u64), Setback> {
        let Case { dir, criu, .. } = self.case;
        let images = dir.join(format!("images-{cycle}"));
        fs::create_dir_all(&images)?;
        let call = |step: Step| Call {
            images: &images,
            log: dir.join(format!("{step}-{cycle}.log")),
            extra: self.case.variant.arguments,
            limit: self.left(),
        };
        criu.dump(body.root(), &call(Step::Dump))?;
        body.wait_until_gone().map_err(Setback::Undead)?;
        let stopped = victim::pulse(dir)?;
        std::thread::sleep(STILLNESS);
        let still = victim::pulse(dir)?;
        criu.restore(&call(Step::Restore))?;
        body.restored();
        // The next images may need the room; the logs stay.
        fs::remove_dir_all(&images)?;
        Ok((stopped, still))
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
    } = evidence;
    let mut faults = Vec::new();
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

impl Setback {
    /// A victim that ended without a word.
    fn gone(restored: bool) -> Self {
        let message = "the victim ended without a word".to_owned();
        if restored {
            Self::Broken(message)
        } else {
            Self::Harness(message)
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Harness(_) | Self::Criu(CriuError::Version(_)) => Verdict::NotTestable,
            Self::Criu(CriuError::Exec(error)) if !matches!(error, ExecError::TimedOut { .. }) => {
                Verdict::NotTestable
            }
            Self::Silent { restored } if !restored => Verdict::NotTestable,
            Self::Scene(words) if !words.names_a_missing_feature() => Verdict::NotTestable,
            _ => Verdict::Fails,
        }
    }
}

impl LastWords {
    /// Errors by which a kernel says that something was not built into it.
    fn names_a_missing_feature(&self) -> bool {
        use rustix::io::Errno;
        let lacking = [
            Errno::AFNOSUPPORT,
            Errno::PROTONOSUPPORT,
            Errno::NOSYS,
            Errno::PROTOTYPE,
            Errno::OPNOTSUPP,
        ];
        self.errno
            .is_some_and(|errno| lacking.iter().any(|known| known.raw_os_error() == errno))
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harness(message) => f.write_str(message),
            Self::Scene(words) => write!(f, "the victim could not be set up: {}", words.message),
            Self::Criu(error) => error.fmt(f),
            Self::Undead(pids) => write!(
                f,
                "after the dump these processes are still there: {pids:?}"
            ),
            Self::Broken(message) => write!(f, "the restored victim does not work: {message}"),
            Self::Silent { restored: true } => f.write_str("the restored victim does not answer"),
            Self::Silent { restored: false } => f.write_str("the victim was not ready in time"),
            Self::Data(faults) => f.write_str(&faults.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::exec::Script;
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

    #[test]
    fn setbacks_tell_kernel_from_surroundings() {
        let words = |errno| LastWords {
            message: "no".into(),
            errno,
        };
        for (setback, verdict) in [
            (Setback::Harness("x".into()), Verdict::NotTestable),
            (Setback::Scene(words(None)), Verdict::NotTestable),
            (Setback::Scene(words(Some(97))), Verdict::Fails),
            (Setback::Silent { restored: false }, Verdict::NotTestable),
            (Setback::Silent { restored: true }, Verdict::Fails),
            (Setback::Undead(vec![3]), Verdict::Fails),
            (Setback::Broken("x".into()), Verdict::Fails),
            (Setback::Data(vec!["x".into()]), Verdict::Fails),
            (dump_failed("x"), Verdict::Fails),
        ] {
            assert_eq!(setback.verdict(), verdict, "{setback:?}");
        }
    }
}
