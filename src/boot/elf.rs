//! What a program needs to run somewhere else: its loader, its libraries, the versions it wants of them.
//!
//! In: the bytes of an ELF file. Out: [`Needs`], and a copy without what only a debugger reads. Must not touch
//! the disk.

use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, pod};

type Header = FileHeader64<Endianness>;

/// What a dynamically linked program asks of the system it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Path of the program's loader; a static program has none.
    pub loader: Option<String>,
    /// Names of the libraries it is linked with.
    pub libraries: Vec<String>,
    /// The symbol versions it wants: library, version.
    pub versions: Vec<(String, String)>,
}

/// What `program` needs.
pub fn needs(program: &[u8]) -> object::Result<Needs> {
    let header = Header::parse(program)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, program)? {
        needs.loader = segment
            .interpreter(endian, program)?
            .map(text)
            .or(needs.loader);
    }
    let sections = header.sections(endian, program)?;
    if let Some((entries, link)) = sections.dynamic(endian, program)? {
        let strings = sections.strings(endian, program, link)?;
        for entry in entries
            .iter()
            .filter(|entry| entry.tag(endian) == elf::DT_NEEDED)
        {
            needs.libraries.push(text(entry.string(endian, strings)?));
        }
    }
    if let Some((mut wanted, link)) = sections.gnu_verneed(endian, program)? {
        let strings = sections.strings(endian, program, link)?;
        while let Some((library, mut versions)) = wanted.next()? {
            let library = text(library.file(endian, strings)?);
            while let Some(version) = versions.next()? {
                needs
                    .versions
                    .push((library.clone(), text(version.name(endian, strings)?)));
            }
        }
    }
    Ok(needs)
}

/// The symbol versions that `library` offers.
pub fn offers(library: &[u8]) -> object::Result<Vec<String>> {
    let header = Header::parse(library)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, library)?;
    let mut offers = Vec::new();
    if let Some((mut defined, link)) = sections.gnu_verdef(endian, library)? {
        let strings = sections.strings(endian, library, link)?;
        while let Some((_, mut names)) = defined.next()? {
            if let Some(name) = names.next()? {
                offers.push(text(name.name(endian, strings)?));
            }
        }
    }
    Ok(offers)
}

/// `program` without symbols and debug information: what the kernel loads lies in front of them. A debug
/// build shrinks to a fraction, and every byte of an initramfs is copied twice by an emulated processor.
pub fn slim(program: &[u8]) -> object::Result<Vec<u8>> {
    let header = Header::parse(program)?;
    let endian = header.endian()?;
    let ends = header
        .program_headers(endian, program)?
        .iter()
        .map(|segment| {
            let (offset, size) = segment.file_range(endian);
            offset.saturating_add(size)
        });
    let end = ends
        .max()
        .and_then(|end| usize::try_from(end).ok())
        .unwrap_or(program.len());
    let mut slim = program[..end.min(program.len())].to_vec();
    // A table of sections that is not there must not be announced.
    let mut header = *header;
    header.e_shoff.set(endian, 0);
    header.e_shnum.set(endian, 0);
    header.e_shstrndx.set(endian, elf::SHN_UNDEF);
    let bytes = pod::bytes_of(&header);
    slim[..bytes.len()].copy_from_slice(bytes);
    Ok(slim)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn this_program_needs_a_libc() {
        let needs = needs(&this_program()).unwrap();
        assert!(needs.loader.unwrap().contains("ld-linux"));
        assert!(
            needs.libraries.iter().any(|library| library == "libc.so.6"),
            "{:?}",
            needs.libraries
        );
        assert!(
            needs
                .versions
                .iter()
                .any(|(_, version)| version.starts_with("GLIBC_2."))
        );
    }

    #[test]
    fn a_slim_program_still_runs() {
        use std::os::unix::fs::PermissionsExt as _;
        let program = this_program();
        let slim = slim(&program).unwrap();
        assert!(slim.len() < program.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slim");
        std::fs::write(&path, &slim).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let run = || std::process::Command::new(&path).arg("--list").output();
        // Whatever another test starts meanwhile holds the file open for a moment.
        let busy = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ExecutableFileBusy;
        let output = loop {
            match run() {
                Err(error) if busy(&error) => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        assert!(String::from_utf8_lossy(&output.stdout).contains("a_slim_program_still_runs"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0x7f; 64]] {
            assert!(needs(bytes).is_err());
            assert!(slim(bytes).is_err());
        }
    }
}
