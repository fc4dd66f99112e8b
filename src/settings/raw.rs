//! The settings file as written: a serde mirror of `defaults.toml`, every key optional.
//!
//! In: text. Out: [`Raw`], or an error that names the line and the nearest known key. Must not fill in
//! defaults; [`super::resolve()`] does.

use std::path::PathBuf;

use miette::{NamedSource, SourceSpan};
use serde::Deserialize;

use super::{FileFault, SettingsError};
use crate::kconfig::fault::nearest_key;

/// A settings file. Nothing is required.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Raw {
    /// Where sources come from.
    pub source: Source,
    /// What is put into the kernel configuration.
    pub config: Config,
    /// How the kernel is compiled.
    pub build: Build,
    /// How it is boot-tested.
    pub boot: Boot,
    /// What a night does.
    pub nightly: Nightly,
    /// Whose publications count.
    pub trust: Trust,
}

/// `[trust]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Trust {
    /// Public keys.
    pub keys: Option<Vec<String>>,
}

/// `[source]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Source {
    /// Git repository, tarball or directory.
    pub upstream: Option<String>,
    /// How a tag is fetched.
    pub transport: Option<String>,
}

/// `[config]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Profile name.
    pub profile: Option<String>,
    /// More fragments.
    pub fragments: Option<Vec<PathBuf>>,
    /// Changes of the contract that were accepted.
    pub reviews: Option<PathBuf>,
}

/// `[build]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Build {
    /// Container engine.
    pub engine: Option<String>,
    /// Parallel compilers.
    pub jobs: Option<u32>,
    /// Whether compilers go through ccache.
    pub ccache: Option<bool>,
    /// Servers that machines share object files by.
    pub shared_cache: Option<Vec<String>>,
    /// What entries there are sealed with.
    pub shared_cache_secret: Option<String>,
    /// Whether to leave entries there.
    pub shared_cache_write: Option<bool>,
    /// Machines that compile for this one.
    pub compile_hosts: Option<Vec<String>>,
    /// Processor limit.
    pub cpus: Option<f64>,
    /// Memory limit in MiB.
    pub memory: Option<u64>,
    /// Longest silence in seconds.
    pub silence: Option<u64>,
}

/// `[boot]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Boot {
    /// Accelerator.
    pub accel: Option<String>,
    /// Guest memory in MiB.
    pub memory: Option<u32>,
    /// Guest processors.
    pub cpus: Option<u32>,
    /// Deadline in seconds.
    pub deadline: Option<u64>,
    /// Cycles per scenario.
    pub cycles: Option<u32>,
}

/// `[nightly]`; the flags of the verb have the same shape.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Nightly {
    /// Which series are judged.
    pub series: Option<Vec<String>>,
    /// The first tag that is.
    pub since: Option<String>,
    /// Most tags in one night.
    pub max: Option<u32>,
    /// What each kernel is compared with.
    pub control: Option<String>,
    /// Where kernels are published.
    pub site: Option<PathBuf>,
    /// Key that signs them.
    pub sign_key: Option<PathBuf>,
    /// Who is told.
    pub webhook: Option<String>,
}

/// What stands in a file that has something to hide, also where it is misspelt: the shared cache's secret, logins in
/// URLs, the address of a webhook.
const PRIVATE: [&str; 4] = ["shared", "secret", "hook", "@"];

/// Reads the text of the settings file called `name`.
pub fn parse(name: &str, text: &str) -> Result<Raw, SettingsError> {
    toml::from_str(text).map_err(|error| explain(name, text, &error))
}

fn explain(name: &str, text: &str, error: &toml::de::Error) -> SettingsError {
    let is_private = PRIVATE.iter().any(|word| text.contains(word));
    let (shown, message) = match is_private {
        true => (without_values(text), without_value(error.message())),
        false => (text.to_owned(), error.message().to_owned()),
    };
    let span = error.span().unwrap_or(0..0);
    let before = text.get(..span.start).unwrap_or(text);
    let message = message.lines().next().unwrap_or("not valid TOML");
    SettingsError::File(Box::new(FileFault {
        message: message.to_owned(),
        advice: unknown_key_advice(error.message()),
        line: before.matches('\n').count() + 1,
        name: name.to_owned(),
        text: NamedSource::new(name, shown),
        span: SourceSpan::from(span),
    }))
}

/// `text` with asterisks for all values: a fault is shown with the lines around it, to whomever. No byte moves.
fn without_values(text: &str) -> String {
    let is_header = |line: &str| {
        let name = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'));
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    let hidden = |line: &str| {
        let end = line.trim_end().len();
        let from = match line.find('=') {
            _ if is_header(line.trim()) => end,
            Some(at) => at + 1,
            // A value of several lines.
            None => 0,
        };
        let stars = "*".repeat(end.saturating_sub(from));
        format!("{}{stars}{}", &line[..from.min(end)], &line[end..])
    };
    text.split_inclusive('\n').map(hidden).collect()
}

/// A message of the parser without the value that it may quote.
fn without_value(message: &str) -> String {
    match message.rsplit_once(", expected ") {
        // It lists keys.
        _ if message.starts_with("unknown field ") => message.to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None if message.contains(['"', '`', '\'']) => "not valid TOML".to_owned(),
        None => message.to_owned(),
    }
}

fn unknown_key_advice(message: &str) -> Option<String> {
    let unknown = message.starts_with("unknown field ");
    unknown.then(|| match nearest_key(message) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "see src/settings/defaults.toml for all keys".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_names_the_line_and_the_nearest_key() {
        let cases = [
            (
                "[build]\nenigne = \"docker\"\n",
                2,
                "did you mean `engine`?",
            ),
            ("\n[bulid]\n", 2, "did you mean `build`?"),
            ("[boot]\n\ncylces = 3\n", 3, "did you mean `cycles`?"),
        ];
        for (text, expected_line, expected_advice) in cases {
            let Err(SettingsError::File(fault)) = parse("wslk.toml", text) else {
                panic!("{text} must be refused")
            };
            let found = (fault.line, fault.advice.as_deref());
            assert_eq!(found, (expected_line, Some(expected_advice)), "{text}");
        }
    }

    /// All that is told of a fault.
    fn told(text: &str) -> String {
        let Err(error @ SettingsError::File(_)) = parse("wslk.toml", text) else {
            panic!("{text} must be refused")
        };
        let mut screen = String::new();
        miette::NarratableReportHandler::new()
            .with_context_lines(9)
            .render_report(&mut screen, &error)
            .expect("rendered");
        format!("{screen}{error:?}")
    }

    #[test]
    fn secrets_are_not_shown() {
        for text in [
            "[build]\nshared_cache_secret = \"hidden\"\n",
            "[build]\nshared-cache-secrt = \"hidden\"\n",
            "[build]\nshared-cache-secret =\n\"hidden\"\n",
            "[build]\nshared-cache-secret = \"\"\"\nhidden\n\"\"\"\njobs = \"x\"\n",
            "[build]\nshared-cache-secret = [\"hidden\"]\n",
            "[build]\nshared-cache-secret = hidden\n",
            "build = { shared-cache-secret = \"hidden\", jobs = \"x\" }\n",
            "[build]\nshared-cache = [\"redis://me:hid\"hidden@x:0\"]\n",
            "[build]\nshared-cache = [\n\"redis://me:hidden@x:0\",\n1]\n",
            "[source]\nupstream = \"https://me:hidden@git/x\"\ntransport = 1\n",
            "[nightly]\nwebhook = \"https://hooks/hidden\"\nmax = \"x\"\n",
            "[nightly]\nmax = \"hidden\"\nwebhook = 1\n",
        ] {
            let told = told(text);
            assert!(!told.contains("hidden"), "{told}");
        }
    }

    #[test]
    fn what_is_to_be_done_is_shown_also_beside_a_secret() {
        let told = told("[build]\nshared-cache-secret = \"hidden\"\nenigne = \"docker\"\n");
        for part in [
            "unknown field `enigne`, expected one of `engine`, `jobs`",
            "shared-cache-secret`",
            "enigne =",
        ] {
            assert!(told.contains(part), "{part} is missing in {told}");
        }
        let text = "[build]\n# é\njobs = \"é\"\nshared-cache = [\n]\n";
        assert_eq!(
            without_values(text),
            "[build]\n****\njobs =*****\nshared-cache =**\n*\n"
        );
    }

    #[test]
    fn a_wrong_type_names_the_line() {
        let error = parse("wslk.toml", "[boot]\ncycles = \"two\"\n");
        assert!(
            matches!(&error, Err(SettingsError::File(fault)) if fault.line == 2),
            "{error:?}"
        );
    }
}
