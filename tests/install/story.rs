//! The main stories, from an untouched profile to a kernel and back.

use std::fs;

use crate::bench::{Bench, Kernel, snapshot};

const USERS: &str = "# mine\r\n[wsl2]\r\nmemory=8GB  \r\n; odd\r\n";

#[test]
fn a_kernel_goes_in_and_out_again() {
    let bench = Bench::new();
    bench.write_config(USERS);
    let id = bench.publish(&Kernel::new("a"));
    assert_eq!(bench.status()["configured"], "stock");

    let (done, _) = bench.ends(&["install"], 0);
    assert_eq!(done["build"], id.as_str());
    let text = bench.config_text();
    let folder = format!("C:\\\\Users\\\\me\\\\AppData\\\\Local\\\\wslk\\\\{id}\\\\");
    assert!(
        text.contains(&format!("kernel={folder}bzImage\r\n")),
        "{text}"
    );
    assert!(
        text.contains(&format!("kernelModules={folder}modules.vhd\r\n")),
        "{text}"
    );
    assert!(text.starts_with("# mine\r\n[wsl2]\r\nmemory=8GB  \r\n"));
    assert_eq!(
        fs::read(bench.w(&id).join("bzImage")).unwrap(),
        Kernel::new("a").image
    );
    let status = bench.status();
    assert_eq!(status["configured"], id.as_str());
    assert_eq!(status["pending"], id.as_str());
    assert_eq!(status["previous"], "stock");
    assert_eq!(status["generations"][0]["state"], "untried");

    let (done, _) = bench.ends(&["rollback"], 0);
    assert_eq!(done["configured"], "stock");
    assert_eq!(bench.config_text(), USERS, "byte for byte");
    assert_eq!(bench.status()["configured"], "stock");
}

#[test]
fn a_dry_run_says_every_step_and_does_none() {
    let bench = Bench::new();
    bench.write_config(USERS);
    bench.publish(&Kernel::new("a"));
    let before = snapshot(&bench.profile());
    let (plan, _) = bench.ends(&["install", "--dry-run"], 0);
    assert_eq!(plan["schema"], "wslk/dry-run/1");
    let drawn = plan["wslconfig"].as_str().unwrap_or_default();
    assert!(drawn.contains("line 4"), "the odd line: {drawn}");
    assert_eq!(snapshot(&bench.profile()), before);

    let (done, _) = bench.ends(&["install"], 0);
    assert_eq!(
        plan["steps"][0]["what"], done["steps"],
        "what was said is what is done"
    );
    let before = snapshot(&bench.profile());
    for verb in ["rollback", "clean"] {
        let (plan, _) = bench.ends(&[verb, "--dry-run"], 0);
        assert_eq!(plan["schema"], "wslk/dry-run/1");
        assert_eq!(plan["steps"][0]["stage"], verb);
        assert_eq!(plan["steps"][0]["needed"], verb == "rollback", "{plan}");
    }
    assert_eq!(snapshot(&bench.profile()), before);
}

#[test]
fn twice_rollback_returns() {
    let bench = Bench::new();
    bench.write_config(USERS);
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let installed = bench.config();
    for round in 0..3 {
        let (done, _) = bench.ends(&["rollback"], 0);
        assert_eq!(done["configured"], "stock", "round {round}");
        assert_eq!(bench.config_text(), USERS);
        let (done, _) = bench.ends(&["rollback"], 0);
        assert_eq!(done["configured"], id.as_str(), "round {round}");
        assert_eq!(bench.config(), installed);
    }
    let (done, _) = bench.ends(&["rollback", "stock"], 0);
    assert_eq!(
        (&done["changed"], bench.config_text()),
        (&true.into(), USERS.to_owned())
    );
    let (done, _) = bench.ends(&["rollback", "stock"], 0);
    assert_eq!(done["changed"], false);
}

#[test]
fn where_there_was_no_file_there_is_none_again() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert!(bench.config().is_some());
    assert!(bench.w("backups/0001.none").exists());
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config(), None);
}

#[test]
fn two_builds_and_every_way_between_them() {
    let bench = Bench::new();
    bench.write_config(USERS);
    let a = bench.publish(&Kernel::new("a"));
    bench.ends(&["install", &a], 0);
    let with_a = bench.config();
    let b = bench.publish(&Kernel::new("b"));
    bench.ends(&["install", &b], 0);
    // The first was never seen running, so the way back goes past it.
    assert_eq!(bench.status()["previous"], "stock");
    bench.ends(&["rollback", &a], 0);
    assert_eq!(bench.config(), with_a);
    assert_eq!(bench.status()["previous"], b.as_str());
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config_text(), USERS);
    bench.refuses(&["rollback", "5"], "no installed build matches `5`");
}

#[test]
fn what_the_user_wrote_since_survives() {
    let bench = Bench::new();
    bench.write_config(USERS);
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let text = bench.config_text() + "[experimental]\r\nsparseVhd=true\r\n";
    bench.write_config(&text);
    bench.ends(&["rollback"], 0);
    assert_eq!(
        bench.config_text(),
        format!("{USERS}[experimental]\r\nsparseVhd=true\r\n")
    );
}

#[test]
fn the_users_own_kernel_comes_back() {
    let bench = Bench::new();
    let own = "[wsl2]\nkernel=C:\\\\my\\\\kernel\n";
    bench.write_config(own);
    bench.publish(&Kernel::new("a"));
    assert_eq!(bench.status()["configured"], r"C:\my\kernel");
    bench.ends(&["install"], 0);
    assert_eq!(bench.status()["previous"], "the kernel that you configured");
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config_text(), "[wsl2]\n");
    bench.ends(&["rollback"], 0);
    bench.ends(&["rollback"], 0);
    bench.write_config(own);
    bench.ends(&["install"], 0);
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config_text(), own);
}

#[test]
fn the_same_build_again_copies_nothing() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    bench.ends(&["rollback", "stock"], 0);
    let (done, _) = bench.ends(&["install"], 0);
    let steps = done["steps"].to_string();
    assert!(!steps.contains("bzImage"), "{steps}");
    assert_eq!(bench.status()["configured"], id.as_str());
}

#[test]
fn a_damaged_journal_still_leads_to_stock() {
    let bench = Bench::new();
    bench.write_config(USERS);
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    for file in ["journal", "state/generations.json"] {
        fs::write(
            bench.w(file),
            "\0\0garbage\nmore\n0001 change planned sum=0\n\n",
        )
        .unwrap();
    }
    bench.refuses(&["install"], "damaged");
    let (done, _) = bench.ends(&["rollback", "stock"], 0);
    assert_eq!(done["configured"], "stock");
    assert_eq!(bench.config_text(), USERS);
    bench.ends(&["install"], 0);
}

#[test]
fn clean_explains_what_it_keeps() {
    let bench = Bench::new();
    let ids: Vec<String> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let id = bench.publish(&Kernel::new(name));
            bench.ends(&["install", &id], 0);
            id
        })
        .collect();
    bench.ends(&["rollback", &ids[0]], 0);
    let (done, _) = bench.ends(&["clean"], 0);
    assert_eq!(done["removed"].as_array().unwrap().len(), 1);
    assert_eq!(done["removed"][0], ids[1].as_str());
    let kept = done["kept"].to_string();
    assert!(
        kept.contains("it is configured") && kept.contains("goes back to it"),
        "{kept}"
    );
    assert!(!bench.w(&ids[1]).exists());
    assert!(bench.w(&ids[0]).join("bzImage").exists() && bench.w(&ids[2]).join("bzImage").exists());
}

#[test]
fn clean_bounds_what_earlier_changes_left() {
    let bench = Bench::new();
    bench.write_config(USERS);
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    for _ in 0..30 {
        bench.ends(&["rollback"], 0);
    }
    let files = |folder: &str| fs::read_dir(bench.w(folder)).unwrap().count();
    let (before, lines) = (
        files("backups"),
        bench.w("journal").metadata().unwrap().len(),
    );
    assert!(before > 60, "{before}");
    let look = bench.wslk(&["clean", "--dry-run"]).output().unwrap();
    let look = String::from_utf8(look.stdout).unwrap();
    assert!(look.contains("of the newest 10 changes"), "{look}");
    assert_eq!(files("backups"), before);
    let (done, _) = bench.ends(&["clean"], 0);
    assert!(
        done["records"]["removed"].as_array().unwrap().len() > 100,
        "{done}"
    );
    assert!(files("backups") < before / 2 && files("candidates") < before);
    // What the installed kernel's way back began from is still there, and every way is.
    assert!(bench.w("backups/0001.wslconfig").exists());
    let few = files("backups");
    let (done, _) = bench.ends(&["clean", "--all"], 0);
    assert!(
        done["records"]["removed"].as_array().unwrap().len() > 10,
        "{done}"
    );
    assert!(files("backups") < few);
    assert!(bench.w("journal").metadata().unwrap().len() < lines / 2);
    bench.ends(&["rollback"], 0);
    bench.ends(&["rollback"], 0);
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config_text(), USERS);
    let (done, _) = bench.ends(&["clean"], 0);
    assert_eq!(done["kept"].as_array().unwrap().len(), 1, "{done}");
}

#[test]
fn clean_finds_kernels_that_are_not_known_any_more() {
    let bench = Bench::new();
    bench.write_config(USERS);
    let old = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    fs::write(bench.w("state/generations.json"), "torn").unwrap();
    bench.ends(&["rollback", "stock"], 0);
    fs::create_dir(bench.w("not-ours")).unwrap();
    let new = bench.publish(&Kernel::new("b"));
    bench.ends(&["install", &new], 0);

    // As long as .wslconfig names it, it stays.
    let config = bench.config_text();
    bench.write_config(config.replace(&new, &old));
    let (done, _) = bench.ends(&["clean", &old], 0);
    assert_eq!(done["removed"].as_array().unwrap().len(), 0, "{done}");
    bench.write_config(config);
    let (done, _) = bench.ends(&["clean", &old], 0);
    assert_eq!(done["removed"][0], old.as_str(), "{done}");
    assert!(!bench.w(&old).exists() && bench.w(&new).exists() && bench.w("not-ours").exists());
}

#[test]
fn a_kernel_that_passed_is_not_installed_again() {
    let bench = Bench::new();
    bench.write_config(USERS);
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    // On trial: installing it again is a new trial of the same files, with the same way back.
    bench.ends(&["install"], 0);
    let status = bench.status();
    assert_eq!(status["configured"], id.as_str());
    assert_eq!(status["previous"], "stock");
    let verdict = "number=0002\r\nverdict=blessed\r\nto=current\r\n";
    fs::write(bench.w("state/verdict.txt"), verdict).unwrap();
    let (done, _) = bench.ends(&["install"], 0);
    assert_eq!(done["steps"].as_array().unwrap().len(), 0, "{done}");
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config_text(), USERS);
    bench.refuses(&["clean", "7"], "no installed build matches `7`");
}

#[test]
fn a_link_to_the_real_file_stays_a_link() {
    let bench = Bench::new();
    let real = bench.path("dotfiles");
    fs::write(&real, USERS).unwrap();
    let link = bench.profile().join(".wslconfig");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert!(link.is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("kernel="));
    bench.ends(&["rollback"], 0);
    assert_eq!(fs::read_to_string(&real).unwrap(), USERS);
}

#[test]
fn looking_does_not_wait_for_the_lock() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let lock = fs::File::open(bench.path("home/lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(bench.status()["generations"].as_array().unwrap().len(), 1);
    bench.ends(&["rollback"], 10);
}

#[test]
fn a_profile_that_is_named_wins_over_the_one_that_windows_names() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("Users/other");
    fs::create_dir_all(&profile).unwrap();
    let bench = Bench::at(&profile);
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert!(bench.config_text().contains("C:\\\\Users\\\\other"));
}
