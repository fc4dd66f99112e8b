//! A victim as a container of runc: the bundle it is started from, and the engine's commands.
//!
//! In: a stage. Out: `config.json` and a root folder, and command lines as data. The container's root is
//! made of what the machine has: its `/usr` and the like, the program and the victim's folder, bound
//! there. Must not run anything but the one start.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::criu;
use super::stage::{SETTLER, Stage, VERB, absent, lacking};
use crate::process;

/// The engine.
pub(super) const RUNC: &str = "runc";
/// Where programs and their libraries are; what of it is a link on the machine is one in the container.
const SYSTEM: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// The engine's command line up to its verb: its state is in the victim's folder.
pub(super) fn engine(dir: &Path) -> Vec<OsString> {
    let program = criu::find_tool(RUNC).unwrap_or_else(|| RUNC.into());
    vec![program.into(), "--root".into(), dir.join("engine").into()]
}

/// The bundle.
pub(super) fn bundle(dir: &Path) -> PathBuf {
    dir.join("bundle")
}

/// Where the engine writes the number of the container's first process.
pub(super) fn pid_file(dir: &Path) -> PathBuf {
    dir.join("container.pid")
}

/// The container's name.
pub(super) fn name(dir: &Path) -> String {
    let folder = dir.file_name().unwrap_or_default();
    format!("wslk-smoke-{}", folder.to_string_lossy())
}

/// Starts the container; returns the number of its first process.
pub(super) fn start(stage: &Stage) -> io::Result<u32> {
    if criu::find_tool(RUNC).is_none() {
        return Err(absent("there is no runc"));
    }
    let dir = stage.dir();
    make_bundle(stage, &process::program()?)?;
    let [program, words @ ..] = &engine(dir)[..] else {
        return Err(absent("there is no runc"));
    };
    let log = File::create(dir.join("engine.log"))?;
    let status = Command::new(program)
        .args(words)
        .args(["run", "--detach", "--bundle"])
        .arg(bundle(dir))
        .arg("--pid-file")
        .arg(pid_file(dir))
        .arg(name(dir))
        .env_clear()
        .env("PATH", criu::SYSTEM_PATH)
        .stdin(Stdio::from(File::open(dir.join("input"))?))
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    if !status.success() {
        let log = fs::read_to_string(dir.join("engine.log"))?;
        return Err(refusal(&log));
    }
    let number = fs::read_to_string(pid_file(dir))?;
    let number = number.trim().parse();
    number.map_err(|_| io::Error::other("runc left no process number"))
}

/// Why the engine started nothing: most of what stands in its way is no fault of the kernel.
fn refusal(log: &str) -> io::Error {
    let said = format!("runc cannot start a container here: {}", log.trim());
    // What runc asks the kernel for the rules on devices of a control group, and its answer where there are none.
    let rules = log.contains("bpf_prog_query") && log.contains("not implemented");
    match rules {
        true => lacking("CGROUP_BPF", io::Error::other(said)),
        false => absent(said),
    }
}

/// Ends the container and forgets it, if there is one.
pub(super) fn remove(dir: &Path) {
    if !dir.join("engine").exists() {
        return;
    }
    let [program, words @ ..] = &engine(dir)[..] else {
        return;
    };
    let mut command = Command::new(program);
    command
        .args(words)
        .args(["delete", "--force"])
        .arg(name(dir));
    let _none_there = command.stdin(Stdio::null()).output();
}

fn make_bundle(stage: &Stage, program: &Path) -> io::Result<()> {
    let bundle = bundle(stage.dir());
    let root = bundle.join("rootfs");
    fs::create_dir_all(&root)?;
    let mut bound = vec![stage.dir().to_owned(), program.to_owned()];
    for path in SYSTEM.map(Path::new) {
        match fs::read_link(path) {
            Ok(target) => symlink(target, root.join(path.strip_prefix("/").unwrap_or(path)))?,
            Err(_) if path.is_dir() => bound.push(path.to_owned()),
            Err(_) => {}
        }
    }
    let words: [&OsStr; 5] = [
        program.as_ref(),
        VERB.as_ref(),
        stage.scenario().as_ref(),
        stage.dir().as_ref(),
        SETTLER.as_ref(),
    ];
    let config = config(
        &words.map(OsStr::to_string_lossy),
        &bound,
        &name(stage.dir()),
    );
    fs::write(bundle.join("config.json"), config.to_string())
}

/// The container as the OCI runtime specification describes one.
fn config(words: &[impl AsRef<str>], bound: &[PathBuf], name: &str) -> Value {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let bind = |path: &PathBuf| json!({"destination": path, "source": path, "type": "bind", "options": ["bind"]});
    let mut mounts = vec![
        json!({"destination": "/proc", "source": "proc", "type": "proc"}),
        json!({"destination": "/dev", "source": "tmpfs", "type": "tmpfs", "options": ["nosuid", "mode=755", "size=1m"]}),
    ];
    mounts.extend(bound.iter().map(bind));
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({"type": kind}));
    let may = json!(["CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_CHOWN"]);
    json!({
        "ociVersion": "1.0.2",
        "hostname": "wslk-smoke",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": words,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": {"bounding": may, "effective": may, "permitted": may},
        },
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {"cgroupsPath": format!("/{name}"), "namespaces": namespaces},
    })
}

#[cfg(test)]
mod tests {
    use super::super::stage::Absent;
    use super::*;

    #[test]
    fn the_container_holds_what_it_runs() {
        let config = config(&["/bin/wslk", "victim"], &["/work".into()], "smoke");
        assert_eq!(config["process"]["args"], json!(["/bin/wslk", "victim"]));
        assert_eq!(config["mounts"][2]["source"], "/work");
        assert_eq!(config["linux"]["namespaces"][0]["type"], "pid");
        assert_eq!(config["linux"]["cgroupsPath"], "/smoke");
    }

    #[test]
    fn only_a_kernel_without_device_rules_is_blamed() {
        let rules = "error setting cgroup config: bpf_prog_query(BPF_CGROUP_DEVICE) failed: function not implemented\n";
        for (log, blamed) in [
            (rules, true),
            ("cannot open /sys/fs/cgroup: permission denied", false),
        ] {
            let error = refusal(log);
            let absent = error
                .get_ref()
                .and_then(|error| error.downcast_ref::<Absent>());
            let option = matches!(
                absent,
                Some(Absent::Option {
                    option: "CGROUP_BPF",
                    ..
                })
            );
            assert_eq!(option, blamed, "{error}");
            assert!(error.to_string().contains(log.trim()), "{error}");
        }
    }

    #[test]
    fn what_was_never_started_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        remove(folder.path());
        assert_eq!(name(Path::new("/a/container-7")), "wslk-smoke-container-7");
    }
}
