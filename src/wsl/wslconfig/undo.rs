//! The way back from an edit.
//!
//! In: the file before the edit, the file that was written, and the file as it is now. Out: an
//! [`Undone`]. Must not take from the user what was changed since: then only our own values go back.

use super::edit::{EditError, effective, require};
use super::{Key, WslConfig};

/// A file before and after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The file as it is to be written.
    pub config: WslConfig,
    before: WslConfig,
    keys: Vec<Key>,
}

/// The way back from an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The file as it is to be written; where it [is absent](WslConfig::is_absent), to be deleted.
    pub config: WslConfig,
    /// Whether these are the very bytes from before the edit.
    pub exact: bool,
    /// Keys that the user has changed since; they were left alone.
    pub left: Vec<Key>,
}

impl Edited {
    /// An edit of the past: the bytes from before, those that were written, and the keys that changed.
    #[must_use]
    pub fn recall(before: WslConfig, written: WslConfig, keys: &[Key]) -> Self {
        Self {
            config: written,
            before,
            keys: keys.to_vec(),
        }
    }

    /// The file from before the edit.
    #[must_use]
    pub fn before(&self) -> &WslConfig {
        &self.before
    }

    /// Takes the edit back. Where the file is what was written, the result is what was there before,
    /// byte for byte. Where the user has changed it since, only keys that still have our value go back.
    pub fn undo(&self, now: &WslConfig) -> Result<Undone, EditError> {
        if *now == self.config {
            return Ok(Undone {
                config: self.before.clone(),
                exact: true,
                left: Vec::new(),
            });
        }
        let (ours, left) = self.keys.iter().partition::<Vec<Key>, _>(|key| {
            now.value(key.section, key.name) == self.config.value(key.section, key.name)
        });
        let mut config = now.clone();
        for key in ours {
            // As it was written: a value that we would refuse to write may still have been there.
            let old = effective(&self.before, key)
                .map(|setting| &self.before.text()[setting.raw.clone()]);
            config = match old {
                Some(source) => config.with_source(key, source),
                None => config.without(key),
            };
            require(
                &config,
                key,
                self.before.value(key.section, key.name).as_deref(),
            )?;
        }
        Ok(Undone {
            config,
            exact: false,
            left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{BOTH, read, written};
    use super::*;
    use crate::wsl::wslconfig::{KERNEL, KERNEL_MODULES};

    #[test]
    fn a_file_that_was_not_there_goes_again() {
        let edited = WslConfig::absent().edit(&BOTH).unwrap();
        assert_eq!(
            edited.config.bytes(),
            written("[wsl2]\r\n<K>\r\n<M>\r\n").as_bytes()
        );
        assert!(edited.undo(&edited.config).unwrap().config.is_absent());
    }

    #[test]
    fn what_the_user_has_changed_since_stays() {
        let before = read("[wsl2]\nkernel=C:\\\\\u{FC}\\\\old # mine\n");
        let edited = before.edit(&BOTH).unwrap();
        let recalled = Edited::recall(before, edited.config.clone(), &[KERNEL, KERNEL_MODULES]);
        let cases = [
            (
                "[wsl2]\n<K>\n<M>\nmemory=1GB\n",
                "[wsl2]\nkernel=C:\\\\\u{FC}\\\\old\nmemory=1GB\n",
                0,
            ),
            (
                "[wsl2]\nkernel=D:\\\\x\n<M>\n",
                "[wsl2]\nkernel=D:\\\\x\n",
                1,
            ),
            ("[wsl2]\n", "[wsl2]\n", 2),
        ];
        for (now, expected, left) in cases {
            let undone = recalled.undo(&read(&written(now))).unwrap();
            assert_eq!(undone.config.text(), expected);
            assert_eq!((undone.exact, undone.left.len()), (false, left));
        }
    }
}
