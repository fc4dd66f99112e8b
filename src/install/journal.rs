//! The journal: every step of a change to the Windows side, written down before it happens.
//!
//! In: [`Record`]s. Out: a text file, append-only, one record a line, and back. A line ends in a checksum,
//! so that a torn or damaged one is told from a sound one. Must not know what the steps do.
//!
//! ```text
//! 0007 change planned kind=install steps=14 sum=0badcafe
//! 0007 make begin file=candidates/0007-new.wslconfig sum=1badcafe
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::layout::DAMAGED_JOURNAL;
use super::{InstallError, disk};
use crate::digest::Sha256;
use crate::files::{self, FileError};

/// Hexadecimal digits of a line's checksum.
const SUM_DIGITS: usize = 8;

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It will be done.
    Planned,
    /// It is about to be done.
    Begin,
    /// It was done.
    Done,
    /// It was done or begun, and taken back.
    Undone,
}

impl Mark {
    const ALL: [Self; 4] = [Self::Planned, Self::Begin, Self::Done, Self::Undone];

    fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Begin => "begin",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of the change.
    pub number: u32,
    /// The kind of step.
    pub step: String,
    /// How far it has come.
    pub mark: Mark,
    /// What the step needs to be told from others, done again, and undone.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    fn line(&self) -> String {
        let mut line = format!("{:04} {} {}", self.number, self.step, self.mark.word());
        for (name, value) in &self.fields {
            line.push_str(&format!(" {name}={}", escaped(value)));
        }
        let sum = Sha256::of(&line).short(SUM_DIGITS);
        format!("{line} sum={sum}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let (body, sum) = line.rsplit_once(" sum=")?;
        if Sha256::of(body).short(SUM_DIGITS) != sum {
            return None;
        }
        let mut words = body.split(' ');
        let number = words.next()?.parse().ok()?;
        let step = words.next()?.to_owned();
        let word = words.next()?;
        let mark = Mark::ALL.into_iter().find(|mark| mark.word() == word)?;
        let field = |word: &str| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), unescaped(value)?))
        };
        Some(Self {
            number,
            step,
            mark,
            fields: words.map(field).collect::<Option<_>>()?,
        })
    }
}

/// Blanks, `%`, controls and all that is not ASCII, as in a URL: a value is one word of one line.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => {
                let _never_fails = write!(text, "%{byte:02x}");
            }
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// What the journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Every sound line, in order.
    pub records: Vec<Record>,
    /// The numbers of the lines that are damaged, counted from 1. A torn last line is none of them:
    /// its step was not begun.
    pub damaged: Vec<usize>,
    /// Bytes up to which every line is a whole one; behind them is at most a torn last line.
    whole: u64,
}

impl History {
    fn parse(bytes: &[u8]) -> Self {
        let mut history = Self::default();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for (at, line) in lines.iter().enumerate() {
            // Without its line end the last record is not known to be on the disk.
            let whole = line.strip_suffix(b"\n");
            match whole.and_then(|line| Record::parse(std::str::from_utf8(line).ok()?)) {
                Some(record) => history.records.push(record),
                None if at + 1 == lines.len() => return history,
                None => history.damaged.push(at + 1),
            }
            history.whole += line.len() as u64;
        }
        history
    }

    /// The highest number in it.
    #[must_use]
    pub fn last_number(&self) -> u32 {
        let numbers = self.records.iter().map(|record| record.number);
        numbers.max().unwrap_or_default()
    }

    /// The records of the last change, if that one was neither finished nor undone.
    #[must_use]
    pub fn unfinished(&self) -> Option<(u32, Vec<&Record>)> {
        let number = self.records.last()?.number;
        let own: Vec<&Record> = self
            .records
            .iter()
            .filter(|record| record.number == number)
            .collect();
        let ended = own.iter().any(|record| {
            record.step == "change" && matches!(record.mark, Mark::Done | Mark::Undone)
        });
        (!ended).then_some((number, own))
    }
}

/// The journal of one installation folder.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    /// How it ended when we wrote last; nothing before that.
    end: Option<End>,
}

/// The end of the file as we left it: whoever else writes, writes behind it.
#[derive(Debug, Clone)]
struct End {
    /// Bytes in the file.
    size: u64,
    /// What we wrote last.
    text: String,
}

impl Journal {
    /// The journal at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            end: None,
        }
    }

    /// Everything in it.
    pub fn read(&self) -> Result<History, FileError> {
        let bytes = disk::bytes_if_there(&self.path)?.unwrap_or_default();
        Ok(History::parse(&bytes))
    }

    /// Adds records and has them on the disk before it returns. A torn last line is cut off the first time.
    ///
    /// Whether anybody else has written since the last time is looked at before and after: that is
    /// [`InstallError::Overtaken`], and the step that was to follow must not be done.
    pub fn append(&mut self, records: &[Record]) -> Result<(), InstallError> {
        let text: String = records.iter().map(Record::line).collect();
        // Without a success it is not known how much of it is on the disk.
        let before = match self.end.take() {
            Some(end) => end,
            None => self.mended()?,
        };
        let error = |source| FileError::new("write", &self.path, source);
        let opened = File::options().read(true).append(true).open(&self.path);
        let mut file = match opened {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.overtaken()),
            opened => opened.map_err(error)?,
        };
        self.assert_ends(&file, &before)?;
        let written = file.write_all(text.as_bytes());
        if let Err(source) = written.and_then(|()| file.sync_all()) {
            // A full disk takes a part of it: what was to follow is not done, so nothing of it may stay.
            let _or_it_is_torn = file.set_len(before.size);
            return Err(error(source).into());
        }
        let size = before.size + text.len() as u64;
        let end = End { size, text };
        self.assert_ends(&file, &end)?;
        self.end = Some(end);
        Ok(())
    }

    /// The file, made if it is not there, without a torn last line.
    fn mended(&self) -> Result<End, FileError> {
        files::create_dir(self.path.parent().unwrap_or(Path::new("/")))?;
        let size = self.read()?.whole;
        let mended = || {
            let file = File::options().create(true).append(true).open(&self.path)?;
            match file.metadata()?.len() == size {
                true => Ok(()),
                false => file.set_len(size),
            }
        };
        mended().map_err(|source| FileError::new("write", &self.path, source))?;
        let text = String::new();
        Ok(End { size, text })
    }

    fn assert_ends(&self, file: &File, end: &End) -> Result<(), InstallError> {
        let found = || {
            let mut tail = vec![0; end.text.len()];
            if file.metadata()?.len() == end.size {
                file.read_exact_at(&mut tail, end.size - end.text.len() as u64)?;
                return Ok(tail == end.text.as_bytes());
            }
            Ok(false)
        };
        match found().map_err(|source| FileError::new("read", &self.path, source))? {
            true => Ok(()),
            false => Err(self.overtaken()),
        }
    }

    fn overtaken(&self) -> InstallError {
        InstallError::Overtaken(self.path.clone())
    }

    /// Forgets all but the newest changes, if the last has ended and nothing is damaged. Says how many lines went.
    pub fn shorten(&self, newest: usize) -> Result<usize, FileError> {
        let history = self.read()?;
        if history.unfinished().is_some() || !history.damaged.is_empty() {
            return Ok(0);
        }
        let numbers: BTreeSet<u32> = history.records.iter().map(|record| record.number).collect();
        let Some(oldest) = numbers
            .iter()
            .rev()
            .nth(newest.min(numbers.len()).saturating_sub(1))
        else {
            return Ok(0);
        };
        let kept: Vec<&Record> = history
            .records
            .iter()
            .filter(|record| record.number >= *oldest)
            .collect();
        let gone = history.records.len() - kept.len();
        if gone > 0 {
            let text: String = kept.into_iter().map(Record::line).collect();
            disk::replace(&self.path, Some(text.as_bytes()))?;
        }
        Ok(gone)
    }

    /// Puts a damaged journal out of the way, to be looked at by people, and begins a new one.
    pub fn set_aside(&self, number: u32) -> Result<PathBuf, FileError> {
        let aside = self
            .path
            .with_file_name(format!("{DAMAGED_JOURNAL}{number:04}"));
        std::fs::rename(&self.path, &aside)
            .map_err(|source| FileError::new("rename", &self.path, source))?;
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(number: u32, step: &str, mark: Mark) -> Record {
        Record {
            number,
            step: step.to_owned(),
            mark,
            fields: vec![("file".to_owned(), "a b/ü%.txt".to_owned())],
        }
    }

    #[test]
    fn a_torn_last_line_was_never_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let mut journal = Journal::new(&path);
        let records = [
            record(1, "change", Mark::Planned),
            record(1, "make", Mark::Begin),
        ];
        journal.append(&records).expect("written");
        let whole = std::fs::read(&path).expect("read");
        let first = records[0].line().len();
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("cut");
            let history = journal.read().expect("read");
            assert_eq!(history.records, records[..1], "cut at {cut}");
            assert!(history.damaged.is_empty());
            let mut journal = Journal::new(&path);
            journal.append(&records[1..]).expect("written");
            let history = journal.read().expect("read");
            assert_eq!(history.records, records, "cut at {cut}");
            assert!(history.damaged.is_empty());
        }
    }

    #[test]
    fn a_long_journal_forgets_all_but_the_newest_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::new(folder.path().join("journal"));
        for number in 1..=5 {
            let ends = [Mark::Planned, Mark::Done].map(|mark| record(number, "change", mark));
            journal.append(&ends).expect("written");
        }
        assert_eq!(journal.shorten(2).expect("shortened"), 6);
        assert_eq!(journal.shorten(2).expect("shortened"), 0);
        let history = journal.read().expect("read");
        assert_eq!((history.records.len(), history.last_number()), (4, 5));
        // Nothing goes while something has to be finished.
        let mut journal = Journal::new(folder.path().join("journal"));
        let begun = [record(6, "change", Mark::Planned)];
        journal.append(&begun).expect("written");
        assert_eq!(journal.shorten(1).expect("read"), 0);
    }

    #[test]
    fn whoever_else_writes_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let lines = [
            record(1, "change", Mark::Planned),
            record(1, "make", Mark::Begin),
        ];
        let others: [&dyn Fn(); 3] = [
            &|| Journal::new(&path).append(&lines[1..]).expect("written"),
            &|| std::fs::remove_file(&path).expect("removed"),
            &|| std::fs::write(&path, "").expect("emptied"),
        ];
        for other in others {
            let mut ours = Journal::new(&path);
            ours.append(&lines).expect("written");
            ours.append(&lines[1..]).expect("written");
            other();
            let overtaken = ours.append(&lines[..1]);
            assert!(matches!(overtaken, Err(InstallError::Overtaken(_))));
        }
    }

    #[test]
    fn what_is_unfinished() {
        let begun = vec![
            record(1, "change", Mark::Planned),
            record(1, "change", Mark::Done),
            record(2, "change", Mark::Planned),
            record(2, "make", Mark::Begin),
        ];
        let mut history = History {
            records: begun,
            ..History::default()
        };
        assert_eq!(
            history.unfinished().map(|(n, own)| (n, own.len())),
            Some((2, 2))
        );
        history.records.push(record(2, "change", Mark::Undone));
        assert_eq!(history.unfinished(), None);
        assert_eq!(history.last_number(), 2);
    }

    proptest! {
        #[test]
        fn a_line_and_back(number in 0u32..100_000, value in any::<String>()) {
            let record = Record {
                number,
                step: "put".to_owned(),
                mark: Mark::Done,
                fields: vec![("to".to_owned(), value)],
            };
            let line = record.line();
            prop_assert_eq!(Record::parse(line.trim_end_matches('\n')), Some(record));
            prop_assert_eq!(line.lines().count(), 1);
        }

        #[test]
        fn damage_is_seen(at in 0usize..60, bit in 0u8..7) {
            let mut bytes: Vec<u8> = [record(1, "make", Mark::Begin), record(1, "make", Mark::Done)]
                .iter()
                .map(Record::line)
                .collect::<String>()
                .into_bytes();
            let at = at % (record(1, "make", Mark::Begin).line().len() - 1);
            bytes[at] ^= 1 << bit;
            let history = History::parse(&bytes);
            // A new line end makes two damaged lines of one.
            prop_assert!(!history.damaged.is_empty());
        }
    }
}
