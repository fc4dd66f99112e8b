//! What went wrong for users again and again, as far as `.wslconfig` is to blame: each is found, said and
//! put right, and none comes out of an edit of ours. The numbers are those of the requirements.

use wslk::wsl::path::WindowsPath;
use wslk::wsl::wslconfig::{
    DEBUG_CONSOLE_LOG, Encoding, Facts, KERNEL, KERNEL_MODULES, Key, Problem, WslConfig,
    is_misnamed,
};

use crate::oracle::{AfterBadHeader, lines, value};

fn read(text: &str) -> WslConfig {
    WslConfig::read(text.into()).expect("text")
}

/// What is found in a file, on a computer where nothing but `C:\Users\me\bzImage` exists.
fn found(text: &str, forbidden: &[Key]) -> Vec<(Problem, Option<String>)> {
    let facts = Facts {
        exists: &|path| Some(path.as_str() == r"C:\Users\me\bzImage"),
        forbidden,
    };
    let findings = read(text).findings(&facts).into_iter();
    findings
        .filter(|finding| finding.problem != Problem::KernelWithoutModules)
        .map(|finding| (finding.problem, finding.corrected))
        .collect()
}

#[test]
fn r1_backslashes_are_found_and_put_right() {
    for written in [
        r"C:\Users\me\bzImage",
        r"C:\\\\Users\\\\me\\\\bzImage",
        "C:/Users/me/bzImage",
        r#""C:\Users\me\bzImage" # new"#,
        r"C:\\Users\\me\\bzImage ; optional",
    ] {
        let text = format!("[wsl2]\nkernel={written}\n");
        let problems = found(&text, &[]);
        let [(_, Some(corrected))] = problems.as_slice() else {
            panic!("{written}: {problems:?}")
        };
        let corrected = format!("[wsl2]\n{corrected}\n");
        assert_eq!(
            read(&corrected).kernel().kernel.as_deref(),
            Some(r"C:\Users\me\bzImage")
        );
        assert_eq!(found(&corrected, &[]), [], "{written}");
    }
    for (written, problem) in [
        (r"C:\new\bzImage", true),
        (r"C:\temp\bzImage", true),
        (r"%userprofile%\\bzImage", true),
        (r"C:\\Users\\me\\bzimage2", true),
        (r"C:\\Users\\me\\bzImage", false),
    ] {
        let text = format!("[wsl2]\nkernel={written}\n");
        assert_eq!(!found(&text, &[]).is_empty(), problem, "{written}");
    }
}

#[test]
fn r1_what_is_written_is_read_by_wsl_as_meant() {
    let kernel = WindowsPath::parse(r"C:\new\build\temp\bzImage").expect("a path");
    let modules = kernel
        .parent()
        .expect("a folder")
        .join("modules.vhd")
        .expect("a path");
    let changes = [
        (KERNEL, Some(kernel.as_str())),
        (KERNEL_MODULES, Some(modules.as_str())),
    ];
    let edited = WslConfig::absent().edit(&changes).expect("paths");
    let lines = lines(edited.config.text(), AfterBadHeader::PreviousSection);
    assert_eq!(
        value(&lines, "wsl2.kernel").as_deref(),
        Some(kernel.as_str())
    );
    assert_eq!(
        value(&lines, "wsl2.kernelmodules").as_deref(),
        Some(modules.as_str())
    );
}

#[test]
fn r3_the_way_back_is_byte_exact() {
    let before =
        b"\xEF\xBB\xBF; mine\r\n[wsl2]\nKERNEL =\tC:\\\\old # keep\r\n\r\nmemory=8GB  ".to_vec();
    let config = WslConfig::read(before.clone()).expect("text");
    let edited = config
        .edit(&[(KERNEL, None), (KERNEL_MODULES, None)])
        .expect("stock");
    assert_eq!(edited.config.kernel().kernel, None);
    assert_eq!(
        edited.undo(&edited.config).expect("ours").config.bytes(),
        before
    );
}

#[test]
fn r4_a_kernel_without_its_modules_is_named() {
    let findings = read("[wsl2]\nkernel=C:\\\\k\n").findings(&Facts::unknown());
    assert_eq!(findings[0].problem, Problem::KernelWithoutModules);
    let alone = read("").edit(&[(KERNEL, Some(r"C:\k"))]);
    assert!(alone.is_err(), "kernel and kernelModules are one unit");
}

#[test]
fn r9_wrong_names_of_file_section_and_key_are_found() {
    assert!(is_misnamed(".wslconf") && is_misnamed(".wslconfig.txt") && !is_misnamed(".wslconfig"));
    for (text, line) in [
        ("[wls2]\n", "[wsl2]"),
        ("[ws12]\n", "[wsl2]"),
        ("[ wsl2 ]\n", "[wsl2]"),
        ("[wsl2]\nkernal=\n", "kernel="),
        ("[wsl2]\nkernelmodule=\n", "kernelModules="),
    ] {
        let problems = found(text, &[]);
        let corrected = problems.first().and_then(|(_, line)| line.as_deref());
        assert_eq!(corrected, Some(line), "{text}");
    }
}

#[test]
fn r9_a_file_that_wsl_cannot_read_is_named() {
    let bytes = "\u{FEFF}[wsl2]\r\n"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let config = WslConfig::read(bytes).expect("text");
    let findings = config.findings(&Facts::unknown());
    assert_eq!(findings[0].problem, Problem::Encoding(Encoding::Utf16Be));
    assert!(findings[0].is_error());
}

#[test]
fn r13_a_setting_that_the_policy_empties_is_named() {
    let text = "[wsl2]\nkernel=C:\\\\Users\\\\me\\\\bzImage\n";
    let expected = Problem::Forbidden(KERNEL.to_string());
    assert_eq!(found(text, &[KERNEL, KERNEL_MODULES]), [(expected, None)]);
    assert_eq!(found(text, &[DEBUG_CONSOLE_LOG]), []);
}
