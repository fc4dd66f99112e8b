//! A web server that keeps entries as files: `GET` and `PUT` below a path, as ccache's own HTTP storage uses one.
//!
//! In: names and bytes. Out: bytes, or the [`Fault`] of the server, before a deadline whatever it does.

use std::io::Read as _;
use std::time::Instant;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;

use super::resp::LARGEST;
use super::server::{CacheServer, Protocol};
use super::{CONNECT, DEADLINE, Fault};
use crate::download;

/// Where entries are asked for.
#[derive(Debug)]
pub(super) struct Http {
    server: CacheServer,
    client: Client,
    base: String,
}

impl Http {
    pub(super) fn new(server: CacheServer) -> Result<Self, Fault> {
        let client = download::client_builder()
            .connect_timeout(CONNECT)
            .timeout(DEADLINE)
            // To the host that was named and to no other.
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(fault)?;
        let scheme = match server.protocol {
            Protocol::Https => "https",
            _ => "http",
        };
        Ok(Self {
            base: format!("{scheme}://{}{}", server.address, server.path),
            server,
            client,
        })
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let until = Instant::now() + DEADLINE;
        let answer = self.known(self.client.get(self.url(name)))?;
        match answer.status().as_u16() {
            200 => body(answer, until).map(Some),
            404 | 410 => Ok(None),
            _ => Err(refusal(&answer)),
        }
    }

    pub(super) fn put(&self, name: &str, entry: Vec<u8>) -> Result<(), Fault> {
        let request = self.client.put(self.url(name));
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let answer = self.known(request.body(entry))?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(refusal(&answer)),
        }
    }

    /// As who we are to this server.
    fn known(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let request = match &self.server.login {
            Some(login) => request.basic_auth(
                login.name.as_deref().unwrap_or_default(),
                Some(&login.password),
            ),
            None => request,
        };
        request.send().map_err(fault)
    }

    /// One folder would grow too large.
    fn url(&self, name: &str) -> String {
        let (_, folder) = name.split_at(name.len().saturating_sub(2));
        format!("{}/{folder}/{name}", self.base)
    }
}

/// All of the answer. The client's own limit is for each part of it.
fn body(mut answer: Response, until: Instant) -> Result<Vec<u8>, Fault> {
    let (mut body, mut part) = (Vec::new(), vec![0; 64 << 10]);
    while body.len() <= LARGEST && Instant::now() < until {
        match answer.read(&mut part)? {
            0 => return Ok(body),
            length => body.extend_from_slice(&part[..length]),
        }
    }
    match body.len() {
        ..=LARGEST => Err(Fault::late()),
        _ => Err(Fault::refused("more than any entry has")),
    }
}

fn refusal(answer: &Response) -> Fault {
    Fault::refused(&answer.status().to_string())
}

fn fault(error: reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::late();
    }
    // The innermost reason: "connection refused", and not where it was met.
    let mut reason: &dyn std::error::Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    Fault::Silent(reason.to_string())
}
