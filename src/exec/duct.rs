//! The runner that really runs things, on top of the duct crate.
//!
//! Every child gets its own process group, and the whole group is killed on a time-out or an
//! interrupt: duct's own kill reaches the direct child only.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Cmd, ExecError, Output, Runner, Stdin, Stdout};
use crate::process::{self, Interrupt};

/// How often a waiting runner looks at its deadlines and at the interrupt.
const TICK: Duration = Duration::from_millis(50);
/// Lines kept of a streamed output, for the error message.
const KEPT_LINES: usize = 60;

/// What children see of our own environment: where things are, how to reach a container engine, and how
/// WSL starts Windows' programs.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "CONTAINER_HOST",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "WSL_INTEROP",
    "WSL_DISTRO_NAME",
];

/// Runs commands as child processes.
#[derive(Debug, Clone, Default)]
pub struct Duct {
    interrupt: Interrupt,
}

impl Duct {
    /// A runner that stops its children when `interrupt` is set.
    #[must_use]
    pub fn new(interrupt: Interrupt) -> Self {
        Self { interrupt }
    }
}

impl Runner for Duct {
    fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output, ExecError> {
        let (lifeline, held) = lifeline(cmd)?;
        let mut expression = expression(cmd, lifeline);
        let lines = match &cmd.stdout {
            Stdout::Lines => {
                let (reader, writer) = io::pipe().map_err(|e| start_error(cmd, e))?;
                expression = expression.stderr_to_stdout().stdout_file(writer);
                Some(read_lines(reader))
            }
            Stdout::Capture => {
                expression = expression.stdout_capture().stderr_capture();
                None
            }
            Stdout::File(path) => {
                let file = std::fs::File::create(path).map_err(|source| ExecError::Sink {
                    path: path.clone(),
                    source,
                })?;
                expression = expression.stdout_file(file).stderr_capture();
                None
            }
        };
        // The expression holds our copy of the pipe's writing end; without the drop, the reader
        // would wait for ever.
        let handle = expression.start().map_err(|e| start_error(cmd, e))?;
        drop(expression);
        let watch = Watch {
            cmd,
            handle: &handle,
            interrupt: &self.interrupt,
            started: Instant::now(),
        };
        let tail = match lines {
            Some(lines) => watch.stream(&lines, on_line)?,
            None => String::new(),
        };
        let mut output = watch.finish()?;
        drop(held);
        if cmd.stdout == Stdout::Lines {
            output.stderr = tail;
        }
        Ok(output)
    }
}

/// The reading end for the child and the writing end that we hold, where a lifeline is asked for.
fn lifeline(cmd: &Cmd) -> Result<(Option<PipeReader>, Option<io::PipeWriter>), ExecError> {
    if cmd.stdin != Stdin::Lifeline {
        return Ok((None, None));
    }
    let (reader, writer) = io::pipe().map_err(|e| start_error(cmd, e))?;
    Ok((Some(reader), Some(writer)))
}

fn expression(cmd: &Cmd, lifeline: Option<PipeReader>) -> duct::Expression {
    let (program, mut args) = (cmd.program.clone(), cmd.args.clone());
    let mut expression = if cmd.dies_with_us {
        args.splice(
            0..0,
            ["--pdeathsig".into(), "KILL".into(), "--".into(), program],
        );
        duct::cmd("setpriv", args)
    } else {
        duct::cmd(program, args)
    };
    expression = match (&cmd.stdin, lifeline) {
        (Stdin::Bytes(bytes), _) => expression.stdin_bytes(bytes.clone()),
        (_, Some(reader)) => expression.stdin_file(reader),
        (_, None) => expression.stdin_null(),
    };
    if let Some(dir) = &cmd.dir {
        expression = expression.dir(dir);
    }
    let own_group = |command: &mut std::process::Command| {
        command.process_group(0);
        Ok(())
    };
    expression
        .full_env(environment(cmd))
        .unchecked()
        .before_spawn(own_group)
}

/// The small, known environment of every child.
fn environment(cmd: &Cmd) -> std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString> {
    let mut env = cmd.env.clone();
    for name in PASSED_ON {
        if let Some(value) = process::env_var(name) {
            env.entry(name.into()).or_insert(value);
        }
    }
    env.entry("LC_ALL".into())
        .or_insert_with(|| "C.UTF-8".into());
    env.entry("TZ".into()).or_insert_with(|| "UTC".into());
    env
}

fn read_lines(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1024);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            line.clear();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}

fn start_error(cmd: &Cmd, source: io::Error) -> ExecError {
    match source.kind() {
        io::ErrorKind::NotFound => ExecError::NotFound {
            program: cmd.program.to_string_lossy().into_owned(),
        },
        _ => ExecError::Start {
            command: cmd.to_string(),
            source,
        },
    }
}

/// A running child and its limits.
struct Watch<'a> {
    cmd: &'a Cmd,
    handle: &'a duct::Handle,
    interrupt: &'a Interrupt,
    started: Instant,
}

impl Watch<'_> {
    /// Hands on lines until both streams are closed; returns the last ones.
    fn stream(
        &self,
        lines: &Receiver<String>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<String, ExecError> {
        let mut tail = VecDeque::with_capacity(KEPT_LINES);
        let mut last = Instant::now();
        loop {
            match lines.recv_timeout(TICK) {
                Ok(line) => {
                    last = Instant::now();
                    on_line(&line);
                    if tail.len() == KEPT_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line);
                }
                Err(RecvTimeoutError::Timeout) => self.check_silence(last)?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.check_limits()?;
        }
        Ok(Vec::from(tail).join("\n"))
    }

    fn finish(&self) -> Result<Output, ExecError> {
        loop {
            let done = self
                .handle
                .wait_timeout(TICK)
                .map_err(|e| start_error(self.cmd, e))?;
            if let Some(output) = done {
                return self.output(output);
            }
            self.check_limits()?;
        }
    }

    fn output(&self, output: &std::process::Output) -> Result<Output, ExecError> {
        let not_found = self.cmd.dies_with_us && output.status.code() == Some(127);
        if not_found {
            return Err(start_error(self.cmd, io::ErrorKind::NotFound.into()));
        }
        Ok(Output {
            status: output.status.code(),
            signal: output.status.signal(),
            stdout: output.stdout.clone(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn check_limits(&self) -> Result<(), ExecError> {
        if self.interrupt.is_set() && !self.cmd.despite_interrupt {
            self.kill();
            return Err(ExecError::Interrupted {
                command: self.cmd.to_string(),
            });
        }
        match self.cmd.total {
            Some(limit) if self.started.elapsed() > limit => {
                self.kill();
                Err(ExecError::TimedOut {
                    command: self.cmd.to_string(),
                    limit,
                })
            }
            _ => Ok(()),
        }
    }

    fn check_silence(&self, last: Instant) -> Result<(), ExecError> {
        match self.cmd.silence {
            Some(limit) if last.elapsed() > limit => {
                self.kill();
                Err(ExecError::Silent {
                    command: self.cmd.to_string(),
                    limit,
                })
            }
            _ => Ok(()),
        }
    }

    /// Ends the whole process group. A child that is gone already is what we want.
    fn kill(&self) {
        for pid in self.handle.pids() {
            let pid = i32::try_from(pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
        }
        let _reaped = self.handle.wait_timeout(Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh").args(["-c", script])
    }

    #[test]
    fn captures_both_streams_and_the_status() {
        let output = Duct::default().run_with(&sh("echo out; echo err >&2; exit 3"), &mut |_| {});
        let output = output.expect("runs");
        assert_eq!(
            (
                output.status,
                output.text().as_str(),
                output.stderr.as_str()
            ),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn streams_lines_in_order() {
        let mut seen = Vec::new();
        let cmd = sh("echo one; echo two >&2; echo three").stdout(Stdout::Lines);
        let output = Duct::default()
            .run_with(&cmd, &mut |line| seen.push(line.to_owned()))
            .expect("runs");
        assert_eq!(seen, ["one", "two", "three"]);
        assert_eq!(output.stderr, "one\ntwo\nthree");
    }

    #[test]
    fn each_bad_end_has_its_own_error() {
        let short = Duration::from_millis(200);
        let runner = Duct::default();
        let run = |cmd: Cmd| runner.run(&cmd).expect_err("must fail");
        assert!(matches!(run(sh("exit 1")), ExecError::Failed { .. }));
        assert!(matches!(
            run(Cmd::new("no-such-program-at-all")),
            ExecError::NotFound { .. }
        ));
        assert!(matches!(
            run(Cmd::new("no-such-program-at-all").dies_with_us()),
            ExecError::NotFound { .. }
        ));
        assert!(matches!(
            run(sh("sleep 60 & sleep 60").total(short)),
            ExecError::TimedOut { .. }
        ));
        let silent = sh("echo hello; sleep 60")
            .stdout(Stdout::Lines)
            .silence(short);
        assert!(matches!(run(silent), ExecError::Silent { .. }));
    }

    #[test]
    fn an_interrupt_ends_the_whole_group() {
        let interrupt = Interrupt::default();
        let runner = Duct::new(interrupt.clone());
        interrupt.set();
        let started = Instant::now();
        let error = runner.run(&sh("sleep 60 & sleep 60; wait"));
        assert!(matches!(error, Err(ExecError::Interrupted { .. })));
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(runner.run(&sh("sleep 0.2").despite_interrupt()).is_ok());
    }

    #[test]
    fn a_lifeline_stays_open_until_the_child_is_done() {
        let cmd = sh("if read -t 1 x 2>/dev/null; then echo data; else echo open; fi; true")
            .stdin(Stdin::Lifeline);
        assert!(Duct::default().run(&cmd).is_ok());
    }
}
