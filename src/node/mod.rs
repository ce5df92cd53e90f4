//! The program: configuration, listeners, supervision, command line.
//!
//! Receives arguments, files and signals; hands accepted connections to `serve`. Never speaks a protocol.

pub mod configuration;
pub mod failure;
pub mod log;
pub mod settings;
pub mod units;

/// Runs the command line; returns the exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
