//! The rows: their names, what is documented about each, and how long each may take.
//!
//! In: nothing. Out: a table. The documented limits are what vendors' guides state and users report for
//! WSL2; they stand beside a measurement and never instead of it.

use std::time::Duration;

/// Who answers a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The CRIU suite.
    Criu,
    /// A part, which loads the driver.
    Driver,
    /// Python.
    Vllm,
    /// Windows' own programs.
    Windows,
}

/// A row before anything is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    seconds: u64,
    pub documented: &'static str,
}

impl Entry {
    /// Its time in all.
    pub(super) fn deadline(&self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or(Duration::from_secs(self.seconds))
    }
}

/// The row that all others of the driver depend on.
pub(super) const GPU: &str = "gpu";

const fn driver(name: &'static str, title: &'static str, documented: &'static str) -> Entry {
    Entry {
        name,
        title,
        kind: Kind::Driver,
        seconds: 120,
        documented,
    }
}

/// All rows, in the order in which they are probed and shown.
pub(super) const ALL: &[Entry] = &[
    Entry {
        name: "criu",
        title: "CRIU",
        kind: Kind::Criu,
        seconds: 900,
        documented: "Every stock WSL kernel has CHECKPOINT_RESTORE. With networkingMode=mirrored WSL's init \
                     runs everything under a seccomp filter, which CRIU cannot work with (WSL #9993, #9548).",
    },
    driver(
        GPU,
        "GPU and driver",
        "On WSL2 the device is /dev/dxg and the libraries come from Windows; Pascal or newer, WDDM only.",
    ),
    driver(
        "cuda-checkpoint",
        "Checkpoint of device memory",
        "Driver 570 or later for the calls, 555 for the utility's actions. No managed memory, no memory \
         imported from others. Nothing is published about WSL2, good or bad; a GB10 with 580.142 locked \
         and then answered 801 to the checkpoint (cuda-checkpoint #51).",
    ),
    Entry {
        seconds: 300,
        ..driver(
            "cuda-checkpoint-criu",
            "Checkpoint of device memory, and CRIU in between",
            "CRIU's own CUDA plugin looks for /proc/driver/nvidia/gpus and so disables itself on WSL2; \
             vLLM and Dynamo go round it as is done here: lock, checkpoint, criu dump, criu restore, \
             restore, unlock.",
        )
    },
    driver(
        "cuda-checkpoint-binary",
        "NVIDIA's cuda-checkpoint utility",
        "A shim whose work is done by the driver, so it need not be as new; get it from \
         NVIDIA/cuda-checkpoint. Its exit status is 0 or not; its messages are for people.",
    ),
    Entry {
        seconds: 240,
        ..driver(
            "pinned-memory",
            "Pinned memory",
            "NVIDIA's guide: pinned system memory is limited on WSL2. Users: about half of Windows' memory, \
             earlier 0.5 to 1 GB (WSL #8447, #14078); Windows shows it as shared GPU memory.",
        )
    },
    Entry {
        seconds: 240,
        ..driver(
            "bandwidth",
            "Copies between host and device",
            "One report of 43 GB/s from pinned memory under WSL kernel 6.6.87.",
        )
    },
    driver(
        "managed-memory",
        "Managed memory",
        "NVIDIA's guide: no full support on WSL2 for the foreseeable future, no access from both sides at \
         once (attribute 89 is 0), no oversubscription; managed pools are not supported (cuda-python #1607).",
    ),
    driver(
        "vmm",
        "Virtual memory management",
        "Attributes are wrong at times: an exportable pool answers INVALID_VALUE (cuda-python #1045), and a \
         reservation of 32 GiB fails (node-llama-cpp #610).",
    ),
    driver(
        "cuda-ipc",
        "Memory shared between processes",
        "Unreliable on WSL2: the other process cannot open it (sglang #35385); numba-cuda skips its tests there.",
    ),
    driver(
        "peer-access",
        "Peer access",
        "Open reports on WSL2 since 2021 (WSL #6587, #7852, #12467); a hang in vLLM (#5161).",
    ),
    driver(
        "nvlink",
        "NVLink",
        "NVML shows only a part of the topology on WSL2; its state is a hint, the measured copy decides.",
    ),
    Entry {
        name: "vllm",
        title: "vLLM",
        kind: Kind::Vllm,
        seconds: 300,
        documented: "On WSL2 vLLM does not pin memory unless VLLM_WSL2_ENABLE_PIN_MEMORY=1 (since #41496), and \
                     knows WSL by the word microsoft in the kernel's name. Sleep mode needs virtual memory management.",
    },
    Entry {
        name: "dda",
        title: "Discrete device assignment",
        kind: Kind::Windows,
        seconds: 90,
        documented: "Windows Server 2016 or later as host; Windows 10 and 11 are not listed. Never for WSL's \
                     own virtual machine: it uses paravirtual GPUs.",
    },
    Entry {
        name: "gpu-p",
        title: "GPU partitioning",
        kind: Kind::Windows,
        seconds: 90,
        documented: "Windows Server 2025 or Azure Stack HCI 22H2 with SR-IOV GPUs (A2, A10, A16, A40, L series). \
                     On Windows 11 the commands exist and are not supported.",
    },
];

/// The names of all rows.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|entry| entry.name)
}

/// Whether there is such a row.
#[must_use]
pub fn known(name: &str) -> bool {
    names().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_unique() {
        let mut all: Vec<&str> = names().collect();
        for name in &all {
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{name}"
            );
            assert!(known(name));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), ALL.len());
        assert!(!known("nothing"));
    }

    #[test]
    fn every_row_has_a_documented_limit_and_a_deadline() {
        for entry in ALL {
            assert!(entry.documented.len() > 20, "{}", entry.name);
            assert!(entry.deadline(None) >= Duration::from_secs(60));
        }
        let short = Duration::from_secs(1);
        assert_eq!(ALL[0].deadline(Some(short)), short);
    }
}
