//! Where a build comes from, as an in-toto statement with SLSA's predicate `provenance/v1`.
//!
//! In: the manifest and the digests of the entry's files. Out: a statement that the field's tools read. A small
//! mirror of the two formats: the parts of them that we have something to say about. The same build always leads
//! to the same statement.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::artefact::{AUDIT, Build, Output};
use crate::source::Tag;

/// What the parameters mean; raised when they come to mean something else.
const BUILD_TYPE: &str = "urn:wslk:kernel-build:1";
/// Inputs that are fragments of the configuration, by the beginning of their names.
const FRAGMENT: &str = "fragment ";
/// Inputs that are patches, likewise.
const PATCH: &str = "patch ";

type Digests = BTreeMap<&'static str, String>;

/// An in-toto statement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource>,
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: Digests,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: Definition,
    run_details: Run,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    build_type: &'static str,
    external_parameters: Parameters,
    internal_parameters: BTreeMap<String, String>,
    resolved_dependencies: Vec<Resource>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    tag: Tag,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    tree: String,
    source: String,
    profile: String,
    fragments: BTreeMap<String, String>,
    patches: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    builder: Machine,
    metadata: Metadata,
    byproducts: Vec<Resource>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    id: String,
    builder_dependencies: Vec<Resource>,
    version: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    invocation_id: String,
    started_on: String,
    finished_on: String,
}

/// The statement about a build whose files are in `files`.
pub(super) fn statement(tag: Tag, build: &Build, files: &BTreeMap<String, Output>) -> Statement {
    let manifest = build.manifest();
    let outputs = manifest.outputs.iter();
    let subject = outputs.filter(|(name, _)| *name != AUDIT);
    let beside = |name: &String| !manifest.outputs.contains_key(name) || name == AUDIT;
    let byproducts = files.iter().filter(|(name, _)| beside(name));
    Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: subject.map(|(name, output)| file(name, output)).collect(),
        predicate_type: "https://slsa.dev/provenance/v1",
        predicate: Predicate {
            build_definition: definition(tag, build),
            run_details: Run {
                builder: machine(build),
                metadata: metadata(build),
                byproducts: byproducts
                    .map(|(name, output)| file(name, output))
                    .collect(),
            },
        },
    }
}

fn file(name: &str, output: &Output) -> Resource {
    Resource {
        name: Some(name.to_owned()),
        digest: BTreeMap::from([("sha256", output.sha256.to_string())]),
        ..Resource::default()
    }
}

fn definition(tag: Tag, build: &Build) -> Definition {
    let manifest = build.manifest();
    let named = |kind: &str| -> BTreeMap<String, String> {
        let of_kind = |(name, value): (&str, &str)| {
            Some((name.strip_prefix(kind)?.to_owned(), value.to_owned()))
        };
        manifest.inputs.iter().filter_map(of_kind).collect()
    };
    let (fragments, patches) = (named(FRAGMENT), named(PATCH));
    let mut dependencies = vec![source(tag, build)];
    dependencies.extend(image(build));
    let given = fragments.iter().chain(&patches);
    dependencies.extend(given.map(|(name, digest)| Resource {
        name: Some(name.clone()),
        digest: BTreeMap::from([("sha256", digest.clone())]),
        ..Resource::default()
    }));
    Definition {
        build_type: BUILD_TYPE,
        external_parameters: Parameters {
            tag,
            commit: manifest.source.commit.clone(),
            tree: manifest.source.tree.clone(),
            source: build.run().origin.clone(),
            profile: manifest.profile.clone(),
            fragments,
            patches,
        },
        internal_parameters: internal_parameters(build),
        resolved_dependencies: dependencies,
    }
}

/// What nobody asked for by name.
fn internal_parameters(build: &Build) -> BTreeMap<String, String> {
    let other = |(name, _): &(&str, &str)| !name.starts_with(FRAGMENT) && !name.starts_with(PATCH);
    let rest = build.manifest().inputs.iter().filter(other);
    // Who reads this may trust the builder, and not whoever fills its caches.
    let taken = build.run().taken;
    let compiled = taken.map(|taken| ("compiled".to_owned(), format!("not in this run: {taken}")));
    rest.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(compiled)
        .collect()
}

/// The tree is what was compiled; the commit is what the tag named.
fn source(tag: Tag, build: &Build) -> Resource {
    let facts = &build.manifest().source;
    let mut digest = Digests::from([("gitTree", facts.tree.clone())]);
    digest.extend(facts.commit.clone().map(|commit| ("gitCommit", commit)));
    Resource {
        name: Some("source".to_owned()),
        uri: Some(origin(&build.run().origin, tag)),
        digest,
    }
}

/// The address of the source as SPDX and SLSA write it: `git+https://…@tag`.
pub(super) fn origin(origin: &str, tag: Tag) -> String {
    let address = origin.strip_suffix(&tag.to_string()).unwrap_or(origin);
    let address = address.trim_end();
    match address.starts_with('/') {
        true => format!("git+file://{address}@{tag}"),
        false => format!("git+{address}@{tag}"),
    }
}

/// The very image is known of what was compiled in this run only; its packages always are.
fn image(build: &Build) -> Option<Resource> {
    let run = build.run();
    let id = run.image.as_ref().filter(|_| run.taken.is_none())?;
    let digest = id.strip_prefix("sha256:")?.to_owned();
    Some(Resource {
        name: Some("builder image".to_owned()),
        uri: Some(format!("pkg:oci/wslk-builder@sha256%3A{digest}")),
        digest: BTreeMap::from([("sha256", digest)]),
    })
}

fn machine(build: &Build) -> Machine {
    Machine {
        id: format!("urn:wslk:builder:{}", build.run().engine),
        builder_dependencies: image(build).into_iter().collect(),
        version: build.manifest().tools.clone(),
    }
}

fn metadata(build: &Build) -> Metadata {
    let run = build.run();
    let finished = Duration::from_secs(run.finished);
    let took = Duration::try_from_secs_f64(run.seconds).unwrap_or_default();
    Metadata {
        invocation_id: build.id().to_string(),
        started_on: time(finished.saturating_sub(took)),
        finished_on: time(finished),
    }
}

/// RFC 3339, in UTC, whole seconds.
pub(super) fn time(since_1970: Duration) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970).to_string()
}
