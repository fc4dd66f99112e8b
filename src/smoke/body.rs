//! The processes of a victim, as the kernel lists them.
//!
//! In: the number of its first process. Out: whether they live, are gone, and what stays of them. Must
//! not signal a number that may have been given to somebody else since.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};

/// How often a dying process is looked at.
const POLL: Duration = Duration::from_millis(3);
/// A killed process that still has a number after so long will keep it.
const DEATH: Duration = Duration::from_secs(5);

/// A victim's processes. All are children of ours in the end, so that we can take them from the list
/// of processes: a restore needs their numbers.
#[derive(Debug)]
pub(super) struct Body {
    root: Pid,
    members: Vec<Pid>,
    alive: bool,
}

impl Body {
    /// A victim that was just started.
    pub(super) fn new(root: Pid) -> Self {
        Self {
            root,
            members: vec![root],
            alive: true,
        }
    }

    pub(super) fn root(&self) -> Pid {
        self.root
    }

    /// Looks up which processes it has by now.
    pub(super) fn count(&mut self) -> io::Result<()> {
        self.members = tree_below(self.root)?;
        Ok(())
    }

    /// Waits until the numbers of all its processes are free; else the numbers that are not.
    pub(super) fn wait_until_gone(&mut self) -> Result<(), Vec<i32>> {
        let began = Instant::now();
        loop {
            let here = self.members.iter().filter(|pid| !is_gone(**pid));
            let left: Vec<i32> = here.map(|pid| raw(*pid)).collect();
            match () {
                () if left.is_empty() => {
                    self.alive = false;
                    return Ok(());
                }
                () if began.elapsed() > DEATH => return Err(left),
                () => std::thread::sleep(POLL),
            }
        }
    }

    /// The same processes are back; in a process namespace of their own they have other numbers outside.
    pub(super) fn restored(&mut self, root: Option<Pid>) {
        self.alive = true;
        if let Some(root) = root.filter(|root| *root != self.root) {
            self.root = root;
            self.members = vec![root];
        }
    }

    /// The process that was started has made another one, and is done.
    pub(super) fn moved_to(&mut self, root: Pid) {
        let _not_ours = rustix::process::waitpid(Some(self.root), WaitOptions::empty());
        self.members.push(root);
        self.root = root;
    }

    /// Whether its first process runs; a zombie does not.
    pub(super) fn is_running(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", raw(self.root)))
            .is_ok_and(|stat| parse_stat(&stat).is_some_and(|(_, state, _)| state != 'Z'))
    }

    /// Kills what is left and waits for it.
    pub(super) fn end(mut self) {
        if !self.alive {
            return;
        }
        let _known_members_then = self.count();
        for pid in &self.members {
            let _gone_already = rustix::process::kill_process(*pid, Signal::KILL);
        }
        let _nothing_more_to_do = self.wait_until_gone();
    }
}

/// Takes a dead child; true when the number is free again.
fn is_gone(pid: Pid) -> bool {
    let _not_ours = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    !Path::new("/proc").join(raw(pid).to_string()).exists()
}

/// A process and all below it, by the parents that `/proc` names.
fn tree_below(root: Pid) -> io::Result<Vec<Pid>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // A process that ends while we look has no parent worth knowing.
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        parents.extend(parse_stat(&stat).map(|(pid, _, parent)| (pid, parent)));
    }
    let mut members = vec![raw(root)];
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        members.extend(
            parents
                .iter()
                .filter(|pair| pair.1 == parent)
                .map(|pair| pair.0),
        );
        next += 1;
    }
    Ok(members.into_iter().filter_map(Pid::from_raw).collect())
}

/// Number, state and parent of a process, from its `stat` line; its name may hold anything.
fn parse_stat(stat: &str) -> Option<(i32, char, i32)> {
    let (pid, rest) = stat.split_once(' ')?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    Some((pid.parse().ok()?, state, words.next()?.parse().ok()?))
}

fn raw(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stat_lines_with_odd_names() {
        assert_eq!(parse_stat("7 (a) S 1) Z 3 7 7 0"), Some((7, 'Z', 3)));
        assert_eq!(parse_stat("no stat"), None);
    }

    #[test]
    fn finds_itself_among_the_processes() {
        let own = rustix::process::getpid();
        assert!(Body::new(own).is_running());
        assert_eq!(tree_below(own).unwrap()[0], own);
    }

    fn spawn(line: &str) -> io::Result<Pid> {
        let child = std::process::Command::new("sh")
            .args(["-c", line])
            .spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("no number"))
    }

    #[test]
    fn ends_a_child_and_frees_its_number() {
        let pid = spawn("sleep 60").unwrap();
        let body = Body::new(pid);
        assert!(body.is_running());
        body.end();
        assert!(is_gone(pid));
    }

    #[test]
    fn what_is_gone_is_not_signalled_again() {
        let mut body = Body::new(spawn("true").unwrap());
        assert_eq!(body.wait_until_gone(), Ok(()));
        assert!(!body.alive && !body.is_running());
    }
}
