//! The contract of the running kernel: what CRIU needs, against the configuration or what can be seen of it.
//!
//! In: a [`Machine`]. Out: a [`Contract`]: what is there, what is lost and for whom, what nobody can tell. Must
//! not know CRIU's version or the session; they have checks of their own.

use serde::Serialize;

use super::machine::{KernelConfig, Machine};
use crate::kconfig::{Arch, ConfigFile, Fragment, Profiles, Request, TreeFacts, Value};
use crate::source::Series;
use crate::wsl::host::Wsl;

/// Options without which CRIU stops, or cannot dump an ordinary process. Whatever else the fragment asks for
/// is needed by some processes, and the fragment says by which.
const ESSENTIAL: &[&str] = &[
    "CHECKPOINT_RESTORE",
    "KCMP",
    "PROC_CHILDREN",
    "PROC_PAGE_MONITOR",
    "NAMESPACES",
    "PID_NS",
    "FHANDLE",
    "EVENTFD",
    "EPOLL",
    "SIGNALFD",
    "TIMERFD",
    "INOTIFY_USER",
    "UNIX_DIAG",
    "INET_DIAG",
    "INET_TCP_DIAG",
    "INET_UDP_DIAG",
    "NETLINK_DIAG",
    "RSEQ",
    "MEMFD_CREATE",
    "SHMEM",
    "UNIX98_PTYS",
];
/// Asked for when a kernel is built, and nothing that CRIU misses in one that runs: what opens prompts, and
/// what other tools want.
const NO_LOSS: &[&str] = &[
    "EXPERT",
    "NETFILTER_ADVANCED",
    "NETFILTER_XTABLES_LEGACY",
    "IP_NF_IPTABLES_LEGACY",
    "IP6_NF_IPTABLES_LEGACY",
    "AUDIT",
    "INET_DIAG_DESTROY",
];

/// So many needs are named.
const NAMED: usize = 5;

/// How the running kernel stands to what CRIU needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// It has everything.
    Enough,
    /// Ordinary processes can be dumped and restored; some kinds cannot.
    EnoughForMost,
    /// CRIU does not work.
    Lacking,
    /// It cannot be seen.
    Unknown,
}

/// An option that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub option: String,
    pub needed_by: String,
    /// It is a module, and there is nothing to load it from.
    pub module: bool,
}

/// What became of each option of the contract.
#[derive(Debug, Default)]
pub(super) struct Contract {
    /// How many are there.
    pub kept: usize,
    /// How many of those are modules that can be loaded.
    pub as_modules: usize,
    /// Essential and not there.
    pub broken: Vec<Loss>,
    /// Not there, and needed by some.
    pub lost: Vec<Loss>,
    /// Nobody can tell.
    pub unseen: Vec<String>,
    /// The configuration file, where there is one to go by.
    pub from: Option<String>,
}

/// What one option is in the running kernel.
enum Found {
    BuiltIn,
    Loadable,
    /// A module without a place to load it from.
    Stranded,
    Missing,
    Unseen,
}

impl Contract {
    pub(super) fn of(machine: &Machine) -> Self {
        let mut contract = Self::default();
        if machine.wsl == Wsl::One {
            return contract;
        }
        let config = match &machine.config {
            KernelConfig::Known { from, text } => ConfigFile::parse(from, text).ok(),
            KernelConfig::Hidden(_) => None,
        };
        contract.from = config.as_ref().map(|config| config.name().to_owned());
        for request in requests(machine, config.as_ref()) {
            let option = request.symbol.as_str();
            let found = match &config {
                Some(config) => match configured(config.value(option), machine.modules.listed) {
                    // Wherever it came from, it answers.
                    Found::Stranded if machine.has_trace(option) => Found::Loadable,
                    // The machine's modules are not in the container.
                    Found::Stranded if machine.container.is_some() => Found::Unseen,
                    found => found,
                },
                None => traced(machine, option),
            };
            contract.add(&request, &found);
        }
        contract
    }

    fn add(&mut self, request: &Request, found: &Found) {
        let option = request.symbol.as_str();
        let module = match found {
            Found::BuiltIn | Found::Loadable => {
                self.kept += 1;
                self.as_modules += usize::from(matches!(found, Found::Loadable));
                return;
            }
            Found::Unseen => return self.unseen.push(option.to_owned()),
            Found::Stranded => true,
            Found::Missing => false,
        };
        let loss = Loss {
            option: option.to_owned(),
            needed_by: request.needed_by.clone(),
            module,
        };
        match ESSENTIAL.contains(&option) {
            true => self.broken.push(loss),
            false => self.lost.push(loss),
        }
    }

    pub(super) fn stand(&self) -> Stand {
        match () {
            () if !self.broken.is_empty() => Stand::Lacking,
            () if self.kept == 0 => Stand::Unknown,
            () if !self.lost.is_empty() => Stand::EnoughForMost,
            () => Stand::Enough,
        }
    }
}

impl Loss {
    /// `UNIX_DIAG (a module, and no modules are there)`
    pub(super) fn text(&self) -> String {
        match self.module {
            true => format!("{} (a module)", self.option),
            false => self.option.clone(),
        }
    }
}

/// Who loses what: `dump of raw sockets (INET_RAW_DIAG)`, one clause per need; a long list is cut.
pub(super) fn needs(losses: &[Loss]) -> String {
    let mut needs: Vec<(&str, Vec<&str>)> = Vec::new();
    for loss in losses {
        // The first clause says it; behind it come examples and `criu check`'s names.
        let end = loss
            .needed_by
            .find([';', '('])
            .unwrap_or(loss.needed_by.len());
        let need = loss.needed_by[..end].trim();
        match needs.iter_mut().find(|(known, _)| *known == need) {
            Some((_, options)) => options.push(&loss.option),
            None => needs.push((need, vec![&loss.option])),
        }
    }
    let clause = |(need, options): (&str, Vec<&str>)| format!("{need} ({})", options.join(", "));
    let more = needs.len().saturating_sub(NAMED);
    let mut clauses: Vec<String> = needs.into_iter().take(NAMED).map(clause).collect();
    if more > 0 {
        clauses.push(format!("and {more} more"));
    }
    clauses.join(", ")
}

/// What the fragment for CRIU asks of a kernel of this series and architecture.
fn requests(machine: &Machine, config: Option<&ConfigFile>) -> Vec<Request> {
    let (Some(series), Ok(arch)) = (
        series(&machine.release),
        machine.senses.arch.parse::<Arch>(),
    ) else {
        return Vec::new();
    };
    let tree = TreeFacts::new("", "", series, arch);
    // A test of `kconfig` reads every embedded fragment.
    let fragments = Profiles::embedded().all_fragments().unwrap_or_default();
    let criu = fragments.iter().find(|fragment| fragment.name() == "criu");
    let meant = |request: &&Request| {
        let has = config.is_none_or(|config| config.value(request.symbol.as_str()).is_some());
        request.condition.unmet(&tree, has).is_none() && !NO_LOSS.contains(&request.symbol.as_str())
    };
    let all = criu.map(Fragment::requests).unwrap_or_default();
    all.iter().filter(meant).cloned().collect()
}

/// `6.6.87.2-microsoft-standard-WSL2` is of the series 6.6.
fn series(release: &str) -> Option<Series> {
    let mut numbers = release.split(['.', '-', '+', '_']);
    let mut number = || numbers.next()?.parse().ok();
    Some(Series::new(number()?, number()?))
}

fn configured(value: Option<&Value>, modules: bool) -> Found {
    match value {
        Some(Value::Yes) => Found::BuiltIn,
        Some(Value::Module) if modules => Found::Loadable,
        Some(Value::Module) => Found::Stranded,
        _ => Found::Missing,
    }
}

/// One trace is enough: a family of sockets that is missing does not take the option's others with it.
fn traced(machine: &Machine, option: &str) -> Found {
    let looked_for = machine.traces.iter().any(|trace| trace.option == option);
    match (machine.has_trace(option), looked_for) {
        (true, _) => Found::BuiltIn,
        (false, true) => Found::Missing,
        (false, false) => Found::Unseen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(option: &str, needed_by: &str) -> Loss {
        Loss {
            option: option.to_owned(),
            needed_by: needed_by.to_owned(),
            module: false,
        }
    }

    #[test]
    fn each_need_is_named_once() {
        let losses = [
            loss("A", "dump of containers; databases"),
            loss("B", "--x (criu check --feature y)"),
            loss("C", "dump of containers"),
        ];
        assert_eq!(needs(&losses), "dump of containers (A, C), --x (B)");
        let many: Vec<Loss> = (0..8).map(|n| loss("A", &n.to_string())).collect();
        assert!(needs(&many).ends_with("3 (A), 4 (A), and 3 more"));
    }

    #[test]
    fn a_series_is_read_from_any_release() {
        for (release, expected) in [
            ("6.6.87.2-microsoft-standard-WSL2", Some("6.6")),
            ("6.18+", Some("6.18")),
            ("4.4.0-19041-Microsoft", Some("4.4")),
            ("x", None),
        ] {
            assert_eq!(series(release).map(|s| s.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn the_lists_are_about_the_fragment() {
        let all = Profiles::embedded().all_fragments().expect("fragments");
        let criu = all
            .iter()
            .find(|fragment| fragment.name() == "criu")
            .expect("there");
        for option in ESSENTIAL.iter().chain(NO_LOSS) {
            let asked = criu.requests().iter().any(|r| r.symbol.as_str() == *option);
            assert!(asked, "{option}");
        }
    }

    #[test]
    fn a_module_without_a_disk_is_lost() {
        for (value, modules, kept) in [
            (Some(Value::Yes), false, true),
            (Some(Value::Module), true, true),
            (Some(Value::Module), false, false),
            (Some(Value::No), true, false),
            (None, true, false),
        ] {
            let found = configured(value.as_ref(), modules);
            let there = matches!(found, Found::BuiltIn | Found::Loadable);
            assert_eq!(there, kept, "{value:?} {modules}");
        }
    }
}
