//! The good way: published, found, checked, installed; and what is asked for twice.

use std::fs;

use serde_json::Value;

use crate::bench::{Kernel, snapshot};
use crate::server::Server;
use crate::yard::Yard;

fn status<'a>(verified: &'a Value, id: &str) -> &'a str {
    let checks = verified["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == id).unwrap();
    check["status"].as_str().unwrap()
}

#[test]
fn published_by_one_and_installed_by_another() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let server = Server::start(&yard.outlet());
    let settings = yard.user.path("settings/wslk/config.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(&settings, format!("[trust]\nkeys = [\"{}\"]\n", key.public)).unwrap();

    let planned = yard.installs(&server.url(), &["--dry-run"], 0);
    assert_eq!(planned["steps"][0]["stage"], "fetch");
    assert_eq!(yard.user_builds(), Vec::<String>::new());

    let done = yard.installs(&server.url(), &[], 0);
    assert_eq!(done["from"]["signed_by"], key.public.as_str());
    let build = done["build"].as_str().unwrap();
    assert!(yard.user.config_text().contains("bzImage"));
    assert!(yard.user.w(build).join("bzImage").exists());

    // The store has the entry as it was published, whole, and nothing else.
    assert_eq!(yard.user_builds(), [build]);
    let kept = snapshot(&yard.user.path("home/builds").join(build));
    assert_eq!(kept, snapshot(&folder));
    let (verified, _) = yard.user.ends(&["verify", build], 0);
    for id in ["files", "inputs", "boot test", "publication"] {
        assert_eq!(status(&verified, id), "ok", "{verified:#}");
    }
    // Nothing is fetched that is here.
    let before = server.requests().len();
    yard.installs(&server.url(), &[], 0);
    let asked = server.requests().split_off(before);
    assert!(
        !asked.iter().any(|path| path.ends_with("bzImage")),
        "{asked:?}"
    );
}

#[test]
fn the_same_again_is_no_work_and_other_bytes_are_refused() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let before = snapshot(&yard.outlet());
    let (to, file) = (
        yard.outlet().display().to_string(),
        key.file.display().to_string(),
    );
    let args = ["publish", "latest", "--to", &to, "--sign-key", &file];
    // A report beside the build is no part of it.
    let build = yard.path("home/builds").join(folder.file_name().unwrap());
    fs::write(build.join(wslk::timings::PAGE), "where the time went").unwrap();
    let verified = yard.publisher_ends(&["verify", "latest"], 0);
    assert_eq!(status(&verified, "files"), "ok");
    let again = yard.publisher_ends(&args, 0);
    assert_eq!(again["done"], "unchanged");
    assert_eq!(snapshot(&yard.outlet()), before);

    let report = build.join("boot/console.log");
    fs::write(&report, "another test").unwrap();
    let refused = yard.publisher_ends(&args, 8);
    let said = refused["message"].as_str().unwrap();
    assert!(
        said.contains("boot/console.log is not what would be published"),
        "{said}"
    );
    assert_eq!(snapshot(&yard.outlet()), before);
}

#[test]
fn an_entry_is_signed_later() {
    let yard = Yard::new();
    yard.build("6.6.87.2", "a");
    let key = yard.locked_key("locked", Some("word"));
    let (to, file) = (
        yard.outlet().display().to_string(),
        key.file.display().to_string(),
    );
    let done = yard.publisher_ends(&["publish", "--to", &to], 0);
    assert_eq!(done["done"], "published");
    let args = ["publish", "--to", &to, "--sign-key", &file];
    let refused = yard.publisher_ends(&args, 2);
    assert!(
        refused["hint"]
            .as_str()
            .unwrap()
            .contains("WSLK_SIGN_PASSWORD")
    );
    let mut command = yard.publisher(&args);
    let signed = crate::yard::ended(command.env("WSLK_SIGN_PASSWORD", "word"), 0);
    assert_eq!(signed["done"], "signed");
    yard.installs(&to, &["--trust", &key.public], 0);
}

#[test]
fn nothing_untested_is_published() {
    let yard = Yard::new();
    let mut kernel = Kernel::new("a");
    kernel.proven = false;
    let id = yard.build_of("6.6.87.2", &kernel);
    let to = yard.outlet().display().to_string();
    let refused = yard.publisher_ends(&["publish", &id, "--to", &to], 8);
    let said = refused["message"].as_str().unwrap();
    assert!(
        said.contains("has no boot test that counts: none was made"),
        "{said}"
    );
    assert!(!yard.outlet().exists());
    let verified = yard.publisher_ends(&["verify", &id], 8);
    assert_eq!(status(&verified, "boot test"), "fail");
    assert_eq!(status(&verified, "publication"), "not-applicable");
}

#[test]
fn a_kernel_that_changed_after_its_test_is_not_published() {
    let yard = Yard::new();
    let id = yard.build("6.6.87.2", "a");
    let kernel = yard.path("home/builds").join(&id).join("bzImage");
    let bytes = fs::read(&kernel).unwrap();
    fs::write(&kernel, [&bytes[1..], b"x"].concat()).unwrap();
    let to = yard.outlet().display().to_string();
    let refused = yard.publisher_ends(&["publish", &id, "--to", &to], 5);
    let said = refused["message"].as_str().unwrap();
    assert!(said.contains("was changed after the build"), "{said}");
    let verified = yard.publisher_ends(&["verify", &id], 3);
    assert_eq!(status(&verified, "files"), "fail");
}

#[test]
fn a_dry_run_publishes_nothing() {
    let yard = Yard::new();
    let id = yard.build("6.6.87.2", "a");
    let to = yard.outlet().display().to_string();
    let planned = yard.publisher_ends(&["publish", &id, "--to", &to, "--dry-run"], 0);
    assert_eq!(planned["steps"][0]["stage"], "publish");
    assert!(!yard.outlet().exists());
}

#[test]
fn a_bad_line_only_takes_longer() {
    let yard = Yard::new();
    let (_, key) = yard.published();
    let server = Server::hanging_up(&yard.outlet(), 1000);
    yard.installs(&server.url(), &["--trust", &key.public], 0);
    let asked = server.requests();
    let resumed = |path: &&String| path.contains("bzImage from ");
    assert!(asked.iter().filter(resumed).count() >= 2, "{asked:?}");
}

#[test]
fn a_build_of_the_same_name_with_other_bytes_is_left_alone() {
    let yard = Yard::new();
    let (_, key) = yard.published();
    let from = yard.outlet().display().to_string();
    let trust = ["--trust", key.public.as_str()];
    // The user made it too, and it came out otherwise.
    let id = {
        let other = Yard::new();
        let mut kernel = Kernel::new("a");
        kernel.image.push(1);
        let id = other.build_of("6.6.87.2", &kernel);
        let copied = std::process::Command::new("cp")
            .args(["-a"])
            .arg(other.path("home"))
            .arg(yard.user.path("home"))
            .status()
            .unwrap();
        assert!(copied.success());
        id
    };
    let refused = yard.installs(&from, &trust, 8);
    let said = refused["message"].as_str().unwrap();
    assert!(
        said.contains("is here already, and its bzImage differs"),
        "{said}"
    );
    assert_eq!(yard.user_builds(), [id]);
}

#[test]
fn a_new_boot_test_of_what_came_is_told() {
    let yard = Yard::new();
    let (_, key) = yard.published();
    let from = yard.outlet().display().to_string();
    let done = yard.installs(&from, &["--trust", &key.public], 0);
    let build = done["build"].as_str().unwrap();
    let folder = yard.user.path("home/builds").join(build);
    fs::write(folder.join("boot/console.log"), "mine").unwrap();
    let (verified, _) = yard
        .user
        .ends(&["verify", build, "--trust", &key.public], 0);
    assert_eq!(status(&verified, "publication"), "ok");
    assert!(
        verified
            .to_string()
            .contains("console.log is not the published one")
    );
    fs::write(folder.join("provenance.json"), "{}").unwrap();
    let (verified, _) = yard
        .user
        .ends(&["verify", build, "--trust", &key.public], 3);
    assert_eq!(status(&verified, "publication"), "fail");
}
