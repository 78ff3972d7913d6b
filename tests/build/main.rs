//! Builds against the kernel: real containers and real layers, each case in
//! namespaces of its own. Needs root.
//!
//! This binary is every role: the keepers that builds start, they start from it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

#[expect(dead_code, reason = "the runtime's tests use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod bench;
mod caches;
mod copies;
mod platforms;
mod runs;
mod steps;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "keeper" => return end(rcompose::keeper::run(no_member)),
        "endless" => {
            runs::endless();
            return ExitCode::FAILURE;
        }
        _ => {}
    }
    let cases = cases![
        steps, without "": {
            stages_are_built_and_copied_from,
            a_second_build_finds_everything,
            an_equal_result_stops_the_change,
            a_failing_program_is_told_and_leaves_nothing,
            what_a_step_needs_only_to_run_is_not_in_its_layer,
            secrets_stay_outside,
            users_and_folders_are_the_images,
            steps_are_confined,
            scripts_stand_in_the_dockerfile,
        }
        runs, without "": {
            independent_stages_run_together,
            equal_steps_of_two_builds_run_once,
            builds_stand_on_builds,
            networks_are_as_asked,
            cache_mounts_outlive_builds,
            one_epoch_one_image,
            images_can_be_removed_while_a_build_runs,
            a_killed_build_leaves_nothing_running,
        }
        platforms, without "": {
            several_platforms_come_to_one_name,
            builds_of_several_platforms_stand_on_each_other,
            a_foreign_program_is_refused_before_anything_is_made,
            a_failing_platform_leaves_no_image_of_the_others,
            a_layout_is_a_base,
            an_unread_giant_costs_nothing,
        }
        caches, without "": {
            another_store_finds_every_step,
            a_layer_that_is_not_carried_is_made_when_it_is_needed,
            all_stages_travel_when_asked,
            damaged_and_missing_caches_cost_only_time,
            an_export_keeps_only_what_it_names,
        }
        copies, without "": {
            destinations_are_docker_s,
            owners_and_modes_can_be_given,
            folders_on_the_way_have_the_mode_that_is_given,
            missing_sources_are_told,
            links_lead_inside_and_are_kept,
            names_of_one_file_stay_names_of_one_file,
            a_destination_has_the_time_of_the_folder_that_it_was,
            a_linked_layer_survives_its_base,
            parents_and_excludes_hold,
            archives_are_unpacked_by_add,
            files_are_downloaded_by_add,
            named_contexts_are_trees_and_stages,
        }
    ];
    support::isolated::main(cases, &[])
}

/// A keeper that is tethered has no members.
fn no_member(_: Vec<std::ffi::OsString>) -> u8 {
    1
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
