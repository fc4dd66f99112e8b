//! The kconfig stage on a real kernel tree: `WSLK_TEST_TREE=/path/to/linux`, 6.1 or newer. Microsoft's
//! configurations are taken from `WSLK_TEST_CONFIGS`, or from beside the checkout. Skipped, and said so,
//! where what a test needs is missing. Kconfig asks this machine's tools: without pahole, and for 6.6 the
//! headers of GCC's plugins, it drops options of Microsoft's.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wslk::exec::{Cmd, Duct, Runner as _};
use wslk::files;
use wslk::kconfig::explain::View;
use wslk::kconfig::symbol::Tristate;
use wslk::kconfig::{
    Arch, Audit, Base, Card, ConfigFile, ConfigRequest, Fragment, KconfigError, Profiles, Solver,
    SolverError, SymbolIndex, SymbolType, TreeFacts, Value, Verdict, configure, resolve,
};
use wslk::process::env_var;
use wslk::report::Reporter;
use wslk::source::KernelVersion;

/// The tree's own tool on this very machine; slow programs of the tree are built once per folder.
#[derive(Debug)]
struct Host {
    tree: PathBuf,
    work: tempfile::TempDir,
}

impl Host {
    fn make(&self, target: &str) -> Result<String, SolverError> {
        let work = self.work.path();
        let cmd = Cmd::new("make")
            .args(["-s", "ARCH=x86_64", target, "-C"])
            .arg(&self.tree)
            .arg(format!("O={}", work.display()))
            .total(Duration::from_secs(600));
        Duct::default()
            .run(&cmd)
            .map_err(|error| SolverError(Box::new(error)))?;
        files::read(&work.join(".config")).map_err(|error| SolverError(Box::new(error)))
    }
}

impl Solver for Host {
    fn base(&self, target: &str) -> Result<String, SolverError> {
        self.make(target)
    }

    fn olddefconfig(&self, merged: &str) -> Result<String, SolverError> {
        files::replace(&self.work.path().join(".config"), merged)
            .map_err(|error| SolverError(Box::new(error)))?;
        self.make("olddefconfig")
    }
}

struct Yard {
    host: Host,
    facts: TreeFacts,
    cache: tempfile::TempDir,
    /// Microsoft's configuration, where it is.
    base: Option<PathBuf>,
}

impl Yard {
    fn request(&self, fragments: Vec<Fragment>) -> ConfigRequest {
        ConfigRequest {
            tree: self.facts.clone(),
            base: self
                .base
                .clone()
                .map_or_else(|| Base::Target("defconfig".to_owned()), Base::File),
            keep_base: true,
            fragments,
            guards: Vec::new(),
            index_cache: self.cache.path().to_owned(),
        }
    }

    fn base_text(&self) -> String {
        self.base.as_deref().map_or_else(
            || self.host.base("defconfig").expect("a configuration"),
            |base| files::read(base).expect("a base"),
        )
    }

    fn profile(&self, name: &str) -> ConfigRequest {
        let profiles = Profiles::embedded();
        let profile = profiles.profile(name).expect("embedded");
        let mut request = self.request(profiles.fragments(profile).expect("fragments"));
        request.guards = profiles.guards(profile).expect("guards");
        request.keep_base = profile.keep_base;
        if let Base::Target(target) = profile.base() {
            request.base = Base::Target(target);
        }
        request
    }
}

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

fn configs() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/wsl-configs");
    let folder = env_var("WSLK_TEST_CONFIGS").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        say(&format!(
            "SKIPPED: what needs Microsoft's configurations; none in {}",
            folder.display()
        ));
        return None;
    }
    Some(folder)
}

fn microsofts_yard() -> Option<Yard> {
    configs()?;
    yard()
}

fn yard() -> Option<Yard> {
    let base = configs().map(|folder| folder.join("config-wsl-6.1.21.2"));
    let Some(tree) = env_var("WSLK_TEST_TREE").map(PathBuf::from) else {
        say("SKIPPED: WSLK_TEST_TREE names no kernel tree");
        return None;
    };
    let version = KernelVersion::of_tree(&tree).expect("a kernel tree");
    Some(Yard {
        facts: TreeFacts::new(&tree, "tree", version.series(), Arch::X86),
        host: Host {
            tree,
            work: tempfile::tempdir().expect("a folder"),
        },
        cache: tempfile::tempdir().expect("a folder"),
        base,
    })
}

fn fragment(text: &str) -> Fragment {
    Fragment::parse("mine.config", text).expect("a fragment")
}

#[test]
fn microsofts_configurations_are_read_whole() {
    let Some(folder) = configs() else { return };
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !name.starts_with("config-wsl") || name.ends_with(".excerpt") {
            continue;
        }
        let text = files::read(&path).expect("text");
        let started = Instant::now();
        let config = ConfigFile::parse(&name, &text).expect(&name);
        say(&format!(
            "{name}: {} options in {:?}",
            config.settings().len(),
            started.elapsed()
        ));
        let lines = text
            .lines()
            .filter(|l| l.starts_with("CONFIG_") || l.ends_with(" is not set"))
            .count();
        assert_eq!(config.settings().len(), lines, "{name}");
    }
}

#[test]
fn the_criu_profile_keeps_its_contract() {
    let Some(yard) = microsofts_yard() else {
        return;
    };
    let request = yard.profile("criu");
    for run in ["first", "cached"] {
        let started = Instant::now();
        let config = match resolve(&request, &yard.host, &Reporter::silent()) {
            Ok(config) => config,
            Err(error) => panic!("{error}"),
        };
        say(&format!(
            "{run}: {:?}\n{}",
            started.elapsed(),
            config.audit.render()
        ));
        assert!(
            config
                .text
                .contains("CONFIG_LOCALVERSION=\"-microsoft-standard-WSL2\"\n")
        );
        let json = config.audit.to_json();
        let read = Audit::from_json(Path::new("audit.json"), &json).expect("json");
        assert_eq!(read.to_json(), json);
    }
}

/// On a tree of Microsoft's, nothing at all may be lost, known or not.
#[test]
fn a_tree_with_its_own_configuration_loses_nothing() {
    let Some(yard) = microsofts_yard() else {
        return;
    };
    let request = ConfigRequest {
        base: Base::Own,
        ..yard.profile("criu")
    };
    if !yard.host.tree.join("arch/x86/configs/config-wsl").exists() {
        say("skipped: the tree has no configuration of its own");
        let error = resolve(&request, &yard.host, &Reporter::silent()).expect_err("no base");
        return assert!(matches!(error, KconfigError::NoOwnConfig(_)), "{error}");
    }
    let config = match resolve(&request, &yard.host, &Reporter::silent()) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    };
    say(&config.audit.render());
    assert_eq!(config.audit.warnings().count(), 0);
}

#[test]
fn the_tiny_profile_keeps_its_contract() {
    let Some(yard) = yard() else { return };
    match resolve(&yard.profile("tiny"), &yard.host, &Reporter::silent()) {
        Ok(config) => say(&config.audit.render()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_broken_contract_says_why() {
    let Some(yard) = microsofts_yard() else {
        return;
    };
    let text = "CONFIG_PACKET_DIAG=y\n# CONFIG_PACKET is not set\n# CONFIG_KCMP is not set\nCONFIG_HZ_250=y\n";
    let error = resolve(
        &yard.request(vec![fragment(text)]),
        &yard.host,
        &Reporter::silent(),
    );
    let Err(KconfigError::Contract(audit)) = error else {
        panic!("must break the contract")
    };
    say(&audit.render());
    let why = |name: &str| {
        let mut findings = audit
            .findings()
            .filter(|finding| finding.request.symbol.as_str() == name);
        findings
            .find_map(|finding| finding.why.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    assert!(
        why("PACKET_DIAG").contains("it depends on PACKET, which is n"),
        "{}",
        why("PACKET_DIAG")
    );
    assert!(
        why("PACKET_DIAG").contains("set CONFIG_PACKET=y"),
        "{}",
        why("PACKET_DIAG")
    );
    assert!(
        why("KCMP").contains("it is selected by CHECKPOINT_RESTORE"),
        "{}",
        why("KCMP")
    );
    let hz = audit
        .lost
        .iter()
        .find(|finding| finding.request.symbol.as_str() == "HZ_100");
    assert_eq!(hz.map(|finding| finding.verdict), Some(Verdict::Overruled));
}

#[test]
fn bad_fragments_are_refused_before_anything_else() {
    let Some(yard) = yard() else { return };
    let text = "CONFIG_CHEKPOINT_RESTORE=y\nCONFIG_UNIX_DIAG=\"y\"\n";
    let error = resolve(
        &yard.request(vec![fragment(text)]),
        &yard.host,
        &Reporter::silent(),
    );
    let Err(KconfigError::Input(error)) = error else {
        panic!("must be refused")
    };
    say(&error.drawn());
    assert_eq!(
        error.hint(),
        "did you mean CONFIG_CHECKPOINT_RESTORE?\nit takes y, m or n"
    );
}

#[test]
fn a_card_tells_all() {
    let Some(yard) = microsofts_yard() else {
        return;
    };
    let configured =
        configure(&yard.profile("criu"), &yard.host, &Reporter::silent()).expect("configured");
    let fragments = Profiles::embedded().all_fragments().expect("fragments");
    for name in [
        "UNIX_DIAG",
        "KCMP",
        "PAGE_TABLE_CHECK",
        "DEBUG_INFO_BTF",
        "HZ_250",
        "NR_CPUS",
        "X86_SGX",
    ] {
        let card =
            Card::of(&name.parse().expect("a name"), &configured, &fragments).expect("a card");
        say(&card.render());
    }
}

/// The figures behind the budgets: merge and audit 0.1 s, the reasons of all misses 3 s the first time
/// and 0.3 s from the cached index. Only told, since a busy machine proves nothing.
#[test]
fn the_time_of_each_step() {
    let Some(yard) = microsofts_yard() else {
        return;
    };
    let solved = yard.host.olddefconfig(&yard.base_text()).expect("solved");
    let solver = Recorded(solved);
    let text = "CONFIG_PACKET_DIAG=y\n# CONFIG_PACKET is not set\n# CONFIG_KCMP is not set\nCONFIG_HZ_250=y\n";
    let missing = yard.request(vec![fragment(text)]);
    for (what, request) in [("all met", yard.profile("criu")), ("with misses", missing)] {
        for run in ["first", "cached", "cached"] {
            let started = Instant::now();
            let configured = configure(&request, &solver, &Reporter::silent()).expect("configured");
            let failures = configured.config.audit.failures().count();
            say(&format!(
                "{what}, {run}: {:?}, {failures} explained",
                started.elapsed()
            ));
        }
        std::fs::remove_dir_all(yard.cache.path()).expect("removed");
    }
}

/// A tool that has answered before.
struct Recorded(String);

impl Solver for Recorded {
    fn base(&self, _: &str) -> Result<String, SolverError> {
        Ok(self.0.clone())
    }

    fn olddefconfig(&self, _: &str) -> Result<String, SolverError> {
        Ok(self.0.clone())
    }
}

/// Our reading of dependencies against the real tool's, for every option of the tree: what we hold to
/// be visible must have a line, and what we hold to be hidden must not be set but by others.
#[test]
fn visibility_agrees_with_the_trees_own_tool() {
    let Some(yard) = yard() else { return };
    let index = SymbolIndex::read(&yard.facts).expect("the tree's options");
    assert_eq!(index.unread(), [] as [&str; 0]);
    for text in [
        yard.host.olddefconfig(&yard.base_text()),
        yard.host.base("tinyconfig"),
        yard.host.base("allyesconfig"),
    ] {
        let text = text.expect("a configuration");
        let config = ConfigFile::parse("result", &text).expect("a configuration");
        let wrong = disagreements(&index, &config);
        say(&format!(
            "{} options, {} lines, disagreements: {wrong:#?}",
            index.len(),
            config.settings().len()
        ));
        assert_eq!(wrong, [] as [String; 0]);
    }
}

fn disagreements(index: &SymbolIndex, config: &ConfigFile) -> Vec<String> {
    let view = View::new(index, config);
    let mut wrong = Vec::new();
    for name in index.names() {
        let entry = index.entry(name).expect("listed");
        let three = matches!(
            entry.symbol_type,
            Some(SymbolType::Bool | SymbolType::Tristate)
        );
        let (Some(visible), true) = (view.visible(&entry), three) else {
            continue;
        };
        let value = config.value(name);
        let found = value.and_then(Value::tristate).unwrap_or(Tristate::No);
        if visible > Tristate::No && value.is_none() {
            wrong.push(format!("{name}: visible up to {visible}, and has no line"));
        }
        let pulled = entry
            .selected_by
            .iter()
            .map(|selector| view.pull(selector))
            .max()
            .unwrap_or(Tristate::No);
        let by_default = entry.definitions.iter().any(|d| !d.defaults.is_empty())
            || !entry.implied_by.is_empty();
        let most = visible.max(pulled);
        let promoted = most == Tristate::Module
            && found == Tristate::Yes
            && entry.symbol_type == Some(SymbolType::Bool);
        if found > most && !by_default && !promoted {
            wrong.push(format!(
                "{name}: visible up to {visible}, selected up to {pulled}, and is {found}"
            ));
        }
    }
    wrong
}
