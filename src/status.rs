//! Status: what is installed, what is configured, what runs, and the next command to type.
//!
//! In: what is there on the Windows side and what the running system says. Out: a [`Status`], as a document
//! and as text. Must not change anything.

use serde::Serialize;

use crate::install::{Choice, Generation, Site, State, trial::Standing};
use crate::wsl::version::WslVersion;

/// What the running system says.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// `uname -r`; nothing outside WSL.
    pub running: Option<String>,
    /// The version of WSL now, where Windows could be asked.
    pub wsl: Option<WslVersion>,
    /// How a trial that has not ended stands.
    pub standing: Option<Standing>,
}

/// Everything that a user may ask about the installation.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Our folder, as Windows names it.
    pub folder: String,
    /// `.wslconfig`, as Windows names it.
    pub wslconfig: String,
    /// What `.wslconfig` chooses: `stock`, a build id, or a path.
    pub configured: String,
    /// `uname -r`, inside WSL.
    pub running: Option<String>,
    /// Where `wslk rollback` goes.
    pub previous: Option<String>,
    /// The build whose trial has not ended.
    pub pending: Option<String>,
    /// What is installed, oldest first.
    pub generations: Vec<Row>,
    /// What is not as it should be.
    pub drift: Vec<String>,
    /// The next command to type.
    pub next: String,
}

/// One installed build.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The number of the change that installed it.
    pub number: u32,
    /// The build.
    pub build: String,
    /// What `uname -r` says when it runs.
    pub release: String,
    /// `untried`, `blessed` or `failed`.
    pub state: State,
    /// Whether it is configured now.
    pub current: bool,
    /// Why it was installed without a boot test.
    pub untested: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
    /// The kernel's own words in its trial, as Windows names the file.
    pub console: Option<String>,
    /// What Windows kept of its panic, as Windows names the file.
    pub panic: Option<String>,
}

impl Status {
    /// Puts it together.
    #[must_use]
    pub fn new(site: &Site, seen: &Seen) -> Self {
        let actual = site.actual();
        let known = &site.known;
        let row = |generation: &Generation| Row {
            number: generation.number,
            build: generation.build.clone(),
            release: generation.release.clone(),
            state: generation.state,
            current: actual == Choice::Generation(generation.number),
            untested: generation.untested.clone(),
            reason: generation.reason.clone(),
            console: generation.console.clone(),
            panic: generation.panic.clone(),
        };
        let pending = known.trial.as_ref();
        let drift = drift(site, actual, seen);
        Self {
            folder: site.layout.folder().windows.to_string(),
            wslconfig: site.layout.config_windows().to_string(),
            configured: configured(site, actual),
            running: seen.running.clone(),
            previous: known.previous.map(|choice| known.name(choice)),
            pending: pending.map(|trial| known.name(Choice::Generation(trial.generation))),
            next: next(site, actual, seen, drift.is_empty()),
            generations: known.generations.iter().map(row).collect(),
            drift,
        }
    }

    /// The same for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut rows = vec![("configured", self.configured.clone())];
        rows.extend(self.running.clone().map(|text| ("running", text)));
        rows.extend(self.previous.clone().map(|text| ("previous", text)));
        rows.extend(self.pending.clone().map(|text| ("on trial", text)));
        rows.push(("folder", self.folder.clone()));
        let mut text: String = rows
            .iter()
            .map(|(name, value)| format!("{name:<12}{value}\n"))
            .collect();
        if !self.generations.is_empty() {
            text.push_str("\ninstalled\n");
        }
        self.generations
            .iter()
            .for_each(|row| text.push_str(&row.text()));
        if !self.drift.is_empty() {
            text.push_str("\nlook at\n");
        }
        for line in &self.drift {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&format!("\nnext: {}\n", self.next));
        text
    }
}

impl Row {
    fn text(&self) -> String {
        let mark = if self.current { '*' } else { ' ' };
        let mut text = format!(
            "{mark} {:04}  {:<8}  {}  {}\n",
            self.number, self.state, self.build, self.release
        );
        let details = [
            ("installed untested", &self.untested),
            ("failed", &self.reason),
            ("its console", &self.console),
            ("its panic", &self.panic),
        ];
        for (name, value) in details {
            if let Some(value) = value {
                text.push_str(&format!("        {name}: {value}\n"));
            }
        }
        text
    }
}

fn configured(site: &Site, actual: Choice) -> String {
    match (actual, site.configured()) {
        (Choice::Own, Some(choice)) => choice
            .kernel
            .unwrap_or_else(|| "modules without a kernel: WSL does not start".to_owned()),
        (Choice::Own, None) => "unknown: .wslconfig cannot be read".to_owned(),
        (choice, _) => site.known.name(choice),
    }
}

/// Everything that is not as we left it, or as it should be.
fn drift(site: &Site, actual: Choice, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let known = &site.known;
    if actual != known.current {
        found.push(format!(
            ".wslconfig was changed by hand: wslk left {} in it",
            known.name(known.current)
        ));
    }
    found.extend(missing(site));
    if let Some(generation) = known.chosen(actual) {
        found.extend(kernel_drift(generation, seen));
        found.extend(wsl_drift(generation, seen.wsl));
    }
    if seen.standing == Some(Standing::Ignored) {
        found.push(
            "WSL was restarted and did not take the kernel: `wsl` prints why when it starts"
                .to_owned(),
        );
    }
    found
}

/// Files that are configured and not there: WSL would not start.
fn missing(site: &Site) -> Vec<String> {
    let Some(choice) = site.configured() else {
        return Vec::new();
    };
    [choice.kernel, choice.modules]
        .into_iter()
        .flatten()
        .filter(|path| site.linux(path).is_some_and(|file| !file.exists()))
        .map(|path| format!("{path} is configured and not there: WSL cannot start again"))
        .collect()
}

fn kernel_drift(generation: &Generation, seen: &Seen) -> Option<String> {
    let running = seen.running.as_ref()?;
    (*running != generation.release && generation.state == State::Blessed).then(|| {
        format!(
            "{running} runs and {} is configured: `wsl --shutdown` in Windows, then start it again",
            generation.release
        )
    })
}

/// A new WSL may want another kernel than the one that was made for the old.
fn wsl_drift(generation: &Generation, now: Option<WslVersion>) -> Option<String> {
    let (then, now) = (generation.wsl?, now?);
    (then != now).then(|| {
        format!("WSL is {now} and was {then} when this kernel was installed: run `wslk doctor`, or build the kernel of the new WSL")
    })
}

fn next(site: &Site, actual: Choice, seen: &Seen, clean: bool) -> String {
    let gone = !missing(site).is_empty();
    match (seen.standing, actual) {
        _ if gone => "wslk rollback stock",
        (Some(Standing::Waiting), _) => {
            "wsl --shutdown, in Windows; then start WSL and type wslk status"
        }
        (Some(Standing::Guarded), _) => "wait for the trial to end, then wslk status",
        (Some(Standing::Ignored | Standing::Abandoned), _) => "wslk rollback",
        (_, Choice::Stock | Choice::Own) => "wslk install",
        (_, Choice::Generation(_)) if clean => "nothing to do",
        (_, Choice::Generation(_)) => "wslk rollback, or see above",
    }
    .to_owned()
}
