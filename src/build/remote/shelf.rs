//! One server as a build uses it: asked while it is worth it, and counted.
//!
//! In: keys and entries. Out: entries that are what somebody left for that key, or nothing. A server's faults end
//! here.
//!
//! A server that answers saves compiling, which takes a processor half a second for an object of a kernel; an answer
//! earns it the half of that, and each wait costs what it took. Who owes ten seconds is left alone for the rest of the
//! build. So a dead server costs four waits at most, and a slow one ten seconds more than it saves. One that refuses to
//! give, or to take, can still be good for the other.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::http::Http;
use super::redis::Redis;
use super::resp::LARGEST;
use super::seal::Sealer;
use super::server::{CacheServer, Protocol};
use super::{Fault, SharedCache, locked};
use crate::report::size;

/// What an answer is worth.
const EARNED: Duration = Duration::from_millis(250);
/// What a fault costs at least, since a quick one is no better: four of them are enough.
const FAULT: Duration = Duration::from_millis(2500);
/// Who owes so much is left alone.
const LIMIT: Duration = Duration::from_secs(10);

/// What became of one server in one build. Entries, not objects: an object has two, the list of its headers and itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerStats {
    /// Its URL, without who logs in.
    pub server: String,
    /// Entries that it had.
    pub found: u64,
    /// Entries that it had not.
    pub missed: u64,
    /// Entries that were left there.
    pub stored: u64,
    /// Questions that were not answered, or otherwise than they were asked.
    pub failed: u64,
    /// Those of them that were answered with other bytes than had been left there.
    pub damaged: u64,
    /// Bytes of the entries found.
    pub received: u64,
    /// Bytes of the entries left there.
    pub sent: u64,
    /// Seconds of waiting for it, by compilers nearly always; those that waited at the same time added up.
    pub waited: f64,
    /// What was not done any more in this build, and why.
    pub given_up: Vec<String>,
}

/// A server in a build.
#[derive(Debug)]
pub(super) struct Shelf {
    client: Client,
    sealer: Sealer,
    prefix: String,
    write: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Client {
    Redis(Redis),
    Http(Http),
}

#[derive(Debug, Default)]
struct State {
    stats: ServerStats,
    /// For time.
    slow: Debt,
    /// For answers to questions that are none.
    reading: Debt,
    writing: Debt,
    /// What nobody has been told yet.
    news: Vec<String>,
}

/// What a server owes us.
#[derive(Debug, Default)]
struct Debt(Duration);

impl Debt {
    fn is_too_much(&self) -> bool {
        self.0 >= LIMIT
    }

    /// After one question; whether this one was too much.
    fn book(&mut self, time: Duration, is_fault: bool) -> bool {
        if self.is_too_much() {
            return false;
        }
        self.0 = match is_fault {
            true => self.0 + time.max(FAULT),
            false => (self.0 + time).saturating_sub(EARNED),
        };
        self.is_too_much()
    }
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Get,
    Put,
}

impl Shelf {
    pub(super) fn new(server: &CacheServer, cache: &SharedCache) -> Result<Self, Fault> {
        let sealer = Sealer::new(&cache.secret);
        let stats = ServerStats {
            server: server.to_string(),
            ..ServerStats::default()
        };
        Ok(Self {
            client: match server.protocol {
                Protocol::Redis => Client::Redis(Redis::new(server.clone())),
                Protocol::Http | Protocol::Https => Client::Http(Http::new(server.clone())?),
            },
            prefix: sealer.prefix(),
            sealer,
            write: cache.write,
            state: Mutex::new(State {
                stats,
                ..State::default()
            }),
        })
    }

    /// What was left for this key, by whomever.
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        if locked(&self.state).is_left_alone(Question::Get) {
            return None;
        }
        let started = Instant::now();
        let answer = self.ask(key);
        let mut state = locked(&self.state);
        let stats = &mut state.stats;
        match &answer {
            Ok(Some(entry)) => {
                stats.found += 1;
                stats.received += entry.len() as u64;
            }
            Ok(None) => stats.missed += 1,
            Err(_) => {}
        }
        state.book(Question::Get, started.elapsed(), answer.as_ref().err());
        answer.ok().flatten()
    }

    fn ask(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        let name = self.name(key);
        let sealed = match &self.client {
            Client::Redis(redis) => redis.get(&name),
            Client::Http(http) => http.get(&name),
        }?;
        let open = |sealed| self.sealer.open(key, sealed).map_err(|_| Fault::Damaged);
        sealed.map(open).transpose()
    }

    /// Leaves an entry for whomever, if that is wanted. Whether it was taken.
    pub(super) fn put(&self, key: &str, entry: &[u8]) -> bool {
        if !self.write || locked(&self.state).is_left_alone(Question::Put) {
            return false;
        }
        let sealed = self.sealer.seal(key, entry);
        if sealed.len() > LARGEST {
            return false;
        }
        let (name, started) = (self.name(key), Instant::now());
        let answer = match &self.client {
            Client::Redis(redis) => redis.put(&name, &sealed),
            Client::Http(http) => http.put(&name, sealed),
        };
        let mut state = locked(&self.state);
        if answer.is_ok() {
            state.stats.stored += 1;
            state.stats.sent += entry.len() as u64;
        }
        state.book(Question::Put, started.elapsed(), answer.as_ref().err());
        answer.is_ok()
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What the user has not been told yet.
    pub(super) fn news(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.state).news)
    }

    pub(super) fn stats(&self) -> ServerStats {
        locked(&self.state).stats.clone()
    }
}

impl State {
    fn is_left_alone(&self, question: Question) -> bool {
        let refused = match question {
            Question::Get => &self.reading,
            Question::Put => &self.writing,
        };
        self.slow.is_too_much() || refused.is_too_much()
    }

    /// After one question.
    fn book(&mut self, question: Question, time: Duration, fault: Option<&Fault>) {
        self.stats.waited += time.as_secs_f64();
        self.stats.failed += u64::from(fault.is_some());
        self.stats.damaged += u64::from(fault == Some(&Fault::Damaged));
        let is_silent = matches!(fault, Some(Fault::Silent(_)));
        let is_refused = fault.is_some() && !is_silent;
        let (refused, alone) = match question {
            Question::Get => (&mut self.reading, "it is asked no more"),
            Question::Put => (&mut self.writing, "nothing is left there any more"),
        };
        let refused = refused.book(Duration::ZERO, is_refused).then_some(alone);
        let slow = self
            .slow
            .book(time, is_silent)
            .then_some("it is left alone");
        if let Some(end) = slow.or(refused) {
            let reason = match fault {
                Some(fault) => fault.to_string(),
                None => "it is slower than compiling".to_owned(),
            };
            let text = format!("{end}, since {reason}");
            self.news.push(format!(
                "shared cache {}: in this build {text}",
                self.stats.server
            ));
            self.stats.given_up.push(text);
        }
    }
}

/// "redis://cache:6379: 300 found (12 MiB), 20 missed, 20 left there (1 MiB); 3.2 s of waiting for it".
impl fmt::Display for ServerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: u64, bytes: u64, what: &str| match count {
            0 => format!("none {what}"),
            _ => format!("{count} {what} ({})", size(bytes)),
        };
        write!(
            f,
            "{}: {}, {} missed, {}; {:.1} s of waiting for it",
            self.server,
            of(self.found, self.received, "found"),
            self.missed,
            of(self.stored, self.sent, "left there"),
            self.waited
        )?;
        if self.failed > 0 {
            write!(f, "; it failed {} times", self.failed)?;
        }
        if self.damaged > 0 {
            write!(f, ", {} of them with wrong bytes", self.damaged)?;
        }
        self.given_up
            .iter()
            .try_for_each(|end| write!(f, "; {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many questions in a row it takes.
    fn questions(time: Duration, is_fault: bool) -> Option<usize> {
        let mut debt = Debt::default();
        (1..10_000).find(|_| debt.book(time, is_fault))
    }

    #[test]
    fn a_server_is_left_alone_when_it_costs_more_than_it_saves() {
        let ms = Duration::from_millis;
        let table = [
            // Refused at once, silent for long.
            (ms(0), true, Some(4)),
            (ms(5000), true, Some(2)),
            // A fast network, a slow one, and worse.
            (ms(1), false, None),
            (ms(250), false, None),
            (ms(500), false, Some(40)),
            (ms(2000), false, Some(6)),
        ];
        for (time, is_fault, expected) in table {
            assert_eq!(questions(time, is_fault), expected, "{time:?} {is_fault}");
        }
    }

    #[test]
    fn now_and_then_a_fault_is_forgiven() {
        let mut debt = Debt::default();
        for n in 0..10_000 {
            let ended = debt.book(Duration::from_millis(2), n % 20 == 0);
            assert!(!ended, "after {n}");
        }
        // And once is for all.
        let mut debt = Debt(LIMIT);
        assert!(!debt.book(Duration::ZERO, false) && debt.is_too_much());
    }

    #[test]
    fn the_numbers_as_people_read_them() {
        let stats = ServerStats {
            server: "redis://cache:6379".to_owned(),
            found: 3,
            received: 2 << 20,
            missed: 1,
            failed: 4,
            damaged: 1,
            waited: 1.26,
            given_up: vec!["it is asked no more, since connection refused".to_owned()],
            ..ServerStats::default()
        };
        assert_eq!(
            stats.to_string(),
            "redis://cache:6379: 3 found (2.0 MiB), 1 missed, none left there; 1.3 s of waiting for it; \
             it failed 4 times, 1 of them with wrong bytes; it is asked no more, since connection refused"
        );
    }
}
