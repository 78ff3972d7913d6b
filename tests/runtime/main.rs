//! The runtime against the kernel: real containers of busybox, each case in
//! namespaces of its own. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod start;

fn main() -> std::process::ExitCode {
    support::isolated::main(cases![
        start::{
            runs_as_pid_one,
            reports_exit_codes,
            has_a_tree_of_its_own,
            refuses_what_cannot_run,
            runs_another_process,
        },
    ])
}
