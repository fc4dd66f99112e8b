//! What the guest finds at its root: this program as `/init`, the tools, and the agent's orders.
//!
//! In: a program, [`GuestTools`], [`Orders`]. Out: an initramfs file. It is not compressed: QEMU copies it into
//! the guest's memory at the speed of the host, while the guest would unpack it at the speed of an emulator.
//! Must not run anything.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use super::cpio::{Archive, Node};
use super::{BootError, GuestTools, elf};
use crate::boot::agent::Orders;
use crate::files::FileError;

/// Writes the initramfs to `out`; returns its size in bytes.
pub fn write(
    program: &Path,
    tools: &GuestTools,
    orders: &Orders,
    out: &Path,
) -> Result<u64, BootError> {
    let archive = contents(program, tools, orders)?;
    let error = |source| FileError::new("write", out, source);
    let file = File::create(out).map_err(error)?;
    Ok(archive
        .write(BufWriter::with_capacity(1 << 20, file))
        .map_err(error)?)
}

fn contents(program: &Path, tools: &GuestTools, orders: &Orders) -> Result<Archive, BootError> {
    let mut archive = tools.unpack()?;
    let bytes = fs::read(program).map_err(|source| FileError::new("read", program, source))?;
    satisfied(program, &bytes, tools, &archive)?;
    let slim = elf::slim(&bytes).map_err(|e| unfit(program, &e.to_string()))?;
    archive.put("init", Node::program(slim));
    archive.put(Orders::PATH, Node::data(orders.to_json()));
    // The kernel opens it for /init before anybody could mount devtmpfs.
    archive.put(
        "dev/console",
        Node::Device {
            mode: 0o600,
            major: 5,
            minor: 1,
        },
    );
    for folder in [
        "proc",
        "sys",
        "run",
        "tmp",
        "root",
        "modules",
        "lib/modules",
    ] {
        put_folder(&mut archive, folder);
    }
    legacy_iptables(&mut archive);
    // What CRIU and iptables expect of any system.
    archive.put(
        "etc/passwd",
        Node::data(*b"root:x:0:0:root:/root:/bin/sh\n"),
    );
    archive.put("etc/group", Node::data(*b"root:x:0:\n"));
    archive.put(
        "etc/hosts",
        Node::data(*b"127.0.0.1 localhost\n::1 localhost\n"),
    );
    Ok(archive)
}

/// Makes the plain names mean the kernel's own ip_tables. CRIU's "iptables" lock calls `iptables`, which may be a
/// translation to nftables; that one has a lock of its own, so the two locks would be one and the same.
fn legacy_iptables(archive: &mut Archive) {
    const LEGACY: &str = "xtables-legacy-multi";
    let folder = "usr/sbin";
    if archive.at(&format!("{folder}/{LEGACY}")).is_none() {
        return;
    }
    for family in ["iptables", "ip6tables"] {
        for verb in ["", "-restore", "-save"] {
            for name in [family.to_owned(), format!("{family}-legacy")] {
                let target = LEGACY.to_owned();
                archive.put(&format!("{folder}/{name}{verb}"), Node::Link { target });
            }
        }
    }
}

/// A folder, also where `/lib` is a link into `/usr`.
fn put_folder(archive: &mut Archive, folder: &str) {
    let (top, rest) = folder.split_once('/').unwrap_or((folder, ""));
    match archive.at(top) {
        Some(Node::Link { target }) => {
            let path = format!("{}/{rest}", target.trim_matches('/'));
            archive.put(&path, Node::Folder { mode: 0o755 });
        }
        _ => archive.put(folder, Node::Folder { mode: 0o755 }),
    }
}

/// Checks that the tools hold every library of the program, and no older than it wants. Without the check
/// the guest's loader would fail, and the kernel would be blamed for a panic.
fn satisfied(
    program: &Path,
    bytes: &[u8],
    tools: &GuestTools,
    archive: &Archive,
) -> Result<(), BootError> {
    let needs =
        elf::needs(bytes).map_err(|e| unfit(program, &format!("it is no ELF program ({e})")))?;
    let file = |name: &str| followed(archive, name).ok_or_else(|| missing(tools, name));
    for name in needs
        .loader
        .iter()
        .filter_map(|path| path.rsplit('/').next())
    {
        file(name)?;
    }
    for name in &needs.libraries {
        let offers = elf::offers(file(name)?).map_err(|e| unfit(program, &e.to_string()))?;
        let wanted = needs.versions.iter().filter(|(library, _)| library == name);
        if let Some((_, version)) = wanted
            .clone()
            .find(|(_, version)| !offers.contains(version))
        {
            return Err(unfit(
                program,
                &format!(
                    "it wants {version} of {name}, which {} does not have",
                    tools.origin
                ),
            ));
        }
    }
    Ok(())
}

/// The content of the file called `name`, through links in its own folder.
fn followed<'a>(archive: &'a Archive, name: &str) -> Option<&'a [u8]> {
    let mut name = name.to_owned();
    for _ in 0..8 {
        let is_file = |node: &Node| matches!(node, Node::File { .. });
        match archive
            .find(&name, is_file)
            .or_else(|| archive.find(&name, |_| true))?
        {
            Node::File { content, .. } => return Some(content),
            Node::Link { target } => name = target.rsplit('/').next()?.to_owned(),
            Node::Folder { .. } | Node::Device { .. } => return None,
        }
    }
    None
}

fn unfit(program: &Path, reason: &str) -> BootError {
    BootError::Program {
        program: program.to_owned(),
        reason: reason.to_owned(),
    }
}

fn missing(tools: &GuestTools, what: &str) -> BootError {
    BootError::ToolMissing {
        origin: tools.origin.clone(),
        what: what.to_owned(),
    }
}
