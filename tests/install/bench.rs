//! A Windows drive that is a folder, builds that are a few bytes, and Windows programs that are scripts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;
use wslk::artefact::{BuildId, Inputs, Manifest, RunDetails, SCHEMA, SourceFacts, Store};
use wslk::digest::Sha256;
use wslk::home::Home;

/// Everything that WSL's init needs built in, and what Docker Desktop needs.
const CONFIG: &str = "CONFIG_BLK_DEV_INITRD=y\nCONFIG_DEVTMPFS=y\nCONFIG_TMPFS=y\nCONFIG_CGROUPS=y\n\
    CONFIG_VSOCKETS=y\nCONFIG_HYPERV=y\nCONFIG_HYPERV_VSOCKETS=y\nCONFIG_HYPERV_STORAGE=y\n\
    CONFIG_SCSI=y\nCONFIG_BLK_DEV_SD=y\nCONFIG_EXT4_FS=y\nCONFIG_OVERLAY_FS=y\nCONFIG_BINFMT_MISC=y\n\
    CONFIG_INOTIFY_USER=y\nCONFIG_UTS_NS=y\nCONFIG_IPC_NS=y\nCONFIG_PID_NS=y\nCONFIG_NET_9P=y\n\
    CONFIG_ISO9660_FS=y\n";

/// A build to be published.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub name: &'static str,
    pub release: String,
    /// The modules disk, if there is one.
    pub modules: Option<Vec<u8>>,
    pub config: String,
    pub proven: bool,
    pub image: Vec<u8>,
}

impl Kernel {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            release: format!("6.6.87.2-microsoft-standard-WSL2-{name}"),
            modules: Some(format!("modules of {name}").into_bytes()),
            config: CONFIG.to_owned(),
            proven: true,
            image: image(name),
        }
    }
}

/// A file that passes for a bzImage.
fn image(name: &str) -> Vec<u8> {
    let mut bytes = vec![0; 3000];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes.extend(name.bytes());
    bytes
}

/// The drive, the home of wslk, and the programs.
pub struct Bench {
    folder: TempDir,
    user: String,
    /// Whether this plays a distribution under WSL.
    wsl: bool,
    /// The profile, where it is not on a drive of our own.
    elsewhere: Option<PathBuf>,
}

impl Bench {
    /// Outside WSL: the profile is named by a flag.
    pub fn new() -> Self {
        Self::of("me", false)
    }

    /// Inside WSL, with Windows' programs.
    pub fn wsl() -> Self {
        Self::of("me", true)
    }

    pub fn of(user: &str, wsl: bool) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            user: user.to_owned(),
            wsl,
            elsewhere: None,
        };
        fs::create_dir_all(bench.profile().join("AppData/Local")).unwrap();
        if wsl {
            bench.programs();
        }
        bench
    }

    /// Inside WSL, with a profile that somebody else made.
    pub fn at(profile: &Path) -> Self {
        Self {
            elsewhere: Some(profile.to_owned()),
            ..Self::wsl()
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The drive C:.
    pub fn drive(&self) -> PathBuf {
        self.path("c")
    }

    pub fn profile(&self) -> PathBuf {
        let ours = || self.drive().join("Users").join(&self.user);
        self.elsewhere.clone().unwrap_or_else(ours)
    }

    /// Our folder on the Windows side.
    pub fn w(&self, name: &str) -> PathBuf {
        self.profile().join("AppData/Local/wslk").join(name)
    }

    pub fn config(&self) -> Option<Vec<u8>> {
        fs::read(self.profile().join(".wslconfig")).ok()
    }

    pub fn config_text(&self) -> String {
        String::from_utf8(self.config().unwrap_or_default()).unwrap()
    }

    pub fn write_config(&self, bytes: impl AsRef<[u8]>) {
        fs::write(self.profile().join(".wslconfig"), bytes).unwrap();
    }

    /// What a Windows program prints from now on.
    pub fn says(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path("says").join(file), bytes).unwrap();
    }

    /// The Windows programs that were called.
    pub fn calls(&self) -> String {
        fs::read_to_string(self.path("says/calls")).unwrap_or_default()
    }

    fn programs(&self) {
        let (bin, says) = (self.path("bin"), self.path("says"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&says).unwrap();
        let at = says.display();
        let head = format!("#!/bin/sh\nprintf '%s\\n' \"$(basename \"$0\") $*\" >> '{at}/calls'\n");
        let drive = self.drive();
        let scripts = [
            (
                "wsl.exe",
                format!(
                    "case \"$*\" in\n--version) cat '{at}/version' || exit 1;;\n\
                     *--running*) cat '{at}/running';;\n*--list*) cat '{at}/list';;\nesac\n"
                ),
            ),
            ("reg.exe", format!("cat '{at}/policy' 2>&- || exit 1\n")),
            (
                "cmd.exe",
                format!(
                    "case \"$*\" in *' set '*) cat \"{at}/$5\";; *start*) pwd >> '{at}/calls';; esac\n"
                ),
            ),
            ("icacls.exe", format!("exit $(cat '{at}/icacls')\n")),
            (
                "wslpath",
                format!(
                    "printf '%s\\n' \"$2\" | sed -e 's|^[Cc]:|{}|' -e 's|\\\\|/|g'\n",
                    drive.display()
                ),
            ),
        ];
        for (name, body) in scripts {
            let path = bin.join(name);
            fs::write(&path, format!("{head}{body}")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let home = format!(r"C:\Users\{}", self.user);
        self.says("USERPROFILE", wide(&format!("USERPROFILE={home}\r\n")));
        let local = format!("LOCALAPPDATA={home}\\AppData\\Local\r\n");
        self.says("LOCALAPPDATA", wide(&local));
        self.says("version", "WSL version: 2.6.1.0\r\n");
        self.says("icacls", "0");
        self.says(
            "list",
            wide(
                "  NAME    STATE    VERSION\r\n* Fake    Running    2\r\n  Old    Stopped    1\r\n",
            ),
        );
        self.says("running", "Fake\r\ndocker-desktop\r\n");
    }

    /// Publishes a build and its evidence.
    pub fn publish(&self, kernel: &Kernel) -> String {
        let store = Store::new(&Home::new(self.path("home"), self.path("cache")));
        let inputs = Inputs::default().with("name", kernel.name);
        let id = BuildId::new("6.6.87.2", "criu", &inputs).unwrap();
        let draft = store.draft(&id).unwrap();
        draft.write("bzImage", &kernel.image).unwrap();
        if let Some(disk) = &kernel.modules {
            draft.write("modules.vhd", disk).unwrap();
        }
        draft.write("config", &kernel.config).unwrap();
        let build = draft
            .publish(
                Manifest {
                    schema: SCHEMA,
                    id: id.clone(),
                    profile: "criu".to_owned(),
                    release: kernel.release.clone(),
                    source: SourceFacts::default(),
                    inputs,
                    tools: BTreeMap::new(),
                    outputs: BTreeMap::new(),
                },
                RunDetails::default(),
            )
            .unwrap();
        if kernel.proven {
            let digest = |name: &str| build.manifest().outputs.get(name).map(|o| o.sha256);
            self.prove(&id, digest("bzImage").unwrap(), digest("modules.vhd"));
        }
        id.to_string()
    }

    /// Leaves evidence of a passed boot test of these bytes.
    pub fn prove(&self, id: &BuildId, kernel: Sha256, modules: Option<Sha256>) {
        let folder = self.path("home/builds").join(id.as_str()).join("boot");
        fs::create_dir_all(&folder).unwrap();
        let report = serde_json::json!({
            "schema": 1, "verdict": "passed", "kernel": kernel, "modules_disk": modules,
        });
        fs::write(folder.join("report.json"), report.to_string()).unwrap();
    }

    pub fn wslk(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("wslk").unwrap();
        command.args(args);
        if (!self.wsl || self.elsewhere.is_some())
            && matches!(
                args.first(),
                Some(&("install" | "rollback" | "status" | "clean"))
            )
        {
            command.arg("--windows-home").arg(self.profile());
        }
        command.envs(self.environment());
        command.env_remove("WSL_DISTRO_NAME");
        if self.wsl {
            command.env("WSL_DISTRO_NAME", "Fake");
        }
        command.current_dir(self.folder.path());
        command
    }

    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let path = std::env::var("PATH").unwrap();
        let text = |path: PathBuf| path.display().to_string();
        vec![
            ("WSLK_HOME", text(self.path("home"))),
            ("XDG_CACHE_HOME", text(self.path("cache"))),
            ("XDG_CONFIG_HOME", text(self.path("settings"))),
            ("PATH", format!("{}:{path}", text(self.path("bin")))),
        ]
    }

    /// Runs to the expected exit code and returns the document and the talk.
    pub fn ends(&self, args: &[&str], code: i32) -> (Value, String) {
        let mut command = self.wslk(args);
        let output = command.arg("--json").output().unwrap();
        let (out, talk) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{talk}");
        (serde_json::from_str(&out).unwrap(), talk)
    }

    pub fn status(&self) -> Value {
        self.ends(&["status"], 0).0
    }

    /// A refusal: exit code 8, a message with this in it, a hint, and nothing changed.
    pub fn refuses(&self, args: &[&str], message: &str) -> String {
        let before = snapshot(&self.drive());
        let (document, _) = self.ends(args, 8);
        let said = document["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
        let hint = document["hint"].as_str().unwrap().to_owned();
        assert!(!hint.is_empty());
        assert_eq!(snapshot(&self.drive()), before, "a refusal changes nothing");
        hint
    }
}

/// The text as Windows programs write it.
pub fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Every file below a folder, with its bytes.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
