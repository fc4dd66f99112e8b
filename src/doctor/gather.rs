//! Looking: a [`Place`] becomes a [`Machine`].
//!
//! In: files below the place's root, the answers of programs, what system calls told. Out: facts. Must not
//! judge them. Slow programs (all of Windows', container engines) are asked at the same time.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use super::files::Files;
use super::hurry::Hurry;
use super::machine::{
    Answer, ConfigFacts, Gpu, KernelConfig, Machine, Modules, Place, WindowsSide,
};
use super::traces;
use crate::build::{BuildError, Engine, EngineChoice};
use crate::exec::{Cmd, ExecError, Runner};
use crate::install::check::{self, Expected, Eyes};
use crate::report::Reporter;
use crate::smoke::criu::Criu;
use crate::wsl::host::{Drive, Profile, Windows, Wsl};
use crate::wsl::mounts::file_system;
use crate::wsl::path::WindowsPath;
use crate::wsl::policy::Policy;
use crate::wsl::wslconfig::{Facts, KERNEL, KERNEL_MODULES, WslConfig, is_misnamed};

/// Time for a program.
const SHORT: Duration = Duration::from_millis(800);
/// Time for each of two programs that are asked in turn.
const HALF: Duration = Duration::from_millis(400);
/// The same where there is time.
const LONG: Duration = Duration::from_secs(15);

/// Looks at everything.
#[must_use]
pub fn gather(place: &Place) -> Machine {
    let hurry = |limit| Hurry::new(Arc::clone(&place.runner), limit);
    let (one, each) = match place.deep {
        true => (hurry(LONG), hurry(LONG)),
        false => (hurry(SHORT), hurry(HALF)),
    };
    let runner: &dyn Runner = &one;
    let asked = thread::scope(|scope| {
        let engine = scope.spawn(|| engine(Arc::new(each.clone())));
        let criu = scope.spawn(|| Criu::new("criu", runner).version());
        let smi = scope.spawn(|| driver(place, runner));
        let windows = windows(place, runner, &each);
        (
            joined(engine).unwrap_or_else(|| Err("nobody answered".to_owned())),
            criu.join()
                .unwrap_or_else(|_| Criu::new("criu", runner).version()),
            joined(smi).flatten(),
            windows,
        )
    });
    let (engine, criu, said, windows) = asked;
    let files = Files::at(&place.root);
    let surroundings = &place.surroundings;
    let modules = modules(&files, &surroundings.release);
    Machine {
        wsl: surroundings.wsl(),
        release: surroundings.release.clone(),
        distro: surroundings.distro.clone(),
        system: system(&files),
        container: container(&files),
        virtual_machine: is_virtual(&files),
        windows,
        config: kernel_config(&files, &surroundings.release),
        traces: traces::look(&files, &place.senses, &modules),
        modules,
        tunnels: tunnels(&files),
        status: files.text("proc/self/status"),
        criu,
        engine,
        qemu: files.first(&[
            "usr/bin/qemu-system-x86_64",
            "usr/local/bin/qemu-system-x86_64",
            "usr/libexec/qemu-kvm",
        ]),
        kvm: kvm(&files),
        home_fs: file_system(&files.text("proc/mounts"), &place.senses.home),
        memory: memory(&files),
        running: running(place, runner),
        gpu: Gpu {
            said,
            ..gpu(&files)
        },
        senses: place.senses.clone(),
    }
}

fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> Option<T> {
    handle.join().ok()
}

/// The kernel's own tunnels come with each namespace unless this says that the first one has them alone.
fn tunnels(files: &Files<'_>) -> Option<bool> {
    let there = files.there("proc/sys/net/ipv4/conf/tunl0");
    match files
        .text("proc/sys/net/core/fb_tunnels_only_for_init_net")
        .trim()
    {
        "" => None,
        "0" => Some(there),
        _ => Some(false),
    }
}

fn system(files: &Files<'_>) -> String {
    let text = files.text("etc/os-release");
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("a Linux without a name")
        .trim_matches('"')
        .to_owned()
}

/// The process numbers of the machine itself (`PROC_PID_INIT_INO` of `linux/proc_ns.h`).
const MACHINE_PIDS: &str = "pid:[4026531836]";

/// A disk made from a container's image has the engines' marks too: a container has process numbers of its own.
fn container(files: &Files<'_>) -> Option<String> {
    if files.link("proc/self/ns/pid").as_deref() == Some(MACHINE_PIDS) {
        return None;
    }
    let engine = match () {
        () if files.there("run/.containerenv") => "podman",
        () if files.there(".dockerenv") => "docker",
        () => {
            let groups = files.text("proc/1/cgroup");
            let known = ["docker", "kubepods", "lxc", "libpod"];
            known.into_iter().find(|name| groups.contains(name))?
        }
    };
    Some(engine.to_owned())
}

fn is_virtual(files: &Files<'_>) -> bool {
    let text = files.text("proc/cpuinfo");
    let flags = text.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split(' ').any(|flag| flag == "hypervisor"))
}

fn kernel_config(files: &Files<'_>, release: &str) -> KernelConfig {
    let packed = "proc/config.gz";
    let mut text = String::new();
    let read = File::open(files.path(packed))
        .and_then(|file| flate2::read::GzDecoder::new(file).read_to_string(&mut text));
    if read.is_ok() {
        let from = format!("/{packed}");
        return KernelConfig::Known { from, text };
    }
    let plain = [
        format!("boot/config-{release}"),
        format!("lib/modules/{release}/config"),
    ];
    for path in &plain {
        let text = files.text(path);
        if !text.is_empty() {
            let from = format!("/{path}");
            return KernelConfig::Known { from, text };
        }
    }
    let [boot, _] = plain;
    KernelConfig::Hidden(vec![format!("/{packed}"), format!("/{boot}")])
}

fn modules(files: &Files<'_>, release: &str) -> Modules {
    let name = |path: &str| {
        let file = path.rsplit('/').next()?;
        Some(file.split(".ko").next()?.replace('-', "_"))
    };
    let folder = format!("lib/modules/{release}");
    let index = files.text(&format!("{folder}/modules.dep"));
    let built_in = files.text(&format!("{folder}/modules.builtin"));
    Modules {
        listed: files.there(&format!("{folder}/modules.dep")),
        loadable: index
            .lines()
            .filter_map(|line| name(line.split(':').next()?))
            .collect(),
        built_in: built_in.lines().filter_map(name).collect(),
    }
}

fn engine(hurry: Arc<Hurry>) -> Result<String, String> {
    match Engine::find(EngineChoice::Auto, hurry, &Reporter::silent()) {
        Ok(engine) => Ok(engine.kind().name().to_owned()),
        Err(BuildError::NoEngine { tried }) => {
            let lines = tried.iter().map(|(name, said)| format!("{name}: {said}"));
            Err(lines.collect::<Vec<_>>().join("; "))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn kvm(files: &Files<'_>) -> Option<Result<(), String>> {
    let device = files.path("dev/kvm");
    device.exists().then(|| {
        let opened = File::options().read(true).write(true).open(&device);
        opened.map(|_| ()).map_err(|error| error.to_string())
    })
}

/// What the machine has, or what a container may use of it; then swap.
fn memory(files: &Files<'_>) -> Option<(u64, u64)> {
    let text = files.text("proc/meminfo");
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let total = kib("MemTotal")? * 1024;
    let limit = ["memory.max", "memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|name| {
            files
                .text(&format!("sys/fs/cgroup/{name}"))
                .trim()
                .parse()
                .ok()
        });
    Some((
        limit.map_or(total, |limit: u64| limit.min(total)),
        kib("SwapTotal").unwrap_or(0) * 1024,
    ))
}

/// The installation's own look at a running system. It only looks: as root it would load modules.
fn running(place: &Place, runner: &dyn Runner) -> Vec<check::Check> {
    let expected = Expected {
        release: place.surroundings.release.clone(),
        modules: true,
        gpu: false,
        missing: Vec::new(),
    };
    let eyes = Eyes {
        root: place.root.clone(),
        release: expected.release.clone(),
        root_user: false,
        runner,
    };
    check::run(&expected, &eyes)
}

fn gpu(files: &Files<'_>) -> Gpu {
    Gpu {
        dxg: files.there("dev/dxg"),
        library: files.first(&["usr/lib/wsl/lib/libcuda.so.1"]),
        native: Some(files.text("proc/driver/nvidia/version"))
            .filter(|text| !text.is_empty())
            .map(|text| text.lines().next().unwrap_or_default().to_owned()),
        device: files.there("dev/nvidia0"),
        smi: files.first(&["usr/lib/wsl/lib/nvidia-smi", "usr/bin/nvidia-smi"]),
        said: None,
    }
}

/// It takes a second or more, and a broken driver lets it hang.
fn driver(place: &Place, runner: &dyn Runner) -> Answer<String> {
    let smi = gpu(&Files::at(&place.root)).smi.filter(|_| place.deep)?;
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    let said = runner.run(&Cmd::new(smi).args(query));
    Some(
        said.map(|output| output.text().trim().to_owned())
            .map_err(reason),
    )
}

/// Asks Windows everything at once.
fn windows(place: &Place, runner: &dyn Runner, each: &dyn Runner) -> WindowsSide {
    let inside =
        place.surroundings.wsl() != Wsl::No && container(&Files::at(&place.root)).is_none();
    if !inside {
        let config = place.windows_home.as_deref().map(|home| {
            let profile = Profile::at(home).map_err(|error| error.to_string())?;
            wslconfig(
                &profile.home.linux,
                profile.home.windows.as_str(),
                &profile.drive,
                Policy::default(),
            )
        });
        return WindowsSide {
            config,
            ..WindowsSide::default()
        };
    }
    let windows = Windows::new(runner);
    thread::scope(|scope| {
        let version = scope.spawn(|| windows.version().map_err(reason));
        let policy = scope.spawn(|| windows.policy().map_err(reason));
        let distros = scope.spawn(|| windows.distros().map_err(reason));
        let networking = scope.spawn(|| networking(runner));
        let home = scope.spawn(|| match &place.windows_home {
            Some(home) => Profile::at(home).map(|profile| (profile.home, profile.drive)),
            None => Windows::new(each).home(),
        });
        let policy = joined(policy);
        let allowed = match &policy {
            Some(Ok(policy)) => *policy,
            _ => Policy::default(),
        };
        let config = joined(home).map(|home| {
            let (home, drive) = home.map_err(|error| error.to_string())?;
            wslconfig(&home.linux, home.windows.as_str(), &drive, allowed)
        });
        WindowsSide {
            version: joined(version),
            policy,
            distros: joined(distros),
            networking: joined(networking),
            config,
        }
    })
}

fn networking(runner: &dyn Runner) -> Result<String, String> {
    let cmd = Cmd::new("wslinfo").arg("--networking-mode");
    let said = runner.run(&cmd).map_err(reason)?;
    Ok(said.text().trim().to_ascii_lowercase())
}

fn wslconfig(
    home: &Path,
    windows: &str,
    drive: &Drive,
    policy: Policy,
) -> Result<ConfigFacts, String> {
    let name = format!("{}\\.wslconfig", windows.trim_end_matches('\\'));
    let file = match fs::read(home.join(".wslconfig")) {
        Ok(bytes) => WslConfig::read(bytes).map_err(|error| format!("{name}: {error}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => WslConfig::absent(),
        Err(error) => return Err(format!("{name}: {error}")),
    };
    let exists = |path: &WindowsPath| Some(drive.linux(path)?.exists());
    let forbidden: &[_] = if policy.kernel {
        &[]
    } else {
        &[KERNEL, KERNEL_MODULES]
    };
    let findings = file.findings(&Facts {
        exists: &exists,
        forbidden,
    });
    Ok(ConfigFacts {
        name,
        findings,
        account: file.account(),
        misnamed: misnamed(home),
        file,
    })
}

fn misnamed(home: &Path) -> Vec<String> {
    let names = fs::read_dir(home)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_misnamed(name))
        .collect();
    names.sort();
    names
}

/// Why a program gave no answer, without the command line.
fn reason(error: ExecError) -> String {
    match error {
        ExecError::TimedOut { limit, .. } => format!("no answer within {} s", limit.as_secs_f32()),
        ExecError::NotFound { program } => {
            let name = program.rsplit('/').next().unwrap_or(&program);
            format!("{name} cannot be found")
        }
        other => other.to_string(),
    }
}
