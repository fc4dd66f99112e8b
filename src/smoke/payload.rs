//! Bytes that can be recognised, sent into queues and read back.
//!
//! In: two ends of a connection. Out: how much was sent and how much came back, with digests, so that
//! a lost, doubled or changed byte shows. Must not judge by itself what a queue is for.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::digest::{Hasher, Sha256};

/// A reader that gets nothing for so long has got all there is. Only a reader that lost something waits so long: a
/// sender whose packets were dropped while its connection was locked doubles its pauses, and on a busy, emulated
/// machine the next try can be many seconds away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an end that was full or empty is tried again.
const POLL: Duration = Duration::from_millis(2);
const CHUNK: usize = 4096;
const PAGE: usize = 4096;

/// A stream of bytes that depends on its seed alone.
#[derive(Debug, Clone)]
pub struct Pattern(u64);

impl Pattern {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            piece.copy_from_slice(&self.0.to_le_bytes()[..piece.len()]);
        }
    }

    /// The next `length` bytes.
    #[must_use]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

/// Memory that is new in every cycle, as far as a scenario wants it to be.
#[derive(Debug)]
pub(super) struct Heap {
    bytes: Vec<u8>,
    cycle: u64,
}

/// What a [`Heap`] is known again by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeapState {
    pub(super) cycle: u64,
    pub(super) heap: Sha256,
}

impl Heap {
    /// A heap before its first cycle.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, cycle: 0 }
    }

    /// The next cycle: all of it is new.
    pub(super) fn renew(&mut self) {
        self.cycle += 1;
        Pattern::new(self.cycle).fill(&mut self.bytes);
    }

    /// The next cycle: one page is new, and those behind it, `apart - 1` of them, stay, over and over.
    pub(super) fn renew_some(&mut self, apart: usize) {
        self.cycle += 1;
        let mut pattern = Pattern::new(100 + self.cycle);
        for pages in self.bytes.chunks_mut(apart * PAGE) {
            let end = pages.len().min(PAGE);
            pattern.fill(&mut pages[..end]);
        }
    }

    /// Reads all of it.
    pub(super) fn state(&self) -> HeapState {
        HeapState {
            cycle: self.cycle,
            heap: Sha256::of(&self.bytes),
        }
    }

    /// Harms one byte, for the tests of the judges.
    pub(super) fn harm(&mut self, at: usize) {
        self.bytes[at] ^= 1;
    }
}

/// An amount of data and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    /// Bytes in all.
    pub bytes: u64,
    /// Messages, where borders between them count; else 0.
    pub messages: u64,
    /// Of the bytes and the borders.
    pub digest: Sha256,
}

/// One direction of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Which one.
    pub name: String,
    /// What was put in.
    pub sent: Bulk,
    /// Bytes that the reading end could have read when the question was answered.
    pub waiting: u64,
    /// What was read back; only after a check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got: Option<Bulk>,
}

/// Something being summed up.
#[derive(Default)]
pub(super) struct Tally {
    hasher: Hasher,
    bytes: u64,
    messages: u64,
}

impl Tally {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(super) fn message(&mut self, bytes: &[u8]) {
        self.hasher.update(&bytes.len().to_le_bytes());
        self.bytes(bytes);
        self.messages += 1;
    }

    pub(super) fn done(self) -> Bulk {
        Bulk {
            bytes: self.bytes,
            messages: self.messages,
            digest: self.hasher.finish(),
        }
    }
}

/// Writes into an end that does not block, until nothing more fits or `most` bytes are in. Nothing
/// fits when the end took nothing for as long as `settled`.
pub(super) fn fill(
    writer: &mut impl Write,
    seed: u64,
    most: u64,
    settled: Duration,
) -> io::Result<Bulk> {
    let mut pattern = Pattern::new(seed);
    let mut tally = Tally::default();
    let mut last = Instant::now();
    while tally.bytes < most {
        let chunk = pattern.take(CHUNK);
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(written) => {
                    tally.bytes(&rest[..written]);
                    rest = &rest[written..];
                    last = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if last.elapsed() >= settled {
                        return Ok(tally.done());
                    }
                    std::thread::sleep(POLL);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(tally.done())
}

/// Reads from an end that does not block: all that is `expected`, and whatever else is there.
pub(super) fn drain(reader: &mut impl Read, expected: u64) -> io::Result<Bulk> {
    let mut tally = Tally::default();
    let mut buffer = vec![0; CHUNK];
    let mut last = Instant::now();
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(tally.done()),
            Ok(length) => {
                tally.bytes(&buffer[..length]);
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if tally.bytes >= expected || last.elapsed() > PATIENCE {
                    return Ok(tally.done());
                }
                std::thread::sleep(POLL);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Sends a word one way over ends that do not block, and says whether it arrived, alone and whole.
pub(super) fn passes(from: &mut impl Write, to: &mut impl Read, word: &str) -> io::Result<bool> {
    from.write_all(word.as_bytes())?;
    let got = drain(to, word.len() as u64)?;
    Ok(got.bytes == word.len() as u64 && got.digest == Sha256::of(word))
}

/// The rules for queues: something was in flight, and it came back once and unchanged.
#[must_use]
pub(super) fn judge(before: &[Queue], after: &[Queue]) -> Vec<String> {
    let mut faults = Vec::new();
    if before.len() != after.len() {
        faults.push(format!(
            "{} connections before, {} after",
            before.len(),
            after.len()
        ));
    }
    for (before, after) in before.iter().zip(after) {
        let name = &before.name;
        if before.waiting == 0 {
            faults.push(format!("nothing was in flight on {name}"));
        }
        if before.name != after.name || before.sent != after.sent {
            faults.push(format!("{name} is not what was dumped"));
        }
        match &after.got {
            Some(got) => faults.extend(difference(name, &before.sent, got)),
            None => faults.push(format!("{name} was not read back")),
        }
    }
    faults
}

fn difference(name: &str, sent: &Bulk, got: &Bulk) -> Option<String> {
    let (more, less) = (
        got.bytes.saturating_sub(sent.bytes),
        sent.bytes.saturating_sub(got.bytes),
    );
    match () {
        () if less > 0 => Some(format!(
            "{less} of {} bytes were lost on {name}",
            sent.bytes
        )),
        () if more > 0 => Some(format!("{more} bytes too many came out of {name}")),
        () if got.messages != sent.messages => {
            Some(format!("messages were joined or split on {name}"))
        }
        () if got.digest != sent.digest => Some(format!("bytes were changed on {name}")),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn bulk(bytes: &[u8]) -> Bulk {
        let mut tally = Tally::default();
        tally.bytes(bytes);
        tally.done()
    }

    fn queue(sent: &[u8], waiting: u64, got: Option<&[u8]>) -> Queue {
        Queue {
            name: "there".into(),
            sent: bulk(sent),
            waiting,
            got: got.map(bulk),
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = [queue(b"abcd", 4, None)];
        for (after, fault) in [
            (queue(b"abcd", 0, Some(b"abcd")), None),
            (
                queue(b"abcd", 0, Some(b"abc")),
                Some("1 of 4 bytes were lost"),
            ),
            (queue(b"abcd", 0, Some(b"")), Some("4 of 4 bytes were lost")),
            (queue(b"abcd", 0, Some(b"abcdd")), Some("1 bytes too many")),
            (queue(b"abcd", 0, Some(b"abcx")), Some("bytes were changed")),
            (
                queue(b"abcx", 0, Some(b"abcd")),
                Some("not what was dumped"),
            ),
            (queue(b"abcd", 0, None), Some("not read back")),
        ] {
            let faults = judge(&before, &[after]).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
        assert!(judge(&before, &[])[0].contains("1 connections before, 0 after"));
        let idle = [queue(b"abcd", 0, None)];
        assert!(
            judge(&idle, &[queue(b"abcd", 0, Some(b"abcd"))])[0].contains("nothing was in flight")
        );
    }

    #[test]
    fn borders_of_messages_count() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.message(b"ab");
        one.message(b"c");
        two.message(b"a");
        two.message(b"bc");
        assert!(difference("q", &one.done(), &two.done()).is_some());
    }

    #[test]
    fn what_is_filled_in_is_drained() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        there.set_nonblocking(true).unwrap();
        let sent = fill(&mut here, 3, 1 << 20, Duration::ZERO).unwrap();
        assert!(sent.bytes > 0 && sent.bytes < 1 << 20);
        assert_eq!(drain(&mut there, sent.bytes).unwrap(), sent);
        assert!(passes(&mut there, &mut here, "a word").unwrap());
    }

    #[test]
    fn a_heap_is_new_in_every_cycle_and_harm_shows() {
        let mut heap = Heap::new(vec![0; 3 * PAGE]);
        heap.renew();
        let first = heap.state();
        heap.harm(3 * PAGE - 1);
        assert_ne!(heap.state().heap, first.heap);
        heap.harm(3 * PAGE - 1);
        assert_eq!(heap.state(), first);
        let before = heap.bytes.clone();
        heap.renew_some(2);
        assert_eq!(heap.state().cycle, 2);
        let changed = |page: usize| {
            let at = page * PAGE..(page + 1) * PAGE;
            heap.bytes[at.clone()] != before[at]
        };
        assert_eq!([0, 1, 2].map(changed), [true, false, true]);
    }

    #[test]
    fn patterns_differ_by_seed_alone() {
        assert_eq!(Pattern::new(1).take(100), Pattern::new(1).take(100));
        assert_ne!(Pattern::new(1).take(100), Pattern::new(2).take(100));
    }
}
