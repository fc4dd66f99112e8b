//! The builder image: which one this wslk wants, whether it is there, how to make it.
//!
//! In: an engine. Out: an [`Image`]. The recipe is part of the binary, so another wslk with another
//! recipe never takes the wrong image for its own. Must not run jobs.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::digest::Hasher;
use crate::exec::{Cmd, ExecError, Stdout};
use crate::files;
use crate::report::{Reporter, Unit};

use super::{BuildError, Engine, EngineKind};

/// A builder image as an engine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name and tag, which name the recipe.
    pub reference: String,
    /// The digest of its content, as the engine tells it: `sha256:…`.
    pub id: String,
}

impl Image {
    /// The image of this wslk's recipe; `None` with the host engine, which needs none. Made when it
    /// is not there, which takes a few minutes.
    pub fn ensure(engine: &Engine, reporter: &Reporter) -> Result<Option<Self>, BuildError> {
        if engine.kind() == EngineKind::Host {
            return Ok(None);
        }
        let recipe = Recipe::embedded();
        let reference = recipe.reference();
        if let Some(image) = Self::find(engine, &reference)? {
            return Ok(Some(image));
        }
        reporter.note(format!(
            "making the builder image {reference}; once, in a few minutes"
        ));
        let said = match recipe.make(engine, reporter) {
            Ok(()) => "its maker was content, yet there is no image".to_owned(),
            Err(error @ ExecError::Interrupted { .. }) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        match Self::find(engine, &reference)? {
            Some(image) => Ok(Some(image)),
            None => Err(BuildError::NoImage { reference, said }),
        }
    }

    /// The image of this wslk's recipe, if it is there already.
    pub fn known(engine: &Engine) -> Result<Option<Self>, BuildError> {
        Self::find(engine, &Recipe::embedded().reference())
    }

    /// The image by that name, if the engine has it.
    pub fn find(engine: &Engine, reference: &str) -> Result<Option<Self>, BuildError> {
        let cmd = Cmd::new(engine.kind().name())
            .args(["image", "inspect", "--format", "{{.Id}}", reference]);
        match engine.runner().run(&cmd.total(Duration::from_secs(30))) {
            Ok(output) => Ok(Some(Self {
                reference: reference.to_owned(),
                id: with_algorithm(output.text().trim()),
            })),
            Err(ExecError::Failed { output, .. }) if is_absence(&output.stderr) => Ok(None),
            Err(error @ ExecError::Interrupted { .. }) => Err(error.into()),
            Err(error) => Err(engine.gone(&error)),
        }
    }

    /// The id without its algorithm, fit for a file name.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.id.trim_start_matches("sha256:")
    }
}

/// Docker writes `sha256:` before an id and podman does not.
fn with_algorithm(id: &str) -> String {
    if id.contains(':') {
        id.to_owned()
    } else {
        format!("sha256:{id}")
    }
}

/// Docker: "No such image", podman: "image not known" or "no such image".
fn is_absence(stderr: &str) -> bool {
    let words = stderr.to_lowercase();
    words.contains("no such image") || words.contains("image not known")
}

/// What the image is made from.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// The package list.
    packages: &'static str,
    /// Makes the image from Debian packages alone.
    bootstrap: &'static str,
    /// Makes it on top of a base image from a registry.
    dockerfile: &'static str,
}

impl Recipe {
    /// The recipe that this wslk was built with.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            packages: include_str!("../../ci/builder/packages"),
            bootstrap: include_str!("../../ci/builder/bootstrap"),
            dockerfile: include_str!("../../ci/builder/Dockerfile"),
        }
    }

    /// Name and tag of the image; `bootstrap --tag` prints the same.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut hasher = Hasher::default();
        for text in [self.packages, self.bootstrap, self.dockerfile] {
            hasher.update(text.as_bytes());
        }
        format!("wslk-builder:{}", hasher.finish().short(12))
    }

    /// Makes the image: from Debian packages where mmdebstrap is installed, since who installed it
    /// wants no registry, else with the engine's own `build`.
    fn make(&self, engine: &Engine, reporter: &Reporter) -> Result<(), ExecError> {
        let folder =
            tempfile::tempdir().map_err(|source| not_written("a temporary folder", source))?;
        for (name, text) in [
            ("packages", self.packages),
            ("bootstrap", self.bootstrap),
            ("Dockerfile", self.dockerfile),
        ] {
            files::replace(&folder.path().join(name), text)
                .map_err(|error| not_written(name, std::io::Error::other(error)))?;
        }
        let bootstrap = folder.path().join("bootstrap");
        // The Dockerfile runs it too, by its name.
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755))
            .map_err(|source| not_written("bootstrap", source))?;
        let debian = Cmd::new("bash").arg(&bootstrap).arg(engine.kind().name());
        let registry = Cmd::new(engine.kind().name())
            .args(["build", "--tag", &self.reference()])
            .arg(folder.path());
        let has_mmdebstrap = engine
            .runner()
            .run(&Cmd::new("mmdebstrap").arg("--version"))
            .is_ok();
        let cmd = if has_mmdebstrap { debian } else { registry };
        let task = reporter.task("making the builder image", Unit::Steps, None);
        let cmd = cmd
            .stdout(Stdout::Lines)
            .total(Duration::from_secs(3600))
            .silence(Duration::from_secs(600));
        let output = engine
            .runner()
            .run_with(&cmd, &mut |line| task.advance_to(1, line))?;
        output.success(&cmd).map(|_| ())
    }
}

fn not_written(what: &str, source: std::io::Error) -> ExecError {
    ExecError::Start {
        command: format!("write {what}"),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exec::{Output, Script};

    fn engine(script: Script) -> Engine {
        Engine::find(
            super::super::EngineChoice::Docker,
            Arc::new(script),
            &Reporter::silent(),
        )
        .unwrap()
    }

    #[test]
    fn the_tag_is_the_one_of_the_script() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/builder/bootstrap");
        let output = crate::exec::Duct::default();
        let said =
            crate::exec::Runner::run(&output, &Cmd::new("bash").args([script, "--tag"])).unwrap();
        assert_eq!(said.text().trim(), Recipe::embedded().reference());
    }

    #[test]
    fn absence_is_no_fault_and_silence_is() {
        let answers = |stderr: &str| Output {
            status: Some(1),
            stderr: stderr.to_owned(),
            ..Output::default()
        };
        let docker = || Script::default().says("docker info", "[]");
        let find = |script: Script| Image::find(&engine(script), "wslk-builder:x");

        let there = find(docker().says("image inspect", "sha256:ab\n"))
            .unwrap()
            .unwrap();
        assert_eq!((there.id.as_str(), there.digest()), ("sha256:ab", "ab"));
        let failed = |stderr| ExecError::Failed {
            command: String::new(),
            output: Box::new(answers(stderr)),
        };
        let absent = docker().fails(
            "image inspect",
            failed("Error: No such image: wslk-builder:x"),
        );
        assert!(find(absent).unwrap().is_none());
        let dead = docker().fails(
            "image inspect",
            failed("Cannot connect to the Docker daemon"),
        );
        assert!(matches!(find(dead), Err(BuildError::EngineGone { .. })));
    }
}
