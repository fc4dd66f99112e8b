//! What a step of make is good for, from kbuild's word for it and the file that it makes.
//!
//! In: a [`Step`]. Out: a [`Kind`]. Pure.

use serde::Serialize;

use crate::build::Step;

/// What time of make goes into, in the order in which a build comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Reading the configuration.
    Kconfig,
    /// Programs that only the build uses.
    Tools,
    /// Headers that are generated.
    Headers,
    /// The kernel's own objects.
    Compile,
    /// Objects put together.
    Archive,
    /// `vmlinux` and its symbols.
    Link,
    /// BTF, by pahole.
    Btf,
    /// Symbols of modules, and their `.ko`.
    Modules,
    /// The image that boots.
    Image,
    /// Copying and stripping modules.
    Install,
    /// Their index.
    Depmod,
    /// None of these ran: make itself reads makefiles and compares times.
    Make,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Kconfig,
        Self::Tools,
        Self::Headers,
        Self::Compile,
        Self::Archive,
        Self::Link,
        Self::Btf,
        Self::Modules,
        Self::Image,
        Self::Install,
        Self::Depmod,
        Self::Make,
    ];

    /// What it is called.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Kconfig => "kconfig",
            Self::Tools => "build tools",
            Self::Headers => "generated headers",
            Self::Compile => "compile",
            Self::Archive => "archives",
            Self::Link => "link vmlinux",
            Self::Btf => "BTF",
            Self::Modules => "link modules",
            Self::Image => "boot image",
            Self::Install => "install modules",
            Self::Depmod => "depmod",
            Self::Make => "make itself",
        }
    }

    /// What is in it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Kconfig => "conf, and the header of options",
            Self::Tools => "HOSTCC: objtool, fixdep, modpost and other programs of the build",
            Self::Headers => "system calls, wrappers, version",
            Self::Compile => "CC and AS of the kernel's objects, objtool on each included",
            Self::Archive => "AR, and objects of several parts",
            Self::Link => "vmlinux.o, symbols, vmlinux, sorted tables",
            Self::Btf => "pahole, resolve_btfids",
            Self::Modules => "modpost, .mod.o, .ko",
            Self::Image => "setup code, compressed vmlinux, bzImage",
            Self::Install => "copied and stripped",
            Self::Depmod => "modules.dep and its like",
            Self::Make => "reading makefiles, comparing times, starting programs",
        }
    }

    /// Of several at once, time is of the one that comes first here: as long as something compiles, make compiles.
    pub(super) fn precedence(self) -> usize {
        const ORDER: [Kind; 12] = [
            Kind::Compile,
            Kind::Btf,
            Kind::Link,
            Kind::Modules,
            Kind::Image,
            Kind::Install,
            Kind::Depmod,
            Kind::Archive,
            Kind::Tools,
            Kind::Headers,
            Kind::Kconfig,
            Kind::Make,
        ];
        ORDER
            .iter()
            .position(|kind| *kind == self)
            .unwrap_or(ORDER.len())
    }

    /// What make is at while no step is known to run, in one of its runs.
    pub(super) fn idle(phase: &str) -> Self {
        match phase {
            "syncconfig" => Self::Kconfig,
            "modules_install" => Self::Install,
            _ => Self::Make,
        }
    }

    /// What a step is good for.
    #[must_use]
    pub fn of(step: &Step) -> Self {
        let (verb, target) = (step.verb.as_str(), step.target.as_str());
        match verb {
            "INSTALL" | "STRIP" | "SIGN" | "XZ" | "ZSTD" if is_installed(target) => Self::Install,
            "DEPMOD" => Self::Depmod,
            "MODPOST" => Self::Modules,
            _ if verb.starts_with("BTF") || verb == "PAHOLE" => Self::Btf,
            _ if target.starts_with("scripts/kconfig/") || verb == "SYNC" => Self::Kconfig,
            _ if is_tool(verb, target) => Self::Tools,
            _ if is_link(target) => Self::Link,
            _ if is_image(target) => Self::Image,
            _ if target.ends_with(".mod.o") || target.ends_with(".ko") => Self::Modules,
            "CC" | "AS" | "CPP" | "RUSTC" if target.ends_with(".o") => Self::Compile,
            "AR" | "LD" => Self::Archive,
            _ => Self::Headers,
        }
    }
}

fn is_installed(target: &str) -> bool {
    target.starts_with("lib/modules/")
}

fn is_tool(verb: &str, target: &str) -> bool {
    let own = ["scripts/", "tools/", "arch/x86/tools/"];
    verb.starts_with("HOST")
        || matches!(verb, "DESCEND" | "LINK")
        || own.iter().any(|folder| target.starts_with(folder))
}

fn is_link(target: &str) -> bool {
    let named = ["System.map", "modules.builtin", ".vmlinux.export"];
    target.starts_with("vmlinux")
        || target.starts_with(".tmp_vmlinux")
        || target.starts_with(".btf.")
        || named.iter().any(|name| target.starts_with(name))
}

fn is_image(target: &str) -> bool {
    let Some(rest) = target.strip_prefix("arch/") else {
        return false;
    };
    let below = rest.split_once('/').map(|(_, below)| below);
    below.is_some_and(|below| below.starts_with("boot/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(verb: &str, target: &str) -> Kind {
        Kind::of(&Step {
            verb: verb.to_owned(),
            module: false,
            target: target.to_owned(),
            start: 0.0,
            end: None,
            cache: None,
        })
    }

    #[test]
    fn every_line_of_a_build_has_its_kind() {
        let table = [
            ("HOSTCC", "scripts/kconfig/conf.o", Kind::Kconfig),
            ("LEX", "scripts/kconfig/lexer.lex.c", Kind::Kconfig),
            ("SYNC", "include/config/auto.conf", Kind::Kconfig),
            ("HOSTCC", "scripts/basic/fixdep", Kind::Tools),
            ("DESCEND", "objtool", Kind::Tools),
            ("CC", "tools/objtool/check.o", Kind::Tools),
            ("LINK", "tools/objtool/objtool", Kind::Tools),
            ("CC", "scripts/mod/empty.o", Kind::Tools),
            ("HOSTCC", "arch/x86/boot/tools/build", Kind::Tools),
            ("GEN", "Makefile", Kind::Headers),
            (
                "WRAP",
                "arch/x86/include/generated/uapi/asm/errno.h",
                Kind::Headers,
            ),
            ("UPD", "include/generated/utsrelease.h", Kind::Headers),
            (
                "VDSO2C",
                "arch/x86/entry/vdso/vdso-image-64.c",
                Kind::Headers,
            ),
            ("CC", "init/main.o", Kind::Compile),
            ("AS", "arch/x86/entry/entry_64.o", Kind::Compile),
            ("CC", "init/version-timestamp.o", Kind::Compile),
            ("AR", "init/built-in.a", Kind::Archive),
            ("LD", "fs/fuse/fuse.o", Kind::Archive),
            ("AR", "vmlinux.a", Kind::Link),
            ("LD", "vmlinux.o", Kind::Link),
            ("CC", ".vmlinux.export.o", Kind::Link),
            ("AS", ".tmp_vmlinux.kallsyms1.o", Kind::Link),
            ("NM", "System.map", Kind::Link),
            ("GEN", "modules.builtin", Kind::Link),
            ("SORTTAB", "vmlinux", Kind::Link),
            ("BTF", ".btf.vmlinux.bin.o", Kind::Btf),
            ("BTFIDS", "vmlinux", Kind::Btf),
            ("BTF", "drivers/net/dummy.ko", Kind::Btf),
            ("MODPOST", "Module.symvers", Kind::Modules),
            ("CC", "drivers/net/dummy.mod.o", Kind::Modules),
            ("LD", "drivers/net/dummy.ko", Kind::Modules),
            ("CC", "arch/x86/boot/main.o", Kind::Image),
            (
                "GZIP",
                "arch/x86/boot/compressed/vmlinux.bin.gz",
                Kind::Image,
            ),
            ("BUILD", "arch/x86/boot/bzImage", Kind::Image),
            ("OBJCOPY", "arch/arm64/boot/Image", Kind::Image),
            (
                "INSTALL",
                "lib/modules/6.1/kernel/drivers/net/dummy.ko",
                Kind::Install,
            ),
            (
                "STRIP",
                "lib/modules/6.1/kernel/drivers/net/dummy.ko",
                Kind::Install,
            ),
            ("DEPMOD", "lib/modules/6.1", Kind::Depmod),
        ];
        for (verb, target, expected) in table {
            assert_eq!(kind(verb, target), expected, "{verb} {target}");
        }
    }

    #[test]
    fn precedence_knows_all() {
        let mut found: Vec<usize> = Kind::ALL.iter().map(|kind| kind.precedence()).collect();
        found.sort_unstable();
        assert_eq!(found, (0..Kind::ALL.len()).collect::<Vec<_>>());
    }
}
