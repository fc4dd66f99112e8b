//! What is there now: the layout, what is known, `.wslconfig` byte for byte, and the next number.
//!
//! In: a layout. Out: a [`Site`], which plans are made from, and a [`Draft`] of a plan. Must not change anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::InstallError;
use super::change::{Plan, next_number};
use super::disk;
use super::generations::{Choice, Generation, Generations, Seal, Ways};
use super::layout::{self, GENERATIONS, Layout};
use super::steps::{self, Content, Contents, Step};
use crate::digest::Sha256;
use crate::wsl::path::WindowsPath;
use crate::wsl::wslconfig::{
    DEBUG_CONSOLE_LOG, KERNEL, KERNEL_MODULES, KernelChoice, Key, WslConfig,
};

/// What there is to plan from.
#[derive(Debug)]
pub struct Site {
    /// Where everything is.
    pub layout: Layout,
    /// What is known.
    pub known: Generations,
    /// `.wslconfig`; nothing where there is none.
    pub bytes: Option<Vec<u8>>,
    /// The number of the next change.
    pub next: u32,
}

/// A kernel and its modules disk, as Windows names them.
pub type Paths = (String, Option<String>);

impl Site {
    /// Reads everything; damage is an error.
    pub fn read(layout: Layout) -> Result<Self, InstallError> {
        let file = layout.path(GENERATIONS);
        let known = match disk::bytes_if_there(&file)? {
            Some(bytes) => Generations::parse(&String::from_utf8_lossy(&bytes))
                .map_err(|reason| InstallError::Generations { file, reason })?,
            None => Generations::default(),
        };
        Self::with(layout, known)
    }

    /// Reads what can be read and forgets the rest: enough for the way back to stock.
    pub fn read_anyhow(layout: Layout) -> Result<Self, InstallError> {
        match Self::read(layout.clone()) {
            Err(InstallError::Generations { .. }) => Self::with(layout, Generations::default()),
            site => site,
        }
    }

    fn with(layout: Layout, known: Generations) -> Result<Self, InstallError> {
        Ok(Self {
            bytes: disk::bytes_if_there(&steps::config(&layout)?)?,
            next: next_number(&layout)?,
            known,
            layout,
        })
    }

    /// `.wslconfig`, understood.
    pub fn config(&self) -> Result<WslConfig, InstallError> {
        match &self.bytes {
            Some(bytes) => self.understood(bytes.clone()),
            None => Ok(WslConfig::absent()),
        }
    }

    /// Bytes of `.wslconfig`, understood.
    pub fn understood(&self, bytes: Vec<u8>) -> Result<WslConfig, InstallError> {
        WslConfig::read(bytes).map_err(|error| InstallError::WslConfig {
            file: self.layout.config().to_owned(),
            reason: error.to_string(),
        })
    }

    /// What WSL would boot now; nothing where the file cannot be understood.
    #[must_use]
    pub fn configured(&self) -> Option<KernelChoice> {
        Some(self.config().ok()?.kernel())
    }

    /// The choice that `.wslconfig` really makes, whatever we remember. With modules alone WSL does not start:
    /// that is not stock.
    #[must_use]
    pub fn actual(&self) -> Choice {
        match self.configured() {
            Some(KernelChoice {
                kernel: None,
                modules: None,
            }) => Choice::Stock,
            Some(KernelChoice {
                kernel: Some(path), ..
            }) => self.generation_at(&path).map_or(Choice::Own, |generation| {
                Choice::Generation(generation.number)
            }),
            Some(KernelChoice { kernel: None, .. }) | None => Choice::Own,
        }
    }

    fn generation_at(&self, path: &str) -> Option<&Generation> {
        let ours = |generation: &&Generation| {
            let own = self.layout.windows(&generation.kernel);
            own.as_str().eq_ignore_ascii_case(path)
        };
        self.known.generations.iter().rev().find(ours)
    }

    /// The paths of the user's own kernel, if that is what is configured; nothing where WSL would not start.
    #[must_use]
    pub fn own(&self) -> Option<Paths> {
        let choice = self.configured()?;
        let kernel = choice.kernel.filter(|_| self.actual() == Choice::Own)?;
        Some((kernel, choice.modules))
    }

    /// The paths that a choice stands for; nothing for stock.
    #[must_use]
    pub fn paths(&self, choice: Choice) -> Option<Paths> {
        match choice {
            Choice::Stock => None,
            Choice::Own => self.own().or_else(|| self.known.own.clone()),
            Choice::Generation(number) => {
                let generation = self.known.get(number)?;
                let windows = |file: &String| self.layout.windows(file).to_string();
                Some((
                    windows(&generation.kernel),
                    generation.modules.as_ref().map(windows),
                ))
            }
        }
    }

    /// The bytes of `.wslconfig` are those that we wrote last.
    #[must_use]
    pub fn untouched(&self) -> bool {
        let Some(ways) = &self.known.ways else {
            return false;
        };
        let seal = ways.new.as_ref().and_then(|new| ways.seals.get(new));
        match (seal, &self.bytes) {
            (Some(seal), Some(bytes)) => *seal == Seal::of(bytes),
            (Some(_), None) => false,
            (None, _) => self.way(&ways.new).is_ok_and(|new| new == self.bytes),
        }
    }

    /// The bytes of one of the [`Ways`]. A file that is not what was written is an error: it must not become
    /// `.wslconfig`.
    pub fn way(&self, file: &Option<String>) -> Result<Option<Vec<u8>>, InstallError> {
        let bytes = steps::bytes(&self.layout, file.as_deref())?;
        let (Some(file), Some(found)) = (file, &bytes) else {
            return Ok(bytes);
        };
        let seal = |ways: &Ways| ways.seals.get(file).copied();
        match self.known.ways.as_ref().and_then(seal) {
            Some(seal) if seal != Seal::of(found) => Err(InstallError::Differs {
                path: self.layout.path(file),
                expected: seal.sha256,
                found: Sha256::of(found),
            }),
            // Without a seal an empty file is more likely a damaged one.
            None if found.is_empty() => Err(InstallError::Gone(self.layout.path(file))),
            _ => Ok(bytes),
        }
    }

    /// Such bytes, if they are whole and if WSL would boot with them what `choice` stands for.
    #[must_use]
    pub fn way_to(&self, choice: Choice, file: &Option<String>) -> Option<Option<Vec<u8>>> {
        let bytes = self.way(file).ok()?;
        self.selects(bytes.as_deref(), choice).then_some(bytes)
    }

    /// Whether WSL would boot with these bytes what `choice` stands for.
    #[must_use]
    pub fn selects(&self, bytes: Option<&[u8]>, choice: Choice) -> bool {
        let config = match bytes {
            Some(bytes) => self.understood(bytes.to_vec()),
            None => Ok(WslConfig::absent()),
        };
        let Ok(KernelChoice { kernel, modules }) = config.map(|config| config.kernel()) else {
            return false;
        };
        match (choice, self.paths(choice)) {
            (Choice::Stock, _) => kernel.is_none() && modules.is_none(),
            (_, paths) => paths.is_some() && paths == kernel.map(|kernel| (kernel, modules)),
        }
    }

    /// `.wslconfig` as it is, but for the kernel and modules, which are always switched together.
    ///
    /// What WSL will read is read again and compared with what we mean.
    pub fn switched(
        &self,
        from: &WslConfig,
        paths: Option<&Paths>,
        console: Option<&str>,
    ) -> Result<Option<Vec<u8>>, InstallError> {
        let (kernel, modules) = match paths {
            Some((kernel, modules)) => (Some(kernel.as_str()), modules.as_deref()),
            None => (None, None),
        };
        let mut changes = vec![(KERNEL, kernel), (KERNEL_MODULES, modules)];
        if console.is_some() || self.logs_for_us(from) {
            changes.push((DEBUG_CONSOLE_LOG, console));
        }
        let refused = |reason: String| InstallError::WslConfig {
            file: self.layout.config().to_owned(),
            reason,
        };
        let edited = from
            .edit(&changes)
            .map_err(|error| refused(error.to_string()))?;
        let bytes = edited.config.bytes().to_vec();
        let read = self.understood(bytes.clone())?;
        for (key, meant) in &changes {
            assert_reads(&read, key, *meant)?;
        }
        let nothing_left = bytes.is_empty() && self.bytes.is_none();
        Ok((!nothing_left).then_some(bytes))
    }

    /// A kernel log that a trial of ours asked for.
    fn logs_for_us(&self, config: &WslConfig) -> bool {
        let folder = self.layout.folder().windows.as_str();
        config
            .value(DEBUG_CONSOLE_LOG.section, DEBUG_CONSOLE_LOG.name)
            .is_some_and(|path| path.starts_with(folder))
    }

    /// The user's own settings without any kernel: the original bytes where we have them whole.
    pub fn stock(&self) -> Result<Option<Vec<u8>>, InstallError> {
        let ways = self.known.ways.as_ref().filter(|_| self.untouched());
        if let Some(bytes) = ways.and_then(|ways| self.way_to(Choice::Stock, &ways.stock)) {
            return Ok(bytes);
        }
        match self.config() {
            Ok(config) => self.switched(&config, None, None),
            // WSL cannot read it either. It is kept in the backups; without it the stock kernel boots.
            Err(InstallError::WslConfig { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file that a path of `.wslconfig` leads to, as far as that is known here.
    #[must_use]
    pub fn linux(&self, path: &str) -> Option<PathBuf> {
        self.layout.linux(&WindowsPath::parse(path).ok()?)
    }
}

fn assert_reads(config: &WslConfig, key: &Key, meant: Option<&str>) -> Result<(), InstallError> {
    let found = config.value(key.section, key.name);
    match found.as_deref() == meant {
        true => Ok(()),
        false => Err(InstallError::Misread {
            key: key.name,
            meant: meant.unwrap_or("nothing").to_owned(),
            found: found.unwrap_or_else(|| "nothing".to_owned()),
        }),
    }
}

/// A plan in the making: new files first, then what commits.
#[derive(Debug)]
pub struct Draft<'a> {
    site: &'a Site,
    number: u32,
    contents: Contents,
    makes: Vec<Step>,
    commits: Vec<Step>,
}

impl<'a> Draft<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(site: &'a Site) -> Self {
        Self {
            site,
            number: site.next,
            contents: Contents::new(),
            makes: Vec::new(),
            commits: Vec::new(),
        }
    }

    /// A new file.
    pub fn make(&mut self, file: impl Into<String>, content: Content) -> String {
        let file = file.into();
        if self.contents.insert(file.clone(), content).is_none() {
            self.makes.push(Step::Make { file: file.clone() });
        }
        file
    }

    /// A new file for one of the ways of `.wslconfig`; no bytes are no file.
    pub fn way(&mut self, way: &str, bytes: Option<Vec<u8>>) -> Option<String> {
        let file = layout::candidate(self.number, way);
        bytes.map(|bytes| self.make(file, Content::Bytes(bytes)))
    }

    /// The ways from here, once the change is done.
    #[must_use]
    pub fn ways(
        &self,
        new: Option<String>,
        good: Option<String>,
        stock: Option<String>,
    ) -> Option<Ways> {
        let mut ways = Ways {
            change: self.number,
            new,
            good,
            stock,
            seals: BTreeMap::new(),
        };
        self.seal(&mut ways);
        Some(ways)
    }

    /// Writes down what the files that the ways may lead to must hold.
    fn seal(&self, ways: &mut Ways) {
        let before = self.site.known.ways.iter().flat_map(|ways| &ways.seals);
        let named = [&ways.new, &ways.good, &ways.stock].map(Clone::clone);
        let of_change = layout::candidates_of(ways.change);
        let needed =
            |file: &&String| named.contains(&Some((*file).clone())) || file.starts_with(&of_change);
        let kept = before.filter(|(file, _)| needed(file));
        let mut seals: BTreeMap<String, Seal> =
            kept.map(|(file, seal)| (file.clone(), *seal)).collect();
        for (file, content) in &self.contents {
            if let Content::Bytes(bytes) = content
                && needed(&file)
            {
                seals.insert(file.clone(), Seal::of(bytes));
            }
        }
        ways.seals = seals;
    }

    /// A file whose rights are widened.
    pub fn grant(&mut self, file: String) {
        self.makes.push(Step::Grant { file });
    }

    /// Replaces one of our own small files, unless it is that already. A script that is not there yet is
    /// simply made.
    pub fn put(&mut self, file: &str, bytes: Option<Vec<u8>>) -> Result<(), InstallError> {
        let now = disk::bytes_if_there(&self.site.layout.path(file))?;
        if now == bytes {
            return Ok(());
        }
        let number = self.number;
        let was = now.map(|now| self.make(layout::backup_of(number, file), Content::Bytes(now)));
        let to =
            bytes.map(|bytes| self.make(layout::candidate_of(number, file), Content::Bytes(bytes)));
        let file = file.to_owned();
        self.commits.push(Step::Put { file, to, was });
        Ok(())
    }

    /// Replaces `.wslconfig`, after a byte-exact backup. Returns the file with the new bytes.
    pub fn switch(&mut self, bytes: Option<Vec<u8>>) -> Option<String> {
        let now = self.site.bytes.clone();
        let backup = layout::backup(self.number, now.is_some());
        let backup = self.make(backup, Content::Bytes(now.clone().unwrap_or_default()));
        let was = now.is_some().then_some(backup);
        let same = now == bytes;
        let to = self.way("new", bytes);
        if !same {
            let to = to.clone();
            self.commits.push(Step::Switch { to, was });
        }
        to
    }

    /// Removes a folder, after everything else.
    pub fn remove(&mut self, folder: String) {
        self.commits.push(Step::Remove { folder });
    }

    /// Puts down what will be known, for us and for the scripts.
    pub fn know(&mut self, known: &Generations, trial: Option<String>) -> Result<(), InstallError> {
        let layout = &self.site.layout;
        let mut known = known.clone();
        if let Some(mut ways) = known.ways.take() {
            self.seal(&mut ways);
            known.ways = Some(ways);
        }
        let undo = known.undo_text(layout).map(String::into_bytes);
        self.put(layout::UNDO, undo)?;
        self.put(layout::TRIAL, trial.map(String::into_bytes))?;
        self.put(layout::GENERATIONS, Some(known.render().into_bytes()))
    }

    /// The plan.
    #[must_use]
    pub fn plan(self, kind: &'static str, about: String) -> Plan {
        let mut steps = self.makes;
        steps.extend(self.commits);
        Plan {
            number: self.number,
            kind,
            about,
            steps,
            contents: self.contents,
        }
    }
}
