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
    let max = pick("nightly.max", [flags.max, file.max, defaults.max])?;
    let all = [&flags.series, &file.series, &defaults.series].map(Clone::clone);
    let series = pick("nightly.series", all)?.into_iter();
    let series = series.map(|series| parse("nightly.series", [Some(series), None, None]));
    let since = [
        flags.since.clone(),
        file.since.clone(),
        defaults.since.clone(),
    ];
    let since = pick("nightly.since", since)?;
    let control = [
        flags.control.clone(),
        file.control.clone(),
        defaults.control.clone(),
    ];
    let control = pick("nightly.control", control)?;
    let own = |path: &Option<PathBuf>| path.as_ref().map(|path| place.folder.join(path));
    Ok(Nightly {
        wanted: Wanted {
            series: series.collect::<Result<_, _>>()?,
            since: said("nightly.since", since)?,
            only: Vec::new(),
            max: (max != 0).then_some(max as usize),
        },
        control: said("nightly.control", control)?,
        site: flags.site.clone().or_else(|| own(&file.site)),
        sign_key: flags.sign_key.clone().or_else(|| own(&file.sign_key)),
        webhook: flags.webhook.clone().or_else(|| file.webhook.clone()),
    })
}

/// The value, unless it says that there is none.
fn said<T>(key: &'static str, value: String) -> Result<Option<T>, SettingsError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    match value.as_str() {
        NONE => Ok(None),
        _ => parse(key, [Some(value), None, None]).map(Some),
    }
}
