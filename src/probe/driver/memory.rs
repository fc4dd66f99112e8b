//! Memory of the driver as owned values: on the device, pinned on the host, managed, shared, mapped.
//!
//! In: a context and a size. Out: blocks that give themselves back when they are dropped. Lengths are
//! compared before every copy.

use std::ffi::{c_int, c_void};
use std::os::fd::{FromRawFd as _, OwnedFd};

use super::abi::{AccessDesc, AllocationProp, IpcHandle, Location};
use super::{Context, Cuda, Handle, Refusal};

/// Pinned for all contexts.
const PORTABLE: u32 = 1;
/// Managed memory that every stream may touch.
const GLOBAL: u32 = 1;
/// A device, as the place of memory.
const ON_DEVICE: c_int = 1;
/// Reads and writes.
const READ_WRITE: c_int = 3;
/// A file descriptor, as the kind of a shareable handle.
const FILE: c_int = 1;
/// Opened memory reaches its device whatever peer access it takes.
const LAZY_PEER: u32 = 1;

/// Memory that the device can work on.
pub trait OnDevice {
    /// Its address there.
    fn address(&self) -> u64;
    /// Its length in bytes.
    fn bytes(&self) -> usize;
}

/// Whose memory a block is, which says how it is given back.
#[derive(Debug)]
enum Origin {
    Allocated,
    Opened,
    Mapped(u64),
}

/// Memory of a device.
#[derive(Debug)]
pub struct DeviceBlock {
    cuda: Cuda,
    address: u64,
    bytes: usize,
    origin: Origin,
}

/// Memory of the host that is locked in place, so that the device copies it by itself.
#[derive(Debug)]
pub struct Pinned {
    cuda: Cuda,
    pointer: Handle,
    bytes: usize,
    clean: bool,
}

/// Memory that moves between host and device by itself.
#[derive(Debug)]
pub struct Managed {
    cuda: Cuda,
    address: u64,
    bytes: usize,
}

impl Context {
    /// Memory of this context's device.
    pub fn allocate(&self, bytes: usize) -> Result<DeviceBlock, Refusal> {
        let mut address = 0;
        // SAFETY: writes one device pointer.
        unsafe { self.cuda.raw_allocate(&raw mut address, bytes) }?;
        Ok(self.block(address, bytes, Origin::Allocated))
    }

    /// Pinned memory of the host.
    pub fn pin(&self, bytes: usize) -> Result<Pinned, Refusal> {
        let mut pointer = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        unsafe { self.cuda.raw_pin(&raw mut pointer, bytes, PORTABLE) }?;
        Ok(Pinned {
            cuda: self.cuda,
            pointer,
            bytes,
            clean: false,
        })
    }

    /// Pins memory that is there already, and lets it go again.
    pub fn pin_and_unpin(&self, memory: &mut [u8]) -> Result<(), Refusal> {
        let pointer = memory.as_mut_ptr().cast();
        // SAFETY: memory of ours, borrowed until it is let go in the next line.
        unsafe { self.cuda.raw_register(pointer, memory.len(), PORTABLE) }?;
        // SAFETY: registered just now.
        unsafe { self.cuda.raw_unregister(pointer) }
    }

    /// Managed memory.
    pub fn manage(&self, bytes: usize) -> Result<Managed, Refusal> {
        let mut address = 0;
        // SAFETY: writes one device pointer.
        unsafe { self.cuda.raw_managed(&raw mut address, bytes, GLOBAL) }?;
        Ok(Managed {
            cuda: self.cuda,
            address,
            bytes,
        })
    }

    /// Memory that another process has shared.
    pub fn open(&self, handle: IpcHandle, bytes: usize) -> Result<DeviceBlock, Refusal> {
        let mut address = 0;
        // SAFETY: writes one device pointer; the driver checks the handle.
        unsafe { self.cuda.raw_open(&raw mut address, handle, LAZY_PEER) }?;
        Ok(self.block(address, bytes, Origin::Opened))
    }

    /// Reserves addresses and gives them back.
    pub fn reserve_and_free(&self, bytes: usize) -> Result<(), Refusal> {
        let mut address = 0;
        // SAFETY: writes one device pointer.
        unsafe { self.cuda.raw_reserve(&raw mut address, bytes, 0, 0, 0) }?;
        // SAFETY: reserved just now.
        unsafe { self.cuda.raw_unreserve(address, bytes) }
    }

    /// Addresses reserved, memory made, mapped there and opened: at least `bytes`, by the driver's measure.
    pub fn map(&self, bytes: usize, exportable: bool) -> Result<DeviceBlock, Refusal> {
        let location = Location {
            kind: ON_DEVICE,
            id: self.device.number,
        };
        let prop = AllocationProp {
            kind: 1,
            handle_types: if exportable { FILE } else { 0 },
            location,
            win32: std::ptr::null_mut(),
            flags: [0; 8],
        };
        let (mut granule, mut address, mut handle) = (0, 0, 0);
        // SAFETY: reads the properties and writes one size_t.
        unsafe {
            self.cuda
                .raw_granularity(&raw mut granule, &raw const prop, 0)
        }?;
        let bytes = bytes.next_multiple_of(granule.max(1));
        // SAFETY: reads the properties and writes one handle.
        unsafe {
            self.cuda
                .raw_create(&raw mut handle, bytes, &raw const prop, 0)
        }?;
        // SAFETY: writes one device pointer.
        unsafe { self.cuda.raw_reserve(&raw mut address, bytes, 0, 0, 0) }?;
        // SAFETY: addresses and memory of this size, made just now.
        unsafe { self.cuda.raw_map(address, bytes, 0, handle, 0) }?;
        let block = self.block(address, bytes, Origin::Mapped(handle));
        let access = AccessDesc {
            location,
            flags: READ_WRITE,
        };
        // SAFETY: reads one description.
        unsafe { self.cuda.raw_access(address, bytes, &raw const access, 1) }?;
        Ok(block)
    }

    fn block(&self, address: u64, bytes: usize, origin: Origin) -> DeviceBlock {
        DeviceBlock {
            cuda: self.cuda,
            address,
            bytes,
            origin,
        }
    }
}

impl DeviceBlock {
    /// Copies `source` to `offset`.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn upload(&self, offset: usize, source: &[u8]) -> Result<(), Refusal> {
        assert!(
            offset + source.len() <= self.bytes,
            "a copy beyond the block"
        );
        let target = self.address + offset as u64;
        // SAFETY: reads the slice; the target's length was compared.
        unsafe {
            self.cuda
                .raw_upload(target, source.as_ptr().cast(), source.len())
        }
    }

    /// Copies from `offset` into `target`.
    ///
    /// # Panics
    /// If there is not so much.
    pub fn download(&self, offset: usize, target: &mut [u8]) -> Result<(), Refusal> {
        assert!(
            offset + target.len() <= self.bytes,
            "a copy beyond the block"
        );
        let source = self.address + offset as u64;
        // SAFETY: writes the slice; the source's length was compared.
        unsafe {
            self.cuda
                .raw_download(target.as_mut_ptr().cast(), source, target.len())
        }
    }

    /// Something that lets another process open the block.
    pub fn share(&self) -> Result<IpcHandle, Refusal> {
        let mut handle = IpcHandle([0; 64]);
        // SAFETY: writes 64 bytes.
        unsafe { self.cuda.raw_share(&raw mut handle, self.address) }?;
        Ok(handle)
    }

    /// A file that stands for a mapped, exportable block; `None` for a block of another kind.
    pub fn export(&self) -> Result<Option<OwnedFd>, Refusal> {
        let Origin::Mapped(handle) = self.origin else {
            return Ok(None);
        };
        let mut file = -1;
        // SAFETY: for handles of this kind the driver writes one int.
        unsafe { self.cuda.raw_export(&raw mut file, handle, FILE, 0) }?;
        // SAFETY: a descriptor that the driver has opened for us; -1 would be its fault and is not taken.
        Ok((file >= 0).then(|| unsafe { OwnedFd::from_raw_fd(file) }))
    }
}

impl OnDevice for DeviceBlock {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceBlock {
    fn drop(&mut self) {
        // A driver that does not take its memory back gets it when the process ends.
        let _kept = match self.origin {
            // SAFETY: allocated by us and used by nobody from now on.
            Origin::Allocated => unsafe { self.cuda.raw_free(self.address) },
            // SAFETY: opened by us and used by nobody from now on.
            Origin::Opened => unsafe { self.cuda.raw_close(self.address) },
            // SAFETY: mapped by us and used by nobody from now on.
            Origin::Mapped(handle) => unsafe {
                self.cuda
                    .raw_unmap(self.address, self.bytes)
                    .and(self.cuda.raw_unreserve(self.address, self.bytes))
                    .and(self.cuda.raw_release(handle))
            },
        };
    }
}

impl Pinned {
    /// The memory, zeroed when it is first asked for.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if !self.clean {
            // SAFETY: the driver gave this many bytes, for us alone.
            unsafe { std::ptr::write_bytes(self.pointer.cast::<u8>(), 0, self.bytes) };
            self.clean = true;
        }
        // SAFETY: as above, and initialised by now; borrowed no longer than `self`.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.cast(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: pinned by us and used by nobody from now on.
        let _kept = unsafe { self.cuda.raw_unpin(self.pointer) };
    }
}

impl Managed {
    /// The memory as the host sees it, filled word by word: `value` gets the word's place.
    pub fn fill(&mut self, value: impl Fn(u32) -> u32) {
        for (place, word) in (0..).zip(0..self.bytes / 4) {
            // SAFETY: within the block, aligned, and nothing runs on the device: launches are waited for.
            unsafe { self.words().add(word).write(value(place)) };
        }
    }

    /// The places of words that are not what `value` says, seen from the host.
    #[must_use]
    pub fn count_wrong(&self, value: impl Fn(u32) -> u32) -> usize {
        // SAFETY: within the block, aligned, written by `fill`, and nothing runs on the device.
        let read = |word: usize| unsafe { self.words().add(word).read() };
        (0..)
            .zip(0..self.bytes / 4)
            .filter(|(place, word)| read(*word) != value(*place))
            .count()
    }

    fn words(&self) -> *mut u32 {
        // Managed memory has one address for both sides.
        self.address as usize as *mut u32
    }
}

impl OnDevice for Managed {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // SAFETY: allocated by us and used by nobody from now on.
        let _kept = unsafe { self.cuda.raw_free(self.address) };
    }
}

/// A slice's address as C takes it.
pub(super) fn address(slice: &[u8]) -> *const c_void {
    slice.as_ptr().cast()
}
