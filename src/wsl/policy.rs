//! What the computer's policy lets a user set (`HKLM\Software\Policies\WSL`).
//!
//! In: the output of `reg query`. Out: a [`Policy`]. WSL empties a forbidden setting and boots the stock
//! kernel with a warning only, so this is asked before anything is changed.

/// The key that `reg.exe` is asked for.
pub const KEY: &str = r"HKLM\Software\Policies\WSL";

/// What is allowed; whatever the policy is silent about is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `wsl2.kernel` and `wsl2.kernelModules`.
    pub kernel: bool,
    /// WSL at all.
    pub wsl: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            kernel: true,
            wsl: true,
        }
    }
}

impl Policy {
    /// Reads lines such as `    AllowKernelUserSetting    REG_DWORD    0x0`. Only 0 forbids.
    #[must_use]
    pub fn from_output(text: &str) -> Self {
        let forbidden = |name: &str| {
            text.lines().any(|line| {
                let mut words = line.split_whitespace();
                words
                    .next()
                    .is_some_and(|word| word.eq_ignore_ascii_case(name))
                    && words.next() == Some("REG_DWORD")
                    && words.next().and_then(number) == Some(0)
            })
        };
        Self {
            kernel: !forbidden("AllowKernelUserSetting"),
            wsl: !forbidden("AllowWSL"),
        }
    }
}

fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_forbids() {
        let line = |value: &str| {
            format!("\r\nHKEY_LOCAL_MACHINE\\Software\\Policies\\WSL\r\n    {value}\r\n\r\n")
        };
        let table = [
            ("AllowKernelUserSetting    REG_DWORD    0x0", false),
            ("allowkernelusersetting    REG_DWORD    0x0", false),
            ("AllowKernelUserSetting    REG_DWORD    0x1", true),
            ("AllowKernelUserSetting    REG_DWORD    0x7", true),
            ("AllowKernelUserSetting    REG_SZ    0x0", true),
            ("AllowKernelDebugUserSetting    REG_DWORD    0x0", true),
            ("", true),
        ];
        for (text, kernel) in table {
            assert_eq!(Policy::from_output(&line(text)).kernel, kernel, "{text}");
        }
        assert!(!Policy::from_output(&line("AllowWSL REG_DWORD 0x0")).wsl);
    }
}
