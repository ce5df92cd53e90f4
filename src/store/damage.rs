//! Damage that was found while reading: said once in the log, answered as *ours*.
//!
//! Receives what was found and where; hands on the [`Trouble`] for whoever asked. It repairs nothing. A damaged row is
//! read again and again by devices that try again and again: each finding is logged once, until the process ends.

use super::Trouble;
use crate::limits::DAMAGE_REMEMBERED_MAX;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Findings logged so far.
static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Something is not what was written: `what` it is and where.
pub fn damaged(what: impl Display) -> Trouble {
    let sentence = format!("the store is damaged: {what}");
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    if logged.len() < DAMAGE_REMEMBERED_MAX && logged.insert(sentence.clone()) {
        log::error!("event=store-damaged what={:?}", what.to_string());
    }
    Trouble::Failed(sentence)
}

/// A row cannot be read.
pub fn damaged_row(table: &str, key: impl Debug) -> Trouble {
    damaged(format_args!("row {key:?} of table `{table}` cannot be read"))
}

/// What a row refers to is not there.
pub fn lost(what: impl Display) -> Trouble {
    damaged(format_args!("{what} is missing"))
}

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would be caught by the store. Any other panic is a bug, and the process ends with it.
pub fn is_guarded() -> bool {
    IS_GUARDED.get()
}

/// Does work and catches its panic: `None`. What the work was doing must be given up.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let was_guarded = IS_GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(was_guarded);
    done.ok()
}

/// Does work with the database that panics where redb believes a damaged page: then the work has failed, and the thread
/// that others wait for lives on. What the work was doing must be given up.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    caught(work).unwrap_or_else(|| Err(damaged("redb broke off at a page of the file")))
}

#[cfg(not(panic = "unwind"))]
compile_error!("redb panics on damaged pages: where that cannot be caught, one of them ends the whole server");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage() {
        assert_eq!(guarded(|| Ok(is_guarded())), Ok(true));
        let broken: Result<(), Trouble> = guarded(|| panic!("a page"));
        assert!(matches!(broken, Err(Trouble::Failed(sentence)) if sentence.contains("damaged")));
        assert!(!is_guarded());
        assert_eq!(caught(|| (caught(is_guarded), is_guarded())), Some((Some(true), true)));
    }
}
