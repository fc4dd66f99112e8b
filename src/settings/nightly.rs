//! What a night is to do, out of flags, file and defaults.

use std::path::PathBuf;

use super::control::Control;
use super::resolve::{Place, parse, pick};
use super::{NightlyOverrides, SettingsError};
use crate::source::Wanted;

/// The word for "nothing" where a setting has to say something.
const NONE: &str = "none";

/// What a night is to do, checked.
#[derive(Debug, Clone)]
pub struct Nightly {
    /// Which tags.
    pub wanted: Wanted,
    /// What each kernel is compared with.
    pub control: Option<Control>,
    /// Where kernels are published; below the home when silent.
    pub site: Option<PathBuf>,
    /// The key that signs what is published.
    pub sign_key: Option<PathBuf>,
    /// The URL that is told what the night did.
    pub webhook: Option<String>,
}

/// The first of flags, file and defaults that says something, per key.
pub(super) fn resolve(
    flags: &NightlyOverrides,
    file: &NightlyOverrides,
    defaults: &NightlyOverrides,
    place: &Place,
) -> Result<Nightly, SettingsError> {
    let sources = [flags, file, defaults];
    let max = pick("nightly.max", sources.map(|source| source.max))?;
    let series = pick(
        "nightly.series",
        sources.map(|source| source.series.clone()),
    )?;
    // Those of the flags were read when they were typed.
    let series = series
        .into_iter()
        .map(|one| parse("nightly.series", [None, Some(one), None]));
    let own = |path: &Option<PathBuf>| path.as_ref().map(|path| place.folder.join(path));
    Ok(Nightly {
        wanted: Wanted {
            series: series.collect::<Result<_, _>>()?,
            since: said("nightly.since", sources.map(|source| source.since.clone()))?,
            only: Vec::new(),
            max: (max != 0).then_some(max as usize),
        },
        control: said(
            "nightly.control",
            sources.map(|source| source.control.clone()),
        )?,
        site: flags.site.clone().or_else(|| own(&file.site)),
        sign_key: flags.sign_key.clone().or_else(|| own(&file.sign_key)),
        webhook: flags.webhook.clone().or_else(|| file.webhook.clone()),
    })
}

/// The value, unless it says that there is none.
fn said<T>(key: &'static str, candidates: [Option<String>; 3]) -> Result<Option<T>, SettingsError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    match pick(key, candidates.clone())?.as_str() {
        NONE => Ok(None),
        _ => parse(key, candidates).map(Some),
    }
}
