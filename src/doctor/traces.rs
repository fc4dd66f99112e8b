//! Traces that kernel options leave in a running system, for kernels that do not tell their configuration.
//!
//! In: files below a root, socket diagnosis, the index of modules. Out: [`Trace`]s. An option without a trace
//! in this list stays unknown; nothing is said about it. Must not load modules or change anything.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::files::Files;
use super::machine::{Modules, Senses, Trace};

/// Options that make a file appear.
const BY_FILE: &[(&str, &str)] = &[
    ("CHECKPOINT_RESTORE", "proc/sys/kernel/ns_last_pid"),
    // Selected by CHECKPOINT_RESTORE, and without a trace of its own.
    ("KCMP", "proc/sys/kernel/ns_last_pid"),
    ("PROC_CHILDREN", "proc/thread-self/children"),
    ("PROC_PAGE_MONITOR", "proc/self/pagemap"),
    ("POSIX_TIMERS", "proc/self/timers"),
    ("NAMESPACES", "proc/self/ns/mnt"),
    ("UTS_NS", "proc/self/ns/uts"),
    ("IPC_NS", "proc/self/ns/ipc"),
    ("PID_NS", "proc/self/ns/pid"),
    ("NET_NS", "proc/self/ns/net"),
    ("USER_NS", "proc/self/ns/user"),
    ("TIME_NS", "proc/self/ns/time"),
    ("EPOLL", "proc/sys/fs/epoll"),
    ("INOTIFY_USER", "proc/sys/fs/inotify"),
    ("FANOTIFY", "proc/sys/fs/fanotify"),
    ("AIO", "proc/sys/fs/aio-nr"),
    ("FILE_LOCKING", "proc/locks"),
    ("SYSVIPC", "proc/sysvipc/shm"),
    ("POSIX_MQUEUE", "proc/sys/fs/mqueue"),
    ("SECCOMP_FILTER", "proc/sys/kernel/seccomp"),
    ("SECCOMP", "proc/sys/kernel/seccomp"),
    ("USERFAULTFD", "proc/sys/vm/unprivileged_userfaultfd"),
    ("AUDITSYSCALL", "proc/self/loginuid"),
    ("HUGETLBFS", "proc/sys/vm/nr_hugepages"),
    ("UNIX98_PTYS", "dev/ptmx"),
    ("IPV6", "proc/sys/net/ipv6"),
    ("CGROUPS", "proc/self/cgroup"),
    ("NF_CONNTRACK", "proc/sys/net/netfilter/nf_conntrack_max"),
];
/// Options that are modules, where they are not built in, by the module's name.
const BY_MODULE: &[(&str, &str)] = &[
    ("TUN", "tun"),
    ("OVERLAY_FS", "overlay"),
    ("AUTOFS_FS", "autofs4"),
    ("FUSE_FS", "fuse"),
    ("NETFILTER_XT_MARK", "xt_mark"),
    ("IP_NF_IPTABLES", "ip_tables"),
    ("IP_NF_FILTER", "iptable_filter"),
    ("IP6_NF_IPTABLES", "ip6_tables"),
    ("IP6_NF_FILTER", "ip6table_filter"),
    ("NF_TABLES", "nf_tables"),
    ("NFT_CT", "nft_ct"),
    ("NFT_COMPAT", "nft_compat"),
    ("VETH", "veth"),
    ("BRIDGE", "bridge"),
    ("BRIDGE_NETFILTER", "br_netfilter"),
    ("MACVLAN", "macvlan"),
    ("IPV6_SIT", "sit"),
];
/// Bit of an entry of `/proc/PID/pagemap`: the page was written to (Documentation/admin-guide/mm/pagemap.rst).
const SOFT_DIRTY: u64 = 1 << 55;

/// Looks for the traces of all options in the lists.
pub(super) fn look(files: &Files<'_>, senses: &Senses, modules: &Modules) -> Vec<Trace> {
    let by_file = BY_FILE.iter().map(|(option, path)| Trace {
        option: (*option).to_owned(),
        there: files.there(path),
        by: format!("/{path}"),
    });
    // What is in neither list may still be built in where the list of those is missing.
    let told = !modules.built_in.is_empty();
    let by_module = BY_MODULE
        .iter()
        .filter(|_| told)
        .map(|(option, name)| Trace {
            option: (*option).to_owned(),
            there: [&modules.built_in, &modules.loadable]
                .iter()
                .any(|list| list.iter().any(|known| known == name)),
            by: format!("the index of modules: {name}"),
        });
    let by_question = senses.diag.iter().map(|probe| Trace {
        option: probe.option.clone(),
        there: probe.available,
        by: format!("socket diagnosis of {}", probe.family),
    });
    let by_page = senses.soft_dirty.map(|there| Trace {
        option: "MEM_SOFT_DIRTY".to_owned(),
        there,
        by: "/proc/self/pagemap: the mark of a written page".to_owned(),
    });
    by_file
        .chain(by_module)
        .chain(by_question)
        .chain(by_page)
        .collect()
}

/// Whether the kernel marks a page that was just written to; `None` where the mark cannot be read.
#[must_use]
pub fn soft_dirty_is_tracked() -> Option<bool> {
    let page = page_size()?;
    let mut memory = vec![0_u8; 2 * page];
    // The second half holds a whole beginning of a page, whatever the allocation begins at.
    memory
        .iter_mut()
        .step_by(page / 2)
        .for_each(|byte| *byte = 1);
    let address = memory.as_ptr() as usize + page;
    let mut entry = [0; 8];
    let file = File::open("/proc/self/pagemap").ok()?;
    let at = u64::try_from(address / page * entry.len()).ok()?;
    file.read_exact_at(&mut entry, at).ok()?;
    std::hint::black_box(&memory);
    Some(u64::from_ne_bytes(entry) & SOFT_DIRTY != 0)
}

/// What the kernel told this process when it started: pairs of numbers, `AT_PAGESZ` (6) among them.
fn page_size() -> Option<usize> {
    let words = std::fs::read("/proc/self/auxv").ok()?;
    let mut numbers = words
        .chunks_exact(size_of::<usize>())
        .filter_map(|bytes| bytes.try_into().ok().map(usize::from_ne_bytes));
    while let (Some(kind), Some(value)) = (numbers.next(), numbers.next()) {
        if kind == 6 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_about_the_contract() {
        let profiles = crate::kconfig::Profiles::embedded();
        let all = profiles.all_fragments().expect("fragments");
        let criu = all
            .iter()
            .find(|fragment| fragment.name() == "criu")
            .expect("there");
        for (option, _) in BY_FILE.iter().chain(BY_MODULE) {
            let asked = criu.requests().iter().any(|r| r.symbol.as_str() == *option);
            assert!(asked, "{option}");
        }
    }

    #[test]
    fn the_mark_can_be_read_or_not() {
        // Either answer is right on some kernel; it must not fail.
        let _answer = soft_dirty_is_tracked();
    }

    #[test]
    fn without_the_list_of_what_is_built_in_modules_say_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::at(folder.path());
        let mut modules = Modules {
            listed: true,
            loadable: vec!["tun".to_owned()],
            built_in: Vec::new(),
        };
        let told = |modules: &Modules| -> Vec<bool> {
            let traces = look(&files, &Senses::default(), modules);
            let of = |option: &str| traces.iter().find(|t| t.option == option).map(|t| t.there);
            ["TUN", "VETH"].into_iter().filter_map(of).collect()
        };
        assert!(told(&modules).is_empty());
        modules.built_in = vec!["overlay".to_owned()];
        assert_eq!(told(&modules), [true, false]);
    }
}
