//! The `hauspost` program: everything is in the library.

fn main() -> std::process::ExitCode {
    hauspost::node::main()
}
