//! A Windows disk that is full to the last byte, where the way back has to work all the same.
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::process::{Command, Output};

use crate::bench::{Bench, Kernel};

/// Runs a shell script with a small disk as the Windows drive, in a namespace that ends with it.
fn on_a_small_disk(bench: &Bench, script: &str) -> Output {
    let mount = format!(
        "mount -t tmpfs -o size=8m tmpfs {}",
        bench.drive().display()
    );
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!(
            "{mount}\nmkdir -p \"$profile/AppData/Local\"\n{script}"
        ))
        .envs(bench.environment())
        .env("profile", bench.profile())
        .env("drive", bench.drive())
        .env("wslk", assert_cmd::cargo::cargo_bin("wslk"))
        .env_remove("WSL_DISTRO_NAME")
        .output()
        .unwrap()
}

const INSTALLED: &str = r#"
printf '[wsl2]\nmemory=1GB\n' > "$profile/.wslconfig"
"$wslk" install --windows-home "$profile"
grep -q kernel= "$profile/.wslconfig"
ls "$profile/AppData/Local/wslk/reserve"
dd if=/dev/zero of="$drive/fill" bs=64k 2>&- || true
dd if=/dev/zero of="$drive/fill2" bs=1k 2>&- || true
"#;

#[test]
fn a_rollback_works_on_a_full_disk() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let can = on_a_small_disk(&bench, "true");
    if !can.status.success() {
        eprintln!("SKIPPED: nobody may mount a tmpfs here, not even in a namespace of their own");
        return;
    }
    let rollback = r#"
"$wslk" rollback --windows-home "$profile"
echo "code $?"
cat "$profile/.wslconfig"
rm "$drive/fill"
"$wslk" rollback --windows-home "$profile"
ls "$profile/AppData/Local/wslk/reserve"
grep -c kernel= "$profile/.wslconfig"
"#;
    let output = on_a_small_disk(&bench, &format!("{INSTALLED}{rollback}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{talk}");
    assert!(
        said.contains("code 0\n[wsl2]\nmemory=1GB\n"),
        "{said}\n{talk}"
    );

    // Without it nothing is half done.
    let without = r#"
rm "$profile/AppData/Local/wslk/reserve"
dd if=/dev/zero of="$drive/fill3" bs=1k 2>&- || true
cp "$profile/.wslconfig" "$WSLK_HOME/before"
"$wslk" rollback --windows-home "$profile" && exit 3
cmp "$profile/.wslconfig" "$WSLK_HOME/before"
"#;
    let output = on_a_small_disk(&bench, &format!("{INSTALLED}{without}"));
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("free some space"), "{talk}");
}
