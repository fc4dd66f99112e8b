//! A kernel and its modules in one file.
//!
//! In: products, or an archive that anybody may have made. Out: the archive, or the products in a folder, with modes of
//! our own. Must not believe anything of an archive: names, kinds, sizes and modes are what a kernel has, or it is none.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Builder, Entry, EntryType, Header, HeaderMode};

use crate::build::Compiled;

/// Names inside.
pub(super) const KERNEL: &str = "kernel";
pub(super) const SYSTEM_MAP: &str = "System.map";
const RELEASE: &str = "release";
/// The folder of the modules, with one for the release in it.
pub(super) const MODULES: &str = "lib/modules";
/// Of zstd: an image is packed already, and its symbols do not get much smaller by more.
const LEVEL: i32 = 3;
/// Bytes of an archive unpacked, more than a kernel with all its modules has.
const BYTES: u64 = 1 << 30;
/// Entries in it, likewise.
const ENTRIES: usize = 30_000;
/// Bytes of a name that has an entry of its own.
const NAME: u64 = 4096;

/// Packs products; the same ones give the same bytes.
pub(super) fn pack(compiled: &Compiled) -> io::Result<Vec<u8>> {
    let mut packer = zstd::Encoder::new(Vec::new(), LEVEL)?;
    packer.include_checksum(true)?;
    let mut archive = Builder::new(packer);
    archive.mode(HeaderMode::Deterministic);
    archive.follow_symlinks(false);
    archive.sparse(false);
    let mut header = Header::new_gnu();
    header.set_size(compiled.release.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, RELEASE, compiled.release.as_bytes())?;
    archive.append_path_with_name(&compiled.bzimage, KERNEL)?;
    archive.append_path_with_name(&compiled.system_map, SYSTEM_MAP)?;
    if let Some(modules) = &compiled.modules_dir {
        let inside = Path::new(MODULES).join(&compiled.release);
        append_folder(&mut archive, modules, &inside)?;
    }
    let packed = archive.into_inner()?.finish()?;
    // Nobody wants to find out another time that this cannot be unpacked.
    sound(&packed)?;
    Ok(packed)
}

/// In an order that does not hang on the disk's.
fn append_folder(
    archive: &mut Builder<impl io::Write>,
    folder: &Path,
    inside: &Path,
) -> io::Result<()> {
    archive.append_dir(inside, folder)?;
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, inside) = (entry.path(), inside.join(entry.file_name()));
        match entry.file_type()?.is_dir() {
            true => append_folder(archive, &path, &inside)?,
            false => archive.append_path_with_name(path, inside)?,
        }
    }
    Ok(())
}

/// Lays the products out in an empty folder; tells the release.
pub(super) fn unpack(packed: &[u8], folder: &Path) -> io::Result<String> {
    sound(packed)?;
    let mut release = String::new();
    each(packed, &mut |name, entry| {
        let path = folder.join(name);
        if entry.header().entry_type() == EntryType::Directory {
            fs::create_dir_all(&path)?;
            return fs::set_permissions(path, Permissions::from_mode(0o755));
        }
        if name == Path::new(RELEASE) {
            entry.take(100).read_to_string(&mut release)?;
            return Ok(());
        }
        let mut file = File::create_new(&path)?;
        io::copy(entry, &mut file)?;
        file.set_permissions(Permissions::from_mode(0o644))
    })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    match release.starts_with(|c: char| c.is_ascii_digit()) && release.chars().all(is_plain) {
        true => Ok(release),
        false => Err(io::Error::other("a release that no kernel has")),
    }
}

type Unpacker<'a> = io::Take<zstd::Decoder<'static, io::BufReader<&'a [u8]>>>;
type Visitor<'v, 'a> = dyn FnMut(&Path, &mut Entry<'_, Unpacker<'a>>) -> io::Result<()> + 'v;

/// Whether the archive is whole to its end, where the checksum is, and within bounds. What tar reads into memory for its
/// own use, before anybody sees it, is looked at here as it lies.
fn sound(packed: &[u8]) -> io::Result<()> {
    let mut archive = open(packed)?;
    for (n, entry) in archive.entries()?.raw(true).enumerate() {
        let entry = entry?;
        let is_known = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Directory => true,
            EntryType::GNULongName => entry.size() <= NAME,
            _ => false,
        };
        if !is_known || n >= ENTRIES {
            return Err(io::Error::other("more than any kernel has"));
        }
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    match rest.limit() {
        0 => Err(io::Error::other("larger than any kernel is")),
        _ => Ok(()),
    }
}

/// Each entry of a sound archive, by its name.
fn each<'a>(packed: &'a [u8], visit: &mut Visitor<'_, 'a>) -> io::Result<()> {
    for entry in open(packed)?.entries()? {
        let mut entry = entry?;
        let name = known_name(&entry)?;
        visit(&name, &mut entry)?;
    }
    Ok(())
}

fn open(packed: &[u8]) -> io::Result<Archive<Unpacker<'_>>> {
    Ok(Archive::new(zstd::Decoder::new(packed)?.take(BYTES)))
}

/// The entry's name, if a kernel has such a thing. Who may leave a kernel may leave any kernel; but of this machine
/// nothing outside the folder is theirs.
fn known_name(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name = entry.path()?.into_owned();
    let is_inside = name
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let is_module = name.starts_with(MODULES);
    let is_product = [KERNEL, SYSTEM_MAP, RELEASE]
        .iter()
        .any(|product| name == Path::new(product));
    let fits = match entry.header().entry_type() {
        EntryType::Regular => is_module || is_product,
        EntryType::Directory => is_module,
        _ => false,
    };
    match is_inside && fits {
        true => Ok(name),
        false => Err(io::Error::other(format!(
            "no kernel has {}",
            name.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of entries as they are, their kind, name and content.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (kind, name, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o6777);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..2].copy_from_slice(b"..");
            header.set_cksum();
            archive.append(&header, content.as_bytes()).expect("added");
        }
        let plain = archive.into_inner().expect("an archive");
        zstd::encode_all(plain.as_slice(), LEVEL).expect("packed")
    }

    #[test]
    fn only_what_a_kernel_has_is_unpacked() {
        use EntryType::{Char, Directory, Link, Regular, Symlink};
        for (kind, name) in [
            (Symlink, "lib/modules/6.1"),
            (Link, "kernel"),
            (Char, "kernel"),
            (Directory, "kernel"),
            (Directory, "lib"),
            (Regular, "../kernel"),
            (Regular, "/kernel"),
            (Regular, "lib/modules/../../../kernel"),
            (Regular, "lib/x"),
            (Regular, ".config"),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let inner = folder.path().join("inner");
            fs::create_dir(&inner).expect("a folder");
            let bad = archive(&[(Regular, RELEASE, "6.1"), (kind, name, "")]);
            assert!(unpack(&bad, &inner).is_err(), "{kind:?} {name}");
            assert_eq!(fs::read_dir(&inner).expect("a folder").count(), 0);
            assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
        }
    }

    #[test]
    fn modes_are_our_own_and_the_release_is_one_name() {
        use EntryType::{Directory, Regular};
        for (release, expected) in [
            ("6.1.0-wslk-1", true),
            ("6.1/../x", false),
            ("..", false),
            ("/6.1", false),
            ("6.1\n", false),
            ("", false),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let packed = archive(&[
                (Regular, RELEASE, release),
                (Regular, KERNEL, "image"),
                (Directory, "lib/modules/6.1", ""),
            ]);
            let unpacked = unpack(&packed, folder.path());
            assert_eq!(unpacked.is_ok(), expected, "{release}");
            for (name, mode) in [(KERNEL, 0o644), ("lib/modules/6.1", 0o755)] {
                let about = fs::metadata(folder.path().join(name)).expect("there");
                assert_eq!(about.permissions().mode() & 0o7777, mode, "{name}");
            }
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bomb = zstd::Encoder::new(Vec::new(), LEVEL).expect("packed");
        let mut header = Header::new_gnu();
        header.set_size(BYTES + 1);
        header.set_path(KERNEL).expect("set");
        header.set_cksum();
        io::Write::write_all(&mut bomb, header.as_bytes()).expect("packed");
        io::copy(&mut io::repeat(0).take(BYTES + 1024), &mut bomb).expect("packed");
        let bomb = bomb.finish().expect("packed");
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert!(unpack(&bomb, folder.path()).is_err());
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
        let (kind, name) = (EntryType::Directory, "lib/modules/6.1");
        let many = archive(&vec![(kind, name, ""); ENTRIES + 1]);
        assert!(unpack(&many, folder.path()).is_err());
        let long = "x".repeat(1 << 16);
        let long = archive(&[(EntryType::GNULongName, "././@LongLink", &long)]);
        assert!(unpack(&long, folder.path()).is_err());
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
    }
}
