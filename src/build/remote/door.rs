//! The socket at which ccache finds the shared cache: it speaks Redis there, and to nobody else.
//!
//! In: the servers of a build. Out: a folder to be mounted, with a socket, and the setting that leads ccache to it. Whoever
//! can enter the folder can ask and leave entries, by a well-formed key and in no other way. Questions are answered
//! whatever the servers do: what cannot be had is not there, and what cannot be left is as good as left.

use std::fs;
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::resp::{self, Reply};
use super::shelves::Shelves;
use crate::build::socket::{self, Socket, allow};
use crate::build::{Job, Mount};

/// Where a job sees the socket.
const FOLDER: &str = "/remote";
/// The socket's name.
const SOCKET: &str = "socket";
/// What its folder on this machine begins with.
const PREFIX: &str = "wslk-remote-";
/// How long ccache may wait for us, in milliseconds. We are on the same machine; its own limit of 0.1 s is too short
/// for one that has more compilers than processors.
const CONNECT: u64 = 5000;
/// How long for an answer: longer than we wait for two servers.
const OPERATION: u64 = 15_000;
/// Bytes of a path that a socket can be connected to by.
const PATH: usize = 107;

/// The shared cache, open for one build; closed when it is dropped.
#[derive(Debug)]
pub(in crate::build) struct Door {
    // Closed before its folder goes.
    _socket: Socket,
    folder: tempfile::TempDir,
}

impl Door {
    /// Listens in a new folder below `parent`, where nobody else works; without one, where temporary files are, for who
    /// has to connect to the socket by its real path.
    pub(in crate::build) fn open(shelves: Arc<Shelves>, parent: Option<&Path>) -> io::Result<Self> {
        let folder = socket::folder(parent, PREFIX)?;
        let sockets = folder.path().join("sockets");
        if parent.is_none() && !can_be_told(&sockets.join(SOCKET)) {
            let text = format!(
                "{} is no path for a socket that ccache takes",
                sockets.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        fs::create_dir(&sockets)?;
        allow(&sockets, 0o755)?;
        let answer = move |stream: &UnixStream| answer_all(stream, &shelves);
        Ok(Self {
            _socket: Socket::open(&sockets, SOCKET, "shared cache".to_owned(), answer)?,
            folder,
        })
    }

    /// `job` with ccache led here.
    pub(in crate::build) fn given_to(&self, job: Job) -> Job {
        let url = format!(
            "redis+unix:{FOLDER}/{SOCKET}|connect-timeout={CONNECT}|operation-timeout={OPERATION}"
        );
        // A socket can be connected to also where nothing can be written.
        job.mount(Mount::read(self.folder.path().join("sockets"), FOLDER))
            .env("CCACHE_REMOTE_STORAGE", url)
    }
}

/// Whether ccache can be told the path: it has its own use for spaces, `|` and `%`, and fails where it does not
/// understand.
fn can_be_told(socket: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    socket
        .to_str()
        .is_some_and(|path| path.len() <= PATH && path.chars().all(plain))
}

/// One connection, from its beginning to its end.
fn answer_all(stream: &UnixStream, shelves: &Shelves) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(words)) = resp::read_command(&mut reader) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        if resp::write_reply(&mut &*stream, &answer(&words, shelves)).is_err() {
            return;
        }
    }
}

fn answer(words: &[&[u8]], shelves: &Shelves) -> Reply {
    match words {
        [b"GET", key] => match key_of(key) {
            Some(key) => shelves.get(key).map_or(Reply::Nil, Reply::Bulk),
            None => no_key(),
        },
        [b"SET", key, entry] => match key_of(key) {
            Some(key) => {
                shelves.put(key, entry);
                Reply::Status("OK".to_owned())
            }
            None => no_key(),
        },
        // What is wrong there is replaced by what comes after it.
        [b"EXISTS" | b"DEL", _] => Reply::Integer(0),
        _ => Reply::Error("ERR no such command here".to_owned()),
    }
}

fn no_key() -> Reply {
    Reply::Error("ERR no key of ccache".to_owned())
}

/// What stands after `ccache:`, a digest in letters and digits. It becomes part of a URL.
fn key_of(word: &[u8]) -> Option<&str> {
    let key = std::str::from_utf8(word).ok()?.strip_prefix("ccache:")?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_digest = (16..=64).contains(&key.len()) && key.bytes().all(fits);
    is_digest.then_some(key)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::fake::{Conduct, Fake, cache};
    use super::super::{ServerStats, SharedCache};
    use super::*;

    const KEY: &[u8] = b"ccache:0123456789abcdefghijklmnopqrstu";
    const OTHER: &[u8] = b"ccache:1123456789abcdefghijklmnopqrstu";

    struct Yard {
        folder: tempfile::TempDir,
        door: Door,
        shelves: Arc<Shelves>,
    }

    fn yard(cache: &SharedCache) -> Yard {
        let folder = tempfile::tempdir().expect("a folder");
        yard_in(folder, cache, Path::new(""))
    }

    /// With the door below the folder.
    fn yard_in(folder: tempfile::TempDir, cache: &SharedCache, below: &Path) -> Yard {
        let shelves = Arc::new(Shelves::new(cache));
        let parent = folder.path().join(below);
        let door = Door::open(Arc::clone(&shelves), Some(&parent)).expect("a door");
        Yard {
            folder,
            door,
            shelves,
        }
    }

    impl Yard {
        /// As ccache does it: a connection for each call.
        fn ask(&self, words: &[&[u8]]) -> Reply {
            let folder = File::open(self.door.folder.path().join("sockets")).expect("there");
            let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
            let stream = UnixStream::connect(path).expect("somebody listens");
            resp::write_command(&mut &stream, words).expect("taken");
            resp::read_reply(&mut BufReader::new(&stream)).expect("an answer")
        }

        fn get(&self) -> Reply {
            self.ask(&[b"GET", KEY])
        }

        fn stats(&self) -> ServerStats {
            self.shelves.stats().remove(0)
        }
    }

    fn ok() -> Reply {
        Reply::Status("OK".to_owned())
    }

    #[test]
    fn what_one_left_another_finds() {
        let fake = Fake::start(Conduct::Good);
        let (here, there) = (yard(&fake.cache()), yard(&fake.cache()));
        assert_eq!(here.get(), Reply::Nil);
        assert_eq!(here.ask(&[b"SET", KEY, b"object"]), ok());
        assert_eq!(there.get(), Reply::Bulk(b"object".to_vec()));
        assert_eq!(there.ask(&[b"GET", OTHER]), Reply::Nil);
        let (here, there) = (here.stats(), there.stats());
        assert_eq!((here.stored, here.sent, here.missed), (1, 6, 1));
        assert_eq!((there.found, there.received, there.missed), (1, 6, 1));
        assert_eq!((here.failed, there.failed), (0, 0));
    }

    #[test]
    fn a_connection_that_was_closed_meanwhile_is_no_fault() {
        let yard = yard(&Fake::start(Conduct::Closes).cache());
        for _ in 0..10 {
            assert_eq!(yard.ask(&[b"SET", KEY, b"object"]), ok());
            assert_eq!(yard.get(), Reply::Bulk(b"object".to_vec()));
        }
        assert_eq!((yard.stats().failed, yard.stats().found), (0, 10));
    }

    #[test]
    fn who_only_reads_leaves_nothing_and_who_has_another_secret_finds_nothing() {
        let fake = Fake::start(Conduct::Good);
        let only = SharedCache {
            write: false,
            ..fake.cache()
        };
        assert_eq!(yard(&only).ask(&[b"SET", KEY, b"object"]), ok());
        assert!(fake.entries.lock().expect("whole").is_empty());
        assert_eq!(yard(&fake.cache()).ask(&[b"SET", KEY, b"object"]), ok());
        let secret = SharedCache {
            secret: "ours".to_owned(),
            ..fake.cache()
        };
        let stranger = yard(&secret);
        assert_eq!(stranger.get(), Reply::Nil);
        assert_eq!((stranger.stats().missed, stranger.stats().failed), (1, 0));
    }

    #[test]
    fn nothing_but_entries_can_be_asked_for() {
        let fake = Fake::start(Conduct::Good);
        let yard = yard(&fake.cache());
        let path = b"ccache:../../../../etc/passwd".as_slice();
        let words: [&[&[u8]]; 7] = [
            &[b"CONFIG", b"GET", b"requirepass"],
            &[b"FLUSHALL"],
            &[b"GET", b"0123456789abcdefghijklmnopqrstu"],
            &[b"GET", path],
            &[b"SET", path, b"x"],
            &[b"SET", b"ccache:", b"x"],
            &[b"GET", &[0xff; 40]],
        ];
        for words in words {
            assert!(matches!(yard.ask(words), Reply::Error(_)), "{words:?}");
        }
        assert_eq!(yard.ask(&[b"DEL", KEY]), Reply::Integer(0));
        assert!(fake.entries.lock().expect("whole").is_empty());
    }

    /// Asks until it is enough; how often it was, and what the user is told.
    fn worn_out(cache: &SharedCache, words: &[&[u8]]) -> (u64, Vec<String>) {
        let yard = yard(cache);
        for _ in 0..20 {
            let reply = yard.ask(words);
            assert!(reply == Reply::Nil || reply == ok(), "{reply:?}");
        }
        (yard.stats().failed, yard.shelves.news())
    }

    #[test]
    fn a_bad_server_is_left_alone_and_the_user_is_told_once() {
        let dead = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").to_string()
        };
        let (set, get): (&[&[u8]], &[&[u8]]) = (&[b"SET", KEY, b"x"], &[b"GET", KEY]);
        let table = [
            (
                cache(&format!("redis://{dead}")),
                get,
                4,
                "connection refused",
            ),
            (cache(&format!("http://{dead}/x")), get, 4, "refused"),
            (
                cache(&format!("http://{dead}/x")),
                set,
                4,
                "it is left alone",
            ),
            (
                Fake::start(Conduct::Babbles).cache(),
                get,
                4,
                "not Redis's protocol",
            ),
            (
                Fake::start(Conduct::Full).cache(),
                set,
                4,
                "`OOM command not",
            ),
            (
                Fake::start(Conduct::Silent).cache(),
                get,
                2,
                "no answer within 5 s",
            ),
            (
                Fake::start(Conduct::Silent).cache(),
                set,
                2,
                "no answer within 5 s",
            ),
            (
                Fake::start(Conduct::Slow).cache(),
                get,
                0,
                "it is slower than compiling",
            ),
            (
                Fake::start(Conduct::Drips).cache(),
                get,
                2,
                "no answer within 5 s",
            ),
        ];
        let started = Instant::now();
        thread::scope(|scope| {
            for (cache, words, faults, expected) in &table {
                scope.spawn(move || {
                    let (failed, news) = worn_out(cache, words);
                    assert_eq!(failed, *faults, "{cache:?}");
                    assert_eq!(news.len(), 1, "{news:?}");
                    assert!(news[0].contains(expected), "{news:?}");
                    assert!(!news[0].contains("u:p") && !news[0].contains('\u{1b}'));
                });
            }
        });
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_wrong_password_is_told_and_not_shown() {
        let fake = Fake::start(Conduct::Good);
        let cache = cache(&format!("redis://u:wrong@127.0.0.1:{}", fake.port));
        let (failed, news) = worn_out(&cache, &[b"GET", KEY]);
        assert_eq!(failed, 4);
        assert!(
            news[0].contains("NOAUTH") && !news[0].contains("wrong"),
            "{news:?}"
        );
    }

    #[test]
    fn an_entry_of_another_key_is_not_taken() {
        let yard = yard(&Fake::start(Conduct::Mixes).cache());
        assert_eq!(yard.ask(&[b"SET", KEY, b"one"]), ok());
        assert_eq!(yard.ask(&[b"SET", OTHER, b"other"]), ok());
        assert_eq!(yard.get(), Reply::Nil);
        assert_eq!(yard.ask(&[b"GET", OTHER]), Reply::Bulk(b"other".to_vec()));
        assert_eq!((yard.stats().damaged, yard.stats().found), (1, 1));
    }

    #[test]
    fn a_full_server_is_still_read() {
        let fake = Fake::start(Conduct::Good);
        assert_eq!(yard(&fake.cache()).ask(&[b"SET", KEY, b"object"]), ok());
        let full = Fake::start(Conduct::Full);
        let entries = fake.entries.lock().expect("whole").clone();
        *full.entries.lock().expect("whole") = entries;
        let yard = yard(&full.cache());
        for _ in 0..10 {
            assert_eq!(yard.ask(&[b"SET", OTHER, b"x"]), ok());
        }
        assert_eq!(yard.get(), Reply::Bulk(b"object".to_vec()));
    }

    #[test]
    fn the_second_server_is_asked_for_what_the_first_has_not() {
        let (near, far) = (Fake::start(Conduct::Good), Fake::start(Conduct::Good));
        assert_eq!(yard(&far.cache()).ask(&[b"SET", KEY, b"object"]), ok());
        let mut both = near.cache();
        both.servers.extend(far.cache().servers);
        let yard = yard(&both);
        assert_eq!(yard.get(), Reply::Bulk(b"object".to_vec()));
        let [near, far] = yard.shelves.stats().try_into().expect("two");
        assert_eq!((near.missed, far.found), (1, 1));
    }

    #[test]
    fn it_ends_with_the_build_and_what_a_killed_one_left_is_swept() {
        let folder = tempfile::tempdir().expect("a folder");
        let left = folder.path().join("wslk-remote-killed/sockets");
        fs::create_dir_all(&left).expect("a folder");
        let door = Door::open(Arc::default(), Some(folder.path())).expect("a door");
        assert!(!left.exists());
        let socket = door.folder.path().join("sockets").join(SOCKET);
        assert!(UnixStream::connect(&socket).is_ok());
        let bits = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((bits(door.folder.path()), bits(&socket)), (0o700, 0o666));
        drop(door);
        assert!(UnixStream::connect(&socket).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_path_may_be_longer_than_a_socket_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = folder.path().join("x".repeat(200));
        fs::create_dir(&long).expect("a folder");
        let yard = yard_in(folder, &Fake::start(Conduct::Good).cache(), &long);
        assert_eq!(yard.ask(&[b"SET", KEY, b"object"]), ok());
        assert!(yard.folder.path().exists());
        assert!(!can_be_told(&long.join(SOCKET)) && !can_be_told(Path::new("/a b")));
    }
}
