//! NVIDIA's driver libraries, loaded at run time: the only unsafe code of this program.
//!
//! In: calls with Rust's types. Out: their results, or a [`Refusal`] that names the call and its code. Nothing
//! of CUDA is needed to build this, and without a driver there is a refusal and no more. Must not judge, and
//! must not be used in a process that has to live on: a driver call may hang or end the process.
//!
//! Why it is unsafe, once for all: a symbol has no type of its own, so each is given the type that NVIDIA's
//! headers give it; and the driver writes through the pointers that it is handed. Those point to locals
//! of the calling function, or to memory whose length was compared before.
#![expect(
    unsafe_code,
    reason = "symbols of a library that is loaded at run time have no types of their own"
)]

pub mod abi;
mod checkpoint;
mod memory;
mod nvml;
mod work;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::path::{Path, PathBuf};

use libloading::Library;

use self::abi::{AccessDesc, AllocationProp, Attribute, Code, IpcHandle, LockArgs};
pub use self::memory::{DeviceBlock, OnDevice, Pinned};
pub use self::nvml::Nvml;
pub use self::work::{Kernel, Stopwatch};

/// Where WSL puts the libraries of the Windows driver. Before all others: a driver package that was installed
/// inside the distribution finds no hardware there.
const WSL_LIBRARIES: &str = "/usr/lib/wsl/lib";

/// Why the driver did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such library.
    NoLibrary(String),
    /// The library does not have the function: the driver is older than it.
    Absent(&'static str),
    /// The function answered with a code.
    Code {
        /// Its name.
        call: &'static str,
        /// What it answered.
        code: Code,
    },
}

impl Refusal {
    /// The code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Code { code, .. } => Some(*code),
            Self::NoLibrary(_) | Self::Absent(_) => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLibrary(why) => write!(f, "no driver library: {why}"),
            Self::Absent(call) => write!(f, "the driver has no {call}: it is too old for it"),
            // NVML has numbers of its own.
            Self::Code { call, code } if call.starts_with("nvml") => {
                write!(f, "{call} answered {}", code.0)
            }
            Self::Code { call, code } => write!(f, "{call} answered {code}"),
        }
    }
}

/// Loads a library from `folder`, or from where WSL and the loader have it.
fn load(name: &str, folder: Option<&Path>) -> Result<(Library, String), Refusal> {
    let places: Vec<PathBuf> = match folder {
        Some(folder) => vec![folder.join(name)],
        None => vec![Path::new(WSL_LIBRARIES).join(name), PathBuf::from(name)],
    };
    let mut why = String::new();
    for place in places
        .iter()
        .filter(|place| !place.is_absolute() || place.exists())
    {
        // SAFETY: loading runs the library's initialisers; that NVIDIA's (or a test's own) are sound is
        // the premise of using it at all. This process does nothing else, so that a bad one harms nobody.
        match unsafe { Library::new(place) } {
            Ok(library) => return Ok((library, place.display().to_string())),
            Err(error) => why = error.to_string(),
        }
    }
    match why.is_empty() {
        true => Err(Refusal::NoLibrary(format!(
            "{} is not there",
            places[0].display()
        ))),
        false => Err(Refusal::NoLibrary(why)),
    }
}

/// Gives functions of a library their types. Each call looks its name up anew: it costs a microsecond at
/// most, outside of what is timed, and a missing function is found where it is needed.
macro_rules! functions {
    ($library:ident: $($(#[$attribute:meta])* $name:ident = $symbol:literal($($argument:ident: $type:ty),* $(,)?);)*) => {
        impl $library {
            $(
                $(#[$attribute])*
                /// # Safety
                /// Pointers must be good for what the driver's documentation says is read or written.
                unsafe fn $name(self, $($argument: $type),*) -> Result<(), Refusal> {
                    type Function = unsafe extern "C" fn($($type),*) -> c_int;
                    // SAFETY: `Function` is the type that NVIDIA's header gives to this symbol.
                    let function = unsafe { self.loaded.library.get::<Function>($symbol) }
                        .map_err(|_| Refusal::Absent($symbol))?;
                    // SAFETY: the caller answers for the pointers.
                    match unsafe { function($($argument),*) } {
                        0 => Ok(()),
                        code => Err(Refusal::Code { call: $symbol, code: Code(code) }),
                    }
                }
            )*
        }
    };
}
use functions;

/// A loaded library and where it came from.
#[derive(Debug)]
struct Loaded {
    library: Library,
    path: String,
}

/// The driver. Never unloaded: its threads would run on in nothing.
#[derive(Debug, Clone, Copy)]
pub struct Cuda {
    loaded: &'static Loaded,
}

type Handle = *mut c_void;

functions! { Cuda:
    raw_init = "cuInit"(flags: c_uint);
    raw_version = "cuDriverGetVersion"(version: *mut c_int);
    raw_count = "cuDeviceGetCount"(count: *mut c_int);
    raw_device = "cuDeviceGet"(device: *mut c_int, ordinal: c_int);
    raw_name = "cuDeviceGetName"(name: *mut c_char, length: c_int, device: c_int);
    raw_uuid = "cuDeviceGetUuid_v2"(uuid: *mut [u8; 16], device: c_int);
    raw_total = "cuDeviceTotalMem_v2"(bytes: *mut usize, device: c_int);
    raw_attribute = "cuDeviceGetAttribute"(value: *mut c_int, attribute: c_int, device: c_int);
    raw_retain = "cuDevicePrimaryCtxRetain"(context: *mut Handle, device: c_int);
    raw_current = "cuCtxSetCurrent"(context: Handle);
    raw_synchronize = "cuCtxSynchronize"();
    raw_free_memory = "cuMemGetInfo_v2"(free: *mut usize, total: *mut usize);
    raw_allocate = "cuMemAlloc_v2"(pointer: *mut u64, bytes: usize);
    raw_free = "cuMemFree_v2"(pointer: u64);
    raw_upload = "cuMemcpyHtoD_v2"(target: u64, source: *const c_void, bytes: usize);
    raw_download = "cuMemcpyDtoH_v2"(target: *mut c_void, source: u64, bytes: usize);
    raw_upload_async = "cuMemcpyHtoDAsync_v2"(target: u64, source: *const c_void, bytes: usize, stream: Handle);
    raw_download_async = "cuMemcpyDtoHAsync_v2"(target: *mut c_void, source: u64, bytes: usize, stream: Handle);
    raw_pin = "cuMemHostAlloc"(pointer: *mut Handle, bytes: usize, flags: c_uint);
    raw_unpin = "cuMemFreeHost"(pointer: Handle);
    raw_register = "cuMemHostRegister_v2"(pointer: Handle, bytes: usize, flags: c_uint);
    raw_unregister = "cuMemHostUnregister"(pointer: Handle);
    raw_managed = "cuMemAllocManaged"(pointer: *mut u64, bytes: usize, flags: c_uint);
    raw_granularity = "cuMemGetAllocationGranularity"(bytes: *mut usize, prop: *const AllocationProp, option: c_int);
    raw_reserve = "cuMemAddressReserve"(pointer: *mut u64, bytes: usize, align: usize, at: u64, flags: u64);
    raw_unreserve = "cuMemAddressFree"(pointer: u64, bytes: usize);
    raw_create = "cuMemCreate"(handle: *mut u64, bytes: usize, prop: *const AllocationProp, flags: u64);
    raw_release = "cuMemRelease"(handle: u64);
    raw_map = "cuMemMap"(pointer: u64, bytes: usize, offset: usize, handle: u64, flags: u64);
    raw_unmap = "cuMemUnmap"(pointer: u64, bytes: usize);
    raw_access = "cuMemSetAccess"(pointer: u64, bytes: usize, access: *const AccessDesc, count: usize);
    raw_export = "cuMemExportToShareableHandle"(file: *mut c_int, handle: u64, kind: c_int, flags: u64);
    raw_share = "cuIpcGetMemHandle"(handle: *mut IpcHandle, pointer: u64);
    raw_open = "cuIpcOpenMemHandle_v2"(pointer: *mut u64, handle: IpcHandle, flags: c_uint);
    raw_close = "cuIpcCloseMemHandle"(pointer: u64);
    raw_module = "cuModuleLoadData"(module: *mut Handle, image: *const c_char);
    raw_function = "cuModuleGetFunction"(function: *mut Handle, module: Handle, name: *const c_char);
    #[expect(clippy::too_many_arguments, reason = "the driver's own list")]
    raw_launch = "cuLaunchKernel"(
        function: Handle, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        shared: c_uint, stream: Handle, arguments: *mut Handle, extra: *mut Handle,
    );
    raw_event = "cuEventCreate"(event: *mut Handle, flags: c_uint);
    raw_record = "cuEventRecord"(event: Handle, stream: Handle);
    raw_await = "cuEventSynchronize"(event: Handle);
    raw_elapsed = "cuEventElapsedTime"(milliseconds: *mut f32, start: Handle, end: Handle);
    raw_can_access = "cuDeviceCanAccessPeer"(can: *mut c_int, device: c_int, peer: c_int);
    raw_p2p = "cuDeviceGetP2PAttribute"(value: *mut c_int, attribute: c_int, source: c_int, target: c_int);
    raw_enable_peer = "cuCtxEnablePeerAccess"(peer: Handle, flags: c_uint);
    raw_copy_peer = "cuMemcpyPeerAsync"(
        target: u64, target_context: Handle, source: u64, source_context: Handle, bytes: usize, stream: Handle,
    );
    raw_state = "cuCheckpointProcessGetState"(process: c_int, state: *mut c_int);
    raw_restore_thread = "cuCheckpointProcessGetRestoreThreadId"(process: c_int, thread: *mut c_int);
    raw_lock = "cuCheckpointProcessLock"(process: c_int, args: *mut LockArgs);
    raw_checkpoint = "cuCheckpointProcessCheckpoint"(process: c_int, args: Handle);
    raw_restore = "cuCheckpointProcessRestore"(process: c_int, args: Handle);
    raw_unlock = "cuCheckpointProcessUnlock"(process: c_int, args: Handle);
}

/// A device of the driver.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    cuda: Cuda,
    number: c_int,
}

/// A device's primary context. Kept until the process ends.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    cuda: Cuda,
    device: Device,
    handle: Handle,
}

impl Cuda {
    /// Loads `libcuda.so.1` from `folder`, or from where the system has it.
    pub fn load(folder: Option<&Path>) -> Result<Self, Refusal> {
        let (library, path) = load("libcuda.so.1", folder)?;
        let loaded = Box::leak(Box::new(Loaded { library, path }));
        Ok(Self { loaded })
    }

    /// Where the library came from.
    #[must_use]
    pub fn path(self) -> &'static str {
        &self.loaded.path
    }

    /// Starts the driver in this process.
    pub fn init(self) -> Result<(), Refusal> {
        // SAFETY: no pointers.
        unsafe { self.raw_init(0) }
    }

    /// The newest CUDA that the driver can do: major × 1000 + minor × 10.
    pub fn version(self) -> Result<i32, Refusal> {
        let mut version = 0;
        // SAFETY: writes one int.
        unsafe { self.raw_version(&raw mut version) }?;
        Ok(version)
    }

    /// How many devices there are.
    pub fn count(self) -> Result<i32, Refusal> {
        let mut count = 0;
        // SAFETY: writes one int.
        unsafe { self.raw_count(&raw mut count) }?;
        Ok(count)
    }

    /// A device by its place in the list.
    pub fn device(self, ordinal: i32) -> Result<Device, Refusal> {
        let mut number = 0;
        // SAFETY: writes one int.
        unsafe { self.raw_device(&raw mut number, ordinal) }?;
        Ok(Device { cuda: self, number })
    }
}

impl Device {
    /// Its name.
    pub fn name(self) -> Result<String, Refusal> {
        let mut name: [c_char; 128] = [0; 128];
        // SAFETY: 127 bytes are offered of 128, so that a zero is behind them whatever is written.
        unsafe { self.cuda.raw_name(name.as_mut_ptr(), 127, self.number) }?;
        // SAFETY: the last byte is zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(name.to_string_lossy().into_owned())
    }

    /// Its identity, as NVML writes it: `GPU-` and a UUID.
    pub fn uuid(self) -> Result<String, Refusal> {
        let mut uuid = [0; 16];
        // SAFETY: writes 16 bytes.
        unsafe { self.cuda.raw_uuid(&raw mut uuid, self.number) }?;
        let mut text = String::from("GPU");
        for (place, byte) in uuid.iter().enumerate() {
            if [0, 4, 6, 8, 10].contains(&place) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        Ok(text)
    }

    /// Its memory in bytes.
    pub fn memory(self) -> Result<u64, Refusal> {
        let mut bytes = 0;
        // SAFETY: writes one size_t.
        unsafe { self.cuda.raw_total(&raw mut bytes, self.number) }?;
        Ok(bytes as u64)
    }

    /// What the driver says about it. A hint: drivers are wrong about themselves.
    pub fn attribute(self, attribute: Attribute) -> Result<i32, Refusal> {
        let mut value = 0;
        // SAFETY: writes one int.
        unsafe {
            self.cuda
                .raw_attribute(&raw mut value, attribute as c_int, self.number)
        }?;
        Ok(value)
    }

    /// Whether the driver says that it can reach the memory of `peer`.
    pub fn can_access(self, peer: Self) -> Result<bool, Refusal> {
        let mut can = 0;
        // SAFETY: writes one int.
        unsafe {
            self.cuda
                .raw_can_access(&raw mut can, self.number, peer.number)
        }?;
        Ok(can != 0)
    }

    /// What the driver says about the way to `peer`: 1 rank, 2 access, 3 native atomics.
    pub fn way_to(self, peer: Self, attribute: i32) -> Result<i32, Refusal> {
        let mut value = 0;
        // SAFETY: writes one int.
        unsafe {
            self.cuda
                .raw_p2p(&raw mut value, attribute, self.number, peer.number)
        }?;
        Ok(value)
    }

    /// Makes its primary context the current one.
    pub fn enter(self) -> Result<Context, Refusal> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        unsafe { self.cuda.raw_retain(&raw mut handle, self.number) }?;
        let context = Context {
            cuda: self.cuda,
            device: self,
            handle,
        };
        context.make_current()?;
        Ok(context)
    }
}

impl Context {
    /// The device that it is on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Makes it the one that this thread works in.
    pub fn make_current(&self) -> Result<(), Refusal> {
        // SAFETY: a context that was retained and is never released.
        unsafe { self.cuda.raw_current(self.handle) }
    }

    /// Waits for all that was started.
    pub fn synchronize(&self) -> Result<(), Refusal> {
        // SAFETY: no pointers.
        unsafe { self.cuda.raw_synchronize() }
    }

    /// Bytes of the device that are free now, whoever has the others.
    pub fn free_memory(&self) -> Result<u64, Refusal> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two size_t.
        unsafe { self.cuda.raw_free_memory(&raw mut free, &raw mut total) }?;
        Ok(free as u64)
    }

    /// Lets this context reach the memory of `peer`.
    pub fn enable_peer(&self, peer: &Self) -> Result<(), Refusal> {
        // SAFETY: a context that is never released.
        match unsafe { self.cuda.raw_enable_peer(peer.handle, 0) } {
            Err(Refusal::Code { code, .. }) if code == Code::PEER_ACCESS_ALREADY_ENABLED => Ok(()),
            answer => answer,
        }
    }
}
