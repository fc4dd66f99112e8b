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
    let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
    if let Some(whole_answer) = without_file(verb, rest) {
        return stream.write_all(whole_answer.as_bytes());
    }
    let body = as_told(verb, step, body);
    let whole = body.len();
    let end = number(step, "cut")
        .or(number(step, "reset"))
        .unwrap_or(whole);
    match (verb, range) {
        ("chunked", _) => return chunked(stream, &body, end),
        ("range", Some(from)) => {
            stream.write_all(partial(from, whole).as_bytes())?;
            stream.write_all(&body[from..end])?;
        }
        ("wrong-range", Some(from)) => stream.write_all(partial(from + 10, whole).as_bytes())?,
        _ => {
            let version = format!("ETag: \"{}\"\r\n", body[200]);
            stream.write_all(
                head("200 OK", &format!("{version}Content-Length: {whole}")).as_bytes(),
            )?;
            stream.write_all(&body[..end])?;
        }
    }
    if number(step, "reset").is_some() {
        // Lets the bytes arrive; what follows throws away all that has not.
        thread::sleep(Duration::from_millis(50));
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    }
    Ok(())
}

/// The number after `word`.
fn number(step: &str, word: &str) -> Option<usize> {
    let mut words = step.split(' ').skip_while(|other| *other != word);
    words.nth(1)?.parse().ok()
}

fn head(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}\r\nConnection: close\r\n\r\n")
}

/// Answers that do not depend on the file.
fn without_file(verb: &str, rest: &str) -> Option<String> {
    match verb {
        "status" => Some(head(&format!("{rest} X"), "Content-Length: 0")),
        "redirect" => Some(head(
            "302 Found",
            &format!("Location: {rest}\r\nContent-Length: 0"),
        )),
        "text" => Some(head("200 OK", &format!("Content-Length: {}", rest.len())) + rest),
        _ => None,
    }
}

fn as_told(verb: &str, step: &str, body: &[u8]) -> Vec<u8> {
    let mut body = if verb == "other" {
        members::tarball(&["file linux/other.c", "kernel linux/"])
    } else {
        body.to_vec()
    };
    if let Some(at) = number(step, "flip") {
        body[at] ^= 1;
    }
    body.truncate(number(step, "short").unwrap_or(body.len()));
    body
}

fn chunked(mut stream: TcpStream, body: &[u8], end: usize) -> std::io::Result<()> {
    stream.write_all(head("200 OK", "Transfer-Encoding: chunked").as_bytes())?;
    write!(stream, "{:x}\r\n", body.len())?;
    stream.write_all(&body[..end])?;
    if end == body.len() {
        stream.write_all(b"\r\n0\r\n\r\n")
    } else {
        Ok(())
    }
}

fn partial(from: usize, whole: usize) -> String {
    let (last, rest) = (whole - 1, whole.saturating_sub(from));
    let range = format!("Content-Range: bytes {from}-{last}/{whole}");
    head(
        "206 Partial Content",
        &format!("{range}\r\nContent-Length: {rest}"),
    )
}
