//! Damage that was found while reading: said once in the log, answered as *ours*.
//!
//! Receives what was found and where; hands on the [`Trouble`] for whoever asked. It repairs nothing. A damaged row is
//! read again and again by devices that try again and again: each finding is logged once, until the process ends.

use super::Trouble;
use crate::limits::DAMAGE_REMEMBERED_MAX;
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
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
