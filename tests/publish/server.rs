//! A web server that hands out a folder, ranges included, and can be told to hang up too early.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// A server on a free port; it answers as long as the test lives.
pub struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(root: &Path) -> Self {
        Self::hanging_up(root, usize::MAX)
    }

    /// No answer brings more than so many bytes of a file.
    pub fn hanging_up(root: &Path, after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (root, log) = (root.to_owned(), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (root, log) = (root.clone(), Arc::clone(&log));
                thread::spawn(move || {
                    // A client that goes away in the middle is part of the game.
                    let _gone = answer(stream.unwrap(), &root, &log, after);
                });
            }
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked for so far: paths, and the first byte where that was not the first one.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    root: &Path,
    log: &Mutex<Vec<String>>,
    after: usize,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut from = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(match from {
        0 => path.clone(),
        from => format!("{path} from {from}"),
    });
    let file: PathBuf = root.join(path.trim_start_matches('/'));
    let Ok(bytes) = fs::read(&file) else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    let (whole, rest) = (bytes.len(), &bytes[from..]);
    let (status, range) = match from {
        0 => ("200 OK", String::new()),
        from => (
            "206 Partial Content",
            format!("Content-Range: bytes {from}-{}/{whole}\r\n", whole - 1),
        ),
    };
    let length = rest.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"{whole}\"\r\n{range}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&rest[..length.min(after)])
}
