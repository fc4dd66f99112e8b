//! NVML, the driver's other door: a second opinion about memory, and the state of NVLink.
//!
//! In: a device's identity. Out: what the driver's management side says. On WSL much of it answers "not
//! supported", which means unknown and never no.

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::path::Path;

use super::abi::{Code, NvmlMemory};
use super::{Handle, Loaded, Refusal, functions, load};

/// More links than any device has.
const LINKS: u32 = 18;

/// The management library. Never unloaded.
#[derive(Debug, Clone, Copy)]
pub struct Nvml {
    loaded: &'static Loaded,
}

functions! { Nvml:
    raw_init = "nvmlInit_v2"();
    raw_driver = "nvmlSystemGetDriverVersion"(text: *mut c_char, length: c_uint);
    raw_by_uuid = "nvmlDeviceGetHandleByUUID"(uuid: *const c_char, device: *mut Handle);
    raw_memory = "nvmlDeviceGetMemoryInfo"(device: Handle, memory: *mut NvmlMemory);
    raw_link = "nvmlDeviceGetNvLinkState"(device: Handle, link: c_uint, active: *mut c_int);
}

impl Nvml {
    /// Loads and starts `libnvidia-ml.so.1` from `folder`, or from where the system has it.
    pub fn load(folder: Option<&Path>) -> Result<Self, Refusal> {
        let (library, path) = load("libnvidia-ml.so.1", folder)?;
        let nvml = Self {
            loaded: Box::leak(Box::new(Loaded { library, path })),
        };
        // SAFETY: no pointers.
        unsafe { nvml.raw_init() }?;
        Ok(nvml)
    }

    /// The driver's version, such as 570.86.10.
    pub fn driver(self) -> Result<String, Refusal> {
        let mut text: [c_char; 96] = [0; 96];
        // SAFETY: 95 bytes are offered of 96, so that a zero is behind them whatever is written.
        unsafe { self.raw_driver(text.as_mut_ptr(), 95) }?;
        // SAFETY: the last byte is zero.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        Ok(text.to_string_lossy().into_owned())
    }

    /// Bytes of a device that somebody has.
    pub fn used(self, uuid: &str) -> Result<u64, Refusal> {
        let device = self.device(uuid)?;
        let mut memory = NvmlMemory::default();
        // SAFETY: writes 24 bytes.
        unsafe { self.raw_memory(device, &raw mut memory) }?;
        Ok(memory.used)
    }

    /// How many NVLink connections are up, of those that are known.
    pub fn links(self, uuid: &str) -> Result<u32, Refusal> {
        let device = self.device(uuid)?;
        let mut up = 0;
        for link in 0..LINKS {
            let mut active = 0;
            // SAFETY: writes one int.
            match unsafe { self.raw_link(device, link, &raw mut active) } {
                Ok(()) => up += u32::from(active != 0),
                Err(refusal) if link == 0 => return Err(refusal),
                // There are no more.
                Err(_) => break,
            }
        }
        Ok(up)
    }

    fn device(self, uuid: &str) -> Result<Handle, Refusal> {
        let call = "nvmlDeviceGetHandleByUUID";
        let uuid = CString::new(uuid).map_err(|_| Refusal::Code {
            call,
            code: Code(2),
        })?;
        let mut device = std::ptr::null_mut();
        // SAFETY: reads a text that ends in zero and writes one handle.
        unsafe { self.raw_by_uuid(uuid.as_ptr(), &raw mut device) }?;
        Ok(device)
    }
}
