//! What the last builds with a compiler cache were made from, kept beside it, to tell why objects were missed.
//!
//! In: a finished build tree and what ccache said of each call. Out: reasons, and the record with this build in it.
//! Where nothing was missed it costs nothing. Losing the record, or not being able to read something, costs reasons
//! and nothing else, so nothing here is an error.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::ccache_log::{Call, Outcome};
use super::kbuild_cmd::{Dependency, Objects, short};
use super::objects;
use super::reasons::{self, MissReason, Snapshot};
use super::{BuildPlan, CompilerCache};
use crate::digest::Sha256;
use crate::files;

/// The record's name in the cache's folder: who removes the one has no use for the other.
const RECORD: &str = "wslk-builds.json";
/// Builds in the record: a kernel, its control, and the same of the tag before.
const KEPT: usize = 4;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Newest first.
    builds: Vec<Snapshot>,
}

/// Why the calls that were missed were, against the builds before; then puts this one, named `release`, on record.
#[must_use]
pub(super) fn explain(
    plan: &BuildPlan,
    cache: &CompilerCache,
    calls: &[Call],
    release: &str,
) -> Vec<MissReason> {
    let mut asked: HashMap<&str, bool> = HashMap::new();
    for call in calls {
        let missed = call.outcome == Outcome::Miss;
        *asked.entry(call.input.as_str()).or_default() |= missed;
    }
    if !asked.values().any(|missed| *missed) {
        return Vec::new();
    }
    let Ok(objects) = objects::noted(plan).map(|noted| noted.objects) else {
        return Vec::new();
    };
    let now = snapshot(plan, cache, &objects, release);
    let path = cache.folder.join(RECORD);
    let mut record = read(&path);
    let mut found = reasons::reasons(&objects, &asked, &now, &record.builds);
    let of_objects: HashSet<&str> = objects
        .objects
        .iter()
        .map(|object| object.input.as_str())
        .collect();
    let is_other =
        |call: &&Call| call.outcome == Outcome::Miss && !of_objects.contains(call.input.as_str());
    found.extend(reasons::others(calls.iter().filter(is_other).count() as u64));
    record.builds.retain(|before| before.build != now.build);
    record.builds.insert(0, now);
    record.builds.truncate(KEPT);
    let _lost = files::replace(&path, serde_json::to_vec(&record).unwrap_or_default());
    found
}

fn read(path: &Path) -> Record {
    let text = files::read_if_there(path).ok().flatten();
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn snapshot(plan: &BuildPlan, cache: &CompilerCache, objects: &Objects, release: &str) -> Snapshot {
    let digest = |dependency: &Dependency| {
        let (name, path) = dependency.file(plan)?;
        let digest = Sha256::of_file(&path).ok()?;
        Some((name.to_owned(), short(&digest)))
    };
    let files: BTreeMap<String, String> =
        objects.dependencies.par_iter().filter_map(digest).collect();
    let commands = objects
        .objects
        .iter()
        .map(|object| (object.name.clone(), object.command.clone()));
    Snapshot {
        build: release.to_owned(),
        toolchain: cache.toolchain.map(|digest| digest.to_string()),
        files,
        options: reasons::options_of(&plan.config),
        commands: commands.collect(),
    }
}
