//! The least that a component needs when it leaves the standard library out: an allocator, an end for panics and
//! the function through which a caller's values get their memory.
//!
//! A guest that is measured does without the standard library because that imports the clocks, files and streams
//! of `wasi:cli` whether or not anybody uses them.
#![no_std]

extern crate alloc;

use alloc::alloc::{alloc, realloc};
use core::alloc::Layout;

/// Says that the guest stands on this crate, which the linker would drop if nobody named it.
#[macro_export]
macro_rules! stand {
    () => {
        use $crate as _;
    };
}

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn trap(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Memory for a value that comes in from outside. The standard library of this target exports this name; without
/// it the guest must.
///
/// # Safety
/// As the component model says: `old` is null, or came from here with that size and alignment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    size: usize,
) -> *mut u8 {
    if size == 0 {
        // Nothing will be read from there, but it must be aligned.
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: the host names a power of two as alignment, a size that is not zero, and, by this function's own
    // promise, only memory that it got here.
    let new = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(size, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_size, align), size)
        }
    };
    if new.is_null() {
        core::arch::wasm32::unreachable();
    }
    new
}
