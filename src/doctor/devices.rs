//! What else lives on the machine and suffers from another kernel: Docker Desktop and the graphics processor.
//!
//! In: a [`Machine`]. Out: the checks `docker-desktop` and `gpu`. Must not load a driver's library.

use super::Check;
use super::machine::{Answer, Gpu, Machine};
use crate::install::check::Status;
use crate::wsl::host::Wsl;

/// The first branch of NVIDIA's drivers that does.
const CHECKPOINTS: u32 = 570;
/// Docker Desktop's own distribution.
const DOCKER_DESKTOP: &str = "docker-desktop";

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    vec![docker_desktop(machine), gpu(machine)]
}

fn docker_desktop(machine: &Machine) -> Check {
    let id = "docker-desktop";
    if machine.wsl != Wsl::Two || machine.container.is_some() {
        return Check::not_applicable(id, "Docker Desktop runs beside WSL2 only");
    }
    let installed = match &machine.windows.distros {
        Some(Ok(distros)) => distros.iter().any(|distro| distro.name == DOCKER_DESKTOP),
        _ => {
            return Check::unknown(id, "whether Docker Desktop is installed is not known")
                .seen("wsl.exe --list did not answer")
                .next("wslk doctor --deep gives Windows more time");
        }
    };
    let seen = "wsl.exe --list; /proc/filesystems";
    if !installed {
        return Check::ok(id, "Docker Desktop is not installed").seen(seen);
    }
    let found = machine.running.iter().find(|check| check.id == id);
    // Modules count too: the suite's own look cannot load them, a disk of modules can.
    let loadable = machine.modules.loadable.iter().any(|name| name == "isofs");
    match found.map(|check| check.status) {
        Some(Status::Ok) => Check::ok(
            id,
            "installed, and the file systems that it mounts are there",
        ),
        _ if loadable => Check::ok(
            id,
            "installed, and the file systems that it mounts can be loaded",
        ),
        _ => Check::warn(
            id,
            found.map_or_else(String::new, |check| check.summary.clone()),
        )
        .next("a kernel of wslk's profile `criu` has them built in"),
    }
    .seen(seen)
}

fn gpu(machine: &Machine) -> Check {
    let id = "gpu";
    let gpu = &machine.gpu;
    let check = match (gpu.dxg, gpu.native.is_some() || gpu.device) {
        (true, _) => windows_gpu(id, gpu),
        (false, true) => linux_gpu(id, gpu),
        (false, false) if machine.is_wsl2() => {
            return Check::warn(id, "no graphics processor reaches this WSL")
                .seen("there is no /dev/dxg")
                .next(
                    "install the Windows driver; a kernel without CONFIG_DXGKRNL has none either",
                );
        }
        (false, false) => return Check::ok(id, "none").seen("no /dev/dxg, no /dev/nvidia0"),
    };
    let check = aged(check, gpu);
    match &gpu.said {
        Some(Ok(said)) => check.seen(format!("nvidia-smi: {}", said.replace('\n', "; "))),
        Some(Err(why)) => Check::warn(id, "the driver does not answer")
            .seen(format!("nvidia-smi: {why}"))
            .next("start the driver's own nvidia-smi by hand"),
        None => check,
    }
}

/// cuda-checkpoint is in the driver; from 570 on it also lets go of NVML and works under CRIU 4.
fn aged(check: Check, gpu: &Gpu) -> Check {
    let said = gpu.said.as_ref().and_then(|said| said.as_ref().ok());
    let told = said.or(gpu.native.as_ref());
    match told
        .and_then(|text| driver(text))
        .filter(|major| *major < CHECKPOINTS)
    {
        Some(major) => Check::warn(
            check.id,
            format!(
                "{}; driver {major} cannot checkpoint a process of CUDA under CRIU",
                check.summary
            ),
        )
        .seen(check.evidence)
        .next(format!("install driver {CHECKPOINTS} or later")),
        None => check,
    }
}

/// The branch in `NVIDIA GeForce RTX 4090, 577.00` and `… Kernel Module  575.57.08  Tue May …`.
fn driver(text: &str) -> Option<u32> {
    let version = |word: &str| -> Option<u32> {
        let (major, minor) = word.trim_end_matches(',').split_once('.')?;
        let numbers = minor.chars().all(|c| c.is_ascii_digit() || c == '.');
        major.parse().ok().filter(|_| numbers)
    };
    text.split_whitespace().find_map(version)
}

fn windows_gpu(id: &'static str, gpu: &Gpu) -> Check {
    match &gpu.library {
        None => Check::warn(id, "/dev/dxg is there, and no NVIDIA driver in Windows")
            .seen("no /usr/lib/wsl/lib/libcuda.so.1")
            .next("install NVIDIA's driver in Windows, 570 or later, never one for Linux in here"),
        Some(library) => Check::ok(id, "a graphics processor, by Windows' NVIDIA driver")
            .seen(format!("/dev/dxg, {library}{}", unasked(&gpu.said))),
    }
}

fn linux_gpu(id: &'static str, gpu: &Gpu) -> Check {
    let seen = "/proc/driver/nvidia/version, /dev/nvidia0";
    match (&gpu.native, gpu.device) {
        (Some(version), true) => {
            Check::ok(id, "an NVIDIA graphics processor").seen(version.clone())
        }
        (Some(_), false) => Check::warn(id, "NVIDIA's driver is loaded and has no device")
            .seen(seen)
            .next("in a container: start it with --gpus all"),
        (None, _) => Check::warn(id, "a device without NVIDIA's driver")
            .seen(seen)
            .next("load the driver: sudo modprobe nvidia"),
    }
}

fn unasked(said: &Answer<String>) -> &'static str {
    match said {
        None => "; --deep asks it for its version",
        Some(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_branch_of_a_driver_is_found() {
        let table = [
            ("NVIDIA GeForce RTX 4090, 577.00", Some(577)),
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12",
                Some(535),
            ),
            ("", None),
        ];
        for (text, branch) in table {
            assert_eq!(driver(text), branch, "{text}");
        }
    }

    #[test]
    fn an_old_driver_is_named() {
        let gpu = |version: &str| Gpu {
            native: Some(format!("NVRM version: Module {version}")),
            ..Gpu::default()
        };
        let check = || Check::ok("gpu", "there");
        assert_eq!(aged(check(), &gpu("575.57.08")), check());
        assert!(aged(check(), &gpu("550.1")).summary.contains("driver 550"));
    }
}
