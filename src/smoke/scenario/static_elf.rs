//! `static`: a program that is linked with nothing: no loader, no C library, no restartable sequences.
//!
//! It is written out below, byte by byte: it adds what it reads to a sum on its stack and answers with the sum.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::process;
use crate::smoke::stage::{Stage, absent};
use crate::smoke::talk::Talk;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "static",
    about: "a statically linked program",
    options: &["BINFMT_ELF"],
    families: &[],
    variants: &[Variant {
        // On other machines than x86-64 there is no such program here.
        extra: cfg!(not(target_arch = "x86_64")),
        ..Variant::PLAIN
    }],
    entry: Entry::Plain,
    acts: Acts::of::<Static>(),
};

const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// x86-64: read(0, p, 1), add the byte to a sum, write(1, &sum, 8), again; exit(0) at the end of input.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0x48, 0x83, 0xec, 0x20,             // sub  rsp, 32
    0x31, 0xc0,                         // xor  eax, eax
    0x48, 0x89, 0x04, 0x24,             // mov  [rsp], rax
    0x48, 0x89, 0xe3,                   // mov  rbx, rsp
    // again:
    0x31, 0xc0,                         // xor  eax, eax
    0x31, 0xff,                         // xor  edi, edi
    0x48, 0x8d, 0x73, 0x08,             // lea  rsi, [rbx + 8]
    0xba, 0x01, 0x00, 0x00, 0x00,       // mov  edx, 1
    0x0f, 0x05,                         // syscall
    0x48, 0x83, 0xf8, 0x01,             // cmp  rax, 1
    0x75, 0x1d,                         // jne  done
    0x0f, 0xb6, 0x43, 0x08,             // movzx eax, byte [rbx + 8]
    0x48, 0x01, 0x03,                   // add  [rbx], rax
    0xb8, 0x01, 0x00, 0x00, 0x00,       // mov  eax, 1
    0x89, 0xc7,                         // mov  edi, eax
    0x48, 0x89, 0xde,                   // mov  rsi, rbx
    0xba, 0x08, 0x00, 0x00, 0x00,       // mov  edx, 8
    0x0f, 0x05,                         // syscall
    0xeb, 0xd1,                         // jmp  again
    0x90, 0x90, 0x90,
    // done:
    0xb8, 0x3c, 0x00, 0x00, 0x00,       // mov  eax, 60
    0x31, 0xff,                         // xor  edi, edi
    0x0f, 0x05,                         // syscall
];

struct Static {
    child: Talk,
    added: u64,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    added: u64,
    sum: u64,
    pid: u32,
    mappings: usize,
}

impl Play for Static {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        if process::ARCH != "x86_64" {
            return Err(absent("there is no static program for this architecture"));
        }
        let program = stage.dir().join("static");
        fs::write(&program, elf())?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new(program);
        command.current_dir(stage.dir()).env_clear();
        let output = fs::File::create(stage.dir().join("output-static"))?;
        Ok(Self {
            child: Talk::start(command.stderr(Stdio::from(output)))?,
            added: 0,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.add(u8::try_from(self.cycle % 200).unwrap_or(0) + 50)?;
        self.state()
    }

    fn check(&mut self) -> io::Result<State> {
        self.state()
    }

    fn tamper(&mut self) -> io::Result<()> {
        let added = self.added;
        self.add(1)?;
        self.added = added;
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("what was added", &before.added, &after.added),
            same("the sum", &after.added, &after.sum),
            same("the process number", &before.pid, &after.pid),
            same("the number of mappings", &before.mappings, &after.mappings),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Static {
    fn add(&mut self, number: u8) -> io::Result<u64> {
        let (to, from) = self.child.pipes();
        to.write_all(&[number])?;
        to.flush()?;
        let mut sum = [0; 8];
        from.read_exact(&mut sum)?;
        self.added += u64::from(number);
        Ok(u64::from_le_bytes(sum))
    }

    fn state(&mut self) -> io::Result<State> {
        let sum = self.add(0)?;
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.pid()))?;
        Ok(State {
            cycle: self.cycle,
            added: self.added,
            sum,
            pid: self.child.pid(),
            mappings: maps.lines().count(),
        })
    }
}

/// The program as a file: headers of one loaded segment, and the code.
fn elf() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64, version 1
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, no section headers
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes()); // sizes and numbers of headers
    }
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]); // loaded; readable and executable
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(CODE);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told() {
        let state = |added, sum, pid| State {
            cycle: 1,
            added,
            sum,
            pid,
            mappings: 5,
        };
        let before = state(51, 51, 7);
        for (after, fault) in [
            (state(51, 51, 7), None),
            (state(0, 0, 7), Some("what was added")),
            (state(51, 50, 7), Some("the sum was 51 and is 50")),
            (state(51, 51, 8), Some("the process number")),
        ] {
            let faults = Static::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn jumps_lead_where_they_say() {
        let at = |bytes: &[u8]| {
            let found = CODE.windows(bytes.len()).position(|window| window == bytes);
            i32::try_from(found.unwrap()).unwrap()
        };
        let (jne, jmp) = (at(&[0x75, 0x1d]), at(&[0xeb, 0xd1]));
        assert_eq!(jne + 2 + 0x1d, at(&[0xb8, 0x3c, 0, 0, 0]));
        assert_eq!(jmp + 2 + i32::from(0xd1_u8.cast_signed()), at(&[0x31, 0xc0, 0x31, 0xff]));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn it_adds() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut program = Static::set(&Stage::for_test(folder.path()))?;
        program.add(200)?;
        assert_eq!(program.add(100)?, 300);
        Ok(())
    }
}
