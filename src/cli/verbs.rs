//! The verbs: each calls the pipeline once and shows what came of it.

use clap::CommandFactory as _;
use serde::Serialize;

use super::args::{
    BootArgs, BuildArgs, Cli, CompletionsArgs, ConfigArgs, ExplainArgs, FetchArgs, TagsArgs,
    overrides,
};
use super::table::table;
use super::{Session, outlook, output, proof};
use crate::artefact::{BuildId, BuildRef};
use crate::boot::BootReport;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::pipeline::{self, Controlled, Extras, Goal};
use crate::settings::{Overrides, Settings};
use crate::smoke::{Comparison, Tampered, TamperedRow, Worth};
use crate::source::{RemoteTag, SourceTree};

pub(super) fn tags(session: &Session<'_>, args: TagsArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Tags {
        tags: Vec<Row>,
    }
    #[derive(Serialize)]
    struct Row {
        tag: String,
        version: String,
        series: String,
        commit: String,
    }
    let settings = session.settings(overrides!(args.source))?;
    let tags = pipeline::tags(&session.context, &settings, args.series.as_ref())?;
    let line = |tag: &RemoteTag| vec![tag.name.clone(), tag.commit.to_string()];
    let row = |tag: &RemoteTag| Row {
        tag: tag.name.clone(),
        version: tag.tag.version().to_string(),
        series: tag.tag.series().to_string(),
        commit: tag.commit.to_string(),
    };
    let text = table(&tags.iter().map(line).collect::<Vec<_>>());
    session.output.answer(
        "tags",
        &Tags {
            tags: tags.iter().map(row).collect(),
        },
        &text,
    );
    Ok(())
}

/// Shows what a run would do, if that is all that is wanted.
fn only_looked(session: &Session<'_>, settings: &Settings, goal: &Goal) -> Result<bool, Error> {
    if !session.global.dry_run {
        return Ok(false);
    }
    let steps = pipeline::outlook(&session.context, settings, goal)?;
    outlook::show(session, &steps, None);
    Ok(true)
}

#[derive(Serialize)]
struct Tree {
    tree: String,
    root: String,
    version: String,
    tag: Option<String>,
    commit: Option<String>,
    origin: String,
}

impl From<&SourceTree> for Tree {
    fn from(tree: &SourceTree) -> Self {
        Self {
            tree: tree.tree.to_string(),
            root: tree.root.display().to_string(),
            version: tree.version.to_string(),
            tag: tree.tag.as_ref().map(ToString::to_string),
            commit: tree.commit.as_ref().map(ToString::to_string),
            origin: tree.origin.clone(),
        }
    }
}

pub(super) fn fetch(session: &Session<'_>, args: FetchArgs) -> Result<(), Error> {
    let settings = session.settings(overrides!(args.source))?;
    if only_looked(session, &settings, &Goal::Fetch(args.tag))? {
        return Ok(());
    }
    let tree = Tree::from(&pipeline::fetch(&session.context, &settings, args.tag)?);
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut rows = vec![row("version", &tree.version), row("tree", &tree.tree)];
    rows.extend(tree.tag.as_deref().map(|tag| row("tag", tag)));
    rows.extend(tree.commit.as_deref().map(|commit| row("commit", commit)));
    rows.extend([row("origin", &tree.origin), row("path", &tree.root)]);
    session.output.answer("fetch", &tree, &table(&rows));
    Ok(())
}

pub(super) fn config(session: &Session<'_>, args: ConfigArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Config<'a> {
        tree: Tree,
        sha256: String,
        audit: &'a crate::kconfig::Audit,
    }
    let settings = session.settings(overrides!(args.kernel))?;
    if only_looked(session, &settings, &Goal::Config(args.tag))? {
        return Ok(());
    }
    let configured = pipeline::configure(&session.context, &settings, args.tag)?;
    if let Some(path) = &args.output {
        files::replace(path, &configured.config.text)?;
    }
    let audit = &configured.config.audit;
    let body = Config {
        tree: Tree::from(&configured.tree),
        sha256: configured.config.digest.to_string(),
        audit,
    };
    session.output.answer("config", &body, &audit.render());
    Ok(())
}

pub(super) fn explain(session: &Session<'_>, args: ExplainArgs) -> Result<(), Error> {
    let settings = session.settings(overrides!(args.kernel))?;
    if only_looked(session, &settings, &Goal::Config(args.tag))? {
        return Ok(());
    }
    let answer = pipeline::explain(&session.context, &settings, args.tag, &args.symbol)?;
    session.output.answer("explain", &answer, &answer.render());
    Ok(())
}

pub(super) fn build(session: &Session<'_>, args: BuildArgs) -> Result<(), Error> {
    let settings = session.settings(overrides!(args.kernel, args.guest))?;
    let extras = Extras {
        boot: !args.no_boot,
        timings: args.timings,
    };
    let goal = Goal::Build {
        want: args.tag,
        extras,
    };
    if only_looked(session, &settings, &goal)? {
        return Ok(());
    }
    let built = pipeline::build(&session.context, &settings, args.tag, extras)?;
    let mut proof = proof::Proof::new(&built.build, built.fresh, built.report.as_ref())?;
    proof.timings = built.timings.as_ref();
    let done = if built.fresh {
        "built"
    } else {
        "nothing to build: unchanged"
    };
    session.output.answer("build", &proof, &proof.text(done));
    Ok(())
}

pub(super) fn boot(session: &Session<'_>, args: BootArgs) -> Result<Exit, Error> {
    let settings = session.settings(overrides!(args.engine, args.guest))?;
    if only_looked(session, &settings, &Goal::Boot(args.build.clone()))? {
        return Ok(Exit::Done);
    }
    if let Some(control) = &args.control {
        let found = pipeline::boot_with_control(&session.context, &settings, &args.build, control)?;
        return show_controlled(session, found);
    }
    if args.tamper {
        return show_tampered(session, &settings, &args.build);
    }
    let (build, report) = pipeline::boot(&session.context, &settings, &args.build)?;
    let proof = proof::Proof::new(&build, false, Some(&report))?;
    session
        .output
        .answer("boot", &proof, &proof.text("boot-tested"));
    Ok(Exit::Done)
}

/// Characters of a reason on the screen; the document has all of it.
const REASON: usize = 80;

/// The beginning of a text that is too long for its place.
fn brief(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What the checks are worth. One that is blind is our fault, not the kernel's.
fn show_tampered(
    session: &Session<'_>,
    settings: &Settings,
    name: &BuildRef,
) -> Result<Exit, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        build: &'a BuildId,
        #[serde(flatten)]
        tampered: &'a Tampered,
    }
    let (build, tampered) = pipeline::boot_tampered(&session.context, settings, name)?;
    let head = ["tampered with", "its check", "by"].map(str::to_owned);
    let row = |row: &TamperedRow| {
        let reason = row.reason.as_deref().unwrap_or_default();
        let reason = brief(reason, REASON);
        vec![row.name.clone(), row.notice.to_string(), reason]
    };
    let rows = std::iter::once(head.to_vec()).chain(tampered.rows.iter().map(row));
    let rows = table(&rows.collect::<Vec<_>>());
    let text = format!("{}\n\n{rows}\n{}\n", build.id(), tampered.conclusion);
    let answer = Answer {
        build: build.id(),
        tampered: &tampered,
    };
    session.output.answer("boot", &answer, &text);
    Ok(match tampered.worth() {
        Worth::Proved => Exit::Done,
        Worth::Blind => Exit::Bug,
        Worth::Unknown => Exit::CannotTest,
    })
}

/// The comparison is the answer, also where the kernel in question failed.
fn show_controlled(session: &Session<'_>, found: Controlled) -> Result<Exit, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(flatten)]
        proof: &'a proof::Proof<'a>,
        control: Beside<'a>,
    }
    #[derive(Serialize)]
    struct Beside<'a> {
        build: &'a BuildId,
        boot: &'a BootReport,
        #[serde(flatten)]
        comparison: &'a Comparison,
    }
    let proof = proof::Proof::new(&found.build, false, Some(&found.report))?;
    let text = proof.compared(found.control.id(), &found.comparison);
    let answer = Answer {
        proof: &proof,
        control: Beside {
            build: found.control.id(),
            boot: &found.control_report,
            comparison: &found.comparison,
        },
    };
    session.output.answer("boot", &answer, &text);
    match found.report.passed() {
        true => Ok(Exit::Done),
        false => Ok(Error::KernelFailed(Box::new(found.report)).exit()),
    }
}

pub(super) fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wslk", &mut script);
    output::print(&String::from_utf8_lossy(&script));
}
