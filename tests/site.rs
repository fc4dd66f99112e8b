//! The nightly site: eight tags, failures of each kind among them, drawn and looked at in a real browser
//! (`WSLK_TEST_BROWSER`, else chromium, in `PATH`; skipped, and said so, where there is none).
//! `WSLK_TEST_SITE=DIR` leaves the site there.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "browser/mod.rs"]
mod browser;

use std::fs;
use std::path::{Path, PathBuf};

use wslk::nightly::site::{self, Shelves, Site};
use wslk::nightly::{Blame, DriftFacts, Entry, Failure, Ledger, Regression, Row, Stage};
use wslk::process::env_var;
use wslk::publish::Index;
use wslk::smoke::Verdict;
use wslk::source::Tag;

use self::browser::Browser;

/// What a kernel might say to see what we make of it.
const EVIL: &str = "<script>alert('x')</script>&amp;\"]]> <img src=x onerror=y>";

const SCENARIOS: [&str; 25] = [
    "memory",
    "threads",
    "tree",
    "unix",
    "tcp-iptables",
    "tcp-nftables",
    "udp",
    "listen",
    "timers",
    "shared-memory",
    "sysv",
    "mqueue",
    "events",
    "files",
    "pre-dump",
    "lazy-pages",
    "pty",
    "namespaces",
    "user-namespace",
    "time-namespace",
    "cgroup",
    "seccomp",
    "static",
    "python",
    "container",
];

fn tag(version: &str) -> Tag {
    version.parse().expect("a tag")
}

fn entry(version: &str, stage: Stage, number: u32) -> Entry {
    let commit = format!("{:040x}", 0x9e37_79b9_7f4a_u64 * u64::from(number));
    let time = 1_795_000_000 + 86_400 * u64::from(number);
    let mut entry = Entry::seen(tag(version), commit, "criu".into(), "rules".into(), time);
    entry.stage = stage;
    entry.log = Some(format!("logs/{}.log", entry.tag));
    if stage >= Stage::Configured {
        entry.judged.drift = Some(DriftFacts {
            since: tag("6.1.20.1"),
            new: number as usize,
            gone: 2,
            changed: 17,
            unreviewed: Vec::new(),
        });
    }
    if stage >= Stage::Built {
        let number = f64::from(number);
        entry.judged.build = Some(
            format!("{version}-criu-0123456789")
                .parse()
                .expect("a build"),
        );
        entry.judged.release = Some(format!("{version}-microsoft-standard-WSL2-wslk-0123456789"));
        entry.judged.kernel_bytes = Some(15_000_000 + 150_000 * (number * 7.0 % 5.0) as u64);
        entry.judged.modules_bytes = Some(31_000_000);
        entry.seconds.build = 1500.0 + 60.0 * (number * 5.0 % 7.0);
        entry.seconds.boot = 55.0;
    }
    if stage >= Stage::Booted {
        entry.judged.scenarios = SCENARIOS.iter().map(|name| row(name)).collect();
        entry.judged.control = Some(
            format!("{version}-stock-abcdef0123")
                .parse()
                .expect("a build"),
        );
        entry.judged.conclusion =
            Some("the kernel adds unix; stock is enough for the other 23".into());
    }
    if stage == Stage::Published {
        entry.judged.path = Some(format!("{}/{version}-criu-0123456789", entry.tag));
    }
    entry
}

fn row(name: &str) -> Row {
    let (verdict, control, reason) = match name {
        "container" => (
            Verdict::NotTestable,
            Verdict::NotTestable,
            Some("runc is not installed"),
        ),
        "unix" => (
            Verdict::Works,
            Verdict::Fails,
            Some("stock: UNIX_DIAG is a module, and there is no modules disk"),
        ),
        _ => (Verdict::Works, Verdict::Works, None),
    };
    Row {
        name: name.into(),
        verdict,
        control: Some(control),
        reason: reason.map(str::to_owned),
    }
}

fn failed(mut entry: Entry, blame: Blame, stage: Stage, reason: &str, hint: Option<&str>) -> Entry {
    entry.failure = Some(Failure {
        blame,
        stage,
        code: 5,
        reason: reason.into(),
        hint: hint.map(str::to_owned),
    });
    entry
}

/// A year of somebody's nights.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.keep(entry("5.15.153.1", Stage::Published, 1));
    ledger.keep(entry("5.15.167.4", Stage::Published, 2));
    ledger.keep(entry("6.1.21.2", Stage::Published, 3));
    let reason = "net/unix/af_unix.c:1432: error: implicit declaration of function 'unix_gc'";
    ledger.keep(failed(
        entry("6.6.36.3", Stage::Configured, 4),
        Blame::Kernel,
        Stage::Built,
        reason,
        Some("the log has the compiler's words"),
    ));
    let mut lost = entry("6.6.75.1", Stage::Booted, 5);
    lost.stage = Stage::Built;
    for row in &mut lost.judged.scenarios {
        if matches!(row.name.as_str(), "tcp-iptables" | "tcp-nftables") {
            row.verdict = Verdict::Fails;
            row.reason = Some(EVIL.into());
        }
    }
    lost.judged.regressions.push(Regression {
        scenario: "tcp-nftables".into(),
        good: tag("6.1.21.2"),
        bad: tag("6.6.75.1"),
        untried: vec![tag("6.6.36.3")],
    });
    ledger.keep(failed(
        lost,
        Blame::Kernel,
        Stage::Booted,
        "6.6.75.1 failed its boot test: tcp-iptables, tcp-nftables fail",
        None,
    ));
    let mut unread = entry("6.6.87.2", Stage::Fetched, 6);
    unread.judged.drift = Some(DriftFacts {
        since: tag("6.6.75.1"),
        new: 12,
        gone: 3,
        changed: 41,
        unreviewed: vec!["UNIX_DIAG".into(), "PACKET_DIAG".into()],
    });
    let reason = "options that matter changed since 6.6.75.1, and nobody has reviewed it: UNIX_DIAG, PACKET_DIAG";
    let hint = "`wslk drift 6.6.75.1 6.6.87.2` shows what changed, and what to write into kernel-configs/reviews.toml";
    ledger.keep(failed(
        unread,
        Blame::Kernel,
        Stage::Configured,
        reason,
        Some(hint),
    ));
    ledger.keep(failed(
        entry("6.6.114.1", Stage::Seen, 7),
        Blame::Source,
        Stage::Fetched,
        &format!(
            "the tag was moved: it named {} when it was first seen",
            "c0ffee".repeat(6)
        ),
        None,
    ));
    ledger.keep(failed(
        entry("6.18.20.1", Stage::Fetched, 8),
        Blame::Harness,
        Stage::Configured,
        "no engine answers: docker and podman were tried",
        None,
    ));
    ledger.keep(entry("6.18.26.1", Stage::Published, 9));
    ledger.keep(entry("6.18.30.1", Stage::Built, 10));
    ledger
}

/// The site on a disk, with the files that it links.
fn written(root: &Path) -> Ledger {
    let ledger = ledger();
    for entry in ledger.entries() {
        let put = |path: &str, bytes: usize| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, vec![b'x'; bytes]).expect("written");
        };
        entry.log.iter().for_each(|log| put(log, 10));
        put(&format!("drift/{}/drift.md", entry.tag), 10);
        for (name, bytes) in [
            ("bzImage", 15_000_000),
            ("modules.vhd", 3_000_000),
            ("manifest.json", 4000),
            ("SHA256SUMS", 900),
            ("SHA256SUMS.minisig", 300),
            ("provenance.json", 5000),
            ("sbom.json", 90_000),
            ("boot/report.json", 9000),
            ("config", 130_000),
            ("unknown.txt", 1),
        ] {
            entry
                .judged
                .path
                .iter()
                .for_each(|path| put(&format!("{path}/{name}"), bytes));
        }
    }
    site::write(root, &ledger).expect("written");
    ledger
}

fn parsed(text: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    roxmltree::Document::parse_with_options(text, options).expect("well formed")
}

#[test]
fn the_page_refers_to_nothing_but_what_lies_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = env_var("WSLK_TEST_SITE").map_or(folder.path().to_owned(), PathBuf::from);
    written(&root);
    let text = fs::read_to_string(root.join(site::PAGE)).expect("a page");
    let page = parsed(&text);
    let mut links = 0;
    for node in page.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        assert!(
            !["script", "img", "link", "iframe", "object", "base", "form"].contains(&name),
            "{name}"
        );
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(
                !["src", "srcset", "style", "action"].contains(&name) && !name.starts_with("on"),
                "{name}"
            );
            if name == "href" && !value.starts_with('#') {
                assert!(root.join(value).is_file(), "{value}");
                links += 1;
            }
        }
    }
    assert!(links > 40, "{links}");
    assert_eq!(
        text.matches("url(").count() + text.matches("@import").count(),
        0
    );
    assert!(
        text.contains("&#60;script&#62;"),
        "the text is there, as text"
    );
    for word in [
        "✓ 4 published",
        "✕ 3 failed",
        "⊘ 1 refused",
        "– 1 not tried",
        "… 1 on its way",
        "UNIX_DIAG, PACKET_DIAG",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn every_row_of_the_matrix_has_a_cell_for_every_tag() {
    let ledger = ledger();
    let site = Site::new(&ledger, &Shelves::default()).expect("a site");
    let page = parsed(&site.page);
    let class = |node: &roxmltree::Node<'_, '_>, name: &str| node.attribute("class") == Some(name);
    let matrix = page
        .descendants()
        .find(|node| class(node, "matrix"))
        .expect("a matrix");
    let rows: Vec<_> = matrix
        .descendants()
        .filter(|node| node.tag_name().name() == "tr")
        .collect();
    assert_eq!(rows.len(), 1 + SCENARIOS.len());
    let whole = matrix
        .descendants()
        .filter(|node| node.attribute("rowspan").is_some())
        .count();
    assert_eq!(whole, 5);
    let tags = ledger.entries().len();
    for (number, row) in rows.iter().enumerate() {
        let spanned = if number > 1 { whole } else { 0 };
        let cells = row.children().filter(roxmltree::Node::is_element).count();
        assert_eq!(cells + spanned, 1 + tags, "row {number}");
    }
}

#[test]
fn the_index_is_still_one_of_publications_and_has_every_tag() {
    let site = Site::new(&ledger(), &Shelves::default()).expect("a site");
    assert_eq!(
        Index::parse(&site.index).map(|index| index.entries),
        Ok(Vec::new())
    );
    let index: serde_json::Value = serde_json::from_str(&site.index).expect("a document");
    assert_eq!(index["schema"], "wslk/index/1");
    let tags = index["tags"].as_array().expect("tags");
    assert_eq!(tags.len(), 10);
    assert_eq!(tags[0]["tag"], "linux-msft-wsl-6.18.30.1");
    assert_eq!(tags[4]["failure"]["blame"], "kernel");
}

#[test]
fn without_tags_there_is_a_page_too() {
    let site = Site::new(&Ledger::default(), &Shelves::default()).expect("a site");
    parsed(&site.page);
    assert!(site.page.contains("No tag has been seen yet."));
}

#[test]
fn a_path_that_leads_elsewhere_is_no_link() {
    let mut entry = entry("6.1.21.2", Stage::Published, 1);
    entry.judged.path = Some("javascript:alert(1)".into());
    entry.log = Some("../../etc/passwd".into());
    let mut ledger = Ledger::default();
    ledger.keep(entry);
    let folder = tempfile::tempdir().expect("a folder");
    let shelves = Shelves::of(folder.path(), &ledger).expect("read");
    let site = Site::new(&ledger, &shelves).expect("a site");
    assert!(!site.page.contains("javascript:") && !site.page.contains("passwd"));
}

#[test]
fn nothing_is_wider_than_a_phone_or_a_desk() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path());
    for width in browser::WIDTHS {
        let numbers = "[d.documentElement.scrollWidth, d.documentElement.clientWidth]";
        let found = browser.measure(folder.path(), "index.html", width, numbers);
        assert_eq!(found[0], found[1], "at {width}");
    }
}
