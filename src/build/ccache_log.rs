//! What ccache says of each of its calls, and the sums of it.
//!
//! In: the text of its statistics log (`CCACHE_STATSLOG`): for each call a line `# <input file>`, then the names of the
//! counters that the call moved. Out: [`Call`]s and [`CacheStats`]. Pure. Must not say why a call was a miss.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::reasons::MissReason;

/// The log's name in a build tree.
pub(super) const FILE: &str = ".ccache-stats.log";

/// What became of one call of ccache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Found by the content of the source and its headers, without preprocessing.
    Direct,
    /// Found by the preprocessed text.
    Preprocessed,
    /// Not found, so compiled, and kept.
    Miss,
    /// Not a case for a cache; ccache's own word for why.
    Uncacheable(String),
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The source file as the command line named it; empty where it named none.
    pub input: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it came from the remote storage.
    remote: bool,
    /// Whether the remote storage failed.
    failed: bool,
}

/// How the compiler cache did in one build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Found by the content of the source and its headers, without preprocessing.
    pub direct: u64,
    /// Found by the preprocessed text.
    pub preprocessed: u64,
    /// Not found, so compiled.
    pub misses: u64,
    /// Those of the found that came from a shared cache.
    #[serde(default)]
    pub remote: u64,
    /// Calls that could not ask for the shared cache at all.
    #[serde(default)]
    pub remote_failures: u64,
    /// Calls that are no case for a cache, by ccache's own word for why. kbuild's questions to the compiler are most
    /// of them.
    #[serde(default)]
    pub uncacheable: BTreeMap<String, u64>,
    /// Why there were misses: the reasons with the most objects, those first.
    #[serde(default)]
    pub reasons: Vec<MissReason>,
}

impl CacheStats {
    /// The sums over calls; without reasons.
    #[must_use]
    pub(super) fn of(calls: &[Call]) -> Self {
        let mut stats = Self::default();
        for call in calls {
            match &call.outcome {
                Outcome::Direct => stats.direct += 1,
                Outcome::Preprocessed => stats.preprocessed += 1,
                Outcome::Miss => stats.misses += 1,
                Outcome::Uncacheable(why) => {
                    *stats.uncacheable.entry(why.clone()).or_default() += 1;
                }
            }
            stats.remote += u64::from(call.remote);
            stats.remote_failures += u64::from(call.failed);
        }
        stats
    }

    /// Calls that were found.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.direct + self.preprocessed
    }

    /// Calls that are a case for a cache.
    #[must_use]
    pub fn cacheable(&self) -> u64 {
        self.hits() + self.misses
    }

    /// The share of [`CacheStats::cacheable`] that was found, from 0 to 1; `None` where there was nothing to find.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let all = self.cacheable();
        (all > 0).then(|| self.hits() as f64 / all as f64)
    }
}

/// "1290 of 1390 found (92.8 %): 1200 direct, 90 preprocessed; 100 compiled; 40 no case for it (called for link 20, …)".
impl fmt::Display for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rate) = self.hit_rate() else {
            return f.write_str("nothing was compiled");
        };
        // Rounded down: 100 % means all.
        let rate = (rate * 1000.0).floor() / 10.0;
        write!(
            f,
            "{} of {} found ({rate} %)",
            self.hits(),
            self.cacheable()
        )?;
        if self.hits() > 0 {
            write!(
                f,
                ": {} direct, {} preprocessed",
                self.direct, self.preprocessed
            )?;
        }
        if self.remote > 0 {
            write!(f, ", {} of them shared", self.remote)?;
        }
        if self.remote_failures > 0 {
            write!(
                f,
                "; {} could not ask for the shared cache",
                self.remote_failures
            )?;
        }
        let mut others: Vec<(&String, &u64)> = self.uncacheable.iter().collect();
        others.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        if !others.is_empty() {
            let all: u64 = self.uncacheable.values().sum();
            let each: Vec<String> = others
                .into_iter()
                .map(|(why, count)| format!("{} {count}", why.replace('_', " ")))
                .collect();
            write!(f, "; {all} no case for it ({})", each.join(", "))?;
        }
        Ok(())
    }
}

/// Counters that say how a call went on its way, and not what became of it.
const ON_THE_WAY: [&str; 7] = [
    "local_storage_",
    "remote_storage_",
    "direct_cache_",
    "preprocessed_cache_",
    "cleanups_",
    "cache_size",
    "files_in_",
];

/// Reads a log. Calls that were killed before they knew are left out.
#[must_use]
pub(super) fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut input: Option<&str> = None;
    let mut counters: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(next) = line.strip_prefix('#') {
            calls.extend(input.and_then(|input| call(input, &counters)));
            input = Some(next.strip_prefix(' ').unwrap_or(next));
            counters.clear();
        } else {
            counters.push(line);
        }
    }
    calls.extend(input.and_then(|input| call(input, &counters)));
    calls
}

fn call(input: &str, counters: &[&str]) -> Option<Call> {
    let has = |counter: &str| counters.contains(&counter);
    let on_the_way = |counter: &str| ON_THE_WAY.iter().any(|prefix| counter.starts_with(prefix));
    let outcome = if has("direct_cache_hit") {
        Outcome::Direct
    } else if has("preprocessed_cache_hit") {
        Outcome::Preprocessed
    } else if has("cache_miss") {
        Outcome::Miss
    } else {
        let why = counters
            .iter()
            .find(|counter| is_counter(counter) && !on_the_way(counter))?;
        Outcome::Uncacheable((*why).to_owned())
    };
    let found = matches!(outcome, Outcome::Direct | Outcome::Preprocessed);
    Some(Call {
        input: input.to_owned(),
        remote: found && has("remote_storage_hit"),
        failed: has("remote_storage_error") || has("remote_storage_timeout"),
        outcome,
    })
}

fn is_counter(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MISS: &str = "cache_miss\ndirect_cache_miss\nlocal_storage_miss\nlocal_storage_write\npreprocessed_cache_miss\n";

    #[test]
    fn a_call_is_what_became_of_it() {
        let why = |why: &str| Some(Outcome::Uncacheable(why.to_owned()));
        let table = [
            (MISS, Some(Outcome::Miss)),
            (
                "direct_cache_hit\nlocal_storage_hit\nlocal_storage_read_hit\n",
                Some(Outcome::Direct),
            ),
            (
                "direct_cache_miss\nlocal_storage_read_miss\npreprocessed_cache_hit\n",
                Some(Outcome::Preprocessed),
            ),
            (
                "direct_cache_miss\nlocal_storage_read_miss\nunsupported_code_directive\n",
                why("unsupported_code_directive"),
            ),
            (
                "compile_failed\ndirect_cache_miss\npreprocessed_cache_miss\n",
                why("compile_failed"),
            ),
            ("called_for_link\n", why("called_for_link")),
            // Killed half-way, or nothing known at all.
            ("direct_cache_miss\nlocal_storage_read_miss\n", None),
            ("", None),
        ];
        for (counters, expected) in table {
            let calls = parse(&format!("# /src/init/main.c\n{counters}"));
            let outcome = calls.first().map(|call| call.outcome.clone());
            assert_eq!(outcome, expected, "{counters}");
        }
    }

    #[test]
    fn calls_are_told_apart() {
        let hit = "direct_cache_hit\nremote_storage_hit\n";
        let text = format!(
            "# a.c\n{MISS}# \ncalled_for_link\n# b.c\n{hit}# c.c\n{MISS}remote_storage_timeout\n"
        );
        let calls = parse(&text);
        let inputs: Vec<&str> = calls.iter().map(|call| call.input.as_str()).collect();
        assert_eq!(inputs, ["a.c", "", "b.c", "c.c"]);
        let stats = CacheStats::of(&calls);
        assert_eq!((stats.direct, stats.preprocessed, stats.misses), (1, 0, 2));
        assert_eq!((stats.remote, stats.remote_failures), (1, 1));
        assert_eq!(
            stats.to_string(),
            "1 of 3 found (33.3 %): 1 direct, 0 preprocessed, 1 of them shared; 1 could not ask for the shared cache; \
             1 no case for it (called for link 1)"
        );
    }

    #[test]
    fn nothing_is_no_rate() {
        let stats = CacheStats::of(&parse(""));
        assert_eq!(stats.hit_rate(), None);
        assert_eq!(stats.to_string(), "nothing was compiled");
    }

    fn block() -> impl Strategy<Value = (String, u8)> {
        let name = "[a-z/]{1,12}\\.[cS]";
        (name, 0_u8..4)
    }

    proptest! {
        #[test]
        fn every_call_is_counted_once(blocks in prop::collection::vec(block(), 0..40)) {
            let counters = ["direct_cache_hit\n", "preprocessed_cache_hit\ndirect_cache_miss\n", MISS, "no_input_file\n"];
            let text: String = blocks
                .iter()
                .map(|(name, kind)| format!("# {name}\n{}", counters[usize::from(*kind)]))
                .collect();
            let calls = parse(&text);
            prop_assert_eq!(calls.len(), blocks.len());
            let stats = CacheStats::of(&calls);
            let of = |kind: u8| blocks.iter().filter(|block| block.1 == kind).count() as u64;
            prop_assert_eq!(stats.direct, of(0));
            prop_assert_eq!(stats.preprocessed, of(1));
            prop_assert_eq!(stats.misses, of(2));
            prop_assert_eq!(stats.uncacheable.values().sum::<u64>(), of(3));
        }

        #[test]
        fn no_log_makes_it_panic(text in "(# ?[ -~]{0,12}\n|[a-z_]{0,20}\n|[^#]{0,8}){0,20}") {
            let calls = parse(&text);
            let said = CacheStats::of(&calls).to_string();
            prop_assert!(!said.is_empty());
            prop_assert!(calls.len() <= text.matches('#').count());
        }
    }
}
