//! The allocator of the static programs; see `Cargo.toml` for why they have one of their own.
//!
//! The only unsafe code of this project: the lock around dlmalloc. dlmalloc comes with musl's, which takes longer to be locked and
//! unlocked than a piece of memory takes to be found. Rust's allocates nothing on Linux. Whether a thread panicked while it held
//! it is not asked: none does but on a heap that is damaged already.

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Allocator(Mutex<Dlmalloc>);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(Mutex::new(Dlmalloc::new()));

impl Allocator {
    fn heap(&self) -> MutexGuard<'_, Dlmalloc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: all of it is handed to the one heap that there is, which keeps the contract of `GlobalAlloc` as long as only one thread
// is in it, and says the same of sizes and alignments.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { self.heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { self.heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { self.heap().free(memory, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        unsafe { self.heap().realloc(memory, layout.size(), layout.align(), bytes) }
    }
}
