//! Hauspost: a mail server of one's own in one small program.
//!
//! # Rooms
//!
//! Imports go only downwards; `store` and `net` do not know each other.
//!
//! | room | receives | hands on |
//! | --- | --- | --- |
//! | [`wire`] | bytes | meaning, and bytes again: SMTP, IMAP, POP3, SASL, RFC 5322 and MIME. No I/O |
//! | [`mail`] | meaning and facts | pure decisions: views, search, verdicts, routes, retries, bounces |
//! | [`store`] | changes as Ops | snapshots, bodies, bells: what is remembered, durably |
//! | [`net`] | names and addresses | streams with deadlines, TLS, DNS, a clock; and a twin of each in memory |
//! | [`serve`] | a connection | a conversation carried out between `wire`, `mail`, `store` and `net` |
//! | [`node`] | the command line | the running program: configuration, listeners, supervision |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod limits;
pub mod mail;
pub mod net;
pub mod node;
pub mod serve;
pub mod store;
pub mod wire;
