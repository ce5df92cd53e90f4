//! SMTP (RFC 5321): both sides of a conversation as values.

pub mod client;
