//! Down and up again: the calls of CRIU that a [`Way`] consists of, and the traces that they must leave.
//!
//! In: a case's cycle and its victim. Out: a victim that is gone, then one that is back, and what is
//! wrong with the images themselves. Must not know what a scenario's data are.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::body::Body;
use super::container;
use super::criu::{Call, LAZY_SOCKET, Step};
use super::cycle::Case;
use super::entry;
use super::plan::Way;
use super::setback::Setback;
use super::stage::{BESIDE, VERB};
use super::stats::{self, DumpStats};

/// Between two dumps the victim lives so long: several of its ticks, in each of which it changes.
const CHANGES: Duration = Duration::from_millis(15);
/// How often the daemon's socket is looked for.
const POLL: Duration = Duration::from_millis(3);
/// What the daemon's log says in the end, before two numbers.
const TRANSFERRED: &str = "UFFD transferred pages: (";

/// One way down and up.
pub(super) struct Passage<'a> {
    pub case: &'a Case<'a>,
    pub cycle: u32,
    pub deadline: Instant,
}

impl Passage<'_> {
    /// Dumps the victim and waits until it is gone.
    pub(super) fn down(&self, body: &mut Body) -> Result<(), Setback> {
        let criu = self.case.criu;
        let mut extra = self.windows(|path| format!("mnt[{}]:{}", path.display(), key(path)));
        for round in 1..=self.rounds() {
            let images = self.folder(&self.pre_images(round))?;
            let mut extra = extra.clone();
            extra.extend(self.tracking(round));
            let log = format!("{}-{round}", Step::PreDump);
            criu.pre_dump(body.root(), &self.call(&images, &log, &extra))?;
            std::thread::sleep(CHANGES);
        }
        extra.extend(self.tracking(self.rounds() + 1));
        let images = self.folder(&self.images())?;
        let log = Step::Dump.to_string();
        match self.case.variant.way {
            Way::Engine => self.by_engine(Step::Dump, &["checkpoint"])?,
            _ => criu.dump(body.root(), &self.call(&images, &log, &extra))?,
        }
        body.wait_until_gone().map_err(Setback::Undead)
    }

    /// Brings the victim back, and lets `ask` ask it.
    pub(super) fn up<T>(
        &self,
        body: &mut Body,
        ask: impl FnOnce(&Body) -> Result<T, Setback>,
    ) -> Result<T, Setback> {
        match self.case.variant.way {
            Way::LazyPages => self.up_lazily(body, ask),
            Way::Engine => {
                let dir = &self.case.dir;
                let (bundle, pid) = (container::bundle(dir), container::pid_file(dir));
                let words: [&OsStr; 6] = [
                    "restore".as_ref(),
                    "--detach".as_ref(),
                    "--bundle".as_ref(),
                    bundle.as_ref(),
                    "--pid-file".as_ref(),
                    pid.as_ref(),
                ];
                self.by_engine(Step::Restore, &words)?;
                let number = fs::read_to_string(&pid)?.trim().parse().ok();
                body.restored(number.and_then(Pid::from_raw));
                ask(body)
            }
            Way::Plain | Way::PreDump(_) => {
                self.restore(body, &[])?;
                ask(body)
            }
        }
    }

    /// What is wrong with the images, though the victim may be well.
    pub(super) fn faults(&self) -> io::Result<Vec<String>> {
        let faults = match self.case.variant.way {
            Way::PreDump(_) => {
                let (first, last) = (self.path(&self.pre_images(1)), self.path(&self.images()));
                let linked = last.join("parent").exists();
                judge_tracking(stats::read(&first)?, stats::read(&last)?, linked)
            }
            Way::LazyPages => {
                let log = fs::read(self.log(&Step::LazyPages.to_string()))?;
                judge_transfer(&String::from_utf8_lossy(&log))
            }
            Way::Plain | Way::Engine => None,
        };
        Ok(faults.into_iter().collect())
    }

    /// Removes the images; the logs stay.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let before = (1..=self.rounds()).map(|round| self.pre_images(round));
        before
            .chain([self.images()])
            .try_for_each(|name| fs::remove_dir_all(self.path(&name)))
    }

    /// A verb of the container engine, with what it tells CRIU.
    fn by_engine(&self, step: Step, verb: &[impl AsRef<OsStr>]) -> Result<(), Setback> {
        let (dir, images) = (&self.case.dir, self.path(&self.images()));
        let work = self.folder(&format!("{step}-{}", self.cycle))?;
        let mut words = container::engine(dir);
        words.extend(verb.iter().map(|word| word.as_ref().to_owned()));
        words.extend(["--image-path".into(), images.clone().into_os_string()]);
        words.extend(["--work-path".into(), work.clone().into_os_string()]);
        words.push(container::name(dir).into());
        let mut call = self.call(&images, "", &[]);
        call.log = work.join(format!("{step}.log"));
        Ok(self.case.criu.by_engine(step, &words, &call)?)
    }

    fn restore(&self, body: &mut Body, more: &[&str]) -> Result<(), Setback> {
        let mut extra = self.windows(|path| format!("mnt[{}]:{}", key(path), path.display()));
        extra.extend(more.iter().map(|&word| word.to_owned()));
        if self.case.scenario.entry.has_root() {
            let root = entry::root(&self.case.dir).to_string_lossy().into_owned();
            extra.extend(["--root".to_owned(), root]);
        }
        let images = self.path(&self.images());
        let log = Step::Restore.to_string();
        let mut call = self.call(&images, &log, &extra);
        if self.case.scenario.entry.has_root() {
            call.through = self.beside_root();
        }
        body.restored(self.case.criu.restore(&call)?);
        Ok(())
    }

    fn up_lazily<T>(
        &self,
        body: &mut Body,
        ask: impl FnOnce(&Body) -> Result<T, Setback>,
    ) -> Result<T, Setback> {
        let images = self.path(&self.images());
        let socket = images.join(LAZY_SOCKET);
        let call = self.call(&images, &Step::LazyPages.to_string(), &[]);
        std::thread::scope(|scope| {
            let daemon = scope.spawn(|| self.case.criu.lazy_pages(&call));
            while !socket.exists() && !daemon.is_finished() {
                std::thread::sleep(POLL);
            }
            let answer = if daemon.is_finished() {
                Err(Setback::Harness(
                    "the daemon of lazy pages is gone".to_owned(),
                ))
            } else {
                self.restore(body, &["--lazy-pages"])
                    .and_then(|()| ask(body))
            };
            if answer.is_err() {
                // It waits for somebody to come; who comes and goes at once ends it.
                drop(UnixStream::connect(&socket));
            }
            match (daemon.join(), answer) {
                (_, Err(setback)) if !matches!(setback, Setback::Harness(_)) => Err(setback),
                (Ok(Ok(())), answer) => answer,
                (Ok(Err(error)), _) => Err(error.into()),
                (Err(_), _) => Err(Setback::Harness("the thread of the daemon fell".to_owned())),
            }
        })
    }

    fn call<'b>(&self, images: &'b Path, step: &str, extra: &'b [String]) -> Call<'b> {
        Call {
            images,
            log: self.log(step),
            extra,
            limit: self.deadline.saturating_duration_since(Instant::now()),
            through: Vec::new(),
        }
    }

    /// This program in the role that starts CRIU where the victim's root can be seen.
    fn beside_root(&self) -> Vec<OsString> {
        let Case {
            program,
            scenario,
            dir,
            ..
        } = self.case;
        let words: [&OsStr; 5] = [
            program.as_ref(),
            VERB.as_ref(),
            scenario.name.as_ref(),
            dir.as_ref(),
            BESIDE.as_ref(),
        ];
        words.map(OsStr::to_owned).into()
    }

    /// The arguments of the variant, and one `--external` for each window of a root of its own.
    fn windows(&self, word: impl Fn(&Path) -> String) -> Vec<String> {
        let Case {
            scenario, variant, ..
        } = self.case;
        let mut extra: Vec<String> = variant.arguments.iter().map(|&a| a.to_owned()).collect();
        for window in scenario.entry.windows(&[&self.case.dir, self.case.program]) {
            extra.extend(["--external".to_owned(), word(&window)]);
        }
        extra
    }

    /// The arguments of the dump after so many: all but the first continue the one before.
    fn tracking(&self, round: u32) -> Vec<String> {
        if self.rounds() == 0 {
            return Vec::new();
        }
        let mut words = vec!["--track-mem".to_owned()];
        if round > 1 {
            let previous = format!("../{}", self.pre_images(round - 1));
            words.extend(["--prev-images-dir".to_owned(), previous]);
        }
        words
    }

    fn rounds(&self) -> u32 {
        match self.case.variant.way {
            Way::PreDump(rounds) => rounds,
            _ => 0,
        }
    }

    fn images(&self) -> String {
        format!("images-{}", self.cycle)
    }

    fn pre_images(&self, round: u32) -> String {
        format!("images-{}-before-{round}", self.cycle)
    }

    fn log(&self, step: &str) -> PathBuf {
        self.path(&format!("{step}-{}.log", self.cycle))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.case.dir.join(name)
    }

    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// A window's name in the images: the same at both ends, and free of slashes.
fn key(path: &Path) -> String {
    path.to_string_lossy().replace('/', "-")
}

/// A dump that knows what an earlier one wrote writes less, and points to it.
fn judge_tracking(first: DumpStats, last: DumpStats, linked: bool) -> Option<String> {
    match () {
        () if !linked => Some("the last dump has no link to the one before".to_owned()),
        () if last.skipped == 0 => Some("the last dump left out no page".to_owned()),
        () if last.written >= first.written => Some(format!(
            "the first dump wrote {} pages, and the last one {}",
            first.written, last.written
        )),
        () => None,
    }
}

/// The daemon sends every page once: asked for, or in the end.
fn judge_transfer(log: &str) -> Option<String> {
    let counts = |line: &str| {
        let (_, rest) = line.split_once(TRANSFERRED)?;
        let (sent, rest) = rest.split_once('/')?;
        let (all, _) = rest.split_once(')')?;
        Some((sent.parse::<u64>().ok()?, all.parse::<u64>().ok()?))
    };
    let counts: Vec<(u64, u64)> = log.lines().filter_map(counts).collect();
    match counts.iter().find(|(sent, all)| sent != all) {
        Some((sent, all)) => Some(format!("{sent} of {all} pages were transferred")),
        None if counts.iter().all(|(sent, _)| *sent == 0) => {
            Some("no page was transferred".to_owned())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_shows_in_the_numbers() {
        let stats = |skipped, written| DumpStats { skipped, written };
        for (first, last, linked, fault) in [
            (stats(0, 500), stats(480, 20), true, None),
            (stats(0, 500), stats(480, 20), false, Some("no link")),
            (stats(0, 500), stats(0, 500), true, Some("left out no page")),
            (
                stats(0, 500),
                stats(1, 500),
                true,
                Some("wrote 500 pages, and the last one 500"),
            ),
        ] {
            let found = judge_tracking(first, last, linked);
            assert_eq!(found.is_some(), fault.is_some(), "{found:?}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(fault.unwrap_or_default())
            );
        }
    }

    #[test]
    fn every_page_is_transferred_and_there_are_some() {
        let line = |counts: &str| format!("(00.1) uffd: 7-9: UFFD transferred pages: ({counts})\n");
        for (log, fault) in [
            (line("8/8"), None),
            (line("8/8") + &line("0/0"), None),
            (line("8/8") + &line("7/8"), Some("7 of 8 pages")),
            (line("0/0"), Some("no page")),
            ("nothing\n".to_owned(), Some("no page")),
        ] {
            let found = judge_transfer(&log);
            assert_eq!(found.is_some(), fault.is_some(), "{log}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(fault.unwrap_or_default())
            );
        }
    }
}
