//! What the builder image is made of, package by package.
//!
//! In: a [`Builder`]. Out: its [`Package`]s, as the image's own package manager lists them. Must not look at
//! the host: what is installed there did not build anything by itself.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

use super::{BuildError, Builder, Job};

/// Lists the packages.
const PACKAGES: &str = include_str!("packages.sh");

/// One package of the builder image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, epoch and revision included.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// The source package that it was built from.
    pub source: String,
    /// That one's version.
    pub source_version: String,
}

impl Builder {
    /// The packages of the image, by name; none without an image. Known from an earlier run.
    pub fn packages(&self) -> Result<Vec<Package>, BuildError> {
        if self.image().is_none() {
            return Ok(Vec::new());
        }
        self.remembered("-packages", || {
            let output = self.job(&Job::script("packages", PACKAGES))?;
            let mut packages: Vec<Package> = output.text().lines().filter_map(package).collect();
            packages.sort();
            Ok(packages)
        })
    }

    /// One digest for all that compiles, `None` without an image. By the packages and not by the image's id,
    /// which is another each time the same packages are put together, and another for each engine.
    pub fn toolchain(&self) -> Result<Option<Sha256>, BuildError> {
        let packages = self.packages()?;
        let line = |package: &Package| {
            let Package {
                name,
                version,
                architecture,
                ..
            } = package;
            format!("{name} {version} {architecture}\n")
        };
        let list: String = packages.iter().map(line).collect();
        Ok(self.image().map(|_| Sha256::of(list)))
    }
}

fn package(line: &str) -> Option<Package> {
    let mut words = line.split('\t').map(str::to_owned);
    Some(Package {
        name: words.next()?,
        version: words.next()?,
        architecture: words.next()?,
        source: words.next()?,
        source_version: words.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_package() {
        let found = package("gcc\t4:14.2.0-1\tamd64\tgcc-defaults\t1.220").expect("one");
        assert_eq!(
            (found.name.as_str(), found.source_version.as_str()),
            ("gcc", "1.220")
        );
        assert_eq!(package("dpkg-query: no packages found"), None);
    }
}
