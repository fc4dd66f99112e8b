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

/// The key whose value is shown to nobody.
const SECRET: &str = "shared-cache-secret";
/// What a text of several lines stands in.
const QUOTES: [&str; 2] = ["\"\"\"", "'''"];

/// Reads the text of the settings file called `name`.
pub fn parse(name: &str, text: &str) -> Result<Raw, SettingsError> {
    toml::from_str(text).map_err(|error| explain(name, text, &error))
}

fn explain(name: &str, text: &str, error: &toml::de::Error) -> SettingsError {
    let text = &without_secrets(text);
    let span = error.span().unwrap_or(0..0);
    let start = text[..span.start.min(text.len())]
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    // toml shows a value that has the wrong type.
    let message = match line.contains(SECRET) {
        true => "a text in quotes is expected".to_owned(),
        false => without_secrets(error.message()),
    };
    SettingsError::File(Box::new(FileFault {
        message: message
            .lines()
            .next()
            .unwrap_or("not valid TOML")
            .to_owned(),
        advice: unknown_key_advice(error.message()),
        line: text[..span.start.min(text.len())].matches('\n').count() + 1,
        name: name.to_owned(),
        text: NamedSource::new(name, text.to_owned()),
        span: SourceSpan::from(span),
    }))
}

/// `text` with asterisks for secrets: a fault is shown with its lines, to whomever. No byte moves.
fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // A text of several lines goes on to its closing quotes.
    let mut closing: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let from = match (closing, line.find(SECRET)) {
            (Some(_), _) => 0,
            (None, Some(at)) => at + SECRET.len(),
            (None, None) => {
                shown.push_str(&without_logins(line));
                continue;
            }
        };
        let rest = &line[from..];
        closing = match closing {
            Some(quotes) => (!rest.contains(quotes)).then_some(quotes),
            None => QUOTES
                .into_iter()
                .find(|quotes| rest.matches(quotes).count() == 1),
        };
        let end = line.trim_end().len().max(from);
        shown.push_str(&line[..from]);
        shown.push_str(&"*".repeat(end - from));
        shown.push_str(&line[end..]);
    }
    shown
}

/// A line without who logs in at a URL.
fn without_logins(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(['"', '\'']).unwrap_or(after.len());
        let login = after[..end].rfind('@').unwrap_or(0);
        shown.push_str(&"*".repeat(login));
        rest = &after[login..];
    }
    shown + rest
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

    #[test]
    fn secrets_are_not_shown() {
        let table = [
            (
                "x = \"redis://:pw@host/1\" # why",
                "x = \"redis://***@host/1\" # why",
            ),
            (
                "[\"http://a:b@c\", 'http://d/e', 'http://é@f']\n",
                "[\"http://***@c\", 'http://d/e', 'http://**@f']\n",
            ),
            (
                "a = 1\nshared-cache-secret = \"s\"\nb",
                "a = 1\nshared-cache-secret******\nb",
            ),
            (
                "build = { shared-cache-secret = \"x\" }\nc\n",
                "build = { shared-cache-secret********\nc\n",
            ),
            (
                "shared-cache-secret = \"\"\"\nab\ncd\"\"\"\njobs = 2\n",
                "shared-cache-secret******\n**\n*****\njobs = 2\n",
            ),
            ("no@secret", "no@secret"),
        ];
        for (text, shown) in table {
            assert_eq!(without_secrets(text), shown);
            assert_eq!(shown.len(), text.len());
        }
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
