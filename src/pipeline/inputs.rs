//! Everything that decides how a build comes out, as named inputs.
//!
//! In: the products and options of the stages before the compiler. Out: [`Inputs`], whose digest names
//! the build and ends its release string. What does not change the result has no place here.

use std::collections::BTreeMap;

use crate::artefact::Inputs;
use crate::build::{Builder, EngineKind};
use crate::digest::Sha256;
use crate::error::Error;
use crate::files;
use crate::kconfig::{Arch, Base, Fragment};
use crate::source::{PatchSet, SourceTree};

/// Raised whenever wslk itself would build something else from the same inputs.
const METHOD: &str = "3";

/// What the inputs are made from.
#[derive(Debug)]
pub(super) struct Ingredients<'a> {
    pub(super) tree: &'a SourceTree,
    pub(super) patches: &'a PatchSet,
    pub(super) base: &'a Base,
    pub(super) fragments: &'a [Fragment],
    pub(super) builder: &'a Builder,
    pub(super) arch: Arch,
}

impl Ingredients<'_> {
    /// The inputs, in words that a user knows.
    pub(super) fn inputs(&self) -> Result<Inputs, Error> {
        let inputs = Inputs::default()
            .with("wslk's method", METHOD)
            .with("source tree", self.tree.tree.to_string())
            .with("architecture", self.arch.kbuild())
            .with("base configuration", base(self.base)?)
            .with("built in", place(self.builder));
        let inputs = match self.builder.toolchain()? {
            Some(digest) => inputs.with("toolchain", digest.to_string()),
            None => inputs,
        };
        let inputs = self.fragments.iter().fold(inputs, |inputs, fragment| {
            let digest = Sha256::of(fragment.text()).to_string();
            inputs.with_another(format!("fragment {}", fragment.name()), digest)
        });
        let inputs = self
            .tools()?
            .into_iter()
            .fold(inputs, |inputs, (tool, version)| inputs.with(tool, version));
        // The number is part of the name: the same patches in another order are another tree.
        let patches = (1..).zip(self.patches.names());
        Ok(patches.fold(inputs, |inputs, (number, patch)| {
            inputs.with(
                format!("patch {number:02} {}", patch.name),
                patch.digest.to_string(),
            )
        }))
    }

    /// Versions of the tools where no image stands for them.
    fn tools(&self) -> Result<BTreeMap<String, String>, Error> {
        match self.builder.image() {
            Some(_) => Ok(BTreeMap::new()),
            None => Ok(self.builder.tools()?),
        }
    }
}

/// Engines differ in how they confine a job, which the kernel does not see.
fn place(builder: &Builder) -> &'static str {
    match builder.engine().kind() {
        EngineKind::Docker | EngineKind::Podman => "a container",
        EngineKind::Host => "the host",
    }
}

/// The tree's own configuration and targets are told by the tree's id; a file only by its content.
fn base(base: &Base) -> Result<String, Error> {
    Ok(match base {
        Base::Own => "config-wsl of the tree".to_owned(),
        Base::Target(target) => format!("{target} of the tree"),
        Base::File(path) => Sha256::of(files::read(path)?).to_string(),
    })
}
