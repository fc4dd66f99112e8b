//! What make did and when, by its own words and by the times of its files.
//!
//! In: make's lines as they come, then the build tree that it left. Out: a [`Trace`]. A [`Step`] begins when its line
//! comes; it is over when its file, or what kbuild notes beside it, was written last. Every build has one: it
//! costs two looks at a file for each line. Must not change anything, nor say what a step is good for.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::ccache_log::{Call, Outcome};
use super::plan::{BUILD, BuildPlan, MODULES, PHASE_MARK, RELEASE_MARK, SOURCE};

/// What make did. Times are seconds since the job was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// When the job was started.
    pub started: Instant,
    /// How long it took, container included.
    pub seconds: f64,
    /// Compilers at a time.
    pub jobs: usize,
    /// Object files that an earlier run had left.
    pub kept: u64,
    /// The runs of make, in order.
    pub phases: Vec<Phase>,
    /// What the runs did, in the order in which it began.
    pub steps: Vec<Step>,
}

/// One run of make.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// `syncconfig`, `compile` or `modules_install`.
    pub name: String,
    /// When it began.
    pub start: f64,
    /// When it was over.
    pub end: f64,
}

/// One thing that make did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// kbuild's word for it: `CC`, `LD`, `DEPMOD`.
    pub verb: String,
    /// Whether kbuild says that it is for a module.
    pub module: bool,
    /// What is made, by its path in the build tree or below the modules' folder.
    pub target: String,
    /// When it began.
    pub start: f64,
    /// When it was over; nothing where it left no file that tells.
    pub end: Option<f64>,
    /// What the compiler cache made of it; nothing where it was not asked.
    pub cache: Option<Asked>,
}

/// What the compiler cache answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// It had the object.
    Found,
    /// It had not, so the object was compiled.
    Missed,
    /// It is no case for a cache.
    NoCase,
}

impl Step {
    /// How long it took; nothing where its end is not known.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.end.map(|end| end - self.start)
    }
}

/// A line of kbuild that announces a step: `  CC [M]  fs/fuse/dev.o` is verb, module and target.
fn announced(line: &str) -> Option<(&str, bool, &str)> {
    let (verb, rest) = line.strip_prefix("  ")?.split_once(' ')?;
    let is_verb = verb.starts_with(|c: char| c.is_ascii_uppercase())
        && verb
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_-+".contains(&b));
    let rest = rest.trim();
    let (module, target) = match rest.strip_prefix("[M]") {
        Some(target) => (true, target.trim_start()),
        None => (false, rest),
    };
    let is_target = !target.is_empty() && !target.contains(char::is_whitespace);
    (is_verb && is_target).then_some((verb, module, target))
}

/// Hears make and looks at the clock.
#[derive(Debug)]
pub(super) struct Recorder {
    started: Instant,
    /// The same moment as files tell the time.
    epoch: SystemTime,
    phases: Vec<Phase>,
    steps: Vec<Step>,
    /// Whether the last phase is over.
    idle: bool,
    seconds: f64,
}

impl Recorder {
    /// Starts the clock.
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            epoch: SystemTime::now(),
            phases: Vec::new(),
            steps: Vec::new(),
            idle: true,
            seconds: 0.0,
        }
    }

    /// The job is over.
    pub(super) fn stop(&mut self) {
        self.seconds = self.started.elapsed().as_secs_f64();
        self.end_phase(self.seconds);
        self.idle = true;
    }

    /// Takes a line that has just come.
    pub(super) fn take(&mut self, line: &str) {
        self.take_at(self.started.elapsed().as_secs_f64(), line);
    }

    fn take_at(&mut self, now: f64, line: &str) {
        if let Some(name) = line.strip_prefix(PHASE_MARK) {
            self.end_phase(now);
            self.idle = false;
            self.phases.push(Phase {
                name: name.trim().to_owned(),
                start: now,
                end: now,
            });
        } else if line.starts_with(RELEASE_MARK) {
            self.end_phase(now);
            self.idle = true;
        } else if let Some((verb, module, target)) = announced(line) {
            self.steps.push(Step {
                verb: verb.to_owned(),
                module,
                target: target.to_owned(),
                start: now,
                end: None,
                cache: None,
            });
        }
    }

    fn end_phase(&mut self, now: f64) {
        if let Some(phase) = self.phases.last_mut().filter(|_| !self.idle) {
            phase.end = now;
        }
    }

    /// Looks at what the steps left, and names them as the build tree does. `calls` are what the compiler cache was
    /// asked, `kept` the objects that were there before.
    pub(super) fn finish(mut self, plan: &BuildPlan, kept: u64, calls: &[Call]) -> Trace {
        let places = Places::new(plan);
        let epoch = self.epoch;
        let written = |path: &Path| {
            let time = fs::metadata(path).and_then(|data| data.modified()).ok()?;
            // What is older was made by an earlier run.
            time.duration_since(epoch)
                .ok()
                .map(|since| since.as_secs_f64())
        };
        finish_steps(&mut self.steps, &self.phases, |target| {
            let path = places.path(target);
            Times {
                file: written(&path),
                command: written(&command_file(&path)),
            }
        });
        let asked = asked(calls, &places);
        for step in &mut self.steps {
            step.target = places.name(&step.target).to_owned();
            step.cache = asked_of(step, &asked);
        }
        Trace {
            started: self.started,
            seconds: self.seconds,
            jobs: plan.jobs,
            kept,
            phases: self.phases,
            steps: self.steps,
        }
    }
}

/// When a file, and when kbuild's note of the command that makes it, was written.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    file: Option<f64>,
    command: Option<f64>,
}

/// Finds the ends. Where several steps of one run of make write the same file, each ends when the next begins at
/// the latest.
fn finish_steps(steps: &mut [Step], phases: &[Phase], times: impl Fn(&str) -> Times) {
    let phase = |at: f64| phases.iter().rposition(|phase| phase.start <= at);
    let mut next: HashMap<String, (Option<usize>, f64)> = HashMap::new();
    for step in steps.iter_mut().rev() {
        let known = times(&step.target);
        // Files have coarser times than lines: a short step may seem to end before it began.
        let clamp = |end: f64| end.max(step.start);
        let run = phase(step.start);
        let after = next.get(&step.target).filter(|(of, _)| *of == run);
        step.end = match after {
            Some((_, after)) => {
                let command = known.command.map(clamp).filter(|end| end <= after);
                Some(command.unwrap_or(*after))
            }
            None => {
                let last = known.file.into_iter().chain(known.command);
                last.reduce(f64::max).map(clamp)
            }
        };
        next.insert(step.target.clone(), (run, step.start));
    }
    // Of two runs that name one file, only the later one has written what lies there.
    for step in steps {
        let end = phase(step.start)
            .and_then(|run| phases.get(run))
            .map(|run| run.end);
        step.end = step
            .end
            .filter(|at| end.is_none_or(|end| *at <= end + LATE));
    }
}

/// A file may be written so many seconds after the line that ends a run has come.
const LATE: f64 = 0.1;

/// Where a step's file lies on this machine, whatever make calls it.
struct Places {
    tree: PathBuf,
    /// Folders as make may name them, and as we do.
    folders: Vec<(PathBuf, PathBuf)>,
    sources: Vec<PathBuf>,
}

impl Places {
    fn new(plan: &BuildPlan) -> Self {
        let (tree, staged) = (plan.tree(), plan.staged());
        Self {
            folders: vec![
                (BUILD.into(), tree.clone()),
                (tree.clone(), tree.clone()),
                (MODULES.into(), staged.clone()),
                (staged.clone(), staged),
            ],
            sources: vec![SOURCE.into(), plan.source.clone()],
            tree,
        }
    }

    fn path(&self, target: &str) -> PathBuf {
        let real = |(inside, real): &(PathBuf, PathBuf)| {
            Some(real.join(Path::new(target).strip_prefix(inside).ok()?))
        };
        // An absolute path stays one.
        self.folders
            .iter()
            .find_map(real)
            .unwrap_or_else(|| self.tree.join(target))
    }

    /// The path in whichever folder it is.
    fn name<'a>(&self, target: &'a str) -> &'a str {
        let folders = self.folders.iter().map(|(inside, _)| inside);
        folders
            .chain(&self.sources)
            .find_map(|folder| Path::new(target).strip_prefix(folder).ok()?.to_str())
            .unwrap_or_else(|| target.strip_prefix("./").unwrap_or(target))
    }
}

/// Where kbuild notes how a file is made, once it is.
fn command_file(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.cmd"))
}

/// What the compiler cache answered, by the path of the source file without its ending.
fn asked<'a>(calls: &'a [Call], places: &Places) -> HashMap<&'a str, Asked> {
    let mut all = HashMap::new();
    for call in calls {
        let answer = match call.outcome {
            Outcome::Direct | Outcome::Preprocessed => Asked::Found,
            Outcome::Miss => Asked::Missed,
            Outcome::Uncacheable(_) => Asked::NoCase,
        };
        let known = all.entry(stem(places.name(&call.input))).or_insert(answer);
        // A file may be compiled more than once: what cost something counts.
        if answer == Asked::Missed {
            *known = answer;
        }
    }
    all
}

fn asked_of(step: &Step, asked: &HashMap<&str, Asked>) -> Option<Asked> {
    let compiles = matches!(step.verb.as_str(), "CC" | "AS" | "HOSTCC");
    let name = step.target.strip_suffix(".o").unwrap_or(&step.target);
    compiles.then(|| asked.get(name).copied()).flatten()
}

fn stem(name: &str) -> &str {
    let folder = name.rfind('/').map_or(0, |at| at + 1);
    name[folder..]
        .rfind('.')
        .filter(|at| *at > 0)
        .map_or(name, |at| &name[..folder + at])
}

impl Trace {
    /// From the beginning of the first run of make to the end of the last; all of the job where make did not tell.
    #[must_use]
    pub fn make(&self) -> (f64, f64) {
        let first = self.phases.first().map_or(0.0, |phase| phase.start);
        let last = self.phases.last().map_or(self.seconds, |phase| phase.end);
        (first, last)
    }

    /// Of a kernel for which make was not called.
    #[must_use]
    pub(super) fn without_make(jobs: usize) -> Self {
        Self {
            started: Instant::now(),
            seconds: 0.0,
            jobs,
            kept: 0,
            phases: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// When the job was started, counted from `clock`.
    #[must_use]
    pub fn since(&self, clock: Instant) -> Duration {
        self.started.saturating_duration_since(clock)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_read() {
        let table = [
            ("  CC      init/main.o", Some(("CC", false, "init/main.o"))),
            (
                "  CC [M]  fs/fuse/dev.o",
                Some(("CC", true, "fs/fuse/dev.o")),
            ),
            (
                "  LD [M]  fs/fuse/fuse.ko",
                Some(("LD", true, "fs/fuse/fuse.ko")),
            ),
            (
                "  MODPOST Module.symvers",
                Some(("MODPOST", false, "Module.symvers")),
            ),
            (
                "  VDSO2C  arch/x86/entry/vdso/vdso-image-64.c",
                Some(("VDSO2C", false, "arch/x86/entry/vdso/vdso-image-64.c")),
            ),
            ("  BTF [M] net/team.ko", Some(("BTF", true, "net/team.ko"))),
            (
                "  DEPMOD  /modules/lib/modules/6.1",
                Some(("DEPMOD", false, "/modules/lib/modules/6.1")),
            ),
            ("make[1]: Entering directory '/build'", None),
            ("  in file included from x.o", None),
            ("  NOTE this is not a step", None),
            ("    16 |   foo.o", None),
            ("  123     foo.o", None),
            ("Kernel: arch/x86/boot/bzImage is ready  (#1)", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(announced(line), expected, "{line}");
        }
    }

    fn heard(lines: &[(f64, &str)]) -> Recorder {
        let mut recorder = Recorder::start();
        lines
            .iter()
            .for_each(|(at, line)| recorder.take_at(*at, line));
        recorder
    }

    #[test]
    fn phases_follow_each_other() {
        let recorder = heard(&[
            (0.5, "make begins: syncconfig"),
            (2.0, "make begins: compile"),
            (2.5, "  CC      init/main.o"),
            (9.0, "make begins: modules_install"),
            (9.5, "kernelrelease is 6.1"),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let trace = recorder.finish(&BuildPlan::example(folder.path().into()), 0, &[]);
        let phases: Vec<(&str, f64, f64)> = trace
            .phases
            .iter()
            .map(|phase| (phase.name.as_str(), phase.start, phase.end))
            .collect();
        let expected = [
            ("syncconfig", 0.5, 2.0),
            ("compile", 2.0, 9.0),
            ("modules_install", 9.0, 9.5),
        ];
        assert_eq!(phases, expected);
        assert_eq!(trace.make(), (0.5, 9.5));
    }

    fn ends(lines: &[(f64, &str)], files: &[(&str, Option<f64>, Option<f64>)]) -> Vec<Option<f64>> {
        let mut recorder = heard(lines);
        finish_steps(&mut recorder.steps, &recorder.phases, |target| {
            let found = files.iter().find(|(name, ..)| *name == target);
            found.map_or_else(Times::default, |(_, file, command)| Times {
                file: *file,
                command: *command,
            })
        });
        recorder.steps.iter().map(|step| step.end).collect()
    }

    #[test]
    fn a_step_ends_when_its_file_is_whole() {
        let lines = [
            (1.0, "  CC      a.o"),
            (1.1, "  CC      b.o"),
            (1.2, "  CC      c.o"),
            (1.3, "  DESCEND objtool"),
            (2.0, "  UPD     x.h"),
        ];
        let files = [
            // kbuild's note comes after objtool and fixdep.
            ("a.o", Some(3.0), Some(3.5)),
            ("b.o", Some(4.0), None),
            // Coarse times.
            ("x.h", Some(1.997), None),
        ];
        let expected = [Some(3.5), Some(4.0), None, None, Some(2.0)];
        assert_eq!(ends(&lines, &files), expected);
    }

    #[test]
    fn steps_on_one_file_follow_each_other() {
        let lines = [
            (0.0, "make begins: syncconfig"),
            (0.1, "  GEN     Makefile"),
            (1.0, "make begins: compile"),
            (1.1, "  GEN     Makefile"),
            (5.0, "  LD [M]  x.ko"),
            (6.0, "  BTF [M] x.ko"),
            (7.0, "  LD      vmlinux"),
            (8.0, "  SORTTAB vmlinux"),
            (9.0, "kernelrelease is 6.1"),
        ];
        let files = [
            ("Makefile", Some(1.2), None),
            ("x.ko", Some(6.5), Some(5.9)),
            ("vmlinux", Some(8.2), Some(8.3)),
        ];
        let expected = [None, Some(1.2), Some(5.9), Some(6.5), Some(8.0), Some(8.3)];
        assert_eq!(ends(&lines, &files), expected);
    }

    #[test]
    fn files_of_this_run_are_found_wherever_make_says_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let plan = BuildPlan::example(folder.path().into());
        let old = plan.tree().join("old.o");
        let new = plan.tree().join("tools/new.o");
        let module = plan.staged().join("lib/modules/6.1/x.ko");
        for path in [&old, &new, &module] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(&old, "").unwrap();
        let earlier = SystemTime::now() - Duration::from_secs(60);
        fs::File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(earlier)
            .unwrap();
        let mut recorder = Recorder::start();
        let absolute = format!("  CC      {}", plan.tree().join("tools/new.o").display());
        for line in [
            "  CC      old.o",
            "  CC      /build/tools/new.o",
            &absolute,
            "  INSTALL /modules/lib/modules/6.1/x.ko",
        ] {
            recorder.take(line);
        }
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&new, "").unwrap();
        fs::write(&module, "").unwrap();
        let trace = recorder.finish(&plan, 7, &[]);
        let told: Vec<(&str, bool)> = trace
            .steps
            .iter()
            .map(|step| (step.target.as_str(), step.end.is_some()))
            .collect();
        let expected = [
            ("old.o", false),
            ("tools/new.o", true),
            ("tools/new.o", true),
            ("lib/modules/6.1/x.ko", true),
        ];
        assert_eq!((told.as_slice(), trace.kept), (&expected[..], 7));
    }

    #[test]
    fn the_compiler_cache_is_asked_by_source_file() {
        let folder = tempfile::tempdir().unwrap();
        let plan = BuildPlan::example(folder.path().into());
        let log = "# /src/init/main.c\ncache_miss\n# /src/kernel/fork.c\ndirect_cache_hit\n\
            # arch/x86/lib/x.S\npreprocessed_cache_hit\n# /trees/linux/scripts/basic/fixdep.c\ndirect_cache_hit\n\
            # /dev/null\ndirect_cache_hit\n# .tmp.S\nunsupported_code_directive\n";
        let calls = super::super::ccache_log::parse(log);
        let recorder = heard(&[
            (0.0, "  HOSTCC  scripts/basic/fixdep"),
            (0.1, "  CC      init/main.o"),
            (0.2, "  CC      kernel/fork.o"),
            (0.3, "  AS      arch/x86/lib/x.o"),
            (0.4, "  AS      .tmp.o"),
            (0.5, "  CC      mm/slab.o"),
            (0.6, "  LD      init/main.o"),
        ]);
        let trace = recorder.finish(&plan, 0, &calls);
        let answers: Vec<Option<Asked>> = trace.steps.iter().map(|step| step.cache).collect();
        let expected = [
            Some(Asked::Found),
            Some(Asked::Missed),
            Some(Asked::Found),
            Some(Asked::Found),
            Some(Asked::NoCase),
            None,
            None,
        ];
        assert_eq!(answers, expected);
    }

    #[test]
    fn endings_are_cut_off() {
        let table = [
            ("init/main.c", "init/main"),
            (".vmlinux.export.c", ".vmlinux.export"),
            ("a.b/c", "a.b/c"),
            (".hidden", ".hidden"),
            ("", ""),
        ];
        for (name, expected) in table {
            assert_eq!(stem(name), expected);
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "( {0,3}[A-Z]{0,4}( |\\[M\\]|make begins: )?)?[ -~é]{0,30}") {
            let mut recorder = Recorder::start();
            recorder.take(&line);
            let folder = tempfile::tempdir().unwrap();
            let trace = recorder.finish(&BuildPlan::example(folder.path().into()), 0, &[]);
            prop_assert!(trace.steps.len() <= 1);
        }
    }
}
