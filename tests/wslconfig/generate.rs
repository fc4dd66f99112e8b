//! Files as users, editors and accidents make them: every rule of the grammar kept and broken, in every
//! encoding, with any mix of line ends.

use proptest::prelude::*;

/// How a text becomes bytes; on purpose not the code that is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Utf8,
    Utf8Mark,
    Utf16Le,
    Utf16Be,
}

impl Coding {
    pub fn encode(self, text: &str) -> Vec<u8> {
        let marked = format!("\u{FEFF}{text}");
        match self {
            Self::Utf8 => text.into(),
            Self::Utf8Mark => marked.into(),
            Self::Utf16Le => marked.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    pub fn decode(self, bytes: &[u8]) -> String {
        let units = |from: fn([u8; 2]) -> u16| -> String {
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|pair| from([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).expect("whole characters")
        };
        let text = match self {
            Self::Utf8 | Self::Utf8Mark => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
            Self::Utf16Le => units(u16::from_le_bytes),
            Self::Utf16Be => units(u16::from_be_bytes),
        };
        match self {
            Self::Utf8 => text,
            _ => text.strip_prefix('\u{FEFF}').expect("a mark").to_owned(),
        }
    }
}

pub fn coding() -> impl Strategy<Value = Coding> {
    prop_oneof![
        Just(Coding::Utf8),
        Just(Coding::Utf8Mark),
        Just(Coding::Utf16Le),
        Just(Coding::Utf16Be),
    ]
}

/// A whole file. Line ends are of one kind in most, mixed in some; the last line has none in some.
pub fn text() -> impl Strategy<Value = String> {
    let ends = prop_oneof![
        3 => Just(vec!["\n"]),
        3 => Just(vec!["\r\n"]),
        2 => Just(vec!["\n", "\r\n"]),
        1 => Just(vec!["\n", "\r\n", "\r"]),
    ];
    let lines = prop::collection::vec((line(), any::<prop::sample::Index>()), 0..14);
    let tail = prop_oneof![
        12 => Just(""),
        1 => Just("\x1A"),
        1 => Just("\x1A\n[wsl2]\nkernel=late\n"),
    ];
    (lines, ends, any::<bool>(), tail).prop_map(|(lines, ends, is_closed, tail)| {
        let last = lines.len().saturating_sub(1);
        let mut text = String::new();
        for (at, (line, index)) in lines.iter().enumerate() {
            let end = *index.get(&ends);
            // A line feed inside a line is one that the line goes on behind.
            text.push_str(&line.replace('\n', end));
            if at < last || is_closed {
                text.push_str(end);
            }
        }
        text + tail
    })
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => good_header(),
        2 => bad_header(),
        12 => setting(),
        2 => comment(),
        1 => blanks(),
        1 => "; ?[a-zA-Z]{1,8}=[ -~]{0,8}",
        1 => bad_key(),
        1 => "[ -~ü名\\\\\"#=\\[\\]\t]{0,12}",
    ]
}

fn blanks() -> impl Strategy<Value = String> {
    "[ \t]{0,3}"
}

fn comment() -> impl Strategy<Value = String> {
    "#[ -~äß名𝄞\t]{0,12}\\\\?"
}

fn after() -> impl Strategy<Value = String> {
    prop_oneof![3 => blanks(), 1 => (blanks(), comment()).prop_map(|(a, b)| a + &b)]
}

fn good_header() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => Just("wsl2".to_owned()),
        2 => Just("WSL2".to_owned()),
        1 => Just("Wsl2".to_owned()),
        2 => Just("experimental".to_owned()),
        1 => Just("user".to_owned()),
        1 => Just("wls2".to_owned()),
        1 => "[a-zA-Z][a-zA-Z0-9]{0,6}",
    ];
    (blanks(), name, after()).prop_map(|(lead, name, after)| format!("{lead}[{name}]{after}"))
}

fn bad_header() -> impl Strategy<Value = String> {
    let bad = prop_oneof![
        Just("[ wsl2 ]".to_owned()),
        Just("[wsl2 ]".to_owned()),
        Just("[wsl-2]".to_owned()),
        Just("[wsl2] x".to_owned()),
        Just("[wsl2];".to_owned()),
        Just("[wsl2".to_owned()),
        Just("[wsl2more x]".to_owned()),
        Just("[user settings]".to_owned()),
        Just("[experimental ]".to_owned()),
        Just("[x-]".to_owned()),
        Just("[]".to_owned()),
        Just("[2wsl]".to_owned()),
        Just("[wsl2]kernel=x".to_owned()),
        "\\[[ -~]{0,8}",
    ];
    (blanks(), bad, after()).prop_map(|(lead, bad, after)| format!("{lead}{bad}{after}"))
}

fn bad_key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("kernel-modules = x".to_owned()),
        Just("kernel".to_owned()),
        Just("kernel : x".to_owned()),
        Just("\"kernel\"=x".to_owned()),
        Just("_kernel=x".to_owned()),
        Just("=x".to_owned()),
        Just("kernel modules=x".to_owned()),
        Just("kérnel=x".to_owned()),
    ]
}

fn setting() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        5 => Just("kernel".to_owned()),
        2 => Just("KERNEL".to_owned()),
        4 => Just("kernelModules".to_owned()),
        2 => Just("kernelmodules".to_owned()),
        2 => Just("debugConsoleLogFile".to_owned()),
        3 => Just("memory".to_owned()),
        1 => Just("kernelCommandLine".to_owned()),
        1 => "[a-zA-Z][a-zA-Z0-9]{0,8}",
    ];
    let value = prop::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat());
    (blanks(), name, blanks(), blanks(), value, after()).prop_map(
        |(lead, name, before, behind, value, after)| {
            format!("{lead}{name}{before}={behind}{value}{after}")
        },
    )
}

/// A part of a value: plain, escaped, quoted, continued, and what breaks the line.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-zA-Z0-9:./%!&'-]{1,6}",
        3 => Just(r"C:\\Users\\me\\bzImage".to_owned()),
        4 => Just(r"\\".to_owned()),
        1 => Just(r#"\""#.to_owned()),
        2 => prop::sample::select(vec![r"\n", r"\t", r"\b"]).prop_map(str::to_owned),
        2 => "[ \t]{1,2}",
        2 => "\"[a-z #;]{0,6}\"",
        1 => Just("\"C:\\\\a b\\\\\\\n#c\"".to_owned()),
        2 => Just("\\\n".to_owned()),
        1 => Just("\\\n  ".to_owned()),
        1 => "[;=\\[\\]]",
        1 => "[üß名𝄞]",
        1 => "\\\\[A-Zac-m ü]",
        1 => Just("\"".to_owned()),
        1 => Just("\\".to_owned()),
        1 => Just("#".to_owned()),
    ]
}

/// A value that an installation might write: printable ASCII, not empty.
pub fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => r"[A-Z]:(\\[a-zA-Z0-9_.-]{1,8}){1,4}",
        2 => r"[A-Z]:(\\[a-zA-Z0-9 &%!#;'()=]{1,8}){1,3}",
        1 => "[ -~]{1,16}",
    ]
}
