//! The keeper, its log writer and a supervisor against the kernel, with real
//! containers; each case in namespaces of its own. Needs root.
//!
//! This binary is every role: what it starts, it starts from itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

#[expect(dead_code, reason = "the runtime's tests use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod birth;
mod deaths;
mod logs;
mod memory;
mod pair;
mod spawns;
mod supervisor;

use std::ffi::OsString;
use std::process::ExitCode;

use support::isolated::Probe;

const PROBES: &[Probe] = &[
    Probe {
        name: "spy",
        body: memory::spy,
    },
    Probe {
        name: "terminal",
        body: deaths::sit_on_a_terminal,
    },
];

fn main() -> ExitCode {
    let word = std::env::args().nth(1).unwrap_or_default();
    match word.as_str() {
        "keeper" => return end(rcompose::keeper::run(member)),
        "log-writer" | "supervisor" => return member(std::env::args_os().collect()).into(),
        "launch" => {
            let groups = std::env::args().nth(2).unwrap();
            return end(rcompose::keeper::launch(&pair::spec(&groups)));
        }
        _ => {}
    }
    let cases = cases![
        birth, without "": {
            a_launched_pair_is_nobodys,
            a_taken_project_is_busy,
            orders_may_be_more_than_a_socket_holds,
            a_command_substitution_returns,
            a_pair_leaves_nothing,
            a_tethered_keeper_ends_with_its_owner,
        }
        spawns, without "": {
            a_container_runs_and_its_exit_is_recorded,
            a_spawn_asked_for_twice_runs_once,
            what_cannot_start_says_why,
            processes_run_in_a_container,
            many_processes_at_once,
            only_pipes_enter,
            a_terminal_is_logged,
            signals_reach_the_process,
        }
        deaths, without "": {
            the_shelf_survives_a_supervisor,
            a_keeper_may_die_right_after_a_clone,
            a_keeper_may_die_before_it_answers,
            a_supervisor_is_replaced_while_all_goes_on,
            a_stopped_supervisor_blocks_nobody,
            a_stopped_log_writer_hides_no_exit,
            any_of_the_three_may_die,
            a_supervisor_that_keeps_failing_is_explained,
            all_three_may_die,
            a_containers_own_terminal_is_not_taken,
        }
        memory, without "": {
            a_spy_learns_nothing,
            a_spy_below_an_init_learns_nothing,
        }
        logs, without "": {
            a_full_disk_blocks_nobody_else,
            a_flood_is_written_whole,
        }
    ];
    support::isolated::main(cases, PROBES)
}

/// The life of a keeper's member, forked or executed.
fn member(args: Vec<OsString>) -> u8 {
    if args[1] == "log-writer" {
        return u8::from(rcompose::logs::writer::run().is_err());
    }
    supervisor::run(args);
    0
}

fn end<T, E: std::fmt::Debug>(result: Result<T, E>) -> ExitCode {
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{error:?}");
            ExitCode::FAILURE
        }
    }
}
