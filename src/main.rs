//! The `hauspost` program: everything is in the library.

#[cfg(any(target_env = "musl", test))]
mod allocator;

fn main() -> std::process::ExitCode {
    hauspost::node::main()
}
