//! A machine that is a file: its own files in a folder, its programs answered from a table.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tempfile::TempDir;
use wslk::doctor::{Place, Senses};
use wslk::exec::{Cmd, Duct, ExecError, Output, Runner};
use wslk::smoke::DiagProbe;
use wslk::smoke::diag::FAMILIES;
use wslk::wsl::host::Surroundings;

const GIB: u64 = 1 << 30;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Description {
    release: String,
    distro: Option<String>,
    arch: String,
    root_user: bool,
    cpus: usize,
    home: PathBuf,
    space_gib: u64,
    diag_missing: Vec<String>,
    soft_dirty: Option<bool>,
    #[serde(default)]
    deep: bool,
    /// Why KVM only pretends; it works where a deep look finds nothing here.
    kvm: Option<String>,
    kernel_config: Option<Config>,
    files: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    programs: Vec<Program>,
}

#[derive(Debug, Deserialize)]
struct Config {
    from: PathBuf,
    to: String,
}

/// What a command line that holds `line` answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    line: String,
    #[serde(default)]
    says: String,
    #[serde(default)]
    status: i32,
    fails: Option<String>,
    #[serde(default)]
    hangs: bool,
}

/// The machine, as long as it is needed.
pub struct MadeUp {
    description: Description,
    root: TempDir,
}

impl MadeUp {
    pub fn read(folder: &Path, name: &str) -> Self {
        let text = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let description: Description = toml::from_str(&text).unwrap();
        let root = tempfile::tempdir().unwrap();
        let place = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for (path, text) in &description.files {
            fs::write(place(path), text).unwrap();
        }
        for (path, target) in &description.links {
            symlink(target, place(path)).unwrap();
        }
        if let Some(config) = &description.kernel_config {
            let text = fs::read(folder.join(&config.from)).unwrap();
            let bytes = if config.to.ends_with(".gz") {
                packed(&text)
            } else {
                text
            };
            fs::write(place(&config.to), bytes).unwrap();
        }
        Self { description, root }
    }

    pub fn everything_hangs(&mut self) {
        let all = Program {
            line: String::new(),
            says: String::new(),
            status: 0,
            fails: None,
            hangs: true,
        };
        self.description.programs = vec![all];
    }

    pub fn place(&self) -> Place {
        let Description {
            release, distro, ..
        } = &self.description;
        Place {
            root: self.root.path().to_owned(),
            runner: Arc::new(self.answers()),
            surroundings: Surroundings {
                release: release.clone(),
                distro: distro.clone(),
                boot: String::new(),
            },
            senses: self.senses(),
            windows_home: None,
            deep: self.description.deep,
        }
    }

    fn senses(&self) -> Senses {
        let told = &self.description;
        let probe = |family: &wslk::smoke::diag::Family| DiagProbe {
            family: family.name.to_owned(),
            option: family.option.to_owned(),
            available: !told.diag_missing.iter().any(|name| name == family.name),
            error: None,
        };
        Senses {
            arch: told.arch.clone(),
            root_user: told.root_user,
            cpus: told.cpus,
            home: told.home.clone(),
            space: Some(told.space_gib * GIB),
            diag: FAMILIES.iter().map(probe).collect(),
            soft_dirty: told.soft_dirty,
            kvm: told.deep.then(|| told.kvm.clone().map_or(Ok(()), Err)),
        }
    }

    fn answers(&self) -> Answers {
        let root = self.root.path().to_str().unwrap();
        let mut programs = self.description.programs.clone();
        for program in &mut programs {
            program.says = program.says.replace("ROOT", root);
        }
        let sleeper = self.root.path().join("sleeper");
        fs::write(&sleeper, "#!/bin/sh\nexec sleep 60\n").unwrap();
        fs::set_permissions(&sleeper, fs::Permissions::from_mode(0o755)).unwrap();
        Answers { programs, sleeper }
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Programs that are lines in a table; whatever is not there is not installed.
#[derive(Debug)]
struct Answers {
    programs: Vec<Program>,
    /// A real program that does not end, for those that hang.
    sleeper: PathBuf,
}

impl Runner for Answers {
    fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output, ExecError> {
        let line = cmd.to_string();
        let Some(program) = self
            .programs
            .iter()
            .find(|program| line.contains(&program.line))
        else {
            return Err(ExecError::NotFound {
                program: cmd.program().to_str().unwrap().to_owned(),
            });
        };
        if program.hangs {
            return Duct::default().run_with(&cmd.clone().named(&self.sleeper), on_line);
        }
        let failed = program.fails.as_ref();
        Ok(Output {
            status: Some(failed.map_or(program.status, |_| 1)),
            stdout: program.says.clone().into(),
            stderr: failed.cloned().unwrap_or_default(),
            ..Output::default()
        })
    }
}
