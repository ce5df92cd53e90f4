//! See `session::imap_session`.
#![no_main]
#[path = "../../imap_session/mod.rs"]
mod imap_session;
#[path = "../session.rs"]
mod session;
libfuzzer_sys::fuzz_target!(|data: &[u8]| session::imap_session(data));
