//! Every bound of the product, with its unit in its name and its reason beside it.
//!
//! A line, literal, count, wait, queue or buffer that the network can make grow has its bound here.

use std::time::Duration;

// ---- every service

/// Bytes one read from a socket may bring into a session.
pub const READ_BUFFER_BYTES: usize = 4096;

// ---- SMTP

// ---- IMAP

// ---- POP3

// ---- MIME

// ---- store

/// Size of the journal ring in bytes. Preallocated and overwritten in place.
pub const RING_BYTES: u64 = 16 << 20;
/// Memory redb may use for its page cache, in bytes.
pub const STORE_CACHE_BYTES: usize = 4 << 20;

/// Longest time a durable change stays in the journal alone. Each checkpoint costs about 40 KiB of writes.
pub const CHECKPOINT_AFTER: Duration = Duration::from_secs(300);

// ---- relay

// ---- node
