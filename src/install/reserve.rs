//! A reserve of space: the way back works on a full disk too.
//!
//! A file beside the journal that holds nothing. Where the disk is full, it is removed, and its space is enough for
//! a change of small files: journal, backups, `.wslconfig`. After a change for which there is space again it is
//! laid by anew. `rollback.cmd` removes it as well. It helps where our folder is on the disk of `.wslconfig`.

use super::disk;
use super::layout::Layout;
use crate::files;

/// A change writes some twenty small files, each of a cluster or two.
const SIZE: u64 = 1 << 20;
/// Nothing is laid by from the last that there is.
const PLENTY: u64 = 4 * SIZE;

/// Lays it by, where there is space. It is no part of any change, so nobody is told if that fails.
pub(super) fn lay_by(layout: &Layout) {
    let path = layout.reserve();
    let whole = path.metadata().is_ok_and(|file| file.len() == SIZE);
    let room = || disk::free_space(&layout.folder().linux).is_none_or(|free| free >= PLENTY);
    if whole || !room() {
        return;
    }
    let size = usize::try_from(SIZE).unwrap_or_default();
    if std::fs::write(&path, vec![0; size]).is_err() {
        let _is_not_there = files::remove_if_there(&path);
    }
}

/// Gives it up, if the disk is full.
pub(super) fn use_up_if_full(layout: &Layout) {
    if disk::free_space(&layout.folder().linux).is_some_and(|free| free < SIZE) {
        // What cannot be removed is in nobody's way.
        let _stays = files::remove_if_there(&layout.reserve());
    }
}
