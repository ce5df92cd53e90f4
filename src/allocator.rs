//! The allocator of the static programs; see `Cargo.toml` for why they have one of their own.
//!
//! The only unsafe code of this project: dlmalloc, the lock around it, and what each thread keeps for itself. dlmalloc comes with musl's
//! lock, which takes longer to be locked and unlocked than a piece of memory takes to be found. Rust's allocates nothing on Linux.
//! Whether a thread panicked while it held it is not asked: none does but on a heap that is damaged already.
//!
//! Most of what is allocated is small and freed by the same thread a moment later, and what the store's readers take from the file
//! are pages, one for another: a third of the time of listing a mailbox went into two of them waiting for each other here. So
//! each thread piles up some of what it frees, and fetches several pieces when it has none. What lies on the piles of a
//! thread that ends is lost, at most [`PILED_BYTES_MAX`]: the threads of a node live as long as it does.

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What dlmalloc aligns everything to.
const ALIGN: usize = 2 * size_of::<usize>();
/// What its smallest piece has room for; each larger one has [`ALIGN`] more.
const ROOM_MIN: usize = 3 * size_of::<usize>();
const SMALL_SIZES: usize = 32;
const SMALL_BYTES_MAX: usize = ROOM_MIN + ALIGN * (SMALL_SIZES - 1);
/// A page of redb's, counted references before it.
const PAGE_BYTES: usize = 4096;
const PAGE_BYTES_MAX: usize = PAGE_BYTES + ALIGN;
/// So many bytes, or one piece, are fetched and given back at once; twice as many a pile holds.
const FETCHED_BYTES: usize = 512;
/// Of a thread.
const PILED_BYTES_MAX: usize = SMALL_SIZES * 2 * FETCHED_BYTES + 2 * PAGE_BYTES_MAX;
const _: () = assert!(PILED_BYTES_MAX <= 48 << 10);

/// Free pieces of one size, each with the address of the next in it.
struct Pile {
    top: Cell<*mut Piece>,
    pieces: Cell<usize>,
}

struct Piece {
    next: *mut Piece,
}

thread_local! {
    // Without a destructor and made when the program is compiled: to look at it allocates nothing.
    static PILES: [Pile; SMALL_SIZES + 1] =
        const { [const { Pile { top: Cell::new(null_mut()), pieces: Cell::new(0) } }; SMALL_SIZES + 1] };
}

/// Which pile pieces lie on, and their size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Class {
    pile: usize,
    bytes: usize,
}

impl Class {
    /// `None`: the heap is asked for each of them.
    fn of(bytes: usize, align: usize) -> Option<Class> {
        if align > ALIGN {
            return None;
        }
        if bytes <= SMALL_BYTES_MAX {
            let pile = bytes.saturating_sub(ROOM_MIN).div_ceil(ALIGN);
            return Some(Class { pile, bytes: ROOM_MIN + ALIGN * pile });
        }
        let is_page = bytes > PAGE_BYTES && bytes <= PAGE_BYTES_MAX;
        is_page.then_some(Class { pile: SMALL_SIZES, bytes: PAGE_BYTES_MAX })
    }

    /// How many are fetched and given back at once.
    fn at_once(self) -> usize {
        (FETCHED_BYTES / self.bytes).max(1)
    }
}

impl Pile {
    /// Null when there is none.
    fn take(&self) -> *mut u8 {
        let piece = self.top.get();
        if !piece.is_null() {
            // SAFETY: only free pieces lie here, and `put` wrote this into each.
            self.top.set(unsafe { (*piece).next });
            self.pieces.set(self.pieces.get() - 1);
        }
        piece.cast()
    }

    /// # Safety
    /// It is aligned to [`ALIGN`], has room for [`ROOM_MIN`] bytes, and nobody else uses it.
    unsafe fn put(&self, memory: *mut u8) {
        let piece: *mut Piece = memory.cast();
        unsafe { piece.write(Piece { next: self.top.get() }) };
        self.top.set(piece);
        self.pieces.set(self.pieces.get() + 1);
    }
}

struct Allocator(Mutex<Dlmalloc>);

#[cfg_attr(target_env = "musl", global_allocator)]
static ALLOCATOR: Allocator = Allocator(Mutex::new(Dlmalloc::new()));

impl Allocator {
    fn heap(&self) -> MutexGuard<'_, Dlmalloc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches pieces onto a pile and takes one of them. Null when there is no memory for any.
    #[cold]
    #[inline(never)]
    fn fetch(&self, pile: &Pile, class: Class) -> *mut u8 {
        let mut heap = self.heap();
        for _ in 0..class.at_once() {
            // SAFETY: pieces of the heap are aligned so, and as large as asked for, which is `ROOM_MIN` at least.
            unsafe {
                match heap.malloc(class.bytes, ALIGN) {
                    piece if piece.is_null() => break,
                    piece => pile.put(piece),
                }
            }
        }
        pile.take()
    }

    #[cold]
    #[inline(never)]
    fn give_back(&self, pile: &Pile, class: Class) {
        let mut heap = self.heap();
        for _ in 0..class.at_once() {
            // SAFETY: what lies on a pile came from the heap, for the bytes of its class.
            unsafe { heap.free(pile.take(), class.bytes, ALIGN) };
        }
    }
}

// SAFETY: memory of a class is a piece of the heap that has room for all sizes of the class; from when it is handed out until it is
// freed it lies on no pile. Whether memory is of a class is decided by its layout alone, so that it goes back where it came from.
// All other memory is handed to the one heap that there is, which keeps the contract of `GlobalAlloc` as long as only one
// thread is in it, and says the same of sizes and alignments.
unsafe impl GlobalAlloc for Allocator {
    // Not again at each place that allocates: that would be 170 KB of program.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout.size(), layout.align()) else {
            return unsafe { self.heap().malloc(layout.size(), layout.align()) };
        };
        PILES.with(|piles| {
            let pile = &piles[class.pile];
            match pile.take() {
                none if none.is_null() => self.fetch(pile, class),
                piece => piece,
            }
        })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Class::of(layout.size(), layout.align()).is_none() {
            return unsafe { self.heap().calloc(layout.size(), layout.align()) };
        }
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(class) = Class::of(layout.size(), layout.align()) else {
            return unsafe { self.heap().free(memory, layout.size(), layout.align()) };
        };
        PILES.with(|piles| {
            let pile = &piles[class.pile];
            unsafe { pile.put(memory) };
            if pile.pieces.get() > 2 * class.at_once() {
                self.give_back(pile, class);
            }
        })
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let classes = (Class::of(layout.size(), layout.align()), Class::of(bytes, layout.align()));
        match classes {
            (None, None) => return unsafe { self.heap().realloc(memory, layout.size(), layout.align(), bytes) },
            (Some(old), Some(new)) if old == new => return memory,
            _ => {}
        }
        unsafe {
            // As the contract of `realloc` has it, the new size makes a layout with this alignment.
            let moved = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(memory, layout.size().min(bytes));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::mpsc;

    #[test]
    fn every_size_has_room_in_its_class_and_wastes_none_of_the_heap() {
        for bytes in 1..=SMALL_BYTES_MAX {
            let class = Class::of(bytes, ALIGN).expect("a class");
            assert!(class.bytes >= bytes && (class.pile == 0 || class.bytes < bytes + ALIGN), "{bytes}: {class:?}");
        }
        let page = Class { pile: SMALL_SIZES, bytes: PAGE_BYTES_MAX };
        assert_eq!((Class::of(PAGE_BYTES + ALIGN, 8), Class::of(PAGE_BYTES + 1, 8)), (Some(page), Some(page)));
        for none in [SMALL_BYTES_MAX + 1, PAGE_BYTES, PAGE_BYTES_MAX + 1] {
            assert_eq!(Class::of(none, 1), None);
        }
        assert_eq!(Class::of(64, 2 * ALIGN), None);
    }

    /// Memory with a byte of its own all over it, whose loss or sharing would show.
    struct Held {
        memory: *mut u8,
        layout: Layout,
        mark: u8,
    }

    // SAFETY: whoever has it has it alone.
    unsafe impl Send for Held {}

    impl Held {
        fn new((bytes, align, zeroed): (usize, usize, bool), mark: u8) -> Held {
            let layout = Layout::from_size_align(bytes, align).expect("a layout");
            let memory = unsafe { if zeroed { ALLOCATOR.alloc_zeroed(layout) } else { ALLOCATOR.alloc(layout) } };
            assert!(!memory.is_null() && memory.addr().is_multiple_of(align));
            let held = Held { memory, layout, mark };
            assert!(!zeroed || held.bytes().iter().all(|byte| *byte == 0));
            held.fill();
            held
        }

        fn bytes(&self) -> &[u8] {
            unsafe { std::slice::from_raw_parts(self.memory, self.layout.size()) }
        }

        fn fill(&self) {
            unsafe { self.memory.write_bytes(self.mark, self.layout.size()) };
        }

        fn resize(&mut self, bytes: usize) {
            let kept = bytes.min(self.layout.size());
            self.memory = unsafe { ALLOCATOR.realloc(self.memory, self.layout, bytes) };
            self.layout = Layout::from_size_align(bytes, self.layout.align()).expect("a layout");
            assert!(self.memory.addr().is_multiple_of(self.layout.align()));
            assert!(self.bytes()[..kept].iter().all(|byte| *byte == self.mark), "{kept} bytes are not what they were");
            self.fill();
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            assert!(self.bytes().iter().all(|byte| *byte == self.mark), "somebody else wrote here");
            unsafe { ALLOCATOR.dealloc(self.memory, self.layout) };
        }
    }

    fn size() -> impl Strategy<Value = usize> {
        prop_oneof![4 => 1..600usize, 2 => 4080..4130usize, 1 => 1..20_000usize]
    }

    proptest! {
        /// What is taken by one thread and freed by another, grown and shrunk, is never two's.
        #[test]
        fn memory_is_handed_out_once(
            steps in prop::collection::vec((size(), 0u32..7, any::<bool>(), 0usize..16, size(), 0u8..4), 1..300)
        ) {
            let (give, given) = mpsc::channel::<Held>();
            let other = std::thread::spawn(move || {
                // Lets go of some at once, of others at the end, and takes some of its own.
                let mut kept = Vec::new();
                for (number, held) in given.into_iter().enumerate() {
                    kept.push(Held::new((held.layout.size(), 1, number % 3 == 0), !held.mark));
                    if number % 2 == 0 {
                        kept.push(held);
                    }
                }
            });
            let mut held: Vec<Held> = Vec::new();
            for (number, (bytes, align, zeroed, which, resized, what)) in steps.into_iter().enumerate() {
                let at = which % held.len().max(1);
                match what {
                    0 if at < held.len() => held[at].resize(resized),
                    1 if at < held.len() => drop(held.swap_remove(at)),
                    2 if at < held.len() => give.send(held.swap_remove(at)).expect("it listens"),
                    _ => held.push(Held::new((bytes, 1 << align, zeroed), number as u8)),
                }
            }
            drop(give);
            other.join().expect("it ends well");
        }
    }

    #[test]
    fn a_thread_keeps_no_more_than_its_bound() {
        std::thread::spawn(|| {
            let many = || (1..PAGE_BYTES_MAX + 1).map(|bytes| Held::new((bytes, 1, false), 1)).collect::<Vec<_>>();
            drop((many(), many()));
            let piled: usize = PILES.with(|piles| {
                let class = |pile| if pile == SMALL_SIZES { PAGE_BYTES_MAX } else { ROOM_MIN + ALIGN * pile };
                piles.iter().enumerate().map(|(pile, kept)| kept.pieces.get() * class(pile)).sum()
            });
            assert!((8 << 10..=PILED_BYTES_MAX).contains(&piled), "{piled} bytes");
        })
        .join()
        .expect("it ends well");
    }
}
