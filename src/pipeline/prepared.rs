//! A build that is fully decided and not begun: fetched, patched, with its builder, inputs and name.
//!
//! In: settings and what is wanted. Out: a [`Prepared`], which answers whether the build is there
//! already, and makes the configuration or the whole build if not.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::Context;
use super::doors::KconfigDoor;
use super::inputs::Ingredients;
use crate::artefact::{
    self, Build, BuildId, DiskRequest, Draft, Inputs, Lookup, Manifest, RunDetails, SourceFacts,
    Store,
};
use crate::build::{
    self, BuildError, BuildPlan, Builder, Compiled, CompilerCache, KconfigSolver, Kernels, Shelves,
    Trace,
};
use crate::error::Error;
use crate::kconfig::{
    self, Arch, Base, Card, ConfigRequest, Fragment, KernelConfig, Profiles, Symbol, TreeFacts,
};
use crate::publish;
use crate::report::Reporter;
use crate::settings::Settings;
use crate::source::{self, PatchSet, SourceError, SourceTree, TagQuery};

/// The fragments of the profile, then the user's own.
pub(super) fn wishes(settings: &Settings) -> Result<Vec<Fragment>, Error> {
    let profiles = Profiles::embedded();
    let mut fragments = profiles.fragments(profiles.profile(&settings.profile)?)?;
    for path in &settings.fragments {
        fragments.push(kconfig::read_fragment(path)?);
    }
    Ok(fragments)
}

/// Everything that is known before the first compiler runs.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) tree: SourceTree,
    pub(super) builder: Builder,
    pub(super) inputs: Inputs,
    pub(super) id: BuildId,
    patches: PatchSet,
    profile: String,
    base: Base,
    keep_base: bool,
    fragments: Vec<Fragment>,
    guards: Vec<Fragment>,
    arch: Arch,
    shelves: Arc<Shelves>,
}

/// A build that was made just now.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) build: Build,
    /// What make did meanwhile.
    pub(super) trace: Trace,
}

impl Prepared {
    pub(super) fn new(
        context: &Context,
        settings: &Settings,
        want: Option<TagQuery>,
    ) -> Result<Self, Error> {
        // What is misspelt is said before a minute is spent on a source.
        let fragments = wishes(settings)?;
        let tree = super::fetch_locked(context, settings, want)?;
        let builder = super::builder(context, settings)?;
        let decided = || Self::with(settings, tree, builder, fragments);
        context.reporter.timed("inputs", decided)
    }

    /// Decides everything about a tree that is here, without touching anything.
    pub(super) fn of(
        settings: &Settings,
        tree: SourceTree,
        builder: Builder,
    ) -> Result<Self, Error> {
        Self::with(settings, tree, builder, wishes(settings)?)
    }

    fn with(
        settings: &Settings,
        tree: SourceTree,
        builder: Builder,
        fragments: Vec<Fragment>,
    ) -> Result<Self, Error> {
        let patches = match &settings.patches {
            Some(folder) => PatchSet::read(folder, tree.series())?,
            None => PatchSet::default(),
        };
        let profiles = Profiles::embedded();
        let profile = profiles.profile(&settings.profile)?;
        let base = settings.base.clone().unwrap_or_else(|| profile.base());
        let arch = super::host_arch()?;
        let ingredients = Ingredients {
            tree: &tree,
            patches: &patches,
            base: &base,
            fragments: &fragments,
            builder: &builder,
            arch,
        };
        let inputs = ingredients.inputs()?;
        let id = BuildId::new(&tree.version.to_string(), &settings.profile, &inputs)?;
        Ok(Self {
            guards: profiles.guards(profile)?,
            keep_base: profile.keep_base,
            profile: settings.profile.clone(),
            tree,
            builder,
            inputs,
            id,
            patches,
            base,
            fragments,
            arch,
            shelves: Arc::new(Shelves::new(&settings.shared_cache)),
        })
    }

    /// The build, if it is there; else says what is different from the last one.
    pub(super) fn known(&self, context: &Context, store: &Store) -> Result<Option<Build>, Error> {
        let lookup = self.lookup(store)?;
        let reasons = self.reasons(&lookup);
        match lookup {
            Lookup::Unchanged(build) => {
                // The same name stands for the same inputs, and here for somebody's word about them.
                if build.folder().join(publish::ENTRY).exists() {
                    let note = "this build was fetched, not made here; `wslk verify --rebuild` makes it again";
                    context.reporter.note(note);
                }
                return Ok(Some(*build));
            }
            Lookup::Damaged(_) => context.reporter.warn(reasons.concat()),
            Lookup::First | Lookup::Changed { .. } => {
                reasons
                    .into_iter()
                    .for_each(|reason| context.reporter.note(reason));
            }
        }
        Ok(None)
    }

    /// What the store knows of this build.
    pub(super) fn lookup(&self, store: &Store) -> Result<Lookup, Error> {
        Ok(store.lookup(&self.id, &self.profile, &self.inputs)?)
    }

    /// Why there is something to build, in lines.
    pub(super) fn reasons(&self, lookup: &Lookup) -> Vec<String> {
        match lookup {
            Lookup::Unchanged(_) => Vec::new(),
            Lookup::First => vec![format!("first build of profile {}", self.profile)],
            Lookup::Damaged(error) => vec![format!("building again: {error}")],
            Lookup::Changed { since, changes } => {
                std::iter::once(format!("changed since {since}:"))
                    .chain(changes.iter().map(|change| format!("  {change}")))
                    .collect()
            }
        }
    }

    /// The audited configuration.
    pub(super) fn configure(
        &self,
        context: &Context,
        settings: &Settings,
    ) -> Result<KernelConfig, Error> {
        let (_, config) = self.solved(context, settings)?;
        Ok(config)
    }

    /// The same, and the tree's Kconfig that had its say.
    fn solved(
        &self,
        context: &Context,
        settings: &Settings,
    ) -> Result<(KconfigDoor<'_>, KernelConfig), Error> {
        self.builder.remove_leftovers(&context.reporter)?;
        let tree = self.patched(context, settings)?;
        let (door, request) = self.config_request(context, &tree)?;
        let resolved = || kconfig::resolve(&request, &door, &context.reporter);
        let config = context.reporter.timed("config", resolved);
        self.shelves.tell(&context.reporter);
        Ok((door, config?))
    }

    /// The configuration and what it was made from, whether or not the contract is kept.
    pub(super) fn configured(
        &self,
        context: &Context,
        settings: &Settings,
    ) -> Result<kconfig::Configured, Error> {
        self.builder.remove_leftovers(&context.reporter)?;
        let tree = self.patched(context, settings)?;
        let (door, request) = self.config_request(context, &tree)?;
        let configured = kconfig::configure(&request, &door, &context.reporter);
        self.shelves.tell(&context.reporter);
        Ok(configured?)
    }

    /// What `explain` shows of an option, whether or not the contract is kept.
    pub(super) fn explain(
        &self,
        context: &Context,
        settings: &Settings,
        symbol: &Symbol,
    ) -> Result<Card, Error> {
        let configured = self.configured(context, settings)?;
        let mut fragments = Profiles::embedded().all_fragments()?;
        fragments.extend(self.fragments.iter().cloned());
        Ok(Card::of(symbol, &configured, &fragments)?)
    }

    /// The tree that is built: the fetched one with the patches in.
    fn patched(&self, context: &Context, settings: &Settings) -> Result<SourceTree, Error> {
        let sources = super::sources(context, settings);
        let patched = || source::apply_patches(&self.tree, &self.patches, &sources);
        Ok(context.reporter.timed("patch", patched)?.tree)
    }

    fn config_request(
        &self,
        context: &Context,
        tree: &SourceTree,
    ) -> Result<(KconfigDoor<'_>, ConfigRequest), Error> {
        context.reporter.stage(
            "config",
            format!("{}, profile {}", tree.version, self.profile),
        );
        let id = tree.tree.to_string();
        let key = BuildPlan::key(&id, &self.builder, self.arch);
        let work = context.home.work().join("config").join(key);
        let solver = KconfigSolver::new(&self.builder, &tree.root, work, self.arch);
        let answers = context.home.answers();
        let door = KconfigDoor(solver.with_answers(&id, &answers, Arc::clone(&self.shelves))?);
        let request = ConfigRequest {
            tree: TreeFacts::new(&tree.root, id, tree.series(), self.arch),
            base: self.base.clone(),
            keep_base: self.keep_base,
            fragments: self.fragments.clone(),
            guards: self.guards.clone(),
            index_cache: context.home.indices(),
        };
        Ok((door, request))
    }

    /// The configuration of a tree that is still what was fetched: the compiler reads what lies on the disk now,
    /// not what lay there then. Reading a tree takes as long as configuring it, so they go side by side.
    fn configure_what_is_there(
        &self,
        context: &Context,
        settings: &Settings,
    ) -> Result<KernelConfig, Error> {
        let reporter = &context.reporter;
        thread::scope(|scope| {
            let verified =
                scope.spawn(|| reporter.timed("check of the tree", || self.tree.verify()));
            let solved = self.solved(context, settings);
            match verified.join() {
                Ok(verified) => verified?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            let (door, config) = solved?;
            // With patches, the tree that was asked is not the one that was looked at.
            if self.patches.names().next().is_none() {
                // Without them Kconfig is asked once more, that is all.
                let _lost = door.0.keep_answers();
                self.shelves.tell(reporter);
            }
            Ok(config)
        })
    }

    /// Configures, compiles, packs and publishes.
    pub(super) fn make(
        &self,
        context: &Context,
        settings: &Settings,
        store: &Store,
    ) -> Result<Made, Error> {
        let started = Instant::now();
        let config = self.configure_what_is_there(context, settings)?;
        let tree = self.patched(context, settings)?;
        let plan = self.plan(context, settings, &config, &tree)?;
        context.reporter.stage(
            "build",
            format!("{} in {}", self.id, self.builder.engine().kind()),
        );
        let mut kernels = self.kernels(context, &plan, &tree);
        let compiled = self.compile(&context.reporter, &plan, &tree, kernels.as_mut())?;
        context.reporter.stage("artefacts", self.id.to_string());
        let draft = store.draft(&self.id)?;
        self.fill(context, &draft, &config, &compiled)?;
        if let Some(kernels) = &kernels {
            keep(&context.reporter, kernels, &plan, &compiled);
        }
        let run = self.run_details(&compiled, started);
        let manifest = self.manifest(compiled.release.clone())?;
        let published = || draft.publish(manifest, run);
        let build = context.reporter.timed("publish", published)?;
        self.tell(&context.reporter);
        Ok(Made {
            build,
            trace: compiled.trace,
        })
    }

    /// What became of the servers that were asked.
    fn tell(&self, reporter: &Reporter) {
        self.shelves.tell(reporter);
        for server in self.shelves.stats() {
            reporter.detail(format!("shared cache {server}"));
        }
    }

    fn manifest(&self, release: String) -> Result<Manifest, Error> {
        Ok(Manifest {
            schema: artefact::SCHEMA,
            id: self.id.clone(),
            profile: self.profile.clone(),
            release,
            source: self.source_facts(),
            inputs: self.inputs.clone(),
            tools: self.builder.tools()?,
            outputs: Default::default(),
        })
    }

    fn run_details(&self, compiled: &Compiled, started: Instant) -> RunDetails {
        RunDetails {
            origin: self.tree.origin.clone(),
            engine: self.builder.engine().kind().to_string(),
            image: self.builder.image().map(|image| image.id.clone()),
            seconds: started.elapsed().as_secs_f64(),
            finished: 0,
            cache: compiled.stats.cache.clone(),
            servers: self.shelves.stats(),
            hosts: compiled.stats.hosts.clone(),
            taken: compiled.stats.taken,
        }
    }

    /// The compiler cache's folder, if it is wanted and there is a ccache.
    fn ccache(
        &self,
        context: &Context,
        settings: &Settings,
    ) -> Result<Option<CompilerCache>, Error> {
        if !settings.ccache || !self.builder.tools()?.contains_key("ccache") {
            return Ok(None);
        }
        Ok(Some(CompilerCache {
            folder: context.home.ccache(),
            toolchain: self.builder.toolchain()?,
        }))
    }

    fn plan(
        &self,
        context: &Context,
        settings: &Settings,
        config: &KernelConfig,
        tree: &SourceTree,
    ) -> Result<BuildPlan, Error> {
        let key = BuildPlan::key(&tree.tree.to_string(), &self.builder, self.arch);
        Ok(BuildPlan {
            source: tree.root.clone(),
            config: config.text.clone(),
            localversion: self.id.localversion(),
            work: context.home.work().join(key),
            arch: self.arch,
            jobs: settings.jobs.unwrap_or_else(|| self.builder.cpus()),
            timestamp: BuildPlan::TIMESTAMP.to_owned(),
            ccache: self.ccache(context, settings)?,
            hosts: settings.compile_hosts.clone(),
            silence: settings.silence,
        })
    }

    /// The finished kernels of this tree and these tools; none where nobody knows the tools, or caches are not wanted.
    fn kernels(&self, context: &Context, plan: &BuildPlan, tree: &SourceTree) -> Option<Kernels> {
        let toolchain = plan.ccache.as_ref()?.toolchain?;
        let (folder, id) = (context.home.kernels(), tree.tree.to_string());
        let shelves = Arc::clone(&self.shelves);
        Some(Kernels::new(folder, shelves, id, toolchain))
    }

    /// Compiles what was not compiled before.
    fn compile(
        &self,
        reporter: &Reporter,
        plan: &BuildPlan,
        tree: &SourceTree,
        kernels: Option<&mut Kernels>,
    ) -> Result<Compiled, Error> {
        if let Some(kernels) = kernels {
            let found = reporter.timed("kernels of before", || kernels.find(plan));
            self.shelves.tell(reporter);
            if let Some(found) = found {
                reporter.note("not compiled: a kernel of these very inputs is in the cache; --no-ccache does without");
                return Ok(found);
            }
        }
        let compiled = build::run(plan, &self.builder, &self.shelves, reporter);
        of_this_tree(reporter, tree, &plan.work, compiled)
    }

    fn fill(
        &self,
        context: &Context,
        draft: &Draft,
        config: &KernelConfig,
        compiled: &Compiled,
    ) -> Result<(), Error> {
        context.reporter.timed("copy", || -> Result<(), Error> {
            draft.copy(artefact::KERNEL, &compiled.bzimage)?;
            draft.copy(artefact::SYSTEM_MAP, &compiled.system_map)?;
            draft.copy(artefact::CONFIG, &compiled.config)?;
            draft.write(artefact::BASE_CONFIG, &config.base)?;
            draft.write(artefact::AUDIT, config.audit.to_json())?;
            self.list_packages(draft)
        })?;
        if let Some(modules) = &compiled.modules_dir {
            let request = DiskRequest {
                modules,
                release: &compiled.release,
                time: 0,
                target: &draft.path(artefact::MODULES_DISK),
            };
            let disk = || artefact::write_modules_disk(&request, &self.builder, &context.reporter);
            context.reporter.timed("modules disk", disk)?;
        }
        Ok(())
    }

    /// What the builder image holds is known for certain now, and perhaps never again.
    fn list_packages(&self, draft: &Draft) -> Result<(), Error> {
        let packages = self.builder.packages()?;
        if !packages.is_empty() {
            let text = serde_json::to_string_pretty(&packages).unwrap_or_default();
            draft.write(artefact::PACKAGES, text + "\n")?;
        }
        Ok(())
    }

    fn source_facts(&self) -> SourceFacts {
        SourceFacts {
            tag: self.tree.tag.as_ref().map(ToString::to_string),
            commit: self.tree.commit.as_ref().map(ToString::to_string),
            tree: self.tree.tree.to_string(),
            patches: self
                .patches
                .names()
                .map(|patch| patch.name.clone())
                .collect(),
        }
    }
}

/// What came of compiling a tree, if it still is that tree. Of what was edited meanwhile nobody can tell which objects
/// have it, so none is gone on from.
fn of_this_tree<T>(
    reporter: &Reporter,
    tree: &SourceTree,
    work: &Path,
    compiled: Result<T, BuildError>,
) -> Result<T, Error> {
    let checked = reporter.timed("check of the tree", || tree.verify());
    if let Err(error @ SourceError::Changed { .. }) = checked {
        reporter
            .warn("the sources changed while they were compiled; what came of it is thrown away");
        if let Err(left) = build::forget(work) {
            let left = Error::from(left);
            reporter.warn(format!("it could not all be removed: {}", left.chain()));
        }
        return Err(error.into());
    }
    let compiled = compiled?;
    checked?;
    Ok(compiled)
}

/// Keeps what was compiled now for who wants the very same.
fn keep(reporter: &Reporter, kernels: &Kernels, plan: &BuildPlan, compiled: &Compiled) {
    if compiled.stats.taken.is_some() {
        return;
    }
    let kept = reporter.timed("kernels of before", || kernels.keep(plan, compiled));
    if let Err(error) = kept {
        let said = Error::from(error);
        let said = said.chain();
        reporter.warn(format!("the kernel is not kept for another time: {said}"));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::{KernelVersion, TreeId};

    fn tree(root: &Path) -> SourceTree {
        fs::create_dir(root).expect("a folder");
        let makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\n";
        fs::write(root.join("Makefile"), makefile).expect("written");
        SourceTree {
            root: root.to_owned(),
            tree: TreeId::of_dir(root).expect("a tree"),
            tag: None,
            commit: None,
            tarball: None,
            origin: String::new(),
            version: KernelVersion::from_makefile(makefile).expect("a version"),
        }
    }

    #[test]
    fn what_came_of_an_edited_tree_is_thrown_away() {
        let reporter = Reporter::silent();
        let failed = || {
            let label = "make".to_owned();
            Err(BuildError::Interrupted { label })
        };
        for is_edited in [false, true] {
            for compiled in [Ok(()), failed()] {
                let folder = tempfile::tempdir().expect("a folder");
                let (tree, work) = (
                    tree(&folder.path().join("tree")),
                    folder.path().join("work"),
                );
                fs::create_dir(&work).expect("a folder");
                if is_edited {
                    fs::write(tree.root.join("Makefile"), "none:\n").expect("written");
                }
                let is_good = compiled.is_ok();
                let came = of_this_tree(&reporter, &tree, &work, compiled);
                assert_eq!(came.is_ok(), is_good && !is_edited);
                assert_eq!(work.exists(), !is_edited);
                let is_told = matches!(came, Err(Error::Source(SourceError::Changed { .. })));
                assert_eq!(is_told, is_edited);
            }
        }
    }
}
