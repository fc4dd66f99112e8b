//! What the driver's binary interface fixes: result codes, attributes, states, layouts of structures.
//!
//! In: numbers of the driver. Out: their names. Source: NVIDIA's `cuda.h` (12.8 to 13.4) and `nvml.h`, as
//! two independent generated bindings agree on them. Must not call anything.

use std::ffi::{c_int, c_void};
use std::fmt;

/// A result of the driver that is not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

const CODES: &[(i32, &str)] = &[
    (1, "INVALID_VALUE"),
    (2, "OUT_OF_MEMORY"),
    (3, "NOT_INITIALIZED"),
    (4, "DEINITIALIZED"),
    (34, "STUB_LIBRARY"),
    (46, "DEVICE_UNAVAILABLE"),
    (100, "NO_DEVICE"),
    (101, "INVALID_DEVICE"),
    (200, "INVALID_IMAGE"),
    (201, "INVALID_CONTEXT"),
    (205, "MAP_FAILED"),
    (209, "NO_BINARY_FOR_GPU"),
    (217, "PEER_ACCESS_UNSUPPORTED"),
    (218, "INVALID_PTX"),
    (221, "JIT_COMPILER_NOT_FOUND"),
    (222, "UNSUPPORTED_PTX_VERSION"),
    (304, "OPERATING_SYSTEM"),
    (400, "INVALID_HANDLE"),
    (401, "ILLEGAL_STATE"),
    (500, "NOT_FOUND"),
    (600, "NOT_READY"),
    (700, "ILLEGAL_ADDRESS"),
    (702, "LAUNCH_TIMEOUT"),
    (704, "PEER_ACCESS_ALREADY_ENABLED"),
    (712, "HOST_MEMORY_ALREADY_REGISTERED"),
    (719, "LAUNCH_FAILED"),
    (800, "NOT_PERMITTED"),
    (801, "NOT_SUPPORTED"),
    (802, "SYSTEM_NOT_READY"),
    (803, "SYSTEM_DRIVER_MISMATCH"),
    (804, "COMPAT_NOT_SUPPORTED_ON_DEVICE"),
    (909, "TIMEOUT"),
    (999, "UNKNOWN"),
];

impl Code {
    /// The library is a stand-in without a driver behind it.
    pub const STUB_LIBRARY: Self = Self(34);
    /// There is a driver and no device for it.
    pub const NO_DEVICE: Self = Self(100);
    /// What has been enabled before.
    pub const PEER_ACCESS_ALREADY_ENABLED: Self = Self(704);

    /// Its name without `CUDA_ERROR_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        CODES
            .iter()
            .find(|(number, _)| *number == self.0)
            .map_or("a code without a name here", |(_, name)| name)
    }

    /// Whether something broke that had been accepted, as against a call that was declined.
    #[must_use]
    pub fn is_breakage(self) -> bool {
        matches!(self.0, 700 | 702 | 714..=719 | 999)
    }

    /// Whether it says that there is nothing to be tried on.
    #[must_use]
    pub fn means_nothing_here(self) -> bool {
        self == Self::STUB_LIBRARY || self == Self::NO_DEVICE
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

/// Attributes of a device (`CUdevice_attribute`) that are reported as a hint beside what was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Attribute {
    Integrated = 18,
    CanMapHostMemory = 19,
    TccDriver = 35,
    UnifiedAddressing = 41,
    ComputeMajor = 75,
    ComputeMinor = 76,
    ManagedMemory = 83,
    PageableMemoryAccess = 88,
    ConcurrentManagedAccess = 89,
    HostRegisterSupported = 99,
    VirtualMemoryManagement = 102,
    PosixHandleSupported = 103,
    MemoryPools = 115,
    IpcEvents = 125,
}

/// Where a process stands in the checkpoint cycle (`CUprocessState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// 0
    Running,
    /// 1
    Locked,
    /// 2
    Checkpointed,
    /// 3
    Failed,
    /// A state that drivers of 13.4 and later add (4 checkpointing, 5 restoring), or one yet unknown.
    Other(i32),
}

impl From<c_int> for State {
    fn from(number: c_int) -> Self {
        match number {
            0 => Self::Running,
            1 => Self::Locked,
            2 => Self::Checkpointed,
            3 => Self::Failed,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Locked => f.write_str("locked"),
            Self::Checkpointed => f.write_str("checkpointed"),
            Self::Failed => f.write_str("failed"),
            Self::Other(4) => f.write_str("checkpointing"),
            Self::Other(5) => f.write_str("restoring"),
            Self::Other(number) => write!(f, "state {number}"),
        }
    }
}

/// `CUcheckpointLockArgs`: 64 bytes, zero but for the limit.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LockArgs {
    /// 0 waits for ever.
    pub timeout_ms: u32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved1: [u64; 7],
}

/// `CUmemLocation`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Location {
    /// 1: a device.
    pub kind: c_int,
    /// Which one.
    pub id: c_int,
}

/// `CUmemAllocationProp`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct AllocationProp {
    /// 1: pinned, the only kind there is.
    pub kind: c_int,
    /// 1: can be exported as a file descriptor.
    pub handle_types: c_int,
    /// Where the memory is.
    pub location: Location,
    /// Null.
    pub win32: *mut c_void,
    /// Compression, GPUDirect, usage, four reserved bytes: all zero.
    pub flags: [u8; 8],
}

/// `CUmemAccessDesc`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct AccessDesc {
    /// Who.
    pub location: Location,
    /// 3: reads and writes.
    pub flags: c_int,
}

/// `CUipcMemHandle`: opaque to us.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct IpcHandle(pub [u8; 64]);

/// `nvmlMemory_t`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct NvmlMemory {
    /// Bytes of the device.
    pub total: u64,
    /// Bytes that nobody has.
    pub free: u64,
    /// Bytes that somebody has.
    pub used: u64,
}

/// The kernel that is launched: word `i` becomes `(word * 1664525 + key) ^ i`. In PTX, which every driver
/// compiles for its own device; `sm_60` is the oldest that CUDA on WSL supports.
pub const MIX_PTX: &str = "\
.version 6.4
.target sm_60
.address_size 64

.visible .entry mix(
    .param .u64 mix_data,
    .param .u32 mix_count,
    .param .u32 mix_key
)
{
    .reg .pred %p<2>;
    .reg .b32 %r<10>;
    .reg .b64 %rd<5>;

    ld.param.u64 %rd1, [mix_data];
    ld.param.u32 %r1, [mix_count];
    ld.param.u32 %r2, [mix_key];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r6, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r6, %r1;
    @%p1 bra $done;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r6, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.u32 %r7, [%rd4];
    mad.lo.s32 %r8, %r7, 1664525, %r2;
    xor.b32 %r9, %r8, %r6;
    st.global.u32 [%rd4], %r9;
$done:
    ret;
}
";

/// What [`MIX_PTX`] makes of word `index`.
#[must_use]
pub fn mixed(word: u32, index: u32, key: u32) -> u32 {
    word.wrapping_mul(1_664_525).wrapping_add(key) ^ index
}

#[cfg(test)]
mod tests {
    use std::mem::{align_of, offset_of, size_of};

    use super::*;

    #[test]
    fn layouts_are_the_drivers() {
        assert_eq!(size_of::<LockArgs>(), 64);
        assert_eq!(offset_of!(LockArgs, timeout_ms), 0);
        assert_eq!(offset_of!(LockArgs, reserved0), 4);
        assert_eq!(offset_of!(LockArgs, reserved1), 8);
        assert_eq!(size_of::<Location>(), 8);
        assert_eq!(size_of::<AllocationProp>(), 32);
        assert_eq!(align_of::<AllocationProp>(), 8);
        assert_eq!(offset_of!(AllocationProp, handle_types), 4);
        assert_eq!(offset_of!(AllocationProp, location), 8);
        assert_eq!(offset_of!(AllocationProp, win32), 16);
        assert_eq!(offset_of!(AllocationProp, flags), 24);
        assert_eq!(size_of::<AccessDesc>(), 12);
        assert_eq!(offset_of!(AccessDesc, flags), 8);
        assert_eq!(size_of::<IpcHandle>(), 64);
        assert_eq!(align_of::<IpcHandle>(), 1);
        assert_eq!(size_of::<NvmlMemory>(), 24);
    }

    #[test]
    fn states_have_the_drivers_numbers() {
        let words = [0, 1, 2, 3, 4, 5, 9].map(|number| State::from(number).to_string());
        assert_eq!(
            words,
            [
                "running",
                "locked",
                "checkpointed",
                "failed",
                "checkpointing",
                "restoring",
                "state 9"
            ]
        );
    }

    #[test]
    fn codes_have_names() {
        let table = [
            (1, "INVALID_VALUE", false),
            (2, "OUT_OF_MEMORY", false),
            (34, "STUB_LIBRARY", false),
            (100, "NO_DEVICE", false),
            (217, "PEER_ACCESS_UNSUPPORTED", false),
            (304, "OPERATING_SYSTEM", false),
            (401, "ILLEGAL_STATE", false),
            (600, "NOT_READY", false),
            (700, "ILLEGAL_ADDRESS", true),
            (801, "NOT_SUPPORTED", false),
            (909, "TIMEOUT", false),
            (999, "UNKNOWN", true),
        ];
        for (number, name, breakage) in table {
            assert_eq!(
                (Code(number).name(), Code(number).is_breakage()),
                (name, breakage)
            );
        }
        assert_eq!(Code(801).to_string(), "801 NOT_SUPPORTED");
        assert!(Code(12345).to_string().starts_with("12345 "));
        assert!(Code::NO_DEVICE.means_nothing_here() && !Code(801).means_nothing_here());
    }

    #[test]
    fn attributes_have_the_drivers_numbers() {
        assert_eq!(Attribute::ConcurrentManagedAccess as i32, 89);
        assert_eq!(Attribute::PosixHandleSupported as i32, 103);
        assert_eq!(Attribute::IpcEvents as i32, 125);
    }

    #[test]
    fn the_mix_tells_words_places_and_keys_apart() {
        assert_eq!(mixed(0, 0, 7), 7);
        assert_eq!(mixed(1, 0, 0), 1_664_525);
        assert_eq!(mixed(1, 3, 0), 1_664_525 ^ 3);
        assert!(MIX_PTX.contains("1664525") && MIX_PTX.contains(".entry mix("));
    }
}
