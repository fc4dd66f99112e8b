//! Which accelerator works here.
//!
//! There are machines whose `/dev/kvm` opens, answers, and then hangs a guest for ever (nested virtualisation that
//! is only half there); even a first instruction may run on them, and only the firmware's switch to protected mode
//! does not. So KVM is believed after it has taken a tiny guest through the real firmware and out again in time.
//! Must not look at the kernel under test.

use std::path::Path;
use std::time::Duration;

use super::{Accel, AccelChoice, BootError, BootOptions};
use crate::exec::{Cmd, ExecError, Runner, Stdin};
use crate::files::{self, FileError};

/// Time for the tiny guest. Emulated it takes 0.3 s on a slow machine.
const DEADLINE: Duration = Duration::from_secs(3);
/// The tiny guest's disk.
const IMAGE: &str = "kvm-proof.img";
/// What the tiny guest writes to the port that ends QEMU, and the exit status that QEMU makes of it.
const WORD: u8 = 0x21;
const STATUS: i32 = (WORD as i32) << 1 | 1;

/// The accelerator to use, and why it is not KVM where KVM was wanted. `scratch` is a folder for a small file.
pub fn choose(
    options: &BootOptions,
    runner: &dyn Runner,
    scratch: &Path,
) -> Result<(Accel, Option<String>), BootError> {
    if options.accel == AccelChoice::Tcg {
        return Ok((Accel::Tcg, None));
    }
    match (prove_kvm(options, runner, scratch)?, options.accel) {
        (Ok(()), _) => Ok((Accel::Kvm, None)),
        (Err(reason), AccelChoice::Kvm) => Err(BootError::NoKvm(reason)),
        (Err(reason), _) => Ok((Accel::Tcg, Some(reason))),
    }
}

/// Whether KVM works, or why not; takes a second where it does. `scratch` is a folder for a small file.
///
/// # Errors
/// Where QEMU is missing or cannot be run, which says nothing about KVM.
pub fn prove_kvm(
    options: &BootOptions,
    runner: &dyn Runner,
    scratch: &Path,
) -> Result<Result<(), String>, BootError> {
    let device = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    if let Err(e) = device {
        return Ok(Err(format!("/dev/kvm: {e}")));
    }
    let image = scratch.join(IMAGE);
    files::replace(&image, boot_sector())?;
    let answer = runner.run_with(&proof(options, scratch), &mut |_| {});
    std::fs::remove_file(&image).map_err(|source| FileError::new("remove", &image, source))?;
    match answer {
        Ok(output) if output.status == Some(STATUS) => Ok(Ok(())),
        Ok(output) => {
            let words = output
                .stderr
                .lines()
                .last()
                .map(|line| format!(" ({line})"))
                .unwrap_or_default();
            Ok(Err(format!(
                "a tiny guest ended with {}{words}",
                output.ending()
            )))
        }
        Err(ExecError::TimedOut { limit, .. }) => Ok(Err(format!(
            "a tiny guest hung: not through the firmware after {} s",
            limit.as_secs()
        ))),
        Err(ExecError::NotFound { program }) => Err(BootError::NoQemu(program)),
        Err(e) => Err(e.into()),
    }
}

fn proof(options: &BootOptions, scratch: &Path) -> Cmd {
    Cmd::new(&options.qemu)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-m",
            "16M",
        ])
        .args([
            "-accel",
            "kvm",
            "-cpu",
            "host",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=0x01",
        ])
        .args([
            "-drive",
            &format!("if=floppy,format=raw,readonly=on,file={IMAGE}"),
        ])
        .dir(scratch)
        .stdin(Stdin::Null)
        .total(DEADLINE)
        .dies_with_us()
}

/// `mov al, WORD; out 0xf4, al; hlt` in a sector that the firmware takes for bootable.
fn boot_sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[..5].copy_from_slice(&[0xb0, WORD, 0xe6, 0xf4, 0xf4]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Output, Script};

    fn chosen(accel: AccelChoice, script: &Script) -> Result<(Accel, Option<String>), BootError> {
        let folder = tempfile::tempdir().unwrap();
        choose(
            &BootOptions {
                accel,
                ..BootOptions::default()
            },
            script,
            folder.path(),
        )
    }

    #[test]
    fn tcg_needs_no_proof() {
        assert_eq!(
            chosen(AccelChoice::Tcg, &Script::default()).unwrap(),
            (Accel::Tcg, None)
        );
    }

    #[test]
    fn kvm_is_believed_only_after_its_proof() {
        if !Path::new("/dev/kvm").exists() {
            return;
        }
        let ends = |status| {
            Script::default().expect(
                "-accel kvm",
                Output {
                    status: Some(status),
                    ..Output::default()
                },
            )
        };
        assert_eq!(
            chosen(AccelChoice::Auto, &ends(STATUS)).unwrap(),
            (Accel::Kvm, None)
        );
        let (accel, reason) = chosen(AccelChoice::Auto, &ends(1)).unwrap();
        assert_eq!(
            (accel, reason.unwrap().as_str()),
            (Accel::Tcg, "a tiny guest ended with exit status 1")
        );

        let hangs = || ExecError::TimedOut {
            command: "qemu".into(),
            limit: DEADLINE,
        };
        let (accel, reason) =
            chosen(AccelChoice::Auto, &Script::default().fails("kvm", hangs())).unwrap();
        assert_eq!(accel, Accel::Tcg);
        assert!(reason.unwrap().contains("hung"));
        let error = chosen(AccelChoice::Kvm, &Script::default().fails("kvm", hangs())).unwrap_err();
        assert!(matches!(error, BootError::NoKvm(_)), "{error}");
    }

    #[test]
    fn a_missing_qemu_is_no_verdict_about_kvm() {
        if !Path::new("/dev/kvm").exists() {
            return;
        }
        let script = Script::default().fails(
            "kvm",
            ExecError::NotFound {
                program: "qemu-system-x86_64".into(),
            },
        );
        assert!(matches!(
            chosen(AccelChoice::Auto, &script),
            Err(BootError::NoQemu(_))
        ));
    }
}
