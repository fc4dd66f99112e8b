//! Work on the device: the one kernel that we launch, and copies that are timed by the device's own clock.
//!
//! In: memory. Out: the time it took. Every call waits for what it has started, so that nothing
//! runs on memory that has been given back.

use std::ffi::{CString, c_void};
use std::time::Duration;

use super::abi::{Code, MIX_PTX};
use super::memory::address;
use super::{Context, DeviceBlock, Handle, OnDevice, Refusal};

/// Threads of a block.
const THREADS: u32 = 256;
/// The default stream.
const STREAM: Handle = std::ptr::null_mut();

/// The kernel of [`MIX_PTX`], compiled by the driver.
#[derive(Debug)]
pub struct Kernel {
    context: Context,
    function: Handle,
}

impl Context {
    /// Has the driver compile our kernel.
    pub fn kernel(&self) -> Result<Kernel, Refusal> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| Refusal::Code {
                call: "cuModuleLoadData",
                code: Code(200),
            })
        };
        let (image, name) = (text(MIX_PTX)?, text("mix")?);
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: reads a text that ends in zero and writes one handle.
        unsafe { self.cuda.raw_module(&raw mut module, image.as_ptr()) }?;
        // SAFETY: the module was loaded just now; it is never unloaded.
        unsafe {
            self.cuda
                .raw_function(&raw mut function, module, name.as_ptr())
        }?;
        Ok(Kernel {
            context: *self,
            function,
        })
    }

    /// Two marks in the device's work.
    pub fn stopwatch(&self) -> Result<Stopwatch, Refusal> {
        let event = || {
            let mut event = std::ptr::null_mut();
            // SAFETY: writes one handle.
            unsafe { self.cuda.raw_event(&raw mut event, 0) }.map(|()| event)
        };
        Ok(Stopwatch {
            context: *self,
            start: event()?,
            end: event()?,
        })
    }
}

impl Kernel {
    /// Mixes the first `words` words of `memory`, and waits.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn mix(&self, memory: &impl OnDevice, words: u32, key: u32) -> Result<(), Refusal> {
        assert!(
            words as usize * 4 <= memory.bytes(),
            "a kernel beyond its memory"
        );
        let (mut target, mut count, mut key) = (memory.address(), words, key);
        let mut arguments: [*mut c_void; 3] = [
            (&raw mut target).cast(),
            (&raw mut count).cast(),
            (&raw mut key).cast(),
        ];
        let none = std::ptr::null_mut();
        let (grid, cuda) = (words.div_ceil(THREADS).max(1), self.context.cuda);
        // SAFETY: three arguments of the kernel's own types, read before the call returns; the kernel stays
        // within `words`, which was compared with the memory.
        unsafe {
            cuda.raw_launch(
                self.function,
                grid,
                1,
                1,
                THREADS,
                1,
                1,
                0,
                STREAM,
                arguments.as_mut_ptr(),
                none,
            )
        }?;
        self.context.synchronize()
    }
}

/// Times copies by events of the device.
#[derive(Debug)]
pub struct Stopwatch {
    context: Context,
    start: Handle,
    end: Handle,
}

impl Stopwatch {
    /// The time of a copy to the device.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn upload(&self, target: &DeviceBlock, source: &[u8]) -> Result<Duration, Refusal> {
        assert!(source.len() <= target.bytes(), "a copy beyond the block");
        self.time(|| {
            // SAFETY: lengths compared; the slice is borrowed until the copy has been waited for.
            unsafe {
                self.context.cuda.raw_upload_async(
                    target.address(),
                    address(source),
                    source.len(),
                    STREAM,
                )
            }
        })
    }

    /// The time of a copy from the device.
    ///
    /// # Panics
    /// If there is not so much.
    pub fn download(&self, target: &mut [u8], source: &DeviceBlock) -> Result<Duration, Refusal> {
        assert!(target.len() <= source.bytes(), "a copy beyond the block");
        let pointer = target.as_mut_ptr().cast();
        self.time(|| {
            // SAFETY: lengths compared; the slice is borrowed until the copy has been waited for.
            unsafe {
                self.context.cuda.raw_download_async(
                    pointer,
                    source.address(),
                    target.len(),
                    STREAM,
                )
            }
        })
    }

    /// The time of a copy from this context's device to another's.
    ///
    /// # Panics
    /// If the blocks differ in length.
    pub fn to_peer(
        &self,
        (target, there): (&DeviceBlock, &Context),
        source: &DeviceBlock,
    ) -> Result<Duration, Refusal> {
        assert_eq!(target.bytes(), source.bytes(), "blocks of one length");
        self.time(|| {
            // SAFETY: lengths compared; both blocks are borrowed until the copy has been waited for.
            unsafe {
                self.context.cuda.raw_copy_peer(
                    target.address(),
                    there.handle,
                    source.address(),
                    self.context.handle,
                    source.bytes(),
                    STREAM,
                )
            }
        })
    }

    fn time(&self, copy: impl FnOnce() -> Result<(), Refusal>) -> Result<Duration, Refusal> {
        let cuda = self.context.cuda;
        // SAFETY: events of ours, which are never destroyed.
        unsafe { cuda.raw_record(self.start, STREAM) }?;
        let copied = copy();
        // SAFETY: as above. Recorded and waited for also after a refusal: nothing may be under way on return.
        unsafe { cuda.raw_record(self.end, STREAM) }?;
        // SAFETY: as above.
        unsafe { cuda.raw_await(self.end) }?;
        copied?;
        let mut milliseconds = 0.0;
        // SAFETY: writes one float.
        unsafe { cuda.raw_elapsed(&raw mut milliseconds, self.start, self.end) }?;
        Ok(Duration::from_secs_f64(
            f64::from(milliseconds.max(0.0)) / 1e3,
        ))
    }
}
