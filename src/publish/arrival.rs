//! A publication on its way here: found, announced, brought, judged, and only then a build of ours.
//!
//! In: a [`Place`], what is wanted, whose keys count. Out: a [`Build`] in the store. Each step takes the product of
//! the one before it, so none can be left out: [`find`] → [`Found::announced`] (signature) → [`Announced::fetch`]
//! (every size and digest) → [`Arrived::judge`] (evidence, age) → [`Judged::import`]. Until the last one nothing
//! is where anybody would use it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::sign::{self, About, TrustedKey};
use super::wire::{Place, Wire};
use super::{ENTRY, EVIDENCE, Entry, INDEX, Index, IndexEntry, PublishError, SIGNATURE};
use crate::artefact::sums::{self, SUMS};
use crate::artefact::{Build, BuildRef, MANIFEST, Output, Proven, Store};
use crate::digest::Sha256;
use crate::files;
use crate::source::Tag;

/// Bytes that an index may have.
const INDEX_LIMIT: u64 = 16 << 20;
/// Bytes that `SHA256SUMS`, its signature and `entry.json` may have, each.
const TEXT_LIMIT: u64 = 1 << 20;

/// What counts as trustworthy.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Whose signatures count.
    pub keys: Vec<TrustedKey>,
    /// Take what none of them signed.
    pub unsigned: bool,
    /// Take what is older than what is installed.
    pub downgrade: bool,
    /// The tag of the kernel that is installed.
    pub installed: Option<Tag>,
}

impl Terms {
    /// Whether a kernel of this tag may follow the one that is installed.
    pub fn allow(&self, wanted: Tag) -> Result<(), PublishError> {
        match self.installed {
            Some(installed) if wanted < installed && !self.downgrade => {
                Err(PublishError::Downgrade { wanted, installed })
            }
            _ => Ok(()),
        }
    }
}

/// An entry that an index names.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub place: Place,
    /// What the index says of it.
    pub entry: IndexEntry,
}

/// The newest entry of what is wanted.
pub fn find(
    wire: &Wire,
    place: &Place,
    wanted: &BuildRef,
    profile: &str,
) -> Result<Found, PublishError> {
    let at = place.join(INDEX);
    let bad = |reason: String| PublishError::Index {
        place: at.to_string(),
        reason,
    };
    let text = wire.text(&at, INDEX_LIMIT)?;
    let text = text.ok_or_else(|| bad("it is not there".to_owned()))?;
    let index = Index::parse(&text).map_err(bad)?;
    let Some(entry) = index.find(wanted, profile) else {
        let known = index.entries.iter().map(|entry| entry.build.to_string());
        return Err(PublishError::NoEntry {
            place: place.to_string(),
            wanted: wanted.to_string(),
            known: known.collect(),
        });
    };
    if !sums::leads_in(&entry.path) {
        return Err(bad(format!("`{}` leads out of it", entry.path)));
    }
    Ok(Found {
        place: place.join(&entry.path),
        entry: entry.clone(),
    })
}

/// An entry whose list of files is signed, or need not be.
#[derive(Debug)]
pub struct Announced {
    place: Place,
    /// What the entry says of itself.
    pub entry: Entry,
    /// Who signed it; nothing where that did not matter.
    pub signed_by: Option<TrustedKey>,
    /// The small files that have come already, as they go into the build's folder.
    texts: BTreeMap<&'static str, String>,
    sums: BTreeMap<String, Sha256>,
}

impl Found {
    fn name(&self) -> String {
        format!("{} of {}", self.entry.build, self.entry.tag)
    }

    fn contradiction(&self, what: impl Into<String>) -> PublishError {
        PublishError::Inconsistent {
            entry: self.name(),
            what: what.into(),
        }
    }

    /// The list of files, once its signature was checked.
    pub fn announced(&self, wire: &Wire, terms: &Terms) -> Result<Announced, PublishError> {
        let list = self.place.join(SUMS);
        let text = wire.text(&list, TEXT_LIMIT)?;
        let text = text.ok_or_else(|| PublishError::Missing {
            file: list.to_string(),
        })?;
        let signature = wire.text(&self.place.join(SIGNATURE), TEXT_LIMIT)?;
        let signed_by = self.check(&text, signature.as_deref(), terms)?;
        let sums =
            sums::parse(&text).map_err(|what| self.contradiction(format!("{SUMS}: {what}")))?;
        let (entry, own) = self.entry_in(wire, &sums)?;
        let mut texts = BTreeMap::from([(SUMS, text), (ENTRY, own)]);
        texts.extend(signature.map(|signature| (SIGNATURE, signature)));
        Ok(Announced {
            place: self.place.clone(),
            entry,
            signed_by,
            texts,
            sums,
        })
    }

    fn check(
        &self,
        sums: &str,
        signature: Option<&str>,
        terms: &Terms,
    ) -> Result<Option<TrustedKey>, PublishError> {
        let about = About {
            tag: self.entry.tag,
            build: self.entry.build.clone(),
        };
        match sign::signed_by(&about, sums, signature, &terms.keys) {
            Ok(key) => Ok(Some(key.clone())),
            // Whoever could put a stranger's signature there could have left it out as well.
            Err(PublishError::Unsigned { .. } | PublishError::UnknownKey { .. })
                if terms.unsigned =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// `entry.json`, which says how large the files are.
    fn entry_in(
        &self,
        wire: &Wire,
        sums: &BTreeMap<String, Sha256>,
    ) -> Result<(Entry, String), PublishError> {
        let at = self.place.join(ENTRY);
        let file = || at.to_string();
        let text = wire.text(&at, TEXT_LIMIT)?;
        let text = text.ok_or_else(|| PublishError::Missing { file: file() })?;
        match sums.get(ENTRY) {
            Some(expected) if *expected == Sha256::of(&text) => {}
            Some(expected) => {
                return Err(PublishError::Swapped {
                    file: file(),
                    expected: *expected,
                    found: Sha256::of(&text),
                });
            }
            None => return Err(self.contradiction(format!("{ENTRY} is not in {SUMS}"))),
        }
        let entry: Entry = serde_json::from_str(&text)
            .map_err(|error| self.contradiction(format!("{ENTRY}: {error}")))?;
        if (entry.tag, &entry.build) != (self.entry.tag, &self.entry.build) {
            return Err(self.contradiction(format!("{ENTRY} is about {}", entry.path())));
        }
        let listed = sums.iter().filter(|(name, _)| *name != ENTRY);
        let known = entry
            .files
            .iter()
            .map(|(name, output)| (name, &output.sha256));
        match known.eq(listed) {
            true => Ok((entry, text)),
            false => Err(self.contradiction(format!("{ENTRY} and {SUMS} differ about its files"))),
        }
    }
}

/// An entry of which every file has come, and is what it should be.
#[derive(Debug)]
pub struct Arrived {
    announced: Announced,
    folder: PathBuf,
}

impl Announced {
    /// Bytes to be fetched.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.files.values().map(|output| output.size).sum()
    }

    fn name(&self) -> String {
        format!("{} of {}", self.entry.build, self.entry.tag)
    }

    /// Whether a build that is here is the published one, and proved.
    ///
    /// # Errors
    /// [`PublishError::Occupied`] where it has the same name and other bytes.
    pub fn is_here(&self, store: &Store) -> Result<bool, PublishError> {
        let id = &self.entry.build;
        let Ok(build) = store.open(id) else {
            return Ok(false);
        };
        if build.verify().is_err() {
            return Ok(false);
        }
        let published = |name: &String| self.entry.files.get(name).map(|output| output.sha256);
        let outputs = build.manifest().outputs.iter();
        let mut other = outputs.filter(|(name, output)| published(name) != Some(output.sha256));
        match other.next() {
            Some((file, _)) => Err(PublishError::Occupied {
                build: id.clone(),
                file: file.clone(),
            }),
            None => Ok(build.is_proven().unwrap_or(false)),
        }
    }

    /// Where files wait until all have come. Another publication is another folder: what is left of one never gets
    /// into another.
    fn waiting_room(&self, wire: &Wire) -> PathBuf {
        let list = self.texts.get(SUMS).map_or("", String::as_str);
        let name = Sha256::of(format!("{}\n{list}", self.place)).short(16);
        wire.cache.join(name)
    }

    /// Forgets what a run that was cut off at its end has left.
    pub fn forget(&self, wire: &Wire) -> Result<(), PublishError> {
        Ok(files::remove_dir(&self.waiting_room(wire))?)
    }

    /// Brings every file, and goes on where an earlier run was cut off.
    pub fn fetch(self, wire: &Wire) -> Result<Arrived, PublishError> {
        let folder = self.waiting_room(wire);
        let task = wire.task(self.size());
        for (name, output) in &self.entry.files {
            wire.file(&self.place.join(name), &folder.join(name), output, &task)?;
        }
        for (name, text) in &self.texts {
            files::replace(&folder.join(name), text)?;
        }
        Ok(Arrived {
            announced: self,
            folder,
        })
    }
}

/// An entry that may become a build of ours.
#[derive(Debug)]
pub struct Judged {
    proven: Proven,
    files: BTreeMap<String, Output>,
    texts: Vec<&'static str>,
    folder: PathBuf,
}

impl Arrived {
    /// Its evidence must be about these very files, and it must not be older than what is installed.
    pub fn judge(self, terms: &Terms) -> Result<Judged, PublishError> {
        let Self { announced, folder } = self;
        let entry = announced.name();
        let build = Build::read(&folder, &announced.entry.build)?;
        self::agrees(&announced, &build)?;
        if !announced.sums.contains_key(EVIDENCE) {
            return Err(PublishError::NoEvidence { entry });
        }
        let proven = build
            .proven()
            .map_err(|unproven| PublishError::OtherEvidence {
                entry,
                reason: unproven.reason,
            })?;
        terms.allow(announced.entry.tag)?;
        Ok(Judged {
            proven,
            files: announced.entry.files,
            texts: announced.texts.into_keys().collect(),
            folder,
        })
    }
}

/// The manifest must be about the files that came, and about the tag that was announced.
fn agrees(announced: &Announced, build: &Build) -> Result<(), PublishError> {
    let contradiction = |what: String| PublishError::Inconsistent {
        entry: announced.name(),
        what,
    };
    let manifest = build.manifest();
    let tag = announced.entry.tag.to_string();
    if manifest.source.tag.as_deref() != Some(&tag) {
        let said = manifest.source.tag.as_deref().unwrap_or("no tag");
        return Err(contradiction(format!("{MANIFEST} is about {said}")));
    }
    let came = |name: &String| announced.sums.get(name);
    let mut outputs = manifest.outputs.iter();
    match outputs.find(|(name, output)| came(name) != Some(&output.sha256)) {
        Some((name, _)) => Err(contradiction(format!(
            "{MANIFEST} and {SUMS} differ about {name}"
        ))),
        None => Ok(()),
    }
}

impl Judged {
    /// Makes it a build of ours, whole. What was on its way is removed after.
    pub fn import(self, store: &Store) -> Result<Build, PublishError> {
        let id = self.proven.build().id().clone();
        let draft = store.draft(&id)?;
        let names = self.files.keys().map(String::as_str).chain(self.texts);
        for name in names {
            draft.copy(name, &self.folder.join(name))?;
        }
        let build = draft.adopt(&id)?;
        // It can be had again, and is only in the way now.
        let _stays = fs::remove_dir_all(&self.folder);
        Ok(build)
    }
}
