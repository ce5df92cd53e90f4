//! Bytes to meaning and back: grammar and conversations as values.
//!
//! Receives bytes and answers; hands on commands, wants and reply bytes. Never does I/O, never reads a
//! clock, never draws a random number: what it needs of the world comes in as an argument.

pub mod address;
pub mod charset;
pub mod date;
pub mod deflate;
pub mod header;
pub mod http;
pub mod imap;
pub mod mdns;
pub mod mime;
pub mod ntp;
pub mod pop3;
pub mod proxy;
pub mod sasl;
pub mod smtp;
