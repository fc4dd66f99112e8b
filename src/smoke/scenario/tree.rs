//! `tree`: processes that talk through pipes, in groups and sessions of their own, and a zombie.
//!
//! ```text
//! main ─┬─ child                 same session, same group
//!       ├─ group ─── session     a group of its own; below it a session of its own
//!       └─ zombie                ended with status 7, never waited for
//! ```

use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::payload::{self, Bulk, Queue};
use crate::smoke::stage::Stage;
use crate::smoke::talk::{self, Talk};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "tree",
    about: "a process tree with pipes, groups, sessions and a zombie",
    options: &["PROC_CHILDREN", "KCMP"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Tree>(),
};

const ZOMBIE_STATUS: u8 = 7;
/// Well below the capacity of a pipe.
const IN_FLIGHT: u64 = 20_000;

struct Tree {
    branches: Vec<Talk>,
    zombie: Pid,
    reader: PipeReader,
    writer: PipeWriter,
    in_flight: Option<Bulk>,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    members: Vec<Member>,
    zombie: Option<Zombie>,
    pipe: Queue,
}

/// A process as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    role: String,
    pid: i32,
    ppid: i32,
    sid: i32,
    pgid: i32,
    /// How often it was asked.
    asked: u64,
    children: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Zombie {
    pid: i32,
    status: Option<i32>,
}

impl Play for Tree {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        let zombie = stage.child("zombie")?.spawn()?;
        let branches = vec![grow(stage, "child")?, grow(stage, "group")?];
        let zombie = wait_until_dead(&zombie)?;
        Ok(Self {
            branches,
            zombie,
            reader,
            writer,
            in_flight: None,
            cycle: 0,
        })
    }

    fn role(stage: &Stage) -> io::Result<u8> {
        let branches = match stage.role() {
            "zombie" => return Ok(ZOMBIE_STATUS),
            "group" => vec![grow(stage, "session")?],
            "session" => {
                rustix::process::setsid()?;
                Vec::new()
            }
            _ => Vec::new(),
        };
        answer_questions(stage.role(), branches)?;
        Ok(0)
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let sent = payload::fill(&mut self.writer, self.cycle, IN_FLIGHT, Duration::ZERO)?;
        self.in_flight = Some(sent);
        self.state(false)
    }

    fn check(&mut self) -> io::Result<State> {
        self.state(true)
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.branches.iter_mut().try_for_each(|branch| ask(branch).map(drop))
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let expected: Vec<Member> = before.members.iter().map(Member::asked_once_more).collect();
        let mut faults = payload::judge(
            std::slice::from_ref(&before.pipe),
            std::slice::from_ref(&after.pipe),
        );
        faults.extend(same("the tree", &expected, &after.members));
        faults.extend(same("the zombie", &before.zombie, &after.zombie));
        if before
            .zombie
            .as_ref()
            .is_none_or(|zombie| zombie.status.is_none())
        {
            faults.push("there was no zombie".to_owned());
        }
        faults
    }
}

impl Tree {
    /// What the tree looks like; with `read_back` the pipe is emptied as well.
    fn state(&mut self, read_back: bool) -> io::Result<State> {
        let sent = self
            .in_flight
            .clone()
            .ok_or_else(|| io::Error::other("checked before prepared"))?;
        let waiting = rustix::io::ioctl_fionread(&self.reader)?;
        let got = if read_back {
            Some(payload::drain(&mut self.reader, sent.bytes)?)
        } else {
            None
        };
        let members = self
            .branches
            .iter_mut()
            .map(ask)
            .collect::<io::Result<_>>()?;
        let pipe = Queue {
            name: "a pipe".to_owned(),
            sent,
            waiting,
            got,
        };
        Ok(State {
            members,
            zombie: look_at(self.zombie)?,
            pipe,
        })
    }
}

fn grow(stage: &Stage, role: &str) -> io::Result<Talk> {
    let mut command = stage.child(role)?;
    if role == "group" {
        command.process_group(0);
    }
    Talk::start(&mut command)
}

fn ask(branch: &mut Talk) -> io::Result<Member> {
    branch.ask("who are you")
}

/// The life of a child.
fn answer_questions(role: &str, mut branches: Vec<Talk>) -> io::Result<()> {
    let mut asked = 0;
    talk::answer_lines(|_| {
        asked += 1;
        let children = branches.iter_mut().map(ask).collect::<io::Result<_>>()?;
        Member::myself(role, asked, children)
    })
}

impl Member {
    fn myself(role: &str, asked: u64, children: Vec<Self>) -> io::Result<Self> {
        let raw = |pid: Pid| pid.as_raw_nonzero().get();
        Ok(Self {
            role: role.to_owned(),
            pid: raw(rustix::process::getpid()),
            ppid: rustix::process::getppid().map_or(0, raw),
            sid: raw(rustix::process::getsid(None)?),
            pgid: raw(rustix::process::getpgrp()),
            asked,
            children,
        })
    }

    fn asked_once_more(&self) -> Self {
        let children = self.children.iter().map(Self::asked_once_more).collect();
        Self {
            asked: self.asked + 1,
            children,
            ..self.clone()
        }
    }
}

/// The child's status without taking it: it stays a zombie. `None` where no such child is left.
fn look_at(zombie: Pid) -> io::Result<Option<Zombie>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(zombie), options) {
        Ok(status) => {
            let status = status.and_then(|status| status.exit_status());
            Ok(Some(Zombie {
                pid: zombie.as_raw_nonzero().get(),
                status,
            }))
        }
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn wait_until_dead(child: &Child) -> io::Result<Pid> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
    rustix::process::waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    Ok(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smoke::payload::Tally;

    fn member(pid: i32, sid: i32, asked: u64, children: Vec<Member>) -> Member {
        Member {
            role: "child".into(),
            pid,
            ppid: 1,
            sid,
            pgid: sid,
            asked,
            children,
        }
    }

    fn state(members: Vec<Member>, status: Option<i32>, got: Option<&[u8]>) -> State {
        let bulk = |bytes: &[u8]| {
            let mut tally = Tally::default();
            tally.bytes(bytes);
            tally.done()
        };
        let pipe = Queue {
            name: "a pipe".into(),
            sent: bulk(b"abc"),
            waiting: 3,
            got: got.map(bulk),
        };
        State {
            members,
            zombie: Some(Zombie { pid: 9, status }),
            pipe,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let family = |asked| vec![member(3, 2, asked, vec![member(4, 4, asked, vec![])])];
        let before = state(family(1), Some(7), None);
        let whole = Some(&b"abc"[..]);
        for (after, fault) in [
            (state(family(2), Some(7), whole), None),
            (state(family(1), Some(7), whole), Some("the tree")),
            (state(family(3), Some(7), whole), Some("the tree")),
            (
                state(vec![member(3, 2, 2, vec![])], Some(7), whole),
                Some("the tree"),
            ),
            (
                state(
                    vec![member(3, 2, 2, vec![member(4, 2, 2, vec![])])],
                    Some(7),
                    whole,
                ),
                Some("the tree"),
            ),
            (state(family(2), Some(0), whole), Some("the zombie")),
            (state(family(2), None, whole), Some("the zombie")),
            (
                state(family(2), Some(7), Some(b"ab")),
                Some("1 of 3 bytes were lost on a pipe"),
            ),
        ] {
            let faults = Tree::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn a_tree_without_a_zombie_proves_nothing() {
        let before = state(vec![], None, None);
        let faults = Tree::judge(&before, &state(vec![], None, Some(b"abc")));
        assert_eq!(faults, ["there was no zombie"]);
    }
}
