//! Profiles: which base, which fragments, which guards. Data, embedded from `kernel-configs/`.
//!
//! In: the text of `profiles.toml` and the fragments' files. Out: [`Profiles`]. Must not know what any
//! option means.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::fragment::Fragment;
use super::{Base, KconfigError};

/// One way to configure a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Profile {
    /// One line for people.
    pub summary: String,
    /// `config-wsl` for the tree's own WSL configuration, else a target of the tree: `tinyconfig`.
    pub base: String,
    /// Whether every option of the base must still be there at the end.
    pub keep_base: bool,
    /// Names of the fragments that go over the base.
    pub fragments: Vec<String>,
    /// Names of the fragments whose every option must be as they say, and which request nothing.
    pub guard: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    profile: BTreeMap<String, Profile>,
}

/// The embedded profiles and fragments.
#[derive(Debug, Clone)]
pub struct Profiles {
    profiles: BTreeMap<String, Profile>,
    files: BTreeMap<&'static str, &'static str>,
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../kernel-configs/", $name, ".config")))),*]
    };
}

const TABLE: &str = include_str!("../../kernel-configs/profiles.toml");
const FILES: [(&str, &str); 7] = embedded![
    "boot-test",
    "criu",
    "docker-desktop",
    "introspection",
    "tiny",
    "wsl-hyperv",
    "wsl-required"
];

impl Profiles {
    /// The profiles and fragments that wslk carries inside.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the table is part of the program; a test reads it"
    )]
    pub fn embedded() -> Self {
        let raw: Raw = toml::from_str(TABLE).expect("the embedded profiles.toml is well formed");
        Self {
            profiles: raw.profile,
            files: FILES.into_iter().collect(),
        }
    }

    /// The names of all profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The profile called `name`.
    pub fn profile(&self, name: &str) -> Result<&Profile, KconfigError> {
        let unknown = || KconfigError::NoProfile {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        };
        self.profiles.get(name).ok_or_else(unknown)
    }

    /// The fragments that `profile` lays over its base, in order.
    pub fn fragments(&self, profile: &Profile) -> Result<Vec<Fragment>, KconfigError> {
        profile
            .fragments
            .iter()
            .map(|name| self.fragment(name))
            .collect()
    }

    /// The guards of `profile`.
    pub fn guards(&self, profile: &Profile) -> Result<Vec<Fragment>, KconfigError> {
        profile
            .guard
            .iter()
            .map(|name| self.fragment(name))
            .collect()
    }

    /// Every embedded fragment, for `explain`.
    pub fn all_fragments(&self) -> Result<Vec<Fragment>, KconfigError> {
        self.files.keys().map(|name| self.fragment(name)).collect()
    }

    fn fragment(&self, name: &str) -> Result<Fragment, KconfigError> {
        let unknown = || KconfigError::NoProfile {
            name: name.to_owned(),
            known: self.files.keys().map(|name| (*name).to_owned()).collect(),
        };
        let text = self.files.get(name).ok_or_else(unknown)?;
        let file = format!("kernel-configs/{name}.config");
        Fragment::parse(&file, text).map_err(|error| KconfigError::Input(Box::new(error)))
    }
}

impl Profile {
    /// Where the profile's base configuration comes from.
    #[must_use]
    pub fn base(&self) -> Base {
        match self.base.as_str() {
            "config-wsl" => Base::Own,
            target => Base::Target(target.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_embedded_data_is_whole() {
        let profiles = Profiles::embedded();
        for name in profiles.names() {
            let profile = profiles.profile(name).expect("listed");
            assert!(!profile.summary.is_empty(), "{name}");
            profiles.fragments(profile).expect("fragments");
            profiles.guards(profile).expect("guards");
        }
        assert!(matches!(
            profiles.profile("cruel"),
            Err(KconfigError::NoProfile { .. })
        ));
    }

    #[test]
    fn every_embedded_option_says_why_and_for_whom() {
        for fragment in Profiles::embedded().all_fragments().expect("fragments") {
            assert!(!fragment.about().is_empty(), "{}", fragment.name());
            for request in fragment.requests() {
                let place = &request.origin;
                assert!(
                    !request.reason.is_empty() && !request.needed_by.is_empty(),
                    "{place} {request}"
                );
            }
        }
    }

    #[test]
    fn fragments_of_a_profile_agree() {
        let profiles = Profiles::embedded();
        for name in profiles.names() {
            let profile = profiles.profile(name).expect("listed");
            let mut values = BTreeMap::new();
            for fragment in profiles.fragments(profile).expect("fragments") {
                for request in fragment.requests() {
                    let first = values.insert(request.symbol.clone(), request.clone());
                    assert!(
                        first.is_none_or(|first| first.value == request.value),
                        "{name} {request}"
                    );
                }
            }
        }
    }
}
