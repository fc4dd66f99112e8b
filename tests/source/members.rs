//! Little languages for what a tarball or a folder holds: one member per line.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

type Packer = Builder<GzEncoder<Vec<u8>>>;

/// A kernel tree as small as can be: name, content, executable.
pub fn kernel() -> Vec<(&'static str, Vec<u8>, bool)> {
    let makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 21\nEXTRAVERSION = .2\nNAME = Test\n";
    vec![
        ("Makefile", makefile.into(), false),
        ("Kconfig", "mainmenu \"Linux\"\n".into(), false),
        ("Kbuild", "obj-y += init/\n".into(), false),
        (
            "arch/x86/configs/config-wsl",
            "CONFIG_64BIT=y\n".into(),
            false,
        ),
        ("scripts/run.sh", "#!/bin/sh\n".into(), true),
        (
            "init/main.c",
            "int main(void)\n{\n\treturn 0;\n}\n".into(),
            false,
        ),
        // Does not compress, so that a cut falls where a test wants it.
        ("firmware.bin", noise(300_000), false),
    ]
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// Where Microsoft's trees have a link to their configuration.
pub const LINK: (&str, &str) = ("Microsoft/config-wsl", "../arch/x86/configs/config-wsl");

/// A `.tar.gz` of `members`.
pub fn tarball<S: AsRef<str>>(members: &[S]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for member in members {
        add(&mut builder, member.as_ref());
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn add(builder: &mut Packer, member: &str) {
    let (kind, rest) = member.split_once(' ').unwrap();
    let (name, target) = rest.split_once(" -> ").unwrap_or((rest, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut put = |kind, content: &[u8]| append(builder, kind, (name, target), content, false);
    match kind {
        "kernel" => add_kernel(builder, rest),
        "file" => put(EntryType::Regular, name.as_bytes()),
        "link" => put(EntryType::Symlink, b""),
        "hard" => put(EntryType::Link, b""),
        "char" => put(EntryType::Char, b""),
        "fifo" => put(EntryType::Fifo, b""),
        "zeros" => {
            let zeros = vec![0; second.parse().unwrap()];
            append(builder, EntryType::Regular, (first, ""), &zeros, false);
        }
        "long-name" => {
            let name = vec![b'x'; rest.parse().unwrap()];
            append(builder, EntryType::GNULongName, ("long", ""), &name, false);
        }
        "pax-name" => attributed(builder, "path", &rest.replace("\\0", "\0")),
        "pax-size" => attributed(builder, "size", rest),
        "comment" => {
            let text = pax("comment", rest);
            append(
                builder,
                EntryType::XGlobalHeader,
                ("global", ""),
                text.as_bytes(),
                false,
            );
        }
        other => panic!("no such member: {other}"),
    }
}

fn add_kernel(builder: &mut Packer, top: &str) {
    for (file, content, executable) in kernel() {
        append(
            builder,
            EntryType::Regular,
            (&format!("{top}{file}"), ""),
            &content,
            executable,
        );
    }
    append(
        builder,
        EntryType::Symlink,
        (&format!("{top}{}", LINK.0), LINK.1),
        b"",
        false,
    );
}

fn attributed(builder: &mut Packer, key: &str, value: &str) {
    append(
        builder,
        EntryType::XHeader,
        ("attributes", ""),
        pax(key, value).as_bytes(),
        false,
    );
    append(
        builder,
        EntryType::Regular,
        ("linux/attributed", ""),
        b"content",
        false,
    );
}

/// `LENGTH KEY=VALUE`, where the length counts its own digits.
fn pax(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let length = (1..5)
        .map(|digits| rest.len() + digits)
        .find(|n| n.to_string().len() + rest.len() == *n);
    format!("{}{rest}", length.unwrap())
}

/// Writes name and target into the header byte by byte: the crate would refuse what we test.
fn append(
    builder: &mut Packer,
    kind: EntryType,
    (name, target): (&str, &str),
    content: &[u8],
    executable: bool,
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    // A umask of a packer that is not ours.
    header.set_mode(if executable { 0o775 } else { 0o664 });
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

/// Fills a folder with `members`: `kernel`, `file NAME`, `link NAME -> TARGET`, `socket NAME`.
pub fn folder<S: AsRef<str>>(root: &Path, members: &[S]) {
    fs::create_dir_all(root).unwrap();
    for member in members {
        let (kind, rest) = member
            .as_ref()
            .split_once(' ')
            .unwrap_or((member.as_ref(), ""));
        match kind {
            "kernel" => {
                for (name, content, executable) in kernel() {
                    write(&root.join(name), &content, executable);
                }
                place_link(root, LINK.0, LINK.1);
            }
            "file" => write(&root.join(rest), rest.as_bytes(), false),
            "link" => {
                let (name, target) = rest.split_once(" -> ").unwrap();
                place_link(root, name, target);
            }
            "socket" => drop(UnixListener::bind(root.join(rest)).unwrap()),
            other => panic!("no such member: {other}"),
        }
    }
}

pub fn write(path: &Path, content: &[u8], executable: bool) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(content).unwrap();
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn place_link(root: &Path, name: &str, target: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}
