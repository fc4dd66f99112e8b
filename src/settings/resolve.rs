//! From flags, file and defaults to the options that the stages take.
//!
//! In: [`Overrides`] (flags), a [`Raw`] file, the embedded defaults. Out: [`Settings`], which cannot be
//! wrong. Must not read the environment.

use std::path::PathBuf;
use std::time::Duration;

use super::nightly::{self, Nightly};
use super::raw::{self, Raw};
use super::{Overrides, SettingsError};
use crate::boot::BootOptions;
use crate::build::{CacheServer, CompileHost, EngineChoice, Limits, SharedCache};
use crate::kconfig::Base;
use crate::publish::TrustedKey;
use crate::source::{Transport, Upstream};

/// The reference and the defaults in one.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// What the stages are to do, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where sources come from.
    pub upstream: Upstream,
    /// How a tag is fetched.
    pub transport: Transport,
    /// Only what is cached may be used.
    pub offline: bool,
    /// Where tags are pinned.
    pub lock_file: PathBuf,
    /// The profile's name.
    pub profile: String,
    /// Fragments beyond the profile's.
    pub fragments: Vec<PathBuf>,
    /// A base configuration other than the profile's.
    pub base: Option<Base>,
    /// Where kernel patches are, if anywhere.
    pub patches: Option<PathBuf>,
    /// The file with the accepted changes of the contract; it need not be there.
    pub reviews: PathBuf,
    /// Which container engine to use.
    pub engine: EngineChoice,
    /// Compilers at once; as many as the builder has processors when silent.
    pub jobs: Option<usize>,
    /// Whether compilers go through ccache.
    pub ccache: bool,
    /// Where object files of other machines are.
    pub shared_cache: SharedCache,
    /// Machines that compile for this one.
    pub compile_hosts: Vec<CompileHost>,
    /// Limits of the build container.
    pub limits: Limits,
    /// Longest silence of a build.
    pub silence: Duration,
    /// How a kernel is boot-tested.
    pub boot: BootOptions,
    /// What a night does.
    pub nightly: Nightly,
    /// Whose signatures count.
    pub trust: Vec<TrustedKey>,
}

/// Where a settings file lies decides what its relative paths are relative to.
#[derive(Debug, Clone)]
pub struct Place {
    /// The settings file's folder.
    pub folder: PathBuf,
    /// The file that pins tags.
    pub lock_file: PathBuf,
}

/// The first of flags, file and defaults that says something, per key.
pub fn resolve(flags: Overrides, file: Raw, place: &Place) -> Result<Settings, SettingsError> {
    let defaults = raw::parse("defaults.toml", DEFAULTS)?;
    let boot = boot(&flags, file.boot, defaults.boot)?;
    let limits = limits(flags.cpus, flags.memory, &file.build, &defaults.build)?;
    let jobs = [flags.jobs, file.build.jobs, defaults.build.jobs];
    // make hangs where its jobs do not fit into a pipe.
    let jobs = checked("build.jobs", jobs, "at most 4096", |jobs| jobs <= 4096)?;
    let ccaches = [flags.ccache, file.build.ccache, defaults.build.ccache];
    let ccache = pick("build.ccache", ccaches)?;
    let shared_cache = shared_cache(flags.shared_cache, &file.build, &defaults.build)?;
    let compile_hosts = compile_hosts(flags.compile_hosts, file.build.compile_hosts.clone())?;
    let nightly = nightly::resolve(&flags.nightly, &file.nightly, &defaults.nightly, place)?;
    let trust = trust(file.trust.keys.unwrap_or_default(), flags.trust)?;
    let (source, config, build) = (file.source, file.config, file.build);
    let transports = [flags.transport, source.transport, defaults.source.transport];
    let profiles = [flags.profile, config.profile, defaults.config.profile];
    let reviews = config.reviews.map(|path| place.folder.join(path));
    let own = config.fragments.unwrap_or_default();
    let own = own.iter().map(|path| place.folder.join(path));
    Ok(Settings {
        upstream: parse(
            "source.upstream",
            [flags.source, source.upstream, defaults.source.upstream],
        )?,
        transport: parse("source.transport", transports)?,
        offline: flags.offline,
        lock_file: place.lock_file.clone(),
        profile: pick("config.profile", profiles)?,
        fragments: own.chain(flags.fragments).collect(),
        base: flags.base.as_deref().map(base),
        patches: flags.patches,
        reviews: pick(
            "config.reviews",
            [flags.reviews, reviews, defaults.config.reviews],
        )?,
        engine: parse(
            "build.engine",
            [flags.engine, build.engine, defaults.build.engine],
        )?,
        jobs: some(jobs.into()).and_then(|jobs| usize::try_from(jobs).ok()),
        ccache,
        // Without ccache nothing is asked of the servers behind it.
        shared_cache: match ccache {
            true => shared_cache,
            false => SharedCache::default(),
        },
        compile_hosts,
        limits,
        silence: seconds(
            "build.silence",
            [None, build.silence, defaults.build.silence],
        )?,
        boot,
        nightly,
        trust,
    })
}

/// Keys of the file and of the flags count alike.
fn trust(file: Vec<String>, flags: Vec<String>) -> Result<Vec<TrustedKey>, SettingsError> {
    let file = file.into_iter().map(|key| [None, Some(key), None]);
    let flags = flags.into_iter().map(|key| [Some(key), None, None]);
    let keys = file.chain(flags);
    keys.map(|key| parse("trust.keys", key)).collect()
}

/// Hosts by flags stand instead of those of the file.
fn compile_hosts(
    flags: Vec<String>,
    file: Option<Vec<String>>,
) -> Result<Vec<CompileHost>, SettingsError> {
    let hosts: Vec<_> = match flags.is_empty() {
        false => flags
            .into_iter()
            .map(|host| [Some(host), None, None])
            .collect(),
        true => {
            let file = file.unwrap_or_default().into_iter();
            file.map(|host| [None, Some(host), None]).collect()
        }
    };
    let parsed = hosts
        .into_iter()
        .map(|host| parse("build.compile-hosts", host));
    parsed.collect()
}

/// Servers by flags stand instead of those of the file. What is wrong is shown without who logs in.
fn shared_cache(
    flags: Vec<String>,
    file: &raw::Build,
    defaults: &raw::Build,
) -> Result<SharedCache, SettingsError> {
    let by_flag = !flags.is_empty();
    let flags = by_flag.then_some(flags);
    let (key, urls) = ("build.shared-cache", &file.shared_cache);
    let urls = pick(key, [flags, urls.clone(), defaults.shared_cache.clone()])?;
    let server = |url: &String| {
        let refused = |reason| refused(key, by_flag, CacheServer::shown(url), reason);
        url.parse::<CacheServer>().map_err(refused)
    };
    let secrets = [&file.shared_cache_secret, &defaults.shared_cache_secret];
    let [secret, none] = secrets.map(Clone::clone);
    Ok(SharedCache {
        servers: urls.iter().map(server).collect::<Result<_, _>>()?,
        secret: pick("build.shared-cache-secret", [None, secret, none])?,
        write: pick(
            "build.shared-cache-write",
            [None, file.shared_cache_write, defaults.shared_cache_write],
        )?,
    })
}

fn boot(
    flags: &Overrides,
    file: raw::Boot,
    defaults: raw::Boot,
) -> Result<BootOptions, SettingsError> {
    let deadlines = [flags.deadline, file.deadline, defaults.deadline];
    Ok(BootOptions {
        accel: parse(
            "boot.accel",
            [flags.accel.clone(), file.accel, defaults.accel],
        )?,
        memory_mib: pick("boot.memory", [None, file.memory, defaults.memory])?,
        cpus: pick("boot.cpus", [None, file.cpus, defaults.cpus])?,
        deadline: seconds("boot.deadline", deadlines)?,
        // A test of nothing would pass.
        cycles: at_least_one("boot.cycles", [flags.cycles, file.cycles, defaults.cycles])?,
        ..BootOptions::default()
    })
}

/// A target of the tree by its name, else a file.
fn base(text: &str) -> Base {
    match text {
        "defconfig" | "tinyconfig" => Base::Target(text.to_owned()),
        path => Base::File(path.into()),
    }
}

fn limits(
    cpus: Option<f64>,
    memory: Option<u64>,
    file: &raw::Build,
    defaults: &raw::Build,
) -> Result<Limits, SettingsError> {
    let cpus = [cpus, file.cpus, defaults.cpus];
    let is_number = |n: f64| n.is_finite() && n >= 0.0;
    let cpus = checked("build.cpus", cpus, "a number of processors", is_number)?;
    let memory = [memory, file.memory, defaults.memory];
    let fits = |mib| mib <= u64::MAX >> 20;
    let memory = checked(
        "build.memory",
        memory,
        "a number of MiB that there can be",
        fits,
    )?;
    Ok(Limits {
        cpus: (cpus > 0.0).then_some(cpus),
        memory: some(memory).map(|mib| mib << 20),
        ..Limits::default()
    })
}

fn seconds(key: &'static str, candidates: [Option<u64>; 3]) -> Result<Duration, SettingsError> {
    at_least_one(key, candidates).map(Duration::from_secs)
}

pub(super) fn pick<T>(key: &'static str, candidates: [Option<T>; 3]) -> Result<T, SettingsError> {
    candidates
        .into_iter()
        .flatten()
        .next()
        .ok_or(SettingsError::NoDefault(key))
}

fn at_least_one<T>(key: &'static str, candidates: [Option<T>; 3]) -> Result<T, SettingsError>
where
    T: Copy + PartialOrd + From<u8> + std::fmt::Display,
{
    checked(key, candidates, "at least one", |n| n >= 1.into())
}

fn checked<T: Copy + std::fmt::Display>(
    key: &'static str,
    candidates: [Option<T>; 3],
    expected: &str,
    fits: impl Fn(T) -> bool,
) -> Result<T, SettingsError> {
    let by_flag = candidates[0].is_some();
    let n = pick(key, candidates)?;
    let unfit = || refused(key, by_flag, n.to_string(), format!("{expected} expected"));
    fits(n).then_some(n).ok_or_else(unfit)
}

fn some(n: u64) -> Option<u64> {
    (n != 0).then_some(n)
}

pub(super) fn parse<T>(
    key: &'static str,
    candidates: [Option<String>; 3],
) -> Result<T, SettingsError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let [flag, ..] = &candidates;
    let by_flag = flag.is_some();
    let value = pick(key, candidates)?;
    let parsed = value.parse();
    parsed.map_err(|e: T::Err| refused(key, by_flag, value, e.to_string()))
}

fn refused(key: &'static str, by_flag: bool, value: String, reason: String) -> SettingsError {
    match by_flag {
        // Whoever typed a flag has not heard of the key.
        true => SettingsError::Flag {
            flag: flag_of(key),
            value,
            reason,
        },
        false => SettingsError::Value { key, value, reason },
    }
}

/// The flag that wins over a key: most have the name of the key's last part.
fn flag_of(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    match last {
        "upstream" => "--source".to_owned(),
        "keys" => "--trust".to_owned(),
        "compile-hosts" => "--compile-host".to_owned(),
        other => format!("--{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_bounds_is_refused() {
        type Flag = fn(&mut Overrides);
        let table: [(Flag, &str, &str, &str); 6] = [
            (
                |to| to.cycles = Some(0),
                "--cycles 0: ",
                "[boot]\ncycles = 0",
                "boot.cycles",
            ),
            (
                |to| to.deadline = Some(0),
                "--deadline 0: ",
                "[boot]\ndeadline = 0",
                "boot.deadline",
            ),
            (
                |to| to.jobs = Some(4097),
                "--jobs 4097: ",
                "[build]\njobs = 4097",
                "build.jobs",
            ),
            (
                |to| to.cpus = Some(f64::NAN),
                "--cpus NaN: ",
                "[build]\ncpus = inf",
                "build.cpus",
            ),
            (
                |to| to.memory = Some(1 << 44),
                "--memory 17592186044416: ",
                "[build]\nmemory = 17592186044416",
                "build.memory",
            ),
            (
                |to| to.compile_hosts = vec!["big/0".to_owned()],
                "--compile-host big/0: between",
                "[build]\nsilence = 0",
                "build.silence",
            ),
        ];
        for (flag, name, file, key) in table {
            let mut flags = Overrides::default();
            flag(&mut flags);
            let error = resolved(flags, "").expect_err(name).to_string();
            assert!(error.starts_with(name), "{error}");
            let error = resolved(Overrides::default(), file)
                .expect_err(key)
                .to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    fn resolved(overrides: Overrides, file: &str) -> Result<Settings, SettingsError> {
        let place = Place {
            folder: "/here".into(),
            lock_file: "/here/wslk.lock".into(),
        };
        resolve(overrides, raw::parse("wslk.toml", file)?, &place)
    }

    #[test]
    fn the_defaults_are_complete() {
        let settings = resolved(Overrides::default(), "").expect("complete");
        assert_eq!(
            (
                settings.profile.as_str(),
                settings.jobs,
                settings.boot.cycles
            ),
            ("criu", None, 2)
        );
        assert_eq!(settings.limits.memory, None);
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let file = "[config]\nprofile = \"tiny\"\nfragments = [\"a.config\"]\n[build]\njobs = 3\nmemory = 2\n";
        let flags = Overrides {
            jobs: Some(5),
            fragments: vec!["b.config".into()],
            ..Overrides::default()
        };
        let settings = resolved(flags, file).expect("fine");
        assert_eq!(
            (settings.profile.as_str(), settings.jobs),
            ("tiny", Some(5))
        );
        assert_eq!(
            settings.fragments,
            [PathBuf::from("/here/a.config"), "b.config".into()]
        );
        assert_eq!(settings.limits.memory, Some(2 << 20));
    }

    #[test]
    fn a_bad_flag_is_named_and_no_key() {
        let flags = |source: Option<&str>, engine: Option<&str>| Overrides {
            source: source.map(str::to_owned),
            engine: engine.map(str::to_owned),
            ..Overrides::default()
        };
        for (flags, name) in [
            (flags(Some("/proc"), None), "--source /proc: "),
            (flags(None, Some("lxc")), "--engine lxc: "),
        ] {
            let error = resolved(flags, "").expect_err("refused").to_string();
            assert!(error.starts_with(name), "{error}");
            assert!(
                !error.contains("upstream") && !error.contains("build."),
                "{error}"
            );
        }
    }

    #[test]
    fn servers_of_flags_stand_instead_of_those_of_the_file() {
        let file = "[build]\nshared-cache = [\"redis://a\", \"http://b/c\"]\n\
            shared-cache-secret = \"s\"\nshared-cache-write = false\n";
        let settings = resolved(Overrides::default(), file).expect("fine");
        let found = &settings.shared_cache;
        assert_eq!(
            (found.servers.len(), found.secret.as_str(), found.write),
            (2, "s", false)
        );
        let flags = Overrides {
            shared_cache: vec!["redis://c".to_owned()],
            ..Overrides::default()
        };
        let settings = resolved(flags, file).expect("fine");
        let shown = format!("{:?}", settings.shared_cache);
        assert!(shown.contains("[CacheServer(redis://c:6379)]"), "{shown}");
        let settings = resolved(Overrides::default(), "").expect("fine");
        assert!(settings.shared_cache.servers.is_empty() && settings.shared_cache.write);
    }

    #[test]
    fn no_password_is_in_what_is_said() {
        let wrong = "redis://me:hidden@cache:port";
        let flags = Overrides {
            shared_cache: vec![wrong.to_owned()],
            ..Overrides::default()
        };
        let listed = format!("[build]\nshared-cache = [\"{wrong}\"]\n");
        for (flags, file) in [
            (flags, ""),
            (Overrides::default(), listed.as_str()),
            // What is no list is shown as it stands in the file.
            (
                Overrides::default(),
                "[build]\nshared-cache = \"redis://me:hidden@cache\"\n",
            ),
            (
                Overrides::default(),
                "[build]\nshared-cache-secret = 7\nshared-cache = [\"redis://me:hidden@cache\" \n",
            ),
        ] {
            let error = resolved(flags, file).expect_err("refused");
            let short = error.to_string();
            let said = format!("{short} {:?}", miette::Report::new(error));
            assert!(!said.contains("hidden"), "{said}");
        }
    }

    #[test]
    fn a_bad_value_names_the_key() {
        for (file, key) in [
            ("[build]\nengine = \"lxc\"", "build.engine"),
            ("[build]\ncpus = -1.0", "build.cpus"),
            ("[trust]\nkeys = [\"RWnonsense\"]", "trust.keys"),
            (
                "[build]\nshared-cache = [\"cache:80\"]",
                "build.shared-cache",
            ),
        ] {
            let error = resolved(Overrides::default(), file).expect_err("refused");
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
