//! The runtime against the kernel: real containers of busybox, each case in
//! namespaces of its own. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod binds;
mod chroot;
mod groups;
mod privileges;
mod start;
mod terminal;
mod tree;

use support::isolated::Probe;

const PROBES: &[Probe] = &[
    Probe {
        name: "clone3",
        body: privileges::probe_clone3,
    },
    Probe {
        name: "descriptors",
        body: tree::probe_descriptors,
    },
];

fn main() -> std::process::ExitCode {
    let cases = cases![
        start, without "": {
            runs_as_pid_one,
            reports_exit_codes,
            refuses_what_cannot_run,
            runs_another_process,
            an_ended_container_takes_no_process,
            many_processes_at_once_while_it_is_killed,
            an_aborted_start_leaves_nothing,
            an_orphaned_start_goes_no_further,
            init_takes_statuses_and_forwards_signals,
        }
        tree, without "": {
            has_a_tree_of_its_own,
            has_dockers_devices,
            hides_and_protects,
            a_read_only_root_keeps_its_mounts_writable,
            tmpfs_options_are_kept,
            settings_are_written,
            devices_are_passed,
            privileged_sees_the_hosts_devices,
            many_layers_mount,
            names_with_colons_and_commas_mount,
            other_images_are_mounted_read_only,
            images_with_links_for_folders_are_refused_or_safe,
            the_host_is_out_of_reach,
        }
        tree, without "lowerdir_plus": {
            many_layers_mount,
            names_with_colons_and_commas_mount,
            other_images_are_mounted_read_only,
        }
        binds, without "": {
            folders_and_files_are_bound,
            read_only_reaches_submounts,
            propagation_is_as_asked,
            hostile_targets_stay_inside,
            subpaths_stay_inside,
            mistakes_are_named,
            default_mounts_can_be_replaced,
            targets_swapped_while_starting_stay_inside,
        }
        privileges, without "": {
            users_are_the_images,
            capabilities_are_dockers,
            nothing_of_the_starters_is_left,
            the_filter_holds,
            profiles_are_used,
            every_process_is_confined_alike,
            a_dead_reader_is_no_signal,
            namespaces_are_joined,
        }
        terminal, without "": {
            a_container_has_one,
            keys_are_signals,
            another_process_has_its_own,
            a_false_devpts_is_refused,
        }
        groups, without "": {
            processes_stand_in_their_group,
            memory_is_limited,
            processes_and_cpus_are_limited,
            devices_are_limited,
            groups_freeze_and_thaw,
            a_group_that_is_not_there_is_fine,
            a_group_of_the_users_own_stays,
            empty_groups_of_that_name_are_swept,
        }
        groups, without "cgroup_kill": {
            processes_stand_in_their_group,
            groups_freeze_and_thaw,
        }
        groups, without "cgroup2": {
            processes_stand_in_their_group,
            groups_freeze_and_thaw,
        }
        chroot, without "": {containers_and_their_processes_see_their_root}
        chroot, without "lowerdir_plus": {containers_and_their_processes_see_their_root}
    ];
    support::isolated::main(cases, PROBES)
}
