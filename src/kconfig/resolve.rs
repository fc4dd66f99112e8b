//! From a request to a configuration that keeps its contract.
//!
//! In: a [`ConfigRequest`] and a [`Solver`]. Out: a [`KernelConfig`]. This is the order of the steps;
//! what each step means stands in its own module.

use std::path::PathBuf;
use std::time::Instant;

use super::audit::{Audit, Evidence, Finding, Verdict};
use super::blame;
use super::explain::{StepKind, explain};
use super::index::SymbolIndex;
use super::merge::{self, Merged, Skipped, Symbols};
use super::release;
use super::{Arch, Base, ConfigFile, ConfigRequest, Fragment, KconfigError, KernelConfig, Request};
use super::{Solver, Symbol, SymbolType, TreeFacts, Value};
use crate::digest::Sha256;
use crate::files;
use crate::report::Reporter;

/// Makes the configuration that `request` asks for; it keeps its contract.
///
/// # Errors
/// [`KconfigError::Contract`] carries the whole audit; the other variants mean that no configuration
/// was made.
pub fn resolve(
    request: &ConfigRequest,
    solver: &dyn Solver,
    reporter: &Reporter,
) -> Result<KernelConfig, KconfigError> {
    let config = configure(request, solver, reporter)?.config;
    if config.audit.passed() {
        Ok(config)
    } else {
        Err(KconfigError::Contract(Box::new(config.audit)))
    }
}

/// A configuration that was made and audited, and what it was made from.
#[derive(Debug)]
pub struct Configured {
    /// The configuration; its audit says whether the contract is kept.
    pub config: KernelConfig,
    /// The base.
    pub base: ConfigFile,
    /// The final configuration, read.
    pub result: ConfigFile,
    /// What was asked for.
    pub requests: Vec<Request>,
    /// The options of the tree.
    pub index: SymbolIndex,
}

/// Makes the configuration that `request` asks for and audits it, whatever comes out.
pub fn configure(
    request: &ConfigRequest,
    solver: &dyn Solver,
    reporter: &Reporter,
) -> Result<Configured, KconfigError> {
    let tree = &request.tree;
    let base = reporter.timed("config: base", || read_base(request, solver))?;
    let started = Instant::now();
    let Prepared {
        index,
        merged,
        solved,
    } = prepare(request, &base, solver, reporter)?;
    index
        .unread()
        .iter()
        .for_each(|file| reporter.warn(format!("Kconfig: {file}")));
    let result = parsed("the final configuration", &solved)?;
    let seconds = started.elapsed().as_secs_f64();
    reporter.detail(format!(
        "olddefconfig done and {} options read in {seconds:.2} s",
        index.len()
    ));

    let started = Instant::now();
    let mut skipped = merged.skipped.clone();
    let guards = guards(&request.guards, tree, &index, &mut skipped)?;
    let keep_base = request.keep_base;
    let evidence = Evidence {
        base: &base,
        keep_base,
        merged: &merged,
        guards: &guards,
        result: &result,
    };
    let mut audit = examine(&evidence, tree, &index);
    audit.skipped = skipped;
    reporter.detail(format!(
        "audited in {:.2} s",
        started.elapsed().as_secs_f64()
    ));
    let Merged {
        origins, requests, ..
    } = merged;
    let config = KernelConfig {
        digest: Sha256::of(&solved),
        text: solved,
        base: base.text().to_owned(),
        audit,
        origins,
    };
    Ok(Configured {
        config,
        base,
        result,
        requests,
        index,
    })
}

/// The base configuration of `request`, checked to be for its architecture.
fn read_base(request: &ConfigRequest, solver: &dyn Solver) -> Result<ConfigFile, KconfigError> {
    let base = match &request.base {
        Base::Target(target) => parsed(target, &solver.base(target)?)?,
        Base::File(path) => parsed(&path.display().to_string(), &files::read(path)?)?,
        Base::Own => own_base(&request.tree)?,
    };
    match arch_of(&base) {
        Some(found) if found != request.tree.arch => Err(KconfigError::OtherArch {
            file: base.name().to_owned(),
            found,
            wanted: request.tree.arch,
        }),
        _ => Ok(base),
    }
}

/// The folder below `arch/` first: the older place may hold a link that became a text file on Windows.
fn own_base(tree: &TreeFacts) -> Result<ConfigFile, KconfigError> {
    let name = match tree.arch {
        Arch::X86 => "config-wsl",
        Arch::Arm64 => "config-wsl-arm64",
    };
    let places = [
        format!("arch/{}/configs/{name}", tree.arch),
        format!("Microsoft/{name}"),
    ];
    for place in &places {
        if let Some(text) = files::read_if_there(&tree.root.join(PathBuf::from(place)))? {
            return parsed(place, &text);
        }
    }
    Err(KconfigError::NoOwnConfig(places.to_vec()))
}

fn parsed(name: &str, text: &str) -> Result<ConfigFile, KconfigError> {
    ConfigFile::parse(name, text).map_err(|error| KconfigError::Input(Box::new(error)))
}

/// The architecture that a configuration is for, where it says so.
fn arch_of(config: &ConfigFile) -> Option<Arch> {
    Arch::ALL
        .into_iter()
        .find(|arch| config.value(arch.symbol()) == Some(&Value::Yes))
}

struct Prepared {
    index: SymbolIndex,
    merged: Merged,
    solved: String,
}

/// Merges, has the tree's own tool work, and gets the tree's options. The first time these take
/// seconds to read, so that both are done at once, and requests are checked afterwards.
fn prepare(
    request: &ConfigRequest,
    base: &ConfigFile,
    solver: &dyn Solver,
    reporter: &Reporter,
) -> Result<Prepared, KconfigError> {
    let tree = &request.tree;
    let solve = |text: &str| reporter.timed("config: olddefconfig", || solver.olddefconfig(text));
    let cached = || SymbolIndex::cached(tree, &request.index_cache);
    if let Some(index) = reporter.timed("config: options", cached) {
        let merged = merged(request, base, &index)?;
        let solved = solve(&merged.text)?;
        return Ok(Prepared {
            index,
            merged,
            solved,
        });
    }
    let blind = merged(request, base, &Anything)?;
    let (index, solved) = std::thread::scope(|scope| {
        let read = || SymbolIndex::of(tree, &request.index_cache);
        let index = scope.spawn(move || reporter.timed("config: options", read));
        let solved = solve(&blind.text);
        (index.join(), solved)
    });
    let index = index.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let merged = merged(request, base, &index)?;
    Ok(Prepared {
        index,
        merged,
        solved: solved?,
    })
}

/// Base and fragments, with the release's middle part on top.
fn merged(
    request: &ConfigRequest,
    base: &ConfigFile,
    symbols: &dyn Symbols,
) -> Result<Merged, KconfigError> {
    let (mut requests, skipped) = merge::collect(&request.fragments, &request.tree, symbols)?;
    release::add(&mut requests, base)?;
    Ok(merge::lay_over(base, requests, skipped))
}

/// A tree of which nothing is known yet: whatever is asked for may be there.
struct Anything;

impl Symbols for Anything {
    fn has(&self, _: &Symbol) -> bool {
        true
    }

    fn symbol_type(&self, _: &Symbol) -> Option<SymbolType> {
        None
    }

    fn nearest(&self, _: &Symbol) -> Vec<Symbol> {
        Vec::new()
    }
}

fn guards(
    fragments: &[Fragment],
    tree: &TreeFacts,
    symbols: &dyn Symbols,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Request>, KconfigError> {
    let mut guards = Vec::new();
    for fragment in fragments {
        guards.extend(
            merge::meant_for(fragment, tree, symbols, skipped)?
                .into_iter()
                .cloned(),
        );
    }
    Ok(guards)
}

/// Compares, then explains what is amiss.
pub fn examine(evidence: &Evidence<'_>, tree: &TreeFacts, index: &SymbolIndex) -> Audit {
    let settable = |symbol: &Symbol| {
        index
            .entry(symbol.as_str())
            .is_some_and(|entry| entry.has_prompt() || entry.is_unread())
    };
    let mut audit = Audit {
        schema: Audit::SCHEMA.to_owned(),
        tree: tree.id.clone(),
        series: tree.series.to_string(),
        arch: tree.arch,
        base: evidence.base.name().to_owned(),
        keep_base: evidence.keep_base,
        requested: evidence.requested(),
        guarded: evidence.guarded(),
        lost: evidence.lost(index, &settable),
        skipped: Vec::new(),
        base_options: evidence.base.settings().len(),
        unread: index.unread().to_vec(),
    };
    for finding in audit.unexplained() {
        let why = explain(
            &finding.request.symbol,
            &finding.request.value,
            index,
            evidence.result,
        );
        finding.why = Some(blame::named(
            why,
            &finding.request,
            &evidence.merged.requests,
        ));
        if finding.verdict == Verdict::Lost {
            finding.verdict = second_look(finding, evidence);
        }
    }
    audit
}

/// A loss that has a reason outside of what the base could know, or that a fragment asked for.
fn second_look(finding: &Finding, evidence: &Evidence<'_>) -> Verdict {
    let Some(why) = &finding.why else {
        return finding.verdict;
    };
    let asked = |name: &str| {
        evidence
            .merged
            .requests
            .iter()
            .any(|request| request.symbol.as_str() == name)
    };
    let rival = why
        .steps
        .iter()
        .any(|step| step.depth == 0 && step.kind == StepKind::Choice);
    if rival && why.direct().any(asked) {
        return Verdict::Overruled;
    }
    // A file that kbuild wrote names every option that was visible: what it does not name, and what
    // the lost option now depends on, came with another kernel.
    let complete = evidence.base.value("CC_VERSION_TEXT").is_some();
    let new = |name: &str| evidence.base.value(name).is_none() && !asked(name);
    if complete && why.direct().next().is_some() && why.direct().all(new) {
        return Verdict::NewDependency;
    }
    Verdict::Lost
}
