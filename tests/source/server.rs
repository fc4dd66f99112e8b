//! A web server that does, request by request, what its script says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::members;

/// A server on a free port; it answers as long as the test lives.
pub struct Server {
    address: String,
    script: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `body` by `script`, one line for each request:
    ///
    /// - `serve`, `range`: all of it, or the rest that was asked for; `cut N` at the end of the line closes
    ///   the connection after N bytes of the file, `reset N` resets it, `short N` serves no more than N as if
    ///   that were all, `flip N` turns a bit of byte N;
    /// - `chunked …`: without a length; `other …`: another file; `wrong-range`: what nobody asked for;
    /// - `status N`, `redirect PATH`, `text …`.
    ///
    /// The last line is for all requests after it.
    pub fn start(body: Vec<u8>, script: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let script = Arc::new(Mutex::new(script.to_vec()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (steps, log) = (Arc::clone(&script), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &body, &steps, &log);
            }
        });
        Self {
            address,
            script,
            requests,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/linux.tar.gz", self.address)
    }

    /// The `Range` of each request so far, or `-`.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Steps that nobody has asked for yet, but for the last, which never ends.
    pub fn steps_left(&self) -> usize {
        self.script.lock().unwrap().len() - 1
    }
}

fn answer(stream: TcpStream, body: &[u8], script: &Mutex<Vec<String>>, log: &Mutex<Vec<String>>) {
    let mut range = None;
    for line in BufReader::new(&stream).lines() {
        let line = line.unwrap_or_default();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse::<usize>().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock()
        .unwrap()
        .push(range.map_or("-".to_owned(), |from| from.to_string()));
    let step = {
        let mut script = script.lock().unwrap();
        if script.len() > 1 {
            script.remove(0)
        } else {
            script[0].clone()
        }
    };
    // A client that goes away in the middle is part of the game.
    let _gone = play(stream, body, range, &step);
}

fn play(
    mut stream: TcpStream,
    body: &[u8],
    range: Option<usize>,
    step: &str,
) -> std::io::Result<()> {
    let words: Vec<&str> = step.split(' ').collect();
    let number = |word: &str| {
        let at = words.iter().position(|w| *w == word)?;
        words.get(at + 1)?.parse::<usize>().ok()
    };
    let mut body = body.to_vec();
    if words[0] == "other" {
        body = members::tarball(&["file linux/other.c", "kernel linux/"]);
    }
    if let Some(at) = number("flip") {
        body[at] ^= 1;
    }
    if let Some(length) = number("short") {
        body.truncate(length);
    }
    let whole = body.len();
    let head = match words[0] {
        "status" => {
            return write!(
                stream,
                "HTTP/1.1 {} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                words[1]
            );
        }
        "redirect" => {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                words[1]
            );
        }
        "text" => {
            let text = step.strip_prefix("text ").unwrap();
            return write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
        }
        "range" => partial(range.unwrap(), whole),
        "wrong-range" => partial(range.unwrap() + 10, whole),
        "chunked" => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_owned()
        }
        _ => format!(
            "HTTP/1.1 200 OK\r\nETag: \"{}\"\r\nContent-Length: {whole}\r\nConnection: close\r\n\r\n",
            body[200]
        ),
    };
    let from = if words[0] == "range" {
        range.unwrap_or(0)
    } else {
        0
    };
    let end = number("cut").or(number("reset")).unwrap_or(whole);
    stream.write_all(head.as_bytes())?;
    if words[0] == "chunked" {
        write!(stream, "{whole:x}\r\n")?;
        stream.write_all(&body[..end])?;
        return if end < whole {
            Ok(())
        } else {
            stream.write_all(b"\r\n0\r\n\r\n")
        };
    }
    stream.write_all(&body[from..end])?;
    if number("reset").is_some() {
        // Lets the bytes arrive; what follows throws away all that has not.
        thread::sleep(Duration::from_millis(50));
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    }
    Ok(())
}

fn partial(from: usize, whole: usize) -> String {
    let rest = whole.saturating_sub(from);
    let last = whole - 1;
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{whole}\r\nContent-Length: {rest}\r\nConnection: close\r\n\r\n"
    )
}
