//! What a build is made of, as an SPDX 2.3 document.
//!
//! In: the manifest and the packages of the builder image. Out: the kernel, its source, the image and what is in
//! it, and how they belong together. A small mirror of the format: the crates that have all of it generate it at
//! build time from a schema of thousands of lines. The same build always leads to the same document.

use std::time::Duration;

use serde::Serialize;

use super::provenance::{origin, time};
use crate::artefact::{Build, KERNEL, MODULES_DISK, Manifest};
use crate::build::Package as Debian;

/// Nobody has looked.
const NOBODY_KNOWS: &str = "NOASSERTION";
/// The names of the three that everything else belongs to.
const LINUX: &str = "SPDXRef-linux";
const SOURCE: &str = "SPDXRef-source";
const IMAGE: &str = "SPDXRef-builder-image";

/// An SPDX document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: Creation,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Debug, Serialize)]
struct Creation {
    created: String,
    creators: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: String,
    #[serde(rename = "SPDXID")]
    id: String,
    version_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    download_location: String,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The document about a build.
pub(super) fn document(build: &Build, packages: &[Debian]) -> Document {
    let (manifest, finished) = (build.manifest(), build.run().finished);
    let mut all = vec![kernel(manifest), source(build)];
    let mut relations = vec![
        relation("SPDXRef-DOCUMENT", "DESCRIBES", LINUX),
        relation(LINUX, "GENERATED_FROM", SOURCE),
    ];
    if let Some(disk) = modules(manifest) {
        relations.push(relation(LINUX, "CONTAINS", &disk.id));
        all.push(disk);
    }
    if let Some(image) = image(build) {
        relations.push(relation(IMAGE, "BUILD_TOOL_OF", LINUX));
        all.push(image);
    }
    for package in packages {
        let package = debian(package);
        relations.push(relation(IMAGE, "CONTAINS", &package.id));
        all.push(package);
    }
    let digest = manifest.inputs.digest();
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: manifest.id.to_string(),
        document_namespace: format!("urn:wslk:sbom:{}:{digest}:{finished}", manifest.id),
        creation_info: Creation {
            created: time(Duration::from_secs(finished)),
            creators: vec!["Tool: wslk".to_owned()],
        },
        packages: all,
        relationships: relations,
    }
}

fn relation(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    }
}

/// A package of which nothing is known but its name and version.
fn package(id: String, name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        id,
        version_info: version.to_owned(),
        download_location: NOBODY_KNOWS.to_owned(),
        license_concluded: NOBODY_KNOWS,
        license_declared: NOBODY_KNOWS,
        copyright_text: NOBODY_KNOWS,
        ..Package::default()
    }
}

fn sha256(digest: impl ToString) -> Vec<Checksum> {
    vec![Checksum {
        algorithm: "SHA256",
        checksum_value: digest.to_string(),
    }]
}

fn kernel(manifest: &Manifest) -> Package {
    let output = manifest.outputs.get(KERNEL);
    Package {
        package_file_name: Some(KERNEL.to_owned()),
        license_declared: "GPL-2.0-only WITH Linux-syscall-note",
        primary_package_purpose: Some("OPERATING-SYSTEM"),
        checksums: output.map_or_else(Vec::new, |output| sha256(output.sha256)),
        ..package(LINUX.to_owned(), "linux", &manifest.release)
    }
}

fn modules(manifest: &Manifest) -> Option<Package> {
    let output = manifest.outputs.get(MODULES_DISK)?;
    Some(Package {
        package_file_name: Some(MODULES_DISK.to_owned()),
        license_declared: "GPL-2.0-only WITH Linux-syscall-note",
        checksums: sha256(output.sha256),
        ..package(
            "SPDXRef-modules".to_owned(),
            "linux-modules",
            &manifest.release,
        )
    })
}

fn source(build: &Build) -> Package {
    let (facts, from) = (&build.manifest().source, &build.run().origin);
    let tag = facts.tag.as_deref().and_then(|tag| tag.parse().ok());
    let address = match (tag, from.contains("://")) {
        (Some(tag), true) => origin(from, tag),
        // A path on the machine that built it leads nobody anywhere.
        _ => NOBODY_KNOWS.to_owned(),
    };
    let commit = facts.commit.as_deref().unwrap_or("unknown");
    let patches = match facts.patches.as_slice() {
        [] => String::new(),
        patches => format!(", patches {}", patches.join(", ")),
    };
    Package {
        download_location: address,
        license_declared: "GPL-2.0-only WITH Linux-syscall-note",
        primary_package_purpose: Some("SOURCE"),
        source_info: Some(format!("git tree {}, commit {commit}{patches}", facts.tree)),
        ..package(SOURCE.to_owned(), "linux-source", build.id().version())
    }
}

fn image(build: &Build) -> Option<Package> {
    let id = build.run().image.as_ref()?;
    let digest = id.strip_prefix("sha256:").unwrap_or(id);
    Some(Package {
        primary_package_purpose: Some("CONTAINER"),
        checksums: sha256(digest),
        ..package(IMAGE.to_owned(), "wslk-builder", id)
    })
}

fn debian(found: &Debian) -> Package {
    // Letters, digits, `.` and `-` may stand in an id.
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let id = format!(
        "SPDXRef-deb-{}-{}",
        plain(&found.name),
        plain(&found.architecture)
    );
    let place = format!(
        "pkg:deb/debian/{}@{}?arch={}",
        escaped(&found.name),
        escaped(&found.version),
        found.architecture
    );
    Package {
        source_info: Some(format!(
            "built from: {} {}",
            found.source, found.source_version
        )),
        external_refs: vec![Reference {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: place,
        }],
        ..package(id, &found.name, &found.version)
    }
}

/// As package URLs want it.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    text.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_an_address() {
        let found = Debian {
            name: "libstdc++6".to_owned(),
            version: "1:14.2.0-19+b1~x".to_owned(),
            architecture: "amd64".to_owned(),
            source: "gcc-14".to_owned(),
            source_version: "14.2.0-19".to_owned(),
        };
        let package = debian(&found);
        assert_eq!(package.id, "SPDXRef-deb-libstdc--6-amd64");
        assert_eq!(
            package.external_refs[0].reference_locator,
            "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19%2Bb1~x?arch=amd64"
        );
    }

    #[test]
    fn addresses_of_sources() {
        let tag = "6.6.87.2".parse().unwrap();
        let table = [
            (
                "https://x.org/linux.git linux-msft-wsl-6.6.87.2",
                "git+https://x.org/linux.git@linux-msft-wsl-6.6.87.2",
            ),
            (
                "/srv/linux.git",
                "git+file:///srv/linux.git@linux-msft-wsl-6.6.87.2",
            ),
        ];
        for (given, expected) in table {
            assert_eq!(origin(given, tag), expected);
        }
    }
}
