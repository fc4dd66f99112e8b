//! A Redis server that keeps entries by name.
//!
//! In: names and bytes. Out: bytes, or the [`Fault`] of the server, before a deadline whatever it does. Connections
//! are kept for the next question: one costs three round trips with a login.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::resp::{self, Reply};
use super::server::CacheServer;
use super::{CONNECT, DEADLINE, Fault, locked};

/// Where entries are asked for.
#[derive(Debug)]
pub(super) struct Redis {
    server: CacheServer,
    idle: Mutex<Vec<Line>>,
}

type Line = BufReader<Timed>;

impl Redis {
    pub(super) fn new(server: CacheServer) -> Self {
        Self {
            server,
            idle: Mutex::default(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        match self.ask(&[b"GET", name.as_bytes()])? {
            Reply::Bulk(entry) => Ok(Some(entry)),
            Reply::Nil => Ok(None),
            other => Err(unexpected(other)),
        }
    }

    pub(super) fn put(&self, name: &str, entry: &[u8]) -> Result<(), Fault> {
        match self.ask(&[b"SET", name.as_bytes(), entry])? {
            Reply::Status(_) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn ask(&self, words: &[&[u8]]) -> Result<Reply, Fault> {
        let until = Instant::now() + DEADLINE;
        let idle = locked(&self.idle).pop();
        // A server closes what was long idle: only a fresh connection tells that it is at fault.
        if let Some(reply) = idle.and_then(|line| self.say(line, words, until).ok()) {
            return Ok(reply);
        }
        let line = self.connect(until)?;
        self.say(line, words, until).map_err(Fault::from)
    }

    fn say(&self, mut line: Line, words: &[&[u8]], until: Instant) -> io::Result<Reply> {
        line.get_mut().until = until;
        let reply = exchange(&mut line, words)?;
        // What nobody asked for would be taken for the next answer.
        if line.buffer().is_empty() {
            locked(&self.idle).push(line);
        }
        Ok(reply)
    }

    fn connect(&self, until: Instant) -> Result<Line, Fault> {
        let patience = || Ok(left(until)?.min(CONNECT));
        self.greet(self.server.address.connect(patience)?, until)
    }

    fn greet(&self, stream: TcpStream, until: Instant) -> Result<Line, Fault> {
        let mut line = BufReader::new(Timed { stream, until });
        if let Some(login) = &self.server.login {
            let name = login.name.as_ref().map(|name| name.as_bytes());
            let words = [Some(&b"AUTH"[..]), name, Some(login.password.as_bytes())];
            let words: Vec<&[u8]> = words.into_iter().flatten().collect();
            must_be_ok(exchange(&mut line, &words)?)?;
        }
        if !self.server.path.is_empty() {
            must_be_ok(exchange(
                &mut line,
                &[b"SELECT", self.server.path.as_bytes()],
            )?)?;
        }
        Ok(line)
    }
}

fn exchange(line: &mut Line, words: &[&[u8]]) -> io::Result<Reply> {
    resp::write_command(line.get_mut(), words)?;
    resp::read_reply(line)
}

fn must_be_ok(reply: Reply) -> Result<(), Fault> {
    match reply {
        Reply::Status(_) => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: Reply) -> Fault {
    match reply {
        Reply::Error(said) => Fault::refused(&said),
        _ => Fault::refused("something else than was asked for"),
    }
}

/// A connection on which all reading and writing together ends at an instant, not each part of it by itself: a server
/// that sends a byte now and then must not hold a compiler for ever.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    until: Instant,
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
