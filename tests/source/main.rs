//! The source stage from outside: real trees, repositories, tarballs and a server that misbehaves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod faults;
mod members;
mod patches;
mod pins;
mod server;
mod transports;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wslk::home::Home;
use wslk::process::Interrupt;
use wslk::report::Reporter;
use wslk::source::{
    FetchRequest, Patience, SourceError, SourceTree, Sources, TagQuery, Transport, Upstream,
};

/// A `WSLK_HOME`, a cache and a lock file of their own, in a folder that vanishes.
struct World {
    folder: tempfile::TempDir,
    home: Home,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"), folder.path().join("cache"));
        Self { folder, home }
    }

    /// A path beside home and cache.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            home: &self.home,
            lock_file: self.path("wslk.lock"),
            reporter: Reporter::silent(),
            interrupt: Interrupt::default(),
            patience: Patience {
                attempts: 3,
                pause: Duration::from_millis(1),
                connect: Duration::from_secs(5),
                silence: Duration::from_secs(5),
                redirects: 4,
            },
        }
    }

    fn fetch(&self, request: &FetchRequest) -> Result<SourceTree, SourceError> {
        wslk::source::fetch(request, &self.sources())
    }

    fn fetch_text(&self, upstream: &str) -> Result<SourceTree, SourceError> {
        self.fetch(&request(upstream)?)
    }

    /// Everything in the folder of sources; empty where nothing was kept.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.home.sources()) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn lock_text(&self) -> String {
        fs::read_to_string(self.path("wslk.lock")).unwrap_or_default()
    }
}

/// A request for whatever is newest at `upstream`.
fn request(upstream: &str) -> Result<FetchRequest, SourceError> {
    let upstream: Upstream = upstream.parse()?;
    Ok(FetchRequest {
        upstream,
        want: None,
        transport: Transport::Auto,
        offline: false,
        refresh: false,
    })
}

fn wanting(upstream: &Path, want: &str) -> FetchRequest {
    let want: TagQuery = want.parse().unwrap();
    FetchRequest {
        want: Some(want),
        ..request(upstream.to_str().unwrap()).unwrap()
    }
}

/// An error with all its causes, as a user reads it.
fn told(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
