//! Unpacks a kernel tarball while it streams by: one thread decompresses and reads the headers, the
//! others write files ([`super::plant`]).
//!
//! In: the bytes of a `.tar.gz`, `.tar.xz` or `.tar.zst`, from wherever. Out: the members below a staging
//! folder. Must not trust a single byte: names, links and sizes are checked before anything is written,
//! and what grows beyond any kernel is a decompression bomb.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;
use tar::{Archive, EntryType, Header, PaxExtensions};

use super::plant::{self, Name, PlantError, Planter};
use super::tree::CommitId;
use crate::process::{self, Interrupt};
use crate::report::{Reporter, Unit};

/// What comes through at once, compressed and not.
const BUFFER: usize = 256 << 10;
/// The longest name or attribute list that a header may bring.
const MAX_EXTENSION: u64 = 1 << 20;

/// What a tarball may grow to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes in all, headers included.
    pub(super) bytes: u64,
    /// Members in all.
    pub(super) members: u64,
    /// Bytes of one file, which is held in memory.
    pub(super) file: u64,
    /// Bytes out for each byte in, once `ratio_after` bytes are out.
    pub(super) ratio: u64,
    /// Bytes that may come out before the ratio counts.
    pub(super) ratio_after: u64,
}

/// Linux 6.18 has some 1.6 GB in 91 000 files, the largest of 25 MB, and packs to a tenth with xz.
pub(super) const KERNEL: Limits = Limits {
    bytes: 8 << 30,
    members: 1_000_000,
    file: 512 << 20,
    ratio: 100,
    ratio_after: 64 << 20,
};

/// Why a tarball was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The first bytes are of nothing that we can unpack.
    #[error("it is no .tar.gz, .tar.xz or .tar.zst: {0}")]
    Format(&'static str),
    /// A checksum, a header or the end is not as it should be.
    #[error("it is damaged or cut short")]
    Damaged(#[source] io::Error),
    /// It grows beyond any kernel.
    #[error("it looks like a decompression bomb: {0}")]
    Bomb(&'static str),
    /// A member cannot be part of a source tree, or the disk refused.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// The user asked us to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What a tarball says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// The commit that `git archive` noted in it, unproven.
    pub(super) commit: Option<CommitId>,
}

/// Unpacks all of `stream` below the empty folder `into`, and reads the stream to its very end.
///
/// # Errors
/// The folder then holds part of the tree, and is to be dropped.
pub(super) fn unpack(
    stream: &mut (impl Read + Send),
    into: &Path,
    limits: &Limits,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<Unpacked, UnpackError> {
    let meter = Meter::default();
    let mut packed = BufReader::with_capacity(
        BUFFER,
        Counted {
            stream,
            meter: &meter,
        },
    );
    let first = peek(&mut packed)?;
    let decoder = decoder(&first, packed)?;
    let guarded = Guarded {
        decoder,
        meter: &meter,
        limits,
        interrupt,
    };
    let files = reporter.task("writing files", Unit::Files, None);
    let result = plant::plant(into, &files, |planter| {
        let mut archive = Archive::new(BufReader::with_capacity(BUFFER, guarded));
        let unpacked = Members {
            planter,
            limits,
            next: Extensions::default(),
            found: Unpacked::default(),
        }
        .read_all(&mut archive)?;
        // The checksum of the compressed stream stands behind the last member.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(UnpackError::Damaged)?;
        Ok(unpacked)
    });
    result.map_err(|error: UnpackError| meter.reason(interrupt).unwrap_or(error))
}

fn peek(packed: &mut impl BufRead) -> Result<Vec<u8>, UnpackError> {
    let start = packed.fill_buf().map_err(UnpackError::Damaged)?;
    Ok(start.iter().take(6).copied().collect())
}

fn decoder<'a>(
    first: &[u8],
    packed: impl BufRead + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>, UnpackError> {
    match first {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(packed))),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let threads = u32::try_from(process::cpus()).unwrap_or(1);
            let stream = MtStreamBuilder::new()
                .threads(threads)
                .memlimit_threading(1 << 30)
                .memlimit_stop(2 << 30)
                .decoder()
                .map_err(|error| UnpackError::Damaged(error.into()))?;
            Ok(Box::new(XzDecoder::new_stream(packed, stream)))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::Decoder::with_buffer(packed).map_err(UnpackError::Damaged)?;
            Ok(Box::new(decoder))
        }
        [] => Err(UnpackError::Format("it is empty")),
        [b'<', ..] => Err(UnpackError::Format("it begins like a web page")),
        [b'P', b'K', ..] => Err(UnpackError::Format(
            "it is a zip archive, which loses links and modes",
        )),
        _ => Err(UnpackError::Format("it begins with other bytes")),
    }
}

/// Bytes in and out, and the limit that was hit: an [`io::Error`] cannot carry that through a decoder.
#[derive(Debug, Default)]
struct Meter {
    packed: AtomicU64,
    unpacked: AtomicU64,
    bomb: AtomicU64,
}

const TOO_MANY_BYTES: u64 = 1;
const TOO_DENSE: u64 = 2;

impl Meter {
    fn reason(&self, interrupt: &Interrupt) -> Option<UnpackError> {
        if interrupt.is_set() {
            return Some(UnpackError::Interrupted);
        }
        match self.bomb.load(Ordering::Relaxed) {
            TOO_MANY_BYTES => Some(UnpackError::Bomb(
                "it unpacks to more bytes than any kernel has",
            )),
            TOO_DENSE => Some(UnpackError::Bomb(
                "it unpacks to more than a hundred times its size",
            )),
            _ => None,
        }
    }
}

/// Counts the bytes that go into the decoder.
#[derive(Debug)]
struct Counted<'a, R> {
    stream: &'a mut R,
    meter: &'a Meter,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.meter.packed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Counts the bytes that come out of the decoder, and stops at a limit or an interrupt.
struct Guarded<'a> {
    decoder: Box<dyn Read + Send + 'a>,
    meter: &'a Meter,
    limits: &'a Limits,
    interrupt: &'a Interrupt,
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer)?;
        let out = self.meter.unpacked.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        let packed = self.meter.packed.load(Ordering::Relaxed);
        let bomb = if out > self.limits.bytes {
            TOO_MANY_BYTES
        } else if out > self.limits.ratio_after && out / self.limits.ratio > packed {
            TOO_DENSE
        } else {
            0
        };
        if bomb != 0 || self.interrupt.is_set() {
            self.meter.bomb.store(bomb, Ordering::Relaxed);
            return Err(io::Error::other("stopped"));
        }
        Ok(n)
    }
}

/// What extension headers said about the member after them.
#[derive(Debug, Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

/// Reads members one by one and hands them to the planter.
struct Members<'p, 'r, 'l> {
    planter: &'p mut Planter<'r>,
    limits: &'l Limits,
    next: Extensions,
    found: Unpacked,
}

impl Members<'_, '_, '_> {
    fn read_all(mut self, archive: &mut Archive<impl Read>) -> Result<Unpacked, UnpackError> {
        // Raw entries: the crate would hold a long name of any length in memory.
        let entries = archive.entries().map_err(UnpackError::Damaged)?.raw(true);
        let mut members = 0;
        for entry in entries {
            let mut entry = entry.map_err(UnpackError::Damaged)?;
            members += 1;
            if members > self.limits.members {
                return Err(UnpackError::Bomb("it has more members than any kernel"));
            }
            let header = entry.header().clone();
            self.take(&header, &mut entry)?;
        }
        if members == 0 {
            return Err(UnpackError::Format("there is nothing in it"));
        }
        Ok(self.found)
    }

    fn take(&mut self, header: &Header, content: &mut impl Read) -> Result<(), UnpackError> {
        let size = header.entry_size().map_err(UnpackError::Damaged)?;
        match header.entry_type() {
            EntryType::GNULongName => self.next.name = Some(long_text(content, size)?),
            EntryType::GNULongLink => self.next.target = Some(long_text(content, size)?),
            EntryType::XHeader => self.extend(&extension(content, size)?)?,
            EntryType::XGlobalHeader => self.note(&extension(content, size)?),
            kind => {
                let said = std::mem::take(&mut self.next);
                let raw = said.name.map_or_else(|| header.path_bytes(), Cow::Owned);
                let target = said
                    .target
                    .map(Cow::Owned)
                    .or_else(|| header.link_name_bytes());
                self.member(kind, header, &raw, target.as_deref(), size, content)?;
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        kind: EntryType,
        header: &Header,
        raw: &[u8],
        target: Option<&[u8]>,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let raw_path = path(raw);
        let refuse = |problem| Err(PlantError::member(&raw_path, problem).into());
        let Some(name) = Name::new(&raw_path)? else {
            return Ok(());
        };
        let target = target
            .map(path)
            .filter(|target| !target.as_os_str().is_empty());
        match kind {
            EntryType::Directory => self.planter.folder(&name)?,
            // Old archives know no folders, only names that end in a slash.
            EntryType::Regular if raw.ends_with(b"/") => self.planter.folder(&name)?,
            EntryType::Regular | EntryType::Continuous => {
                let executable = header.mode().map_err(UnpackError::Damaged)? & 0o100 != 0;
                let content = self.content(size, content)?;
                self.planter.file(&name, executable, content)?;
            }
            EntryType::Symlink => match target {
                Some(target) => self.planter.link(&name, &target)?,
                None => return refuse("is a link to nothing"),
            },
            EntryType::Link => match target.as_deref().map(Name::new).transpose()?.flatten() {
                Some(original) => self.planter.copy(&name, &original)?,
                None => return refuse("is a link to nothing"),
            },
            EntryType::Char | EntryType::Block => return refuse("is a device node"),
            EntryType::Fifo => return refuse("is a named pipe"),
            _ => return refuse("is of a kind that no source tree has"),
        }
        Ok(())
    }

    fn content(&self, size: u64, content: &mut impl Read) -> Result<Vec<u8>, UnpackError> {
        if size > self.limits.file {
            return Err(UnpackError::Bomb(
                "it has a file larger than any of a kernel",
            ));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(32 << 20)).unwrap_or(0));
        content
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(UnpackError::Damaged)?;
        complete(&bytes, size)?;
        Ok(bytes)
    }

    /// Attributes of the next member.
    fn extend(&mut self, attributes: &[u8]) -> Result<(), UnpackError> {
        for attribute in PaxExtensions::new(attributes) {
            let attribute = attribute.map_err(UnpackError::Damaged)?;
            match attribute.key_bytes() {
                b"path" => self.next.name = Some(attribute.value_bytes().to_owned()),
                b"linkpath" => self.next.target = Some(attribute.value_bytes().to_owned()),
                // Two readers that disagree on a size see different archives; files that need it are too large.
                b"size" => {
                    return Err(UnpackError::Bomb(
                        "it has a file larger than any of a kernel",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Attributes of the whole archive: `git archive` leaves the commit there as a comment.
    fn note(&mut self, attributes: &[u8]) {
        let comments = PaxExtensions::new(attributes)
            .flatten()
            .filter(|a| a.key_bytes() == b"comment");
        for comment in comments {
            self.found.commit = comment
                .value()
                .ok()
                .and_then(|text| text.parse().ok())
                .or(self.found.commit);
        }
    }
}

fn path(raw: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(raw))
}

fn long_text(content: &mut impl Read, size: u64) -> Result<Vec<u8>, UnpackError> {
    let mut text = extension(content, size)?;
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    text.truncate(end);
    Ok(text)
}

fn extension(content: &mut impl Read, size: u64) -> Result<Vec<u8>, UnpackError> {
    if size > MAX_EXTENSION {
        return Err(UnpackError::Bomb("it has a name longer than any path"));
    }
    let mut bytes = Vec::new();
    content
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(UnpackError::Damaged)?;
    complete(&bytes, size)?;
    Ok(bytes)
}

fn complete(bytes: &[u8], size: u64) -> Result<(), UnpackError> {
    if bytes.len() as u64 == size {
        return Ok(());
    }
    Err(UnpackError::Damaged(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "it ends within a member",
    )))
}
