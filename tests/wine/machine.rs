//! The made-up WSL: what `wsl.exe` would answer, decided when its virtual machine starts.
//!
//! In: command lines, and the bytes of `.wslconfig` as they are at that moment. Out: text, exit codes, or no
//! answer at all. The texts are those of WSL, and come in UTF-8 or as an old WSL's UTF-16.

use std::fs;
use std::path::PathBuf;

/// What a configured kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Starts, and says that it is this release.
    Boots(&'static str),
    /// Never answers.
    Hangs,
    /// The host gives up with this error.
    Dies(&'static str),
    /// The same, from a WSL that knows no `WSL_UTF8`.
    DiesInUtf16(&'static str),
    /// Starts, and dies at the check.
    DiesLater(&'static str),
    /// Starts; what it prints is no text.
    Babbles,
}

/// What the check in the distribution does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Ends with this code and this line.
    Ends(i32, &'static str),
    /// Never ends.
    Hangs,
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: Vec<u8>,
}

/// What starts a virtual machine for real, going by the bytes of `.wslconfig`, and says how it went.
pub struct Hypervisor(pub Box<Boot>);

type Boot = dyn FnMut(&[u8]) -> (Kernel, Check) + Send;

impl std::fmt::Debug for Hypervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hypervisor")
    }
}

/// The host and its virtual machine.
#[derive(Debug)]
pub struct Machine {
    kernels: Vec<(Option<Vec<u8>>, Kernel)>,
    check: Check,
    running: Option<Kernel>,
    /// Decides instead of the list, where there is one.
    pub hypervisor: Option<Hypervisor>,
    /// Where the host writes the last words of a kernel that dies.
    pub panic: Option<PathBuf>,
    /// Every command line, in order.
    pub log: Vec<String>,
}

/// The release of the packaged kernel.
pub const STOCK: &str = "6.6.114.1-microsoft-standard-WSL2";

impl Machine {
    /// Files of `.wslconfig` and the kernels that they lead to; anything else leads to the packaged one.
    pub fn new(kernels: Vec<(Option<Vec<u8>>, Kernel)>, check: Check) -> Self {
        Self {
            kernels,
            check,
            running: None,
            hypervisor: None,
            panic: None,
            log: Vec::new(),
        }
    }

    /// Answers a command line, or hangs.
    pub fn ask(&mut self, line: &str, wslconfig: Option<&[u8]>) -> Option<Answer> {
        self.log.push(line.to_owned());
        if line.contains("--shutdown") {
            self.running = None;
            return Some(said(0, ""));
        }
        let kernel = match self.running {
            Some(kernel) => kernel,
            None => self.start(wslconfig),
        };
        self.running = Some(kernel);
        let checks = line.contains("-u root");
        let answer = match kernel {
            Kernel::Hangs => None,
            Kernel::DiesLater(text) if checks => Some(said(-1, text)),
            Kernel::Boots(_) if checks => match self.check {
                Check::Ends(code, text) => Some(said(code, text)),
                Check::Hangs => None,
            },
            Kernel::Boots(release) => Some(said(0, &format!("{release}\n"))),
            Kernel::DiesLater(_) if self.log.iter().any(|line| line.contains("-u root")) => {
                Some(said(-1, CRASHED))
            }
            Kernel::DiesLater(_) => Some(said(0, "6.6.87.2-wslk\n")),
            Kernel::Babbles => Some(Answer {
                code: 0,
                out: b"\0\xff%\"&|<>^\r\n)(\"\n".to_vec(),
            }),
            Kernel::Dies(text) => Some(said(-1, text)),
            Kernel::DiesInUtf16(text) => {
                let out = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                Some(Answer { code: -1, out })
            }
        };
        if matches!(kernel, Kernel::Dies(_) | Kernel::DiesInUtf16(_)) {
            self.running = None;
            if let Some(path) = &self.panic {
                fs::write(path, PANIC).expect("written");
            }
        }
        answer
    }

    fn start(&mut self, wslconfig: Option<&[u8]>) -> Kernel {
        if let Some(Hypervisor(boot)) = &mut self.hypervisor {
            let (kernel, check) = boot(wslconfig.unwrap_or_default());
            self.check = check;
            return kernel;
        }
        let mut kernels = self.kernels.iter();
        let found = kernels.find(|(bytes, _)| bytes.as_deref() == wslconfig);
        found.map_or(Kernel::Boots(STOCK), |(_, kernel)| *kernel)
    }

    /// The command lines that this one is in.
    pub fn asked(&self, part: &str) -> usize {
        self.log.iter().filter(|line| line.contains(part)).count()
    }
}

fn said(code: i32, text: &str) -> Answer {
    Answer {
        code,
        out: text.as_bytes().to_vec(),
    }
}

/// The guest never connected.
pub const TIMEOUT: &str = "The operation timed out because a response was not received from the virtual machine or container. \r\nError code: Wsl/Service/CreateInstance/CreateVm/HCS_E_CONNECTION_TIMEOUT\r\n";
/// The file named by `kernel=` is not there.
pub const NOT_FOUND: &str = "The custom kernel specified in C:\\Users\\me\\.wslconfig was not found: 'C:\\k'.\r\nError code: Wsl/Service/CreateInstance/CreateVm/WSL_E_CUSTOM_KERNEL_NOT_FOUND\r\n";
/// A panic that the hypervisor reported.
pub const CRASHED: &str = "The WSL2 Virtual Machine crashed.\r\nThe stack trace has been saved in: C:\\x\\kernel-panic-1.txt\r\nError code: Wsl/Service/CreateInstance/CreateVm/WSL_E_VM_CRASHED\r\n";
/// What the host writes down of a panic.
pub const PANIC: &str = "Kernel panic - not syncing: VFS: Unable to mount root fs\r\n";
/// The modules' disk may not be read.
pub const DENIED: &str =
    "Access is denied. \r\nError code: Wsl/Service/CreateInstance/CreateVm/HCS/E_ACCESSDENIED\r\n";
/// The first process of the guest is gone.
pub const NOT_CONNECTED: &str = "Eine Anforderung wurde nicht zugelassen.\r\nFehlercode: Wsl/Service/CreateInstance/CreateVm/WSAENOTCONN\r\n";
