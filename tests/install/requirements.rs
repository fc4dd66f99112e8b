//! R1 to R13: what goes wrong for people who install a kernel by hand, each as a test that it does not here.

use std::fs;

use crate::bench::{Bench, Kernel, wide};

/// The value of a key as WSL reads it: backslashes undoubled.
fn read(bench: &Bench, key: &str) -> String {
    let text = bench.config_text();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key}=")))
        .unwrap();
    line[key.len() + 1..]
        .trim_matches('"')
        .replace("\\\\", "\\")
}

/// The file of a path on the drive C:.
fn on_disk(bench: &Bench, path: &str) -> std::path::PathBuf {
    bench
        .drive()
        .join(path.strip_prefix("C:\\").unwrap().replace('\\', "/"))
}

#[test]
fn r1_the_path_that_wsl_decodes_exists() {
    // Names whose first letters would be escapes: \n, \t, \b, and one with a blank.
    for user in ["new", "temp", "build", "John Doe", "Users"] {
        let bench = Bench::of(user, false);
        bench.publish(&Kernel::new("a"));
        bench.ends(&["install"], 0);
        for key in ["kernel", "kernelModules"] {
            assert!(
                on_disk(&bench, &read(&bench, key)).is_file(),
                "{user} {key}"
            );
        }
    }
}

#[test]
fn r2_a_kernel_that_cannot_boot_is_refused_and_a_trial_keeps_its_console() {
    let bench = Bench::wsl();
    let mut kernel = Kernel::new("lacks");
    kernel.config = kernel.config.replace("CONFIG_HYPERV_VSOCKETS=y\n", "");
    let id = bench.publish(&kernel);
    bench.refuses(&["install", &id], "CONFIG_HYPERV_VSOCKETS");
    let id = bench.publish(&Kernel::new("good"));
    bench.ends(&["install", &id, "--restart", "--yes"], 0);
    assert!(read(&bench, "debugConsoleLogFile").ends_with(r"wslk\console\0001.log"));
    let trial = fs::read_to_string(bench.w("state/trial.txt")).unwrap();
    assert!(trial.contains("deadline=120\r\n"), "{trial}");
    assert!(
        bench
            .calls()
            .contains("cmd.exe /d /c start wslk trial /min cmd.exe /d /c .\\trial.cmd 0001")
    );
}

#[test]
fn r3_a_configured_or_last_good_kernel_is_never_deleted_and_there_is_a_way_back() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let (done, _) = bench.ends(&["clean", &id], 0);
    assert_eq!(done["removed"].as_array().unwrap().len(), 0);
    // Somebody deletes it all the same: status says so, and what to type.
    fs::remove_file(bench.w(&id).join("bzImage")).unwrap();
    let status = bench.status();
    assert!(status["drift"].to_string().contains("cannot start again"));
    assert_eq!(status["next"], "wslk rollback stock");
    bench.ends(&["rollback", "stock"], 0);
    // And nobody is led back to a kernel that is not there.
    bench.refuses(&["rollback"], "has gone");
    assert!(bench.w("state/undo.txt").exists());
}

#[test]
fn r4_modules_go_with_their_kernel_in_one_write() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert!(read(&bench, "kernelModules").ends_with("modules.vhd"));
    bench.ends(&["rollback", "stock"], 0);
    assert_eq!(bench.config(), None);
    // A kernel without modules takes the line of the one before away.
    let mut kernel = Kernel::new("monolithic");
    kernel.modules = None;
    kernel.config.push_str("CONFIG_TUN=m\n");
    bench.write_config("[wsl2]\nkernel=C:\\\\x\nkernelModules=C:\\\\y\n");
    let id = bench.publish(&kernel);
    let (_, talk) = bench.ends(&["install", &id], 0);
    assert!(!bench.config_text().contains("kernelModules"));
    assert!(talk.contains("is lost"), "{talk}");
}

#[test]
fn r5_docker_desktop_is_thought_of() {
    let bench = Bench::new();
    let mut kernel = Kernel::new("a");
    kernel.config = kernel
        .config
        .replace("CONFIG_ISO9660_FS=y", "CONFIG_ISO9660_FS=m");
    bench.publish(&kernel);
    let (_, talk) = bench.ends(&["install"], 0);
    assert!(talk.contains("Docker Desktop may not start"), "{talk}");
}

#[test]
fn r6_the_modules_disk_is_the_tested_one() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let built = fs::read(bench.path("home/builds").join(&id).join("modules.vhd")).unwrap();
    assert_eq!(
        fs::read(on_disk(&bench, &read(&bench, "kernelModules"))).unwrap(),
        built
    );
}

#[test]
fn r7_an_old_wsl_gets_no_modules_disk() {
    let bench = Bench::wsl();
    bench.publish(&Kernel::new("a"));
    for version in ["WSL version: 2.4.13.0\r\n", "WSL-Version: 2.5.0.1\r\n"] {
        for bytes in [version.as_bytes().to_vec(), wide(version)] {
            bench.says("version", bytes);
            let hint = bench.refuses(&["install"], "does not take a modules disk");
            assert!(hint.contains("wsl --update"));
        }
    }
    fs::remove_file(bench.path("says/version")).unwrap();
    bench.refuses(&["install"], "the WSL that came with Windows");
    let mut kernel = Kernel::new("monolithic");
    kernel.modules = None;
    let id = bench.publish(&kernel);
    bench.ends(&["install", &id], 0);
}

#[test]
fn r8_rights_are_widened_where_that_wsl_needs_it() {
    let bench = Bench::wsl();
    let id = bench.publish(&Kernel::new("a"));
    bench.says("version", "WSL version: 2.7.3.0\r\n");
    bench.says("icacls", "5");
    let (document, _) = bench.ends(&["install"], 8);
    let said = document["message"].as_str().unwrap();
    assert!(
        said.contains("WSL 2.7.3 cannot open a modules disk"),
        "{said}"
    );
    assert!(document["hint"].as_str().unwrap().contains("wsl --update"));
    // What was copied until then has been taken away again.
    assert!(!bench.w(&id).exists() && bench.config().is_none());
    bench.says("icacls", "0");
    bench.ends(&["install"], 0);
    let grants: Vec<String> = bench
        .calls()
        .lines()
        .filter(|line| line.starts_with("icacls"))
        .map(str::to_owned)
        .collect();
    assert!(
        grants
            .iter()
            .all(|line| line.contains("modules.vhd /grant *S-1-5-32-545:(RX)"))
    );
}

#[test]
fn r9_a_setting_is_never_silently_ignored() {
    let bench = Bench::wsl();
    // A misspelt section of the user's own is left alone, and ours is where WSL reads it.
    bench.write_config(wide("\u{feff}[wls2]\r\nkernel=C:\\\\x\r\n"));
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let status = bench.status();
    assert_eq!(status["drift"].as_array().unwrap().len(), 0);
    assert!(status["next"].as_str().unwrap().contains("wsl --shutdown"));
    assert!(status["running"].as_str() != status["generations"][0]["release"].as_str());
    bench.refuses(&["install", "--distro", "Old"], "WSL1");
}

#[test]
fn r9_safe_mode_is_told_before_a_kernel_that_it_would_hide() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    for (line, told) in [
        ("safeMode=TRUE", true),
        ("safeMode=false", false),
        ("#", false),
    ] {
        bench.write_config(format!("[wsl2]\n{line}\n"));
        let (_, talk) = bench.ends(&["install"], 0);
        assert_eq!(talk.contains("safeMode=true in .wslconfig"), told, "{talk}");
    }
}

#[test]
fn r10_the_running_kernel_is_told_by_its_release() {
    let bench = Bench::wsl();
    let mut kernel = Kernel::new("a");
    kernel.release = "6.6.87.2-Microsoft-custom".to_owned();
    let id = bench.publish(&kernel);
    bench.refuses(&["install", &id], "is not one that WSL knows");
    kernel.name = "b";
    kernel.release = "6.6.87.2-custom".to_owned();
    let id = bench.publish(&kernel);
    let (_, talk) = bench.ends(&["install", &id], 0);
    assert!(talk.contains("will not know that this is WSL"), "{talk}");
    let trial = fs::read_to_string(bench.w("state/trial.txt")).unwrap();
    assert!(trial.contains("release=6.6.87.2-custom\r\n"));
}

#[test]
fn r11_a_build_is_bound_to_its_evidence() {
    let bench = Bench::new();
    let mut kernel = Kernel::new("a");
    kernel.proven = false;
    bench.publish(&kernel);
    bench.refuses(&["install"], "has no boot test that counts");
}

#[test]
fn r12_a_new_wsl_is_noticed() {
    let bench = Bench::wsl();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    assert_eq!(bench.status()["drift"].as_array().unwrap().len(), 0);
    bench.says("version", "WSL version: 2.8.9.0\r\n");
    let drift = bench.status()["drift"].to_string();
    assert!(drift.contains("WSL is 2.8.9 and was 2.6.1"), "{drift}");
}

#[test]
fn r13_a_policy_is_asked_before_anything_is_touched() {
    let bench = Bench::wsl();
    bench.publish(&Kernel::new("a"));
    let key = "\r\nHKEY_LOCAL_MACHINE\\Software\\Policies\\WSL\r\n    AllowKernelUserSetting    REG_DWORD    0x0\r\n";
    for bytes in [key.as_bytes().to_vec(), wide(key)] {
        bench.says("policy", bytes);
        bench.refuses(
            &["install"],
            "the policy of this computer forbids custom kernels",
        );
    }
    bench.says("policy", key.replace("0x0", "0x1"));
    bench.ends(&["install"], 0);
}
