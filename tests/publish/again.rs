//! `verify --rebuild`, with a real engine and a kernel of paper: a tree whose makefile writes its products, one that
//! always writes the same and one that writes the time into them.
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use wslk::build::{Engine, EngineChoice, Image, Recipe};
use wslk::exec::Duct;
use wslk::report::Reporter;

use crate::yard::Yard;

/// kbuild's targets, as far as a build asks for them. `STAMP` is a command whose words go into the image.
const MAKEFILE: &str = "\
VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 21
EXTRAVERSION = .2
LOCAL := $(shell sed -n 's/^CONFIG_LOCALVERSION=\"\\(.*\\)\"/\\1/p' $(O)/.config 2>&1)
RELEASE = 6.1.21.2$(LOCAL)$(LOCALVERSION)
MODULES = $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)

olddefconfig modules:
	@:
include/config/auto.conf include/generated/autoconf.h &:
	@mkdir -p $(O)/include/generated
	@echo > $(O)/include/generated/autoconf.h
bzImage:
	@mkdir -p $(O)/arch/x86/boot
	@head -c 4096 /dev/zero > $(O)/arch/x86/boot/bzImage
	@STAMP >> $(O)/arch/x86/boot/bzImage
	@echo '0 T start' > $(O)/System.map
	@mkdir -p $(O)/include/config
	@echo $(RELEASE) > $(O)/include/config/kernel.release
modules_install:
	@mkdir -p $(MODULES)
	@cd $(MODULES) && touch modules.dep modules.order modules.builtin modules.builtin.modinfo
.PHONY: olddefconfig modules bzImage modules_install
";

/// A tree that passes for a kernel's, with all options that WSL needs.
fn tree(root: &Path, stamp: &str) {
    let required = include_str!("../../kernel-configs/wsl-required.config");
    let options = required.lines().filter_map(|line| line.strip_suffix("=y"));
    let options: Vec<&str> = options
        .filter_map(|line| line.strip_prefix("CONFIG_"))
        .collect();
    let (mut kconfig, mut config) = (
        "config LOCALVERSION\n\tstring \"L\"\n\nconfig LOCALVERSION_AUTO\n\tbool \"A\"\n"
            .to_owned(),
        "CONFIG_LOCALVERSION=\"-microsoft-standard-WSL2\"\n# CONFIG_LOCALVERSION_AUTO is not set\n"
            .to_owned(),
    );
    for option in options {
        kconfig.push_str(&format!("\nconfig {option}\n\tbool \"{option}\"\n"));
        config.push_str(&format!("CONFIG_{option}=y\n"));
    }
    fs::create_dir_all(root.join("arch/x86/configs")).unwrap();
    for (name, text) in [
        ("Makefile", MAKEFILE.replace("STAMP", stamp).as_str()),
        ("Kconfig", &kconfig),
        ("Kbuild", ""),
        ("arch/x86/Kconfig", ""),
        ("arch/x86/configs/config-wsl", &config),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
}

fn has_builder() -> bool {
    let engine = Engine::find(
        EngineChoice::Auto,
        Arc::new(Duct::default()),
        &Reporter::silent(),
    );
    let image = engine.map(|engine| Image::find(&engine, &Recipe::embedded().reference()));
    let has = matches!(image, Ok(Ok(Some(_))));
    if !has {
        eprintln!("SKIPPED: no engine with a builder image");
    }
    has
}

fn build(yard: &Yard, stamp: &str) -> (String, PathBuf) {
    let source = yard.path("tree");
    tree(&source, stamp);
    let source = source.display().to_string();
    let args = [
        "build",
        "--source",
        &source,
        "--profile",
        "stock",
        "--no-boot",
    ];
    let built = yard.publisher_ends(&args, 0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&built["manifest"]["id"]),
        PathBuf::from(text(&built["folder"])),
    )
}

#[test]
fn the_same_again_is_the_same_bit_by_bit() {
    if !has_builder() {
        return;
    }
    let yard = Yard::new();
    let (id, folder) = build(&yard, "echo always");
    let packages = fs::read_to_string(folder.join("packages.json")).unwrap();
    assert!(packages.contains("\"gcc\"") && packages.contains("\"criu\""));
    let again = yard.publisher_ends(&["verify", &id, "--rebuild"], 0);
    assert_eq!(again["identical"], true, "{again}");
    assert_eq!(again["built_with"], serde_json::json!([]));
    let left = fs::read_dir(yard.path("cache/wslk")).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let scratch: Vec<String> = names.filter(|name| name.starts_with("verify-")).collect();
    assert_eq!(scratch, Vec::<String>::new(), "nothing is left over");

    // A fetched build stands for the one that would be made, and that is said.
    fs::write(folder.join("entry.json"), "{}").unwrap();
    let source = yard.path("tree").display().to_string();
    let args = [
        "build",
        "--source",
        &source,
        "--profile",
        "stock",
        "--no-boot",
    ];
    let output = yard.publisher(&args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("was fetched, not made here"), "{said}");
    fs::remove_file(folder.join("entry.json")).unwrap();

    // The files of a build that is not what it was are not worth a comparison.
    fs::write(folder.join("bzImage"), "other").unwrap();
    yard.publisher_ends(&["verify", &id, "--rebuild"], 5);
}

#[test]
fn what_differs_is_named_and_kept() {
    if !has_builder() {
        return;
    }
    let yard = Yard::new();
    let (id, _) = build(&yard, "date +%s%N");
    let again = yard.publisher_ends(&["verify", &id, "--rebuild"], 3);
    let differences = again["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{again}");
    assert_eq!(differences[0]["file"], "bzImage");
    let first = differences[0]["first_byte"].as_u64().unwrap();
    assert!((4096..4116).contains(&first), "{first}");
    let kept = PathBuf::from(again["kept"].as_str().unwrap());
    assert!(kept.join("bzImage").exists());
    assert_eq!(again["diffoscope"], has_diffoscope());

    let bin = yard.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = "#!/bin/sh\necho \"$@\" > \"$3\"\nexit 1\n";
    fs::write(bin.join("diffoscope"), script).unwrap();
    fs::set_permissions(bin.join("diffoscope"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = yard.publisher(&["verify", &id, "--rebuild"]);
    let again = crate::yard::ended(command.env("PATH", path), 3);
    assert_eq!(again["diffoscope"], true);
    let said = fs::read_to_string(kept.join("bzImage.diff")).unwrap();
    assert!(said.contains(&format!("{id}/bzImage")), "{said}");
}

fn has_diffoscope() -> bool {
    std::process::Command::new("diffoscope")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn another_kernel_is_no_rebuild() {
    if !has_builder() {
        return;
    }
    let yard = Yard::new();
    let (id, _) = build(&yard, "echo always");
    let fragment = yard.path("mine.config");
    fs::write(&fragment, "CONFIG_PROC_FS=y\n").unwrap();
    let fragment = fragment.display().to_string();
    let args = ["verify", &id, "--rebuild", "--fragment", &fragment];
    let refused = yard.publisher_ends(&args, 7);
    let said = refused["message"].as_str().unwrap();
    assert!(
        said.contains("fragment mine") && said.contains("would be another"),
        "{said}"
    );
}
