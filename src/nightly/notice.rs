//! Tells somebody's server what a night did: the verb's own JSON document, by POST, with retries.
//!
//! In: a URL and a document. Out: whether it was taken. Must not decide what to say.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;

use crate::download;
use crate::process::Interrupt;
use crate::report::Reporter;

/// How often it is tried in all.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; doubled each time.
const PAUSE: Duration = Duration::from_secs(2);
/// For one attempt.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the interrupt is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Nobody took the notice.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// The text is no URL for HTTP.
    #[error("nightly.webhook = `{0}`: an http:// or https:// URL expected")]
    Url(String),
    /// The server refused it; it would refuse it again.
    #[error("{host}: the server answered {status}")]
    Refused {
        /// Whom we told. The path may hold a secret.
        host: String,
        /// The answer.
        status: u16,
    },
    /// Nobody answered well.
    #[error("{host}: {reason}, {ATTEMPTS} times")]
    Silent {
        /// Whom we told.
        host: String,
        /// What happened last.
        reason: String,
    },
}

/// Posts `document` until it is taken, refused, or all attempts are used up.
pub fn send(
    url: &str,
    document: &str,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<(), NoticeError> {
    send_patiently(url, document, PAUSE, reporter, interrupt)
}

fn send_patiently(
    text: &str,
    document: &str,
    mut pause: Duration,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<(), NoticeError> {
    let url = parsed(text)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let client = client().map_err(|error| NoticeError::Silent {
        host: host.clone(),
        reason: error.without_url().to_string(),
    })?;
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            reporter.note(format!("{host}: {last}; trying again"));
            if !wait(pause, interrupt) {
                break;
            }
            pause *= 2;
        }
        match post(&client, &url, document) {
            Ok(status) if (200..300).contains(&status) => return Ok(()),
            // It may be busy or going down; anything else it would say again.
            Ok(status) if status == 429 || status >= 500 => {
                last = format!("the server answered {status}");
            }
            Ok(status) => return Err(NoticeError::Refused { host, status }),
            Err(reason) => last = reason,
        }
    }
    Err(NoticeError::Silent { host, reason: last })
}

/// Whether the text can be told to at all: said before hours are spent on what it is to be told.
pub fn check(text: &str) -> Result<(), NoticeError> {
    parsed(text).map(|_url| ())
}

fn parsed(text: &str) -> Result<Url, NoticeError> {
    let ours = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = Url::parse(text).ok().filter(ours);
    url.ok_or_else(|| NoticeError::Url(text.to_owned()))
}

fn client() -> Result<Client, reqwest::Error> {
    download::client_builder()
        .timeout(PATIENCE)
        .redirect(Policy::none())
        .build()
}

fn post(client: &Client, url: &Url, document: &str) -> Result<u16, String> {
    let request = client
        .post(url.clone())
        .header(CONTENT_TYPE, "application/json")
        .body(document.to_owned());
    match request.send() {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
        Err(error) if error.is_connect() => Err("cannot connect".to_owned()),
        Err(error) => Err(error.without_url().to_string()),
    }
}

/// False when the user stops it.
fn wait(pause: Duration, interrupt: &Interrupt) -> bool {
    let started = Instant::now();
    while started.elapsed() < pause && !interrupt.is_set() {
        thread::sleep(TICK.min(pause));
    }
    !interrupt.is_set()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A server that answers each request with the next of `answers`, and keeps what it was sent.
    fn server(answers: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                let mut request = Vec::new();
                let mut part = [0; 4096];
                while !request.ends_with(b"}") {
                    match stream.read(&mut part) {
                        Ok(0) | Err(_) => break,
                        Ok(n) => request.extend_from_slice(&part[..n]),
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                kept.lock().expect("not poisoned").push(text);
                let _gone = write!(
                    stream,
                    "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
            }
        });
        (format!("http://127.0.0.1:{port}/secret"), heard)
    }

    fn told(url: &str) -> Result<(), NoticeError> {
        let pause = Duration::from_millis(5);
        send_patiently(
            url,
            "{\"exit\":6}",
            pause,
            &Reporter::silent(),
            &Interrupt::default(),
        )
    }

    #[test]
    fn a_busy_server_is_asked_again() {
        let (url, heard) = server(&["503 Busy", "429 Slow", "204 Thanks"]);
        told(&url).expect("taken in the end");
        let heard = heard.lock().expect("not poisoned");
        assert_eq!(heard.len(), 3);
        assert!(
            heard[2].starts_with("POST /secret HTTP/1.1") && heard[2].ends_with("{\"exit\":6}")
        );
        assert!(heard[2].contains("application/json"));
    }

    #[test]
    fn a_refusal_is_final_and_names_no_secret() {
        let (url, heard) = server(&["410 Gone"]);
        let error = told(&url).expect_err("refused").to_string();
        assert_eq!(error, "127.0.0.1: the server answered 410");
        assert_eq!(heard.lock().expect("not poisoned").len(), 1);
    }

    #[test]
    fn nobody_there_and_no_url() {
        let error = told("http://127.0.0.1:9/secret").expect_err("nobody");
        assert_eq!(error.to_string(), "127.0.0.1: cannot connect, 4 times");
        assert!(matches!(told("hook"), Err(NoticeError::Url(_))));
        for wrong in ["file:///etc", "ftp://example.org/x", "localhost:80/x", ""] {
            assert!(matches!(check(wrong), Err(NoticeError::Url(_))), "{wrong}");
        }
        assert!(check("https://example.org/hook").is_ok());
    }
}
