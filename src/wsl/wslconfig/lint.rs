//! The linter: what WSL will really do with the file, and how the lines should be.
//!
//! In: a [`WslConfig`] and [`Facts`] about the computer. Out: [`Finding`]s in the order of the lines. Must
//! not ask the computer itself: the facts come with the call, and what is not known is not complained of.

mod meant;
mod value;

use std::fmt;
use std::ops::Range;

use super::super::path::WindowsPath;
use super::encoding::Encoding;
use super::finding::{Finding, Problem};
use super::grammar::{
    Bad, END_OF_TEXT, Fault, Kind, Section, Setting, Statement, readable, statements,
};
use super::keys;
use super::{KERNEL, KERNEL_MODULES, Key, WslConfig};

/// What the linter is told about the computer.
pub struct Facts<'a> {
    /// Whether something lies at a path; `None` where that cannot be said.
    pub exists: &'a dyn Fn(&WindowsPath) -> Option<bool>,
    /// Keys that the computer's policy empties.
    pub forbidden: &'a [Key],
}

impl Facts<'_> {
    /// Nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            exists: &|_| None,
            forbidden: &[],
        }
    }
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            exists: _,
            forbidden,
        } = self;
        f.debug_struct("Facts")
            .field("forbidden", forbidden)
            .finish_non_exhaustive()
    }
}

/// Whether a file's name is one that people give to `.wslconfig` by mistake: WSL does not look at it.
#[must_use]
pub fn is_misnamed(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.strip_suffix(".txt").unwrap_or(&lower);
    lower != ".wslconfig"
        && (matches!(
            stem,
            ".wslconf" | "wslconfig" | "wsl.config" | ".wsl.config" | ".wsl"
        ) || strsim::damerau_levenshtein(stem, ".wslconfig") <= 2)
}

impl WslConfig {
    /// Everything about the file that is not what it seems.
    #[must_use]
    pub fn findings(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut lint = Lint {
            config: self,
            text: self.text(),
            facts,
            below_bad_header: false,
            seen: Vec::new(),
            found: Vec::new(),
        };
        lint.file();
        for statement in &self.statements {
            match &statement.kind {
                Kind::Blank | Kind::Comment => {}
                Kind::Section(section) => lint.section(statement, section),
                Kind::Setting(setting) => lint.setting(statement, setting),
                Kind::Bad(bad) => lint.bad(statement, bad),
            }
        }
        lint.unit();
        lint.found.sort_by_key(|finding| finding.line);
        lint.found
    }
}

struct Lint<'a> {
    config: &'a WslConfig,
    text: &'a str,
    facts: &'a Facts<'a>,
    /// Whether the last header is a bad one.
    below_bad_header: bool,
    /// Keys that have a line already, and its number.
    seen: Vec<(String, usize)>,
    found: Vec<Finding>,
}

impl Lint<'_> {
    fn add(&mut self, line: usize, at: Range<usize>, problem: Problem, corrected: Option<String>) {
        // A line that WSL would drop is no correction.
        let is_read = |line: &String| {
            let read = statements(line);
            !read.iter().any(|part| matches!(part.kind, Kind::Bad(_)))
        };
        let corrected = corrected.filter(is_read);
        self.found.push(Finding {
            problem,
            line,
            at,
            corrected,
        });
    }

    /// What concerns the file as a whole.
    fn file(&mut self) {
        let encoding = self.config.encoding();
        if encoding != Encoding::Utf8 {
            self.add(1, 0..0, Problem::Encoding(encoding), None);
        }
        if let Some(at) = self.config.decoded.foreign.first().copied() {
            let place = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
            self.add(self.line_at(at), place, Problem::ForeignBytes, None);
        }
        let end = readable(self.text).len();
        if self.text.len() > end + END_OF_TEXT.len_utf8() {
            let place = end..end + END_OF_TEXT.len_utf8();
            self.add(self.line_at(end), place, Problem::EndOfText, None);
        }
    }

    fn line_at(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// The first line of a statement, without its end.
    fn line(&self, statement: &Statement) -> &str {
        let whole = &self.text[statement.span.clone()];
        whole.lines().next().unwrap_or_default()
    }

    fn section(&mut self, statement: &Statement, section: &Section) {
        self.below_bad_header = false;
        let name = &self.text[section.name.clone()];
        if keys::is_section(name) {
            return;
        }
        let nearest = keys::nearest_section(name);
        let problem = Problem::UnknownSection {
            name: name.to_owned(),
            nearest: nearest.map(|name| format!("[{name}]")),
        };
        let corrected = nearest.map(|right| self.with(statement, &section.name, right));
        self.add(statement.line, section.name.clone(), problem, corrected);
    }

    fn bad(&mut self, statement: &Statement, bad: &Bad) {
        let problem = match bad.fault {
            Fault::KeyStart(';') => Problem::Semicolon,
            fault => Problem::Dropped(fault),
        };
        self.below_bad_header |= bad.fault.is_header();
        let corrected = self.repaired(statement, bad);
        self.add(statement.line, bad.at.clone(), problem, corrected);
    }

    fn setting(&mut self, statement: &Statement, setting: &Setting) {
        let name = &self.text[setting.name.clone()];
        let line = statement.line;
        let Some(good) = setting.scope.good.as_deref() else {
            let section = keys::nearest_key("wsl2", name).map(|known| known.section.to_owned());
            return self.add(
                line,
                setting.name.clone(),
                Problem::NoSection { section },
                None,
            );
        };
        if self.below_bad_header {
            let counted = setting.scope.name().map(str::to_owned);
            self.add(
                line,
                setting.name.clone(),
                Problem::BelowBadHeader { counted },
                None,
            );
        }
        let section = setting.scope.name().unwrap_or(good);
        let Some(known) = keys::find(section, name) else {
            return self.unknown(statement, setting, section);
        };
        let key = known.full_name();
        if let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == key) {
            let problem = Problem::Duplicate { key, first: *first };
            return self.add(line, setting.name.clone(), problem, None);
        }
        self.seen.push((key, line));
        self.value(statement, setting, known);
    }

    fn unknown(&mut self, statement: &Statement, setting: &Setting, section: &str) {
        // The keys of an unknown section are lost with it; its header has been named already.
        if !keys::is_section(section) {
            return;
        }
        let name = &self.text[setting.name.clone()];
        let nearest = keys::nearest_key(section, name);
        let same = nearest.filter(|known| known.section.eq_ignore_ascii_case(section));
        let problem = Problem::UnknownKey {
            key: format!("{section}.{name}"),
            nearest: nearest.map(|known| match same {
                Some(_) => known.name.to_owned(),
                None => format!("{} below [{}]", known.name, known.section),
            }),
        };
        let corrected = same.map(|known| self.with(statement, &setting.name, known.name));
        self.add(statement.line, setting.name.clone(), problem, corrected);
    }

    /// Kernel and modules belong together.
    fn unit(&mut self) {
        let choice = self.config.kernel();
        let (lonely, problem) = match (choice.kernel, choice.modules) {
            (None, Some(_)) => (KERNEL_MODULES, Problem::ModulesWithoutKernel),
            (Some(_), None) => (KERNEL, Problem::KernelWithoutModules),
            _ => return,
        };
        let config = self.config;
        let found = config
            .settings()
            .find(|(_, setting)| setting.is(config.text(), lonely.section, lonely.name));
        if let Some((statement, setting)) = found {
            self.add(statement.line, setting.name.clone(), problem, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wsl::wslconfig::Report;

    const KERNEL_FILE: &str = r"C:\wslk\bzImage";

    fn findings(text: &str, forbidden: &[Key]) -> Vec<(usize, Problem, Option<String>)> {
        let facts = Facts {
            exists: &|path| Some([KERNEL_FILE, r"C:\m.vhd"].contains(&path.as_str())),
            forbidden,
        };
        let config = WslConfig::read(text.into()).unwrap();
        let found = config.findings(&facts);
        let report = Report::new(".wslconfig", config.text(), &found);
        assert_eq!(report.is_some(), !found.is_empty());
        for finding in &found {
            assert!(config.text().get(finding.at.clone()).is_some(), "{finding}");
        }
        found
            .into_iter()
            .map(|finding| (finding.line, finding.problem, finding.corrected))
            .collect()
    }

    #[test]
    fn a_good_file_has_no_findings() {
        let text = "# mine\r\n[wsl2]\r\nkernel = C:\\\\wslk\\\\bzImage # new\r\nkernelModules=\"C:\\\\m.vhd\"\r\n\
                    memory=8GB\r\nswap=0\r\nprocessors=4\r\nnetworkingMode=Mirrored\r\nlocalhostforwarding=TRUE\r\n\
                    [experimental]\r\nsparseVhd=true\r\n[General]\r\ninstanceIdleTimeout=-1\r\n";
        assert_eq!(findings(text, &[]), []);
    }

    /// One line below `[wsl2]`, or with its own header: what is found, and the line put right.
    #[test]
    fn each_kind_of_line_is_found_and_put_right() {
        let dropped = |fault| Problem::Dropped(fault);
        let nearly = |name: &str, nearest: &str| Problem::UnknownKey {
            key: format!("wsl2.{name}"),
            nearest: Some(nearest.to_owned()),
        };
        let some = |text: &str| Some(text.to_owned());
        let cases = [
            ("; memory=8GB", Problem::Semicolon, some("# memory=8GB")),
            (
                "swapFile=C:\\Users\\me\\x",
                dropped(Fault::Escape(Some('U'))),
                some(r"swapFile=C:\\Users\\me\\x"),
            ),
            (
                "swapFile=\"C:\\\\x",
                dropped(Fault::Quote),
                some(r"swapFile=C:\\x"),
            ),
            ("swap-file=x", dropped(Fault::Equals), None),
            ("9=x", dropped(Fault::KeyStart('9')), None),
            ("[ wsl2 ]", dropped(Fault::SectionStart), some("[wsl2]")),
            ("[wsl-2]", dropped(Fault::Bracket), some("[wsl2]")),
            ("[wsl2] on", dropped(Fault::AfterSection), some("[wsl2]")),
            (
                "swapFile=C:\\new\\temp",
                Problem::SpoiltPath,
                some(r"swapFile=C:\\new\\temp"),
            ),
            (
                "swapFile=d:\\\\\\\\x",
                Problem::DoubledBackslashes,
                some(r"swapFile=d:\\x"),
            ),
            (
                "swapFile=C:\\\\x ; mine",
                Problem::SemicolonInValue,
                some(r"swapFile=C:\\x"),
            ),
            ("swapFile=%userprofile%\\\\x", Problem::Variable, None),
            (
                "swapFile=C:/x/y",
                Problem::Slashes,
                some(r"swapFile=C:\\x\\y"),
            ),
            ("swapFile=x", Problem::NotAFullPath, None),
            ("swapFile=C:\\\\\u{FC}", Problem::NotAscii, None),
            (
                "systemDistro=C:\\\\none",
                Problem::Missing(r"C:\none".to_owned()),
                None,
            ),
            ("safeMode=true", Problem::SafeMode, None),
            ("memory=", Problem::Empty("wsl2.memory".to_owned()), None),
            ("swapfil=\\", nearly("swapfil", "swapFile"), None),
        ];
        for (line, problem, corrected) in cases {
            let found = findings(&format!("[wsl2]\n{line}\n"), &[]);
            assert_eq!(found, [(2, problem, corrected)], "{line}");
        }
    }

    #[test]
    fn names_are_found_and_put_right() {
        let unknown = |key: &str, nearest: Option<&str>| Problem::UnknownKey {
            key: key.to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        let some = |text: &str| Some(text.to_owned());
        let found = findings(
            "memory=1GB\n[wls2] # x\nkernel=x\n[wsl2]\nkernal = x # y\nsparseVhd=true\ncpus=3\n[user]\n",
            &[],
        );
        let section = |name: &str, nearest: Option<&str>| Problem::UnknownSection {
            name: name.to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        let expected = [
            (
                1,
                Problem::NoSection {
                    section: some("wsl2"),
                },
                None,
            ),
            (2, section("wls2", Some("[wsl2]")), some("[wsl2] # x")),
            (
                5,
                unknown("wsl2.kernal", Some("kernel")),
                some("kernel = x # y"),
            ),
            (
                6,
                unknown("wsl2.sparseVhd", Some("sparseVhd below [experimental]")),
                None,
            ),
            (7, unknown("wsl2.cpus", None), None),
            (8, section("user", None), None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_depends_on_other_lines_is_found() {
        let duplicate = Problem::Duplicate {
            key: "wsl2.firewall".to_owned(),
            first: 2,
        };
        let value = Problem::BadValue {
            key: "wsl2.firewall".to_owned(),
            expected: "true or false".to_owned(),
        };
        let below = Problem::BelowBadHeader {
            counted: Some("wsl2".to_owned()),
        };
        let cases = [
            (
                "[wsl2]\nfirewall=on\n[experimental]\nFirewall=true",
                vec![
                    (2, value, Some("firewall=true".to_owned())),
                    (4, duplicate, None),
                ],
            ),
            (
                "[wsl2]\nkernelModules=C:\\\\m.vhd",
                vec![(2, Problem::ModulesWithoutKernel, None)],
            ),
            (
                "[wsl2]\nkernel=C:\\\\wslk\\\\bzImage",
                vec![(2, Problem::KernelWithoutModules, None)],
            ),
            (
                "[wsl2]\n[ x]\nmemory=1GB",
                vec![
                    (2, Problem::Dropped(Fault::SectionStart), None),
                    (3, below, None),
                ],
            ),
            (
                "[wsl2]\n\u{1A}\nmemory=1GB",
                vec![(2, Problem::EndOfText, None)],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(findings(text, &[]), expected, "{text:?}");
        }
    }

    #[test]
    fn the_policy_and_the_encoding_are_found() {
        let text = "[wsl2]\nkernel=C:\\\\wslk\\\\bzImage\nkernelModules=C:\\\\m.vhd\n";
        let found = findings(text, &[KERNEL, KERNEL_MODULES]);
        let forbidden = |line, key: Key| (line, Problem::Forbidden(key.to_string()), None);
        assert_eq!(found, [forbidden(2, KERNEL), forbidden(3, KERNEL_MODULES)]);
        let big_end: Vec<u8> = "\u{FEFF}[wsl2]"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let found = WslConfig::read(big_end)
            .unwrap()
            .findings(&Facts::unknown());
        assert!(matches!(&found[..], [one] if one.is_error()), "{found:?}");
        let found = WslConfig::read(b"# \xFC".into())
            .unwrap()
            .findings(&Facts::unknown());
        assert_eq!(found[0].problem, Problem::ForeignBytes);
    }

    #[test]
    fn wrong_file_names_are_known() {
        for name in [
            ".wslconf",
            "wslconfig",
            ".wslconfig.txt",
            ".WSLCONFG",
            "wslconfig.txt",
            ".wslcofnig",
        ] {
            assert!(is_misnamed(name), "{name}");
        }
        for name in [
            ".wslconfig",
            ".WslConfig",
            ".gitconfig",
            "NTUSER.DAT",
            ".config",
        ] {
            assert!(!is_misnamed(name), "{name}");
        }
    }

    #[test]
    fn a_report_shows_line_caret_and_correction() {
        let config = WslConfig::read(b"[wsl2]\nkernel=C:\\Users\\me\\bzImage\n".into()).unwrap();
        let found = config.findings(&Facts::unknown());
        let drawn = Report::new(".wslconfig", config.text(), &found)
            .unwrap()
            .drawn();
        let expected = r"  × .wslconfig: line 2: WSL drops this line: `\U` is no escape
   ╭─[.wslconfig:2:10]
 1 │ [wsl2]
 2 │ kernel=C:\Users\me\bzImage
   ·          ─┬
   ·           ╰── WSL drops this line: `\U` is no escape
   ╰────
  help: line 2: write each backslash of a path twice: C:\\folder\\file
            kernel=C:\\Users\\me\\bzImage
";
        assert_eq!(drawn, expected);
    }
}
