//! QEMU's command line, as data: what a dry run shows is what a run does.
//!
//! In: what to boot and on what. Out: a [`Plan`]. Must not touch the disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Accel, BootOptions};
use crate::exec::{Cmd, Stdout};

/// The console's text, in the folder that QEMU runs in.
pub const CONSOLE: &str = "console.log";
/// The agent's events, in the folder that QEMU runs in.
pub const AGENT: &str = "agent.jsonl";

/// How a disk image is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bare file system.
    Raw,
    /// A VHD, known by the footer at its end.
    Vhd,
    /// A VHDX, known by the words at its start.
    Vhdx,
}

/// A disk to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
}

/// The files that QEMU reads and the folder that it writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The bzImage.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The modules disk.
    pub modules: Option<Disk>,
    /// Where [`CONSOLE`] and [`AGENT`] go.
    pub out: PathBuf,
}

/// One run of QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The command; its standard output is the guest's console, line by line.
    pub cmd: Cmd,
    /// The kernel's command line.
    pub cmdline: String,
    /// What it runs on.
    pub accel: Accel,
}

impl Plan {
    /// Plans a run on `accel`.
    #[must_use]
    pub fn new(options: &BootOptions, files: &Files, accel: Accel) -> Self {
        let cmdline = cmdline(options.cpus);
        let cmd = Cmd::new(&options.qemu)
            .args(machine(options, accel))
            .arg("-kernel")
            .arg(&files.kernel)
            .arg("-initrd")
            .arg(&files.initramfs)
            .args(["-append", &cmdline])
            .args(channels())
            .args(files.modules.iter().flat_map(disk))
            .dir(&files.out)
            .stdout(Stdout::Lines)
            .total(options.deadline)
            .silence(options.silence)
            .dies_with_us();
        Self {
            cmd,
            cmdline,
            accel,
        }
    }
}

/// What WSL passes, in its order, without `initrd=`, since QEMU hands that over itself, and with the serial port as
/// console, since hvc0 is not there. `panic=-1` restarts at once, which ends QEMU. The last two stand for what a
/// kernel finds on Hyper-V: it trusts the timer there without a check, which an emulator on a busy machine fails,
/// and gets random numbers at once, without which each run of CRIU waits for seconds.
fn cmdline(cpus: u32) -> String {
    format!(
        "WSL_ROOT_INIT=1 panic=-1 nr_cpus={cpus} hv_utils.timesync_implicit=1 printk.devkmsg=on \
         page_reporting.page_reporting_order=9 earlycon=uart8250,io,0x3f8,115200 console=ttyS0,115200 debug \
         pty.legacy_count=0 no_timer_check random.trust_cpu=on"
    )
}

/// Processors are sockets: a kernel without ACPI finds them in the firmware's MP table, which lists no cores.
fn machine(options: &BootOptions, accel: Accel) -> Vec<String> {
    let (accel, cpu) = match accel {
        Accel::Kvm => ("kvm", "host"),
        // One thread a processor; a larger cache of translated code than the default, since a boot and CRIU's
        // runs touch more code than fits, and what is thrown out is translated again.
        Accel::Tcg => ("tcg,thread=multi,tb-size=256", "max"),
    };
    let words = [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-machine",
        "q35",
    ];
    let sized = [
        ["-accel".to_owned(), accel.to_owned()],
        ["-cpu".to_owned(), cpu.to_owned()],
        [
            "-smp".to_owned(),
            format!("{0},sockets={0},cores=1,threads=1", options.cpus),
        ],
        ["-m".to_owned(), format!("{}M", options.memory_mib)],
    ];
    words
        .into_iter()
        .map(str::to_owned)
        .chain(sized.into_iter().flatten())
        .collect()
}

/// ttyS0 is the console, kept in a file and passed on; ttyS1 is the agent's.
fn channels() -> [String; 8] {
    [
        "-chardev".to_owned(),
        format!("stdio,id=console,signal=off,logfile={CONSOLE}"),
        "-serial".to_owned(),
        "chardev:console".to_owned(),
        "-chardev".to_owned(),
        format!("file,id=agent,path={AGENT}"),
        "-serial".to_owned(),
        "chardev:agent".to_owned(),
    ]
}

/// A read-only SCSI disk, which is how WSL attaches its modules.
fn disk(disk: &Disk) -> Vec<OsString> {
    let format = match disk.format {
        DiskFormat::Raw => "raw",
        // Hyper-V goes by the size in the footer; QEMU would go by the geometry for makers it does not know.
        DiskFormat::Vhd => "vpc,force_size_calc=current_size",
        DiskFormat::Vhdx => "vhdx",
    };
    let mut drive = OsString::from(format!(
        "if=none,id=modules,readonly=on,format={format},file="
    ));
    drive.push(doubled_commas(&disk.path));
    vec![
        "-device".into(),
        // Without MSI-X: QEMU 10.0.2 was seen to abort in msix_table_mmio_write while a 6.1 guest sized this BAR.
        "virtio-scsi-pci,id=scsi,vectors=0".into(),
        "-drive".into(),
        drive,
        "-device".into(),
        "scsi-hd,bus=scsi.0,drive=modules".into(),
    ]
}

/// A comma ends an option, two of them are one.
fn doubled_commas(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let bytes = path.as_os_str().as_bytes();
    let doubled = bytes
        .iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}

/// The format of a disk image, from its first 8 and its last 512 bytes.
#[must_use]
pub fn disk_format(head: &[u8], tail: &[u8]) -> DiskFormat {
    match () {
        () if head.starts_with(b"vhdxfile") => DiskFormat::Vhdx,
        () if tail.starts_with(b"conectix") => DiskFormat::Vhd,
        () => DiskFormat::Raw,
    }
}

/// What is wrong with a file that should be a bzImage, from its first KiB; `None` where it is one. Offsets:
/// `Documentation/arch/x86/boot.rst` of the kernel.
#[must_use]
pub fn no_bzimage(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, bytes: &[u8]| head.get(offset..offset + bytes.len()) == Some(bytes);
    let loaded_high = head.get(0x211).is_some_and(|flags| flags & 1 == 1);
    match () {
        () if head.starts_with(b"\x7fELF") => Some("it is an ELF file (vmlinux?)"),
        () if head.len() < 0x260 => Some("it is too short"),
        () if !at(0x1fe, &[0x55, 0xaa]) || !at(0x202, b"HdrS") => Some("it has no boot header"),
        () if !loaded_high => Some("it is a zImage, which is loaded low"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(modules: Option<Disk>) -> Files {
        Files {
            kernel: "/b/bzImage".into(),
            initramfs: "/t/initramfs".into(),
            modules,
            out: "/b/boot".into(),
        }
    }

    #[test]
    fn a_whole_command_line() {
        let disk = Disk {
            path: "/b/a,b/modules.vhd".into(),
            format: DiskFormat::Vhd,
        };
        let options = BootOptions {
            memory_mib: 768,
            cpus: 4,
            ..BootOptions::default()
        };
        let plan = Plan::new(&options, &files(Some(disk)), Accel::Tcg);
        let expected = "qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -machine q35 \
            -accel tcg,thread=multi,tb-size=256 -cpu max -smp 4,sockets=4,cores=1,threads=1 -m 768M -kernel /b/bzImage -initrd /t/initramfs \
            -append 'WSL_ROOT_INIT=1 panic=-1 nr_cpus=4 hv_utils.timesync_implicit=1 printk.devkmsg=on \
            page_reporting.page_reporting_order=9 earlycon=uart8250,io,0x3f8,115200 console=ttyS0,115200 debug \
            pty.legacy_count=0 no_timer_check random.trust_cpu=on' \
            -chardev stdio,id=console,signal=off,logfile=console.log -serial chardev:console \
            -chardev file,id=agent,path=agent.jsonl -serial chardev:agent -device virtio-scsi-pci,id=scsi,vectors=0 \
            -drive if=none,id=modules,readonly=on,format=vpc,force_size_calc=current_size,file=/b/a,,b/modules.vhd \
            -device scsi-hd,bus=scsi.0,drive=modules";
        assert_eq!(plan.cmd.to_string(), expected);
    }

    #[test]
    fn kvm_gets_the_real_processor() {
        let plan = Plan::new(&BootOptions::default(), &files(None), Accel::Kvm);
        assert!(plan.cmd.to_string().contains("-accel kvm -cpu host"));
        assert!(!plan.cmd.to_string().contains("scsi"));
    }

    #[test]
    fn disks_and_kernels_are_told_apart() {
        assert_eq!(disk_format(b"vhdxfile", b""), DiskFormat::Vhdx);
        assert_eq!(disk_format(b"\0\0\0", b"conectix\0\0"), DiskFormat::Vhd);
        assert_eq!(disk_format(b"", b""), DiskFormat::Raw);
        let mut kernel = vec![0; 1024];
        assert_eq!(no_bzimage(&kernel), Some("it has no boot header"));
        kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(
            no_bzimage(&kernel),
            Some("it is a zImage, which is loaded low")
        );
        kernel[0x211] = 1;
        assert_eq!(no_bzimage(&kernel), None);
        assert_eq!(no_bzimage(b"\x7fELF"), Some("it is an ELF file (vmlinux?)"));
        assert_eq!(no_bzimage(b""), Some("it is too short"));
    }
}
