//! The command `gyre`.

fn main() -> std::process::ExitCode {
    gyre_cli::main()
}
