//! SMTP (RFC 5321) and message submission (RFC 6409): both sides of a conversation as values.
//!
//! Receives bytes of a peer; hands on wants, message bytes without dot stuffing, and the bytes to send. Never decides who
//! may send what to whom, or what is tried next: that is asked for and answered from outside.

mod chunk;
pub mod client;
mod command;
mod data;
mod dsn;
mod hold;
mod line;
mod parameters;
mod reply;
mod server;

pub use command::Body;
pub use dsn::UTF8_ADDRESS_TYPE;
pub use hold::{Hold, HoldBounds, encode_utc};
pub use parameters::{MailParameters, Notify, RcptParameters};
pub use reply::{Reply, replies};
pub use server::{Envelope, Hello, LoginAnswer, Recipient, Role, Server, Settings, Want};
