//! Tries the modules disk as WSL uses it, once per layout, with the real `modprobe` and `depmod`.
//!
//! WSL's mini_init mounts the whole disk as ext4, read-only, at `/modules`, and lays an overlay with a tmpfs above
//! it at `/lib/modules/<release>`: over the disk's root today (flat), over `<release>/modules` in versions to come
//! (nested). Both are on the disk at once, so each must be blind to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::boot::{LayoutReport, ModulesReport};
use crate::exec::{Cmd, Runner};

/// Where mini_init mounts the disk.
const DISK: &str = "/modules";
/// How long a disk may take to show up.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many modules are loaded under each layout.
const TRIED: usize = 3;
/// Modules that load anywhere, without hardware and without side effects, and some with dependencies.
const HARMLESS: [&str; 6] = [
    "team_mode_roundrobin",
    "nlmon",
    "dummy",
    "ifb",
    "nls_utf8",
    "test_module",
];

/// What each module needs, by name: the meaning of a `modules.dep`, whatever its paths are.
pub(super) type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// Mounts the disk and tries both layouts; the flat one stays mounted, as on WSL.
pub(super) fn prove(release: &str, runner: &dyn Runner) -> Result<ModulesReport, String> {
    let disk = wait_for_disk()?;
    mount(&disk, DISK, "ext4", MountFlags::RDONLY, None).map_err(|e| {
        format!(
            "{} cannot be mounted as ext4: {}",
            disk.display(),
            io::Error::from(e)
        )
    })?;
    let flat = Path::new(DISK).to_owned();
    let nested = flat.join(release).join("modules");
    let trial = Trial {
        release,
        runner,
        wanted: dependencies(&flat)?,
    };
    let mut report = ModulesReport {
        count: trial.wanted.len(),
        nested: trial.layout("nested", &nested),
        flat: trial.layout("flat", &flat),
    };
    // The rest of the test loads modules on demand, as it would on WSL.
    if let Err(e) = trial.overlay("flat", &flat) {
        report.flat.works = false;
        report.flat.problems.push(e);
    }
    Ok(report)
}

struct Trial<'a> {
    release: &'a str,
    runner: &'a dyn Runner,
    /// What the disk's own `modules.dep` says.
    wanted: Dependencies,
}

impl Trial<'_> {
    /// Overlays one layout, uses it, and takes it away.
    fn layout(&self, name: &str, lower: &Path) -> LayoutReport {
        let mut report = LayoutReport::default();
        match self.overlay(name, lower) {
            Ok(at) => {
                self.use_it(&mut report);
                if let Err(e) = unmount(&at, UnmountFlags::empty()) {
                    report.problems.push(format!(
                        "the overlay cannot be unmounted: {}",
                        io::Error::from(e)
                    ));
                }
            }
            Err(e) => report.problems.push(e),
        }
        report.works = report.depmod_agrees && report.problems.is_empty();
        report
    }

    fn overlay(&self, name: &str, lower: &Path) -> Result<PathBuf, String> {
        let at = Path::new("/lib/modules").join(self.release);
        let rw = Path::new("/run/wslk/modules").join(name);
        let (upper, work) = (rw.join("upper"), rw.join("work"));
        for folder in [&at, &upper, &work] {
            fs::create_dir_all(folder)
                .map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        }
        let data = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let data = CString::new(data).map_err(|e| e.to_string())?;
        let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
        mount("overlay", &at, "overlay", flags, Some(data.as_c_str())).map_err(|e| {
            format!(
                "no overlay over {}: {}",
                lower.display(),
                io::Error::from(e)
            )
        })?;
        Ok(at)
    }

    /// Loads, indexes, loads again: the second time by the index that `depmod` just made.
    fn use_it(&self, report: &mut LayoutReport) {
        self.load_all(report);
        if let Err(e) = self.call("depmod", &[self.release]) {
            report.problems.push(e);
            return;
        }
        let overlay = Path::new("/lib/modules").join(self.release);
        match dependencies(&overlay) {
            Ok(found) => {
                report.paths_kept = paths(&overlay) == paths(Path::new(DISK));
                report.depmod_agrees = found == self.wanted;
                report.problems.extend(difference(&self.wanted, &found));
            }
            Err(e) => report.problems.push(e),
        }
        if let Some(Err(e)) = report.loaded.first().map(|name| self.load(&[name])) {
            report.problems.push(format!("after depmod: {e}"));
        }
    }

    /// The first few at once, as every start of a program takes its time under emulation; one by one where
    /// that fails. Some modules do not load without their hardware, so only failures of all make a problem.
    fn load_all(&self, report: &mut LayoutReport) {
        let candidates = candidates(&self.wanted);
        let first: Vec<&str> = candidates.iter().take(TRIED).map(String::as_str).collect();
        if !first.is_empty() && self.load(&first).is_ok() {
            report.loaded = first.into_iter().map(str::to_owned).collect();
            return;
        }
        let mut refused = Vec::new();
        for name in &candidates {
            match self.load(&[name]) {
                Ok(()) => report.loaded.push(name.clone()),
                Err(e) => refused.push(e),
            }
            if report.loaded.len() == TRIED || refused.len() == 2 * TRIED {
                break;
            }
        }
        if report.loaded.is_empty() {
            report.problems.append(&mut refused);
        }
    }

    /// Loads modules, sees them in the kernel, and unloads them.
    fn load(&self, names: &[&str]) -> Result<(), String> {
        self.call("modprobe", &[&["-a"], names].concat())?;
        let unseen = |name: &&&str| !Path::new("/sys/module").join(name).exists();
        let unseen = names.iter().find(unseen).copied();
        self.call("modprobe", &[&["-r", "-a"], names].concat())?;
        let problem = |name| format!("modprobe loaded {name}, and the kernel has no such module");
        unseen.map_or(Ok(()), |name| Err(problem(name)))
    }

    fn call(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let cmd = Cmd::new(program)
            .args(arguments)
            .total(Duration::from_secs(60));
        self.runner.run(&cmd).map(drop).map_err(|e| e.to_string())
    }
}

/// The first SCSI disk. The scan goes on while userspace starts.
fn wait_for_disk() -> Result<PathBuf, String> {
    let started = Instant::now();
    loop {
        let names = fs::read_dir("/sys/block")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
        let disk = names
            .filter_map(|name| name.into_string().ok())
            .find(|name| name.starts_with("sd"));
        let device = disk.map(|name| Path::new("/dev").join(name));
        if let Some(device) = device.filter(|device| device.exists()) {
            return Ok(device);
        }
        if started.elapsed() > PATIENCE {
            return Err("the kernel does not see the modules disk".to_owned());
        }
        sleep(Duration::from_millis(20));
    }
}

fn dependencies(folder: &Path) -> Result<Dependencies, String> {
    let path = folder.join("modules.dep");
    let text =
        fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(parse_dependencies(&text))
}

/// Reads a `modules.dep`: `kernel/a/b.ko: kernel/c.ko kernel/d.ko`.
pub(super) fn parse_dependencies(text: &str) -> Dependencies {
    let entry = |line: &str| {
        let (module, needs) = line.split_once(':')?;
        Some((
            module_name(module),
            needs.split_whitespace().map(module_name).collect(),
        ))
    };
    text.lines().filter_map(entry).collect()
}

/// The paths in a `modules.dep`: `depmod` must not find the modules in the other layout.
fn paths(folder: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(folder.join("modules.dep")).unwrap_or_default();
    text.lines()
        .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
        .collect()
}

/// The name a module has in the kernel, from its path.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// What to load, most harmless first; then whatever depends on something, since that tries the index.
fn candidates(known: &Dependencies) -> Vec<String> {
    let harmless = HARMLESS
        .iter()
        .filter(|name| known.contains_key(**name))
        .map(|name| (*name).to_owned());
    let others = |with_needs: bool| {
        let suits = move |(name, needs): &(&String, &BTreeSet<String>)| {
            needs.is_empty() != with_needs && !HARMLESS.contains(&name.as_str())
        };
        known.iter().filter(suits).map(|(name, _)| name.clone())
    };
    harmless.chain(others(true)).chain(others(false)).collect()
}

/// The modules whose entry differs, in words; at most a handful.
fn difference(wanted: &Dependencies, found: &Dependencies) -> Option<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differing: Vec<&str> = names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name))
        .map(String::as_str)
        .collect();
    let shown = differing
        .iter()
        .take(5)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    (!differing.is_empty()).then(|| {
        format!(
            "depmod disagrees about {} modules: {shown}",
            differing.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/drivers/net/team/team.ko:\n\
        kernel/drivers/net/team/team_mode_roundrobin.ko: kernel/drivers/net/team/team.ko\n\
        kernel/fs/nls/nls-utf8.ko.xz:\n";

    #[test]
    fn paths_do_not_matter_names_and_needs_do() {
        let known = parse_dependencies(DEP);
        let nested = parse_dependencies(&DEP.replace("kernel/", "6.1.0/modules/kernel/"));
        assert_eq!(known, nested);
        assert_eq!(difference(&known, &nested), None);
        let fewer = parse_dependencies(&DEP.replace(": kernel/drivers/net/team/team.ko", ":"));
        assert_eq!(
            difference(&known, &fewer).unwrap(),
            "depmod disagrees about 1 modules: team_mode_roundrobin"
        );
    }

    #[test]
    fn harmless_ones_are_tried_first() {
        let known = parse_dependencies(DEP);
        assert_eq!(
            candidates(&known),
            ["team_mode_roundrobin", "nls_utf8", "team"]
        );
        assert!(candidates(&Dependencies::new()).is_empty());
    }
}
