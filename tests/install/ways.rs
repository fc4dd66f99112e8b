//! The ways back when what they go by is damaged, missing or out of date: what becomes `.wslconfig` is looked at
//! first.

use std::fs;

use crate::bench::{Bench, Kernel};

const USERS: &str = "# mine\r\n[wsl2]\r\nmemory=1GB\r\n";

fn installed() -> (Bench, String) {
    let bench = Bench::new();
    bench.write_config(USERS);
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    (bench, id)
}

/// What a power cut, a bad disk or a hand makes of a file.
fn damage(bench: &Bench, file: &str, how: &str) {
    let path = bench.w(file);
    let bytes = fs::read(&path).unwrap();
    match how {
        "empty" => fs::write(path, b"").unwrap(),
        "half" => fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
        "junk" => fs::write(path, [0x25; 200]).unwrap(),
        _ => fs::remove_file(path).unwrap(),
    }
}

#[test]
fn a_damaged_way_never_becomes_the_users_file() {
    for file in ["new", "good", "stock"] {
        for how in ["empty", "half", "junk", "gone"] {
            for words in [&["rollback"][..], &["rollback", "stock"]] {
                let (bench, _) = installed();
                damage(&bench, &format!("candidates/0001-{file}.wslconfig"), how);
                let (done, _) = bench.ends(words, 0);
                assert_eq!(done["configured"], "stock");
                assert_eq!(bench.config_text(), USERS, "{file} {how} {words:?}");
            }
        }
    }
}

#[test]
fn a_damaged_way_of_an_older_installation_is_not_followed_either() {
    for how in ["empty", "junk"] {
        let (bench, _) = installed();
        let file = bench.w("state/generations.json");
        let text = fs::read_to_string(&file).unwrap();
        let mut known: serde_json::Value = serde_json::from_str(&text).unwrap();
        known["ways"].as_object_mut().unwrap().remove("seals");
        fs::write(&file, known.to_string()).unwrap();
        damage(&bench, "candidates/0001-good.wslconfig", how);
        bench.ends(&["rollback"], 0);
        assert_eq!(bench.config_text(), USERS, "{how}");
    }
}

#[test]
fn the_way_to_another_build_is_looked_at_too() {
    let (bench, a) = installed();
    let with_a = bench.config_text();
    bench.ends(&["rollback", "stock"], 0);
    for how in ["empty", "half", "junk", "gone"] {
        damage(&bench, "candidates/0002-good.wslconfig", how);
        bench.ends(&["rollback"], 0);
        assert_eq!(bench.config_text(), with_a, "{how}");
        bench.ends(&["rollback", "stock"], 0);
        fs::write(bench.w("candidates/0002-good.wslconfig"), &with_a).unwrap();
    }
    assert_eq!(bench.status()["previous"], a.as_str());
}

#[test]
fn a_rollback_that_knows_nothing_more_goes_to_stock_and_says_so() {
    for file in ["state/generations.json", "journal"] {
        let (bench, id) = installed();
        damage(&bench, file, "junk");
        if file == "journal" {
            let torn = "\0\0garbage\nmore\n0001 change planned sum=0\n\n";
            fs::write(bench.w(file), torn).unwrap();
            damage(&bench, "state/generations.json", "half");
        }
        let hint = bench.refuses(&["rollback", &id], "is damaged");
        assert!(hint.contains("wslk rollback"), "{hint}");
        let (done, talk) = bench.ends(&["rollback"], 0);
        assert_eq!(done["configured"], "stock", "{file}");
        assert!(talk.contains("is damaged"), "{talk}");
        assert!(talk.contains("back to the stock kernel instead"), "{talk}");
        assert_eq!(bench.config_text(), USERS, "{file}");
        bench.ends(&["install"], 0);
    }
}

#[test]
fn a_trial_that_failed_goes_back_without_its_damaged_way() {
    let (bench, _) = installed();
    damage(&bench, "candidates/0001-good.wslconfig", "empty");
    bench.publish(&Kernel::new("b"));
    bench.ends(&["install"], 0);
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config_text(), USERS);
}

#[test]
fn stock_has_neither_kernel_nor_modules() {
    let bench = Bench::new();
    let modules = "[wsl2]\nmemory=1GB\nkernelModules=C:\\\\m.vhdx\n";
    bench.write_config(modules);
    let (done, _) = bench.ends(&["rollback", "stock"], 0);
    assert_eq!(done["changed"], true, "WSL would not start with it");
    assert_eq!(bench.config_text(), "[wsl2]\nmemory=1GB\n");

    bench.write_config(modules);
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config_text(), "[wsl2]\nmemory=1GB\n");

    // It is no way back either.
    let bench = Bench::new();
    bench.write_config(modules);
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert_eq!(bench.status()["previous"], "stock");
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config_text(), "[wsl2]\nmemory=1GB\n");
}

#[test]
fn a_trial_ends_when_its_lines_were_removed_by_hand() {
    for words in [&["rollback", "stock"][..], &["rollback"]] {
        let (bench, id) = installed();
        fs::remove_file(bench.profile().join(".wslconfig")).unwrap();
        assert_eq!(bench.status()["pending"], id.as_str());
        bench.ends(words, 0);
        let status = bench.status();
        assert_eq!(status["pending"], serde_json::Value::Null, "{words:?}");
        assert!(!status.to_string().contains("by hand"), "{status}");
        assert_eq!(
            (bench.config(), &status["configured"]),
            (None, &"stock".into())
        );
        assert!(!bench.w("state/trial.txt").exists());
        let (done, _) = bench.ends(&["rollback", "stock"], 0);
        assert_eq!(done["changed"], false);
        bench.ends(&["rollback"], 0);
        assert_eq!(bench.status()["configured"], id.as_str());
    }
}

/// A copy that is broken is not written over: the same build then gets a folder of its own beside it.
#[test]
fn a_broken_copy_beside_the_configured_one_is_cleaned_away() {
    let (bench, id) = installed();
    bench.ends(&["rollback", "stock"], 0);
    fs::write(bench.w(&id).join("bzImage"), "broken").unwrap();
    bench.ends(&["install"], 0);
    let second = format!("{id}.2");
    assert!(bench.config_text().contains(&second));
    // What is known is lost: only the folders are left to go by.
    fs::write(bench.w("state/generations.json"), "torn").unwrap();
    let config = bench.config_text();
    bench.ends(&["rollback", "stock"], 0);
    bench.write_config(config);
    let (done, _) = bench.ends(&["clean"], 0);
    assert_eq!(done["removed"], serde_json::json!([id]), "{done}");
    assert!(!bench.w(&id).exists() && bench.w(&second).join("bzImage").exists());
}

#[test]
fn a_name_means_one_build_or_is_refused() {
    let (bench, a) = installed();
    let b = bench.publish(&Kernel::new("b"));
    bench.ends(&["install", &b], 0);
    for verb in ["rollback", "clean"] {
        bench.refuses(&[verb, ""], "no installed build matches ``");
        bench.refuses(&[verb, "5"], "no installed build matches `5`");
        let hint = bench.refuses(&[verb, "6.6"], "`6.6` fits 2 installed builds");
        assert!(hint.contains(&a) && hint.contains(&b), "{hint}");
    }
    let last = a.rsplit('-').next().unwrap();
    bench.ends(&["rollback", &last[..6]], 0);
    assert_eq!(bench.status()["configured"], a.as_str());
    bench.ends(&["rollback", "latest"], 0);
    assert_eq!(bench.status()["configured"], b.as_str());
}

#[test]
fn a_link_to_nowhere_is_no_file() {
    let bench = Bench::new();
    let link = bench.profile().join(".wslconfig");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    assert_eq!(bench.status()["configured"], "stock");
    bench.ends(&["rollback", "stock"], 0);
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert_eq!(bench.status()["configured"], id.as_str());
    assert!(!bench.profile().join("nowhere").exists());
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config(), None);
}

#[test]
fn the_hint_fits_what_is_wrong_with_the_file() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let file = bench.profile().join(".wslconfig");
    fs::create_dir(&file).unwrap();
    for words in [&["install"][..], &["status"], &["rollback", "stock"]] {
        let hint = bench.refuses(words, ".wslconfig");
        assert!(hint.contains("move it away"), "{hint}");
        assert!(!hint.contains("space"), "{hint}");
    }
    fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink(".wslconfig", &file).unwrap();
    let hint = bench.ends(&["rollback", "stock"], 8).0["hint"].to_string();
    assert!(hint.contains("move it away"), "{hint}");
}

#[test]
fn after_a_file_that_nobody_could_read_there_is_still_a_way_back() {
    let (bench, id) = installed();
    bench.write_config(b"[wsl2]\0\nkernel=x");
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config(), None);
    assert_eq!(bench.status()["previous"], id.as_str());
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.status()["configured"], id.as_str());
}
