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
