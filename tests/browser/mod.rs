//! How a page looks in a headless browser: `WSLK_TEST_BROWSER`, or one of the usual names. Where there is none the test
//! is skipped and says so.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use wslk::process::env_var;

/// The widths of a small phone, a phone, a tablet and a desk, in CSS pixels.
pub const WIDTHS: [u32; 4] = [320, 390, 768, 1280];

pub struct Browser(OsString);

impl Browser {
    pub fn find() -> Option<Self> {
        let asked = env_var("WSLK_TEST_BROWSER");
        let known = ["chromium", "chromium-browser", "google-chrome"].map(OsString::from);
        let starts = |name: &OsString| Command::new(name).arg("--version").output().is_ok();
        let found = asked.into_iter().chain(known).find(starts);
        if found.is_none() {
            eprintln!("SKIPPED: how the page looks in a browser; there is none");
        }
        found.map(Self)
    }

    /// What `numbers`, a list in JavaScript about the document `d`, is in a window as wide as `width` that shows `page`
    /// of `folder`.
    pub fn measure(&self, folder: &Path, page: &str, width: u32, numbers: &str) -> Vec<u32> {
        // The frame, unlike a headless window, can be as narrow as a phone.
        let frame = format!(
            "<!DOCTYPE html><body><iframe id='f' src='{page}' width='{width}' height='800' style='border:0'></iframe><script>\
             document.getElementById('f').onload = e => {{ const d = e.target.contentDocument;\
             document.title = {numbers}.join(' '); }}</script></body>"
        );
        fs::write(folder.join("frame.html"), frame).expect("written");
        let output = Command::new(&self.0)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--allow-file-access-from-files",
                "--virtual-time-budget=10000",
                "--dump-dom",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .arg(format!("file://{}", folder.join("frame.html").display()))
            .output()
            .expect("starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let title = text
            .split_once("<title>")
            .and_then(|(_, rest)| rest.split_once("</title>"));
        let (title, _) = title.expect("the page was measured");
        let number = |word: &str| word.parse().expect("a number");
        title.split(' ').map(number).collect()
    }
}
