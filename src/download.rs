//! Downloads over HTTP(S) that can be read while they arrive and that go on where they broke off.
//!
//! In: a URL. Out: a [`Download`], a reader of the whole file from its first byte, which at its end lies on
//! disk under its final name with a known digest. Must not judge the content.
//! The one place that sets reqwest up; who sends something takes its client from here.
//!
//! Bytes go to a partial file first and to the reader after. A connection that breaks is opened again with
//! `Range`; a server that knows no ranges sends all again, and what we have is compared with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};

use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};
use crate::process::Interrupt;
use crate::report::{Reporter, Task, Unit};

/// Bytes read at once.
const CHUNK: usize = 128 << 10;
/// Chunks that may wait for the reader.
const WAITING: usize = 64;
/// How often the reader looks at the interrupt while nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// How long and how often we try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts that bring not one byte, before we give up.
    pub attempts: u32,
    /// The wait before the second attempt; doubled each time, up to 16 times as long.
    pub pause: Duration,
    /// For a connection to be made.
    pub connect: Duration,
    /// Between two bytes.
    pub silence: Duration,
    /// Redirects followed.
    pub redirects: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            pause: Duration::from_millis(500),
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            redirects: 10,
        }
    }
}

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The text is no URL.
    #[error("`{0}` is no URL")]
    Url(String),
    /// The server says that there is no such thing, or that it is not for us.
    #[error("{url}: the server answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The server sends us in circles, or from https to http.
    #[error("{url}: redirected without end, or away from https")]
    Redirect {
        /// What was asked for.
        url: String,
    },
    /// The connection broke more often than we try.
    #[error("{url}: gave up after {attempts} attempts that brought nothing")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// How often we tried.
        attempts: u32,
        /// The last failure.
        source: io::Error,
    },
    /// What the server has now does not continue what it had.
    #[error("{url}: the file changed on the server while it was downloaded")]
    Changed {
        /// What was asked for.
        url: String,
    },
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The user asked us to stop.
    #[error("interrupted")]
    Interrupted,
}

impl DownloadError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Status { status, .. } if *status == StatusCode::NOT_FOUND => {
                "check the spelling; `wslk tags` lists the releases that there are"
            }
            Self::Status { .. } | Self::Redirect { .. } => {
                "open the address in a browser to see what it is"
            }
            Self::Unreachable { .. } => {
                "check the connection and run again: it goes on where it broke off; --source also takes a file"
            }
            Self::Changed { .. } => "run again; it starts afresh",
            Self::File(error) => error.hint()?,
            Self::Url(_) | Self::Interrupted => return None,
        };
        Some(text.to_owned())
    }
}

/// A file on its way; reading it yields the bytes from the first one on.
///
/// An error of [`Read`] only says that there is one: [`Download::failure`] has it.
#[derive(Debug)]
pub struct Download {
    receiver: Receiver<Event>,
    interrupt: Interrupt,
    hasher: Hasher,
    chunk: io::Cursor<Vec<u8>>,
    partial: PathBuf,
    failure: Option<DownloadError>,
    task: Option<Task>,
    reporter: Reporter,
    ended: bool,
    resumed: bool,
}

#[derive(Debug)]
enum Event {
    /// How many bytes there will be.
    Total(u64),
    /// The next bytes; `true` when they come from an earlier attempt of another run.
    Bytes(Vec<u8>, bool),
    Failed(DownloadError),
    Ended,
}

impl Download {
    /// Starts to download `url` into the file `partial`, or goes on with what is in it.
    pub fn start(
        url: &str,
        partial: &Path,
        patience: Patience,
        reporter: &Reporter,
        interrupt: &Interrupt,
    ) -> Result<Self, DownloadError> {
        let parsed = Url::parse(url).map_err(|_| DownloadError::Url(url.to_owned()))?;
        files::create_dir(partial.parent().unwrap_or(Path::new("/")))?;
        let (sender, receiver) = sync_channel(WAITING);
        let fetcher = Fetcher::new(parsed, partial, patience, sender, interrupt.clone())?;
        thread::spawn(move || fetcher.run());
        Ok(Self {
            receiver,
            interrupt: interrupt.clone(),
            hasher: Hasher::default(),
            chunk: io::Cursor::default(),
            partial: partial.to_owned(),
            failure: None,
            task: None,
            reporter: reporter.clone(),
            ended: false,
            resumed: false,
        })
    }

    /// Why reading failed, if it did.
    pub fn failure(&mut self) -> Option<DownloadError> {
        self.failure.take()
    }

    /// Whether some bytes come from an earlier run, so that a damaged file deserves a fresh start.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Forgets what has come.
    pub fn discard(self) -> Result<(), FileError> {
        files::remove_if_there(&self.partial)?;
        files::remove_if_there(&validator_path(&self.partial))?;
        Ok(())
    }

    /// Gives the file its final name; to be called once everything was read.
    pub fn finish(self, target: &Path) -> Result<Sha256, DownloadError> {
        debug_assert!(self.ended, "the whole file was read");
        fs::rename(&self.partial, target)
            .map_err(|source| FileError::new("rename a download to", target, source))?;
        files::remove_if_there(&validator_path(&self.partial))?;
        Ok(self.hasher.finish())
    }

    fn fail(&mut self, error: DownloadError) -> io::Error {
        self.failure = Some(error);
        io::Error::other("the download failed")
    }

    /// Waits for the next chunk; `false` at the end.
    fn next_chunk(&mut self) -> io::Result<bool> {
        loop {
            if self.interrupt.is_set() {
                return Err(self.fail(DownloadError::Interrupted));
            }
            match self.receiver.recv_timeout(TICK) {
                Ok(Event::Total(total)) => {
                    self.task = Some(self.reporter.task("downloading", Unit::Bytes, Some(total)));
                }
                Ok(Event::Bytes(bytes, old)) => {
                    self.resumed |= old;
                    self.hasher.update(&bytes);
                    let reporter = &self.reporter;
                    let task = self
                        .task
                        .get_or_insert_with(|| reporter.task("downloading", Unit::Bytes, None));
                    task.advance(bytes.len() as u64);
                    self.chunk = io::Cursor::new(bytes);
                    return Ok(true);
                }
                Ok(Event::Failed(error)) => return Err(self.fail(error)),
                Ok(Event::Ended) => {
                    self.ended = true;
                    return Ok(false);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.fail(DownloadError::Interrupted));
                }
            }
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.chunk.read(buffer)?;
            if n > 0 || self.ended || buffer.is_empty() {
                return Ok(n);
            }
            self.next_chunk()?;
        }
    }
}

/// The side that talks to the server, on its own thread.
#[derive(Debug)]
struct Fetcher {
    url: Url,
    client: Client,
    partial: PathBuf,
    file: File,
    /// Bytes that are in the file and with the reader.
    have: u64,
    /// What the server calls this version of the file.
    validator: Option<String>,
    patience: Patience,
    sender: SyncSender<Event>,
    interrupt: Interrupt,
    announced: bool,
}

/// How one attempt ended without the whole file.
#[derive(Debug)]
enum Broken {
    /// Another attempt may do better.
    Again(io::Error),
    /// It will not.
    Fatal(DownloadError),
    /// Nobody reads any more.
    Unread,
}

impl Fetcher {
    fn new(
        url: Url,
        partial: &Path,
        patience: Patience,
        sender: SyncSender<Event>,
        interrupt: Interrupt,
    ) -> Result<Self, DownloadError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(partial)
            .map_err(|source| FileError::new("open", partial, source))?;
        let validator = files::read_if_there(&validator_path(partial))?;
        let client = client(&url, patience)?;
        let partial = partial.to_owned();
        Ok(Self {
            url,
            client,
            partial,
            file,
            have: 0,
            validator,
            patience,
            sender,
            interrupt,
            announced: false,
        })
    }

    fn run(mut self) {
        let result = self.replay().and_then(|()| self.insist());
        let event = match result {
            Ok(()) => Event::Ended,
            Err(Broken::Fatal(error)) => Event::Failed(error),
            Err(Broken::Again(source)) => Event::Failed(DownloadError::Unreachable {
                url: self.url.to_string(),
                attempts: self.patience.attempts,
                source,
            }),
            Err(Broken::Unread) => return,
        };
        // Nobody reads any more when the run was interrupted.
        let _unread = self.sender.send(event);
    }

    /// Hands over what an earlier run has left.
    fn replay(&mut self) -> Result<(), Broken> {
        let mut old = File::open(&self.partial).map_err(|source| self.disk("read", source))?;
        loop {
            let mut bytes = vec![0; CHUNK];
            let n = old
                .read(&mut bytes)
                .map_err(|source| self.disk("read", source))?;
            if n == 0 {
                return Ok(());
            }
            bytes.truncate(n);
            self.have += n as u64;
            self.hand_over(Event::Bytes(bytes, true))?;
        }
    }

    /// Attempts until the file is whole. Only attempts that bring nothing count.
    fn insist(&mut self) -> Result<(), Broken> {
        let mut fruitless = 0;
        loop {
            let before = self.have;
            let error = match self.attempt() {
                Err(Broken::Again(error)) => error,
                ended => return ended,
            };
            fruitless = if self.have > before { 1 } else { fruitless + 1 };
            if fruitless >= self.patience.attempts {
                return Err(Broken::Again(error));
            }
            self.pause(fruitless)?;
        }
    }

    fn pause(&self, fruitless: u32) -> Result<(), Broken> {
        let mut left = self.patience.pause * (1 << (fruitless - 1).min(4));
        while !left.is_zero() {
            if self.interrupt.is_set() {
                return Err(Broken::Unread);
            }
            let nap = left.min(TICK);
            thread::sleep(nap);
            left -= nap;
        }
        Ok(())
    }

    fn attempt(&mut self) -> Result<(), Broken> {
        let mut request = self.client.get(self.url.clone());
        if self.have > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.have));
            if let Some(validator) = &self.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        let response = request.send().map_err(|error| self.sorted(error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.have > 0 => self.go_on(response),
            StatusCode::OK => self.start_over(response),
            StatusCode::RANGE_NOT_SATISFIABLE
                if total_of_range(response.headers()) == Some(self.have) =>
            {
                Ok(())
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Err(self.changed()),
            status if status.is_server_error() || worth_another_try(status) => Err(Broken::Again(
                io::Error::other(format!("the server answered {status}")),
            )),
            status => Err(Broken::Fatal(DownloadError::Status {
                url: self.url.to_string(),
                status,
            })),
        }
    }

    /// The rest of the file, as asked for.
    fn go_on(&mut self, response: Response) -> Result<(), Broken> {
        if start_of_range(response.headers()) != Some(self.have) {
            return Err(self.changed());
        }
        let total = response.content_length().map(|rest| rest + self.have);
        self.take(response, total)
    }

    /// All of the file: what we have must be its beginning.
    fn start_over(&mut self, mut response: Response) -> Result<(), Broken> {
        let total = response.content_length();
        let mut compared = 0;
        let mut old = File::open(&self.partial).map_err(|source| self.disk("read", source))?;
        while compared < self.have {
            let mut wanted =
                vec![0; CHUNK.min(usize::try_from(self.have - compared).unwrap_or(CHUNK))];
            let n = response.read(&mut wanted).map_err(Broken::Again)?;
            if n == 0 {
                return Err(self.changed());
            }
            let mut had = vec![0; n];
            old.read_exact(&mut had)
                .map_err(|source| self.disk("read", source))?;
            if had != wanted[..n] {
                return Err(self.changed());
            }
            compared += n as u64;
        }
        self.remember_validator(response.headers())?;
        self.take(response, total)
    }

    /// Appends the body to the file and hands it to the reader.
    fn take(&mut self, mut response: Response, total: Option<u64>) -> Result<(), Broken> {
        if let Some(total) = total.filter(|_| !self.announced) {
            self.announced = true;
            self.hand_over(Event::Total(total))?;
        }
        loop {
            let mut bytes = vec![0; CHUNK];
            let n = response.read(&mut bytes).map_err(Broken::Again)?;
            if n == 0 {
                return match total {
                    Some(total) if self.have < total => {
                        let early =
                            format!("the connection ended after {} of {total} bytes", self.have);
                        Err(Broken::Again(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            early,
                        )))
                    }
                    _ => self
                        .file
                        .flush()
                        .map_err(|source| self.disk("write", source)),
                };
            }
            bytes.truncate(n);
            self.file
                .write_all(&bytes)
                .map_err(|source| self.disk("write", source))?;
            self.have += n as u64;
            self.hand_over(Event::Bytes(bytes, false))?;
        }
    }

    fn remember_validator(&mut self, headers: &HeaderMap) -> Result<(), Broken> {
        // A weak tag promises the same meaning, not the same bytes.
        let strong = |text: &&str| !text.starts_with("W/");
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        self.validator = text(ETAG)
            .filter(strong)
            .or_else(|| text(LAST_MODIFIED))
            .map(str::to_owned);
        let path = validator_path(&self.partial);
        match &self.validator {
            Some(validator) => files::replace(&path, validator),
            None => files::remove_if_there(&path).map(drop),
        }
        .map_err(|error| Broken::Fatal(error.into()))
    }

    fn hand_over(&self, event: Event) -> Result<(), Broken> {
        self.sender.send(event).map_err(|_| Broken::Unread)
    }

    fn changed(&self) -> Broken {
        Broken::Fatal(DownloadError::Changed {
            url: self.url.to_string(),
        })
    }

    fn disk(&self, action: &'static str, source: io::Error) -> Broken {
        Broken::Fatal(FileError::new(action, &self.partial, source).into())
    }

    fn sorted(&self, error: reqwest::Error) -> Broken {
        if error.is_redirect() {
            return Broken::Fatal(DownloadError::Redirect {
                url: self.url.to_string(),
            });
        }
        Broken::Again(io::Error::other(root_cause(&error)))
    }
}

/// reqwest's own message names the URL once more; the innermost one says what happened.
fn root_cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn worth_another_try(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
    )
}

/// What every client of ours has in common.
pub(crate) fn client_builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    // An error means that somebody has installed one already, which is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder().user_agent(concat!("wslk/", env!("CARGO_PKG_VERSION")))
}

fn client(url: &Url, patience: Patience) -> Result<Client, DownloadError> {
    let (secure, limit) = (url.scheme() == "https", patience.redirects);
    let redirects = Policy::custom(move |attempt| {
        let downgrade = secure && attempt.url().scheme() != "https";
        if downgrade || attempt.previous().len() > limit {
            attempt.error("redirected too often, or away from https")
        } else {
            attempt.follow()
        }
    });
    client_builder()
        .redirect(redirects)
        .connect_timeout(patience.connect)
        .timeout(patience.silence)
        .build()
        .map_err(|error| DownloadError::Unreachable {
            url: url.to_string(),
            attempts: 0,
            source: io::Error::other(root_cause(&error)),
        })
}

/// The 5 of `bytes 5-9/10`.
fn start_of_range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// The 10 of `bytes */10`.
fn total_of_range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.split_once('/')?.1.parse().ok()
}

fn validator_path(partial: &Path) -> PathBuf {
    partial.with_added_extension("version")
}
