//! What plays a conversation: its text, everybody who talks in it, and the world around them. `tests/dialogues.rs` plays the files of
//! this folder, `tests/soak.rs` what it makes itself.

pub mod around;
pub mod client;
pub mod cuts;
pub mod devices;
pub mod pattern;
pub mod pipeline;
pub mod remote;
pub mod script;
pub mod stored;
pub mod time;
pub mod web;
pub mod world;
