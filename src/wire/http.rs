//! HTTP/1.1 (RFC 9110, RFC 9112): what a client asks and is answered.
//!
//! Receives bytes however they are cut; hands on what they mean, and bytes again. Heads are read by the `httparse` crate.

pub mod client;
