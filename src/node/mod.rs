//! The program: configuration, listeners, supervision, command line.
//!
//! Receives arguments, files and signals; hands accepted connections to `serve`. Never speaks a protocol.

/// Runs the command line; returns the exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
