//! What mail means: pure decisions.
//!
//! Receives parsed commands, message facts and `now`; hands on verdicts, views, texts of bounces. Never does
//! I/O, never reads a clock, never draws a random number.

pub mod access;
pub mod addressbook;
pub mod bounce;
pub mod casemap;
pub mod collecting;
pub mod credential;
pub mod dkim;
pub mod downgrade;
pub mod index;
pub mod learned;
pub mod meaning;
pub mod message;
pub mod outbox;
pub mod received;
pub mod retry;
pub mod route;
pub mod scope;
pub mod search;
pub mod section;
pub mod setup;
pub mod sort;
pub mod special_use;
pub mod srs;
pub mod sts;
pub mod subject;
pub mod submitted;
pub mod surrogate;
pub mod text;
pub mod thread;
pub mod tls_policy;
pub mod tlsrpt;
pub mod unwelcome;
pub mod view;
