//! What was installed, what of it is configured now, and what worked.
//!
//! In: text of `generations.json`. Out: [`Generations`] and back, and the small files that the scripts on
//! the Windows side read. One such file per Windows user, beside the kernels: it is as true from any
//! distribution. Must not touch the disk.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::InstallError;
use super::layout::Layout;
use super::pairs::lines;
use crate::build_name;
use crate::digest::Sha256;
use crate::wsl::version::WslVersion;

/// The schema number that is written, and the highest that is read.
const SCHEMA: u32 = 1;

/// A kernel that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// WSL's own.
    Stock,
    /// One that the user configured by hand.
    Own,
    /// One of ours, by the number of the change that installed it.
    Generation(u32),
}

/// What is known of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is on the disk and has not run yet.
    Untried,
    /// It ran, was what it should be, and passed its checks.
    Blessed,
    /// It did not.
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Untried => "untried",
            Self::Blessed => "blessed",
            Self::Failed => "failed",
        })
    }
}

/// One installed build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The number of the change that installed it.
    pub number: u32,
    /// The build's id.
    pub build: String,
    /// What `uname -r` says when it runs.
    pub release: String,
    /// The kernel's file, below our folder.
    pub kernel: String,
    /// Its digest.
    pub kernel_sha256: Sha256,
    /// The modules disk's file, below our folder.
    pub modules: Option<String>,
    /// Its digest.
    pub modules_sha256: Option<Sha256>,
    /// When it was installed, in seconds since 1970.
    pub installed: u64,
    /// The WSL that it was installed for.
    pub wsl: Option<WslVersion>,
    /// Why it was installed without a boot test that it passed.
    pub untested: Option<String>,
    /// What is known of it.
    pub state: State,
    /// Why it failed.
    pub reason: Option<String>,
    /// The kernel's own words in its trial, as Windows names the file.
    pub console: Option<String>,
    /// What Windows kept of its panic in its trial, as Windows names the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<String>,
}

/// A trial that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The change that began it: the number of its files.
    pub change: u32,
    /// The generation that is tried.
    pub generation: u32,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// Which start of the virtual machine it was begun in.
    pub boot: String,
    /// Whether a script on the Windows side sees to it.
    pub guarded: bool,
    /// What of the checks' subjects was missing before; nothing where nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
}

/// Exact bytes of `.wslconfig` for each way, as files below our folder; nothing stands for no file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// The change that they come from.
    #[serde(default)]
    pub change: u32,
    /// What we wrote.
    pub new: Option<String>,
    /// What worked before.
    pub good: Option<String>,
    /// The user's own settings, without any kernel.
    pub stock: Option<String>,
    /// What the files must hold, by their names: a power cut may leave them empty. Older installations
    /// did not write it down.
    #[serde(default)]
    pub seals: BTreeMap<String, Seal>,
}

/// By what a file is known again: we go by its digest, the scripts on the Windows side by its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

impl Seal {
    /// The seal of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Sha256::of(bytes),
            size: bytes.len() as u64,
        }
    }
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generations {
    schema: u32,
    /// What we configured last.
    pub current: Choice,
    /// Where `rollback` goes.
    pub previous: Option<Choice>,
    /// The user's own kernel and modules, as Windows names them, where there were any.
    #[serde(default)]
    pub own: Option<(String, Option<String>)>,
    /// The bytes for each way from here.
    pub ways: Option<Ways>,
    /// The trial that has not ended.
    pub trial: Option<Trial>,
    /// All that is on the disk, and all that failed, oldest first.
    pub generations: Vec<Generation>,
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            current: Choice::Stock,
            previous: None,
            own: None,
            ways: None,
            trial: None,
            generations: Vec::new(),
        }
    }
}

impl Generations {
    /// Reads `generations.json`; says why it cannot.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match found.schema {
            0..=SCHEMA => Ok(found),
            newer => Err(format!("it has schema {newer}: a newer wslk wrote it")),
        }
    }

    /// The text of `generations.json`.
    #[must_use]
    pub fn render(&self) -> String {
        // Maps with text keys, numbers and texts: there is nothing that JSON could not hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The generation of this number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| generation.number == number)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Generation> {
        self.generations
            .iter_mut()
            .find(|generation| generation.number == number)
    }

    /// The generation that is configured, if it is one of ours.
    #[must_use]
    pub fn current(&self) -> Option<&Generation> {
        self.chosen(self.current)
    }

    /// The generation that a choice stands for.
    #[must_use]
    pub fn chosen(&self, choice: Choice) -> Option<&Generation> {
        match choice {
            Choice::Generation(number) => self.get(number),
            Choice::Stock | Choice::Own => None,
        }
    }

    /// A choice in words: "stock", "your own kernel", a build id.
    #[must_use]
    pub fn name(&self, choice: Choice) -> String {
        match choice {
            Choice::Stock => "stock".to_owned(),
            Choice::Own => "the kernel that you configured".to_owned(),
            Choice::Generation(number) => self.get(number).map_or_else(
                || format!("change {number:04}"),
                |found| found.build.clone(),
            ),
        }
    }

    /// `undo.txt`: the ways back for a script.
    #[must_use]
    pub fn undo_text(&self, layout: &Layout) -> Option<String> {
        let ways = self.ways.as_ref()?;
        let mut text = vec![("number", format!("{:04}", ways.change))];
        text.extend(way_lines(layout, ways));
        Some(lines(&text))
    }

    /// `trial.txt`: everything that the guard needs.
    #[must_use]
    pub fn trial_text(&self, layout: &Layout, guard: &Guard) -> Option<String> {
        let (trial, ways) = (self.trial.as_ref()?, self.ways.as_ref()?);
        let generation = self.get(trial.generation)?;
        let mut text = vec![
            ("number", format!("{:04}", trial.change)),
            ("build", generation.build.clone()),
            ("release", generation.release.clone()),
            ("kernel", layout.windows(&generation.kernel).to_string()),
            ("distro", guard.distro.clone()),
            ("deadline", guard.deadline.to_string()),
            ("phase", "pending".to_owned()),
        ];
        text.extend(way_lines(layout, ways));
        if let Some(file) = &guard.blessed {
            text.push(("blessed", layout.windows(file).to_string()));
            text.extend(size_line("blessed-size", ways, file));
        }
        text.push(("check", guard.check.clone()));
        Some(lines(&text))
    }
}

/// The one build that a name means, among the names of those that are there: as everywhere else the id, its
/// beginning, the beginning of its last part, or `latest`. The newest come last, and one may come twice.
pub fn meant<'a>(
    there: impl IntoIterator<Item = &'a str>,
    name: &str,
) -> Result<&'a str, InstallError> {
    let newest_of_all = name == build_name::LATEST;
    let mut found: Vec<&str> = Vec::new();
    for id in there {
        if id == name {
            return Ok(id);
        }
        if newest_of_all || build_name::fits(id, name) {
            found.retain(|other| *other != id);
            found.push(id);
        }
    }
    match found.as_slice() {
        [newest] => Ok(newest),
        [.., newest] if newest_of_all => Ok(newest),
        [] => Err(InstallError::NoSuchGeneration(name.to_owned())),
        several => Err(InstallError::Ambiguous {
            name: name.to_owned(),
            builds: several.iter().map(|id| (*id).to_owned()).collect(),
        }),
    }
}

/// Seconds that a distribution may take to answer after a start.
pub const DEADLINE: u32 = 120;

/// What a guard needs beside the generations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The distribution that is started.
    pub distro: String,
    /// Seconds that it may take to answer.
    pub deadline: u32,
    /// The command line that checks it; may be empty.
    pub check: String,
    /// The bytes to leave behind once it is blessed, below our folder.
    pub blessed: Option<String>,
}

/// A way's size stands beside it: a script that finds another one there takes the file for damaged.
fn way_lines(layout: &Layout, ways: &Ways) -> Vec<(&'static str, String)> {
    let mut text = vec![("wslconfig", layout.config_windows().to_string())];
    let each = [
        ("new", "new-size", &ways.new),
        ("good", "good-size", &ways.good),
        ("stock", "stock-size", &ways.stock),
    ];
    for (way, size, file) in each {
        let name = file.as_ref().map(|file| layout.windows(file).to_string());
        text.push((way, name.unwrap_or_else(|| "none".to_owned())));
        let file = file.as_ref();
        text.extend(file.and_then(|file| size_line(size, ways, file)));
    }
    text
}

fn size_line(key: &'static str, ways: &Ways, file: &str) -> Option<(&'static str, String)> {
    let seal = ways.seals.get(file)?;
    Some((key, seal.size.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let mut known = Generations::default();
        assert_eq!(Generations::parse(&known.render()), Ok(known.clone()));
        known.previous = Some(Choice::Generation(3));
        known.trial = Some(Trial {
            change: 3,
            generation: 3,
            since: 5,
            boot: "b".to_owned(),
            guarded: true,
            missing: None,
        });
        assert_eq!(Generations::parse(&known.render()), Ok(known.clone()));
        let newer = known.render().replace("\"schema\": 1", "\"schema\": 2");
        assert!(Generations::parse(&newer).is_err_and(|reason| reason.contains("newer")));
        let more = known.render().replacen('{', "{\"later\": 1,", 1);
        assert_eq!(Generations::parse(&more), Ok(known));
    }

    #[test]
    fn one_build_is_meant_or_none() {
        let (a, b) = ("6.1.1-criu-0123456789", "6.1.2-criu-01ffffffff");
        let table = [
            (a, Ok(a)),
            ("6.1.2", Ok(b)),
            ("012", Ok(a)),
            ("latest", Ok(b)),
            ("odd", Ok("odd")),
            ("6.1", Err(2)),
            ("01", Err(2)),
            ("", Err(0)),
            ("od", Ok("odd")),
            ("7", Err(0)),
            ("../x", Err(0)),
        ];
        for (name, expected) in table {
            let found = meant([b, a, "odd", b], name);
            let found = found.map_err(|error| match error {
                InstallError::Ambiguous { builds, .. } => builds.len(),
                _ => 0,
            });
            assert_eq!(found, expected, "{name}");
        }
    }
}
