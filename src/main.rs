//! The `hauspost` program: everything is in the library.

#[cfg(target_env = "musl")]
mod allocator;

fn main() -> std::process::ExitCode {
    hauspost::node::main()
}
