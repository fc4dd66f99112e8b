//! Carries what distcc says from a socket in a job to one host, and nothing else out of the job.
//!
//! In: a host, a folder. Out: a Unix socket in it. Each connection there becomes one to the host's port, named here,
//! outside. What a host does wrong ends in a closed connection, and distcc compiles here.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{CompileHost, HostStats};
use crate::build::socket::Socket;

/// A host on the same network answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(2);
/// For one file, once it is there: more than the largest of a kernel takes on a slow machine. Then it is compiled here.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes carried at once.
const CHUNK: usize = 64 << 10;

/// One host's socket.
#[derive(Debug)]
pub(super) struct Relay {
    _socket: Socket,
    name: String,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Relay {
    /// Listens as `name` in `folder`.
    pub(super) fn open(host: &CompileHost, folder: &Path, name: &str) -> io::Result<Self> {
        let tally = Arc::new(Tally::default());
        let (about, host, counted) = (
            format!("compile host {host}"),
            host.clone(),
            Arc::clone(&tally),
        );
        let answer = move |inside: &UnixStream| carry(&host, inside, &counted);
        Ok(Self {
            _socket: Socket::open(folder, name, about, answer)?,
            name: name.to_owned(),
            tally,
        })
    }

    /// The socket's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Counts from now on.
    pub(super) fn begin(&self) {
        self.tally.asked.store(0, Ordering::Relaxed);
        self.tally.answered.store(0, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, host: &CompileHost) -> HostStats {
        HostStats {
            host: host.to_string(),
            asked: self.tally.asked.load(Ordering::Relaxed),
            answered: self.tally.answered.load(Ordering::Relaxed),
        }
    }
}

/// One file's way there and back.
fn carry(host: &CompileHost, inside: &UnixStream, tally: &Tally) {
    tally.asked.fetch_add(1, Ordering::Relaxed);
    let Ok(outside) = connect(host) else {
        return;
    };
    let came = thread::scope(|scope| {
        let back = scope.spawn(|| bring_back(inside, &outside));
        take_out(inside, &outside);
        back.join().unwrap_or(false)
    });
    if came {
        tally.answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn connect(host: &CompileHost) -> io::Result<TcpStream> {
    let stream = host.address.connect(|| Ok(CONNECT))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What distcc sends. Its end is not passed on: distccd takes a closed half for a client that is gone, and gives up.
fn take_out(mut inside: &UnixStream, mut outside: &TcpStream) {
    let mut piece = vec![0; CHUNK];
    while let Ok(length) = inside.read(&mut piece) {
        if length == 0 {
            return;
        }
        if outside.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    cut(inside, outside);
}

/// What the host answers; whether it was anything. A host that says nothing for too long is cut off.
fn bring_back(mut inside: &UnixStream, mut outside: &TcpStream) -> bool {
    let (mut piece, mut whole) = (vec![0; CHUNK], 0);
    while let Ok(length) = outside.read(&mut piece) {
        if length == 0 || inside.write_all(&piece[..length]).is_err() {
            break;
        }
        whole += length;
    }
    cut(inside, outside);
    whole > 0
}

fn cut(inside: &UnixStream, outside: &TcpStream) {
    let _gone = inside.shutdown(Shutdown::Both);
    let _gone = outside.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    fn relay(port: u16, folder: &Path) -> Relay {
        let host: CompileHost = format!("127.0.0.1:{port}").parse().expect("a host");
        Relay::open(&host, folder, "h0").expect("open")
    }

    fn spoken(folder: &Path, words: &str) -> String {
        let mut stream = UnixStream::connect(folder.join("h0")).expect("connected");
        let _cut = stream.write_all(words.as_bytes());
        let mut answer = String::new();
        let _cut = stream.read_to_string(&mut answer);
        answer
    }

    fn told(relay: &Relay) -> (u64, u64) {
        let host = "h".parse().expect("a host");
        let stats = relay.stats(&host);
        (stats.asked, stats.answered)
    }

    /// Waits, since a connection is counted when its last thread ends.
    fn comes_to(relay: &Relay, expected: (u64, u64)) {
        let started = Instant::now();
        while told(relay) != expected && started.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(told(relay), expected);
    }

    #[test]
    fn words_go_out_and_answers_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let relay = relay(
            server.local_addr().expect("an address").port(),
            folder.path(),
        );
        let echo = thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("asked");
            let mut words = [0; 5];
            stream.read_exact(&mut words).expect("five");
            stream.write_all(&words).expect("written");
        });
        assert_eq!(spoken(folder.path(), "hello"), "hello");
        echo.join().expect("it went well");
        comes_to(&relay, (1, 1));
    }

    #[test]
    fn a_host_that_is_not_there_is_a_closed_connection() {
        let folder = tempfile::tempdir().expect("a folder");
        let port = {
            let server = TcpListener::bind("127.0.0.1:0").expect("a port");
            server.local_addr().expect("an address").port()
        };
        let relay = relay(port, folder.path());
        assert_eq!(spoken(folder.path(), "hello"), "");
        comes_to(&relay, (1, 0));
    }

    #[test]
    fn who_only_stopped_talking_still_gets_an_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let _relay = relay(
            server.local_addr().expect("an address").port(),
            folder.path(),
        );
        let late = thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("asked");
            let mut word = [0; 1];
            stream.read_exact(&mut word).expect("one");
            thread::sleep(Duration::from_millis(100));
            // A half that was closed would be read as an end.
            stream
                .set_read_timeout(Some(Duration::from_millis(50)))
                .expect("set");
            let more = stream.read(&mut word);
            assert!(more.is_err(), "the other half is closed: {more:?}");
            stream.write_all(b"late").expect("written");
        });
        let mut stream = UnixStream::connect(folder.path().join("h0")).expect("connected");
        stream.write_all(b"x").expect("written");
        stream.shutdown(Shutdown::Write).expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, "late");
        late.join().expect("it went well");
    }

    #[test]
    fn nobody_listens_after_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(relay(9, folder.path()));
        let refused = UnixStream::connect(folder.path().join("h0"));
        assert!(refused.is_err());
    }
}
