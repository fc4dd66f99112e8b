//! The doctor inside a distribution whose Windows is made of scripts: the real runner, real processes, real time.

use std::time::Instant;

use serde_json::Value;

use crate::bench::Bench;

fn check<'a>(document: &'a Value, id: &str) -> &'a Value {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn windows_is_asked_in_time_and_a_lost_kernel_is_found() {
    let bench = Bench::wsl();
    bench.write_config("[wsl2]\r\nkernel=C:\\Users\\me\\bzImage\r\n");
    let began = Instant::now();
    let output = bench.wslk(&["doctor", "--json"]).output().unwrap();
    let taken = began.elapsed().as_secs_f32();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let system = check(&document, "system")["summary"].as_str().unwrap();
    if system.starts_with("a container") {
        eprintln!("skipped: {system}, which asks no Windows");
        return;
    }
    assert_eq!(output.status.code(), Some(9), "{document}");
    assert!(taken < 2.0, "{taken} s");
    let summary = |id| check(&document, id)["summary"].as_str().unwrap();
    assert!(summary("wsl").contains("WSL 2.6.1 brings kernel 6.6.87.2"));
    assert_eq!(check(&document, "policy")["status"], "ok");
    assert_eq!(check(&document, "wslconfig")["status"], "fail");
    assert!(summary("wslconfig").contains("`\\U` is no escape"));
    let hint = check(&document, "wslconfig")["hint"].as_str().unwrap();
    assert!(hint.contains(r"kernel=C:\\Users\\me\\bzImage"), "{hint}");
    assert!(summary("docker-desktop").contains("not installed"));
}
