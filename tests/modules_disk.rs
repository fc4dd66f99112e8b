//! The modules disk with the real tools: mke2fs, e2fsck, debugfs and depmod of the builder image.
//!
//! Slow tests run when `WSLK_SLOW_TESTS` is set; they need an engine and its builder image.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wslk::artefact::{DiskRequest, ModulesDisk, write_modules_disk};
use wslk::build::{Builder, Engine, EngineChoice, Image, Job, Limits, Mount};
use wslk::exec::Duct;
use wslk::home::Home;
use wslk::report::Reporter;

const RELEASE: &str = "6.1.21.2-microsoft-standard-WSL2-wslk-0123456789";

/// The tools of the builder image.
struct Tools {
    builder: Builder,
}

/// The image is made where it is missing: once, and not by each test at the same time.
static IMAGE: Mutex<()> = Mutex::new(());

impl Tools {
    fn find() -> Option<Self> {
        if std::env::var_os("WSLK_SLOW_TESTS").is_none() {
            // Past the test harness, which keeps what a passing test prints to itself.
            let mut stderr = std::io::stderr().lock();
            writeln!(stderr, "skipped: set WSLK_SLOW_TESTS to run it").unwrap();
            return None;
        }
        let home = Home::new("/nonexistent", "/nonexistent");
        let runner = Arc::new(Duct::default());
        let engine = Engine::find(EngineChoice::Auto, runner, &Reporter::silent()).unwrap();
        let _one_at_a_time = IMAGE.lock().unwrap();
        let image = Image::ensure(&engine, &Reporter::silent()).unwrap();
        let builder = Builder::new(engine, image, Limits::default(), &home);
        Some(Self { builder })
    }

    /// What a script says that runs in the folder.
    fn says(&self, folder: &Path, script: &str) -> String {
        let job = Job::script("look", script)
            .mount(Mount::write(folder, "/look"))
            .dir("/look");
        let output = self.builder.job(&job).expect(script);
        output.text() + &output.stderr
    }
}

/// As many files as asked, from empty ones to some of a megabyte.
fn tree(files: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..files {
        let subfolder = folder.path().join(format!("kernel/net/part{}", at % 37));
        fs::create_dir_all(&subfolder).unwrap();
        let size = if at % 100 == 99 {
            1 << 20
        } else {
            at % 50 * 700
        };
        fs::write(
            subfolder.join(format!("module_{at}.ko")),
            vec![(at % 251) as u8; size],
        )
        .unwrap();
    }
    fs::write(
        folder.path().join("modules.dep"),
        "kernel/net/part0/module_0.ko:\n",
    )
    .unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    folder
}

fn make(tools: &Tools, modules: &Path, into: &Path) -> ModulesDisk {
    make_at(tools, modules, into, 1_700_000_000)
}

fn make_at(tools: &Tools, modules: &Path, into: &Path, time: u64) -> ModulesDisk {
    let target = into.join("modules.vhd");
    let request = DiskRequest {
        modules,
        release: RELEASE,
        time,
        target: &target,
    };
    write_modules_disk(&request, &tools.builder, &Reporter::silent()).unwrap()
}

#[test]
fn one_set_of_files_in_two_layouts_owned_by_root() {
    let Some(tools) = Tools::find() else { return };
    let out = tempfile::tempdir().unwrap();
    let tree = tree(300);
    let disk = make(&tools, tree.path(), out.path());
    assert_eq!(disk.modules, 300);
    let stat = |path: &str| {
        let said = tools.says(out.path(), &format!("debugfs -R 'stat {path}' modules.vhd"));
        let words: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        let after =
            |name: &str| words[words.iter().position(|word| word == name).expect(name) + 1].clone();
        (
            after("Inode:"),
            after("User:"),
            after("Group:"),
            after("Links:"),
            after("Mode:"),
        )
    };
    for file in [
        "modules.dep",
        "kernel/net/part1/module_1.ko",
        "kernel/net/part25/module_99.ko",
    ] {
        let (flat, nested) = (stat(file), stat(&format!("{RELEASE}/modules/{file}")));
        assert_eq!(flat, nested, "{file}");
        let (_, user, group, links, mode) = flat;
        assert_eq!(
            [user.as_str(), &group, &links, &mode],
            ["0", "0", "2", "0644"],
            "{file}"
        );
    }
    assert_eq!(stat(&format!("{RELEASE}/modules/empty")).4, "0755");
    let content = tools.says(out.path(), &format!("debugfs -R 'cat {RELEASE}/modules/kernel/net/part25/module_99.ko' modules.vhd 2>/dev/null | sha256sum"));
    let expected =
        wslk::digest::Sha256::of_file(&tree.path().join("kernel/net/part25/module_99.ko")).unwrap();
    assert!(content.starts_with(&expected.to_string()), "{content}");
}

#[test]
fn twice_the_same_modules_are_twice_the_same_bytes() {
    let Some(tools) = Tools::find() else { return };
    // 0 is a time as well, though programs like to take it for "none given".
    for time in [0, 1_700_000_000] {
        let digests = [1, 2].map(|_| {
            let out = tempfile::tempdir().unwrap();
            let disk = make_at(&tools, tree(100).path(), out.path(), time);
            // A file system that stores the present moment would now differ.
            std::thread::sleep(Duration::from_millis(1100));
            wslk::digest::Sha256::of_file(&disk.path).unwrap()
        });
        assert_eq!(digests[0], digests[1], "{time}");
    }
}

/// The planned size is enough for trees of every shape, and the file takes no more room than its content.
#[test]
fn every_shape_of_tree_fits() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(tools) = Tools::find() else { return };
    for (files, many_folders) in [(0, 0), (1, 0), (2000, 0), (10, 800)] {
        let out = tempfile::tempdir().unwrap();
        let tree = tree(files);
        for at in 0..many_folders {
            fs::create_dir(
                tree.path()
                    .join(format!("empty/{}{at}", "long-name-".repeat(20))),
            )
            .unwrap();
        }
        let disk = make(&tools, tree.path(), out.path());
        let metadata = fs::metadata(&disk.path).unwrap();
        assert_eq!(metadata.len(), disk.size);
        assert!(
            metadata.blocks() * 512 <= disk.size.next_multiple_of(4096),
            "{files} files"
        );
    }
}

/// WSL's overlay of the flat layout shows the second one too, as a folder inside; `depmod` must still find
/// each module once. The overlay is writable for its sake.
#[test]
fn depmod_is_not_disturbed_by_the_second_layout() {
    let Some(tools) = Tools::find() else { return };
    let out = tempfile::tempdir().unwrap();
    // The least that depmod takes for a module.
    let source = r#"echo 'char l[] __attribute__((section(".modinfo"))) = "license=GPL";' | gcc -xc -c - -o m.ko"#;
    tools.says(out.path(), source);
    let tree = tree(0);
    for name in [
        "kernel/net/one.ko",
        "kernel/net/two.ko",
        "kernel/fs/three.ko",
    ] {
        fs::create_dir_all(tree.path().join(name).parent().unwrap()).unwrap();
        fs::copy(out.path().join("m.ko"), tree.path().join(name)).unwrap();
    }
    make(&tools, tree.path(), out.path());
    let listed = |layout: &str| {
        let script = format!(
            "rm -rf r; mkdir -p r/lib/modules r/d; debugfs -R 'rdump / r/d' modules.vhd >/dev/null 2>&1; \
             cp -r r/d/{layout} r/lib/modules/{RELEASE}; depmod -b $PWD/r {RELEASE} 2>/dev/null; \
             cut -d: -f1 r/lib/modules/{RELEASE}/modules.dep; rm -rf r"
        );
        let said = tools.says(out.path(), &script);
        let mut names: Vec<String> = said
            .lines()
            .filter_map(|line| line.rsplit('/').next())
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    for layout in [".", &format!("{RELEASE}/modules")] {
        assert_eq!(listed(layout), ["one.ko", "three.ko", "two.ko"], "{layout}");
    }
}
