//! `deploy` and device requests.

use crate::compose::attribute::{
    Attribute, Cast, Forms, Kind, Limit, Print, Short, bytes, duration, float, integer, labels,
    list, number, pairs, row, section, text, texts,
};

const SWARM: &str = "swarm";

const fn count(path: &'static str) -> Attribute {
    row(path, Forms::TEXT.or(Forms::INT), Kind::Count)
}

pub(crate) static ROWS: &[Attribute] = &[
    text("services.*.deploy.mode").carried(SWARM).warned("deploy.mode is only honored in Swarm mode"),
    integer("services.*.deploy.replicas").print(Print::Present),
    labels("services.*.deploy.labels").carried(SWARM).warned("deploy.labels are only applied to Swarm services"),
    section("services.*.deploy.update_config").carried(SWARM).warned("deploy.update_config only applies to rolling updates in Swarm mode"),
    integer("services.*.deploy.update_config.parallelism").print(Print::Present).carried(SWARM),
    duration("services.*.deploy.update_config.delay").carried(SWARM),
    text("services.*.deploy.update_config.failure_action").carried(SWARM),
    duration("services.*.deploy.update_config.monitor").carried(SWARM),
    float("services.*.deploy.update_config.max_failure_ratio").carried(SWARM),
    text("services.*.deploy.update_config.order")
        .limit(Limit::Words(&["start-first", "stop-first"]))
        .carried(SWARM),
    section("services.*.deploy.rollback_config").carried(SWARM).warned("deploy.rollback_config only applies to rolling updates in Swarm mode"),
    integer("services.*.deploy.rollback_config.parallelism").print(Print::Present).carried(SWARM),
    duration("services.*.deploy.rollback_config.delay").carried(SWARM),
    text("services.*.deploy.rollback_config.failure_action").carried(SWARM),
    duration("services.*.deploy.rollback_config.monitor").carried(SWARM),
    float("services.*.deploy.rollback_config.max_failure_ratio").carried(SWARM),
    text("services.*.deploy.rollback_config.order")
        .limit(Limit::Words(&["start-first", "stop-first"]))
        .carried(SWARM),
    section("services.*.deploy.resources").print(Print::Always),
    section("services.*.deploy.resources.limits"),
    float("services.*.deploy.resources.limits.cpus").cast(Cast::None),
    bytes("services.*.deploy.resources.limits.memory").forms(Forms::TEXT),
    integer("services.*.deploy.resources.limits.pids"),
    section("services.*.deploy.resources.reservations"),
    float("services.*.deploy.resources.reservations.cpus").cast(Cast::None).carried(SWARM),
    bytes("services.*.deploy.resources.reservations.memory").forms(Forms::TEXT),
    list("services.*.deploy.resources.reservations.devices").carried("no device drivers").warned("has no effect, since there are no device drivers"),
    section("services.*.deploy.resources.reservations.devices.[]")
        .limit(Limit::Required(&["capabilities"]))
        .carried(""),
    texts("services.*.deploy.resources.reservations.devices.[].capabilities").carried(""),
    text("services.*.deploy.resources.reservations.devices.[].driver").carried(""),
    count("services.*.deploy.resources.reservations.devices.[].count").carried(""),
    texts("services.*.deploy.resources.reservations.devices.[].device_ids").carried(""),
    pairs("services.*.deploy.resources.reservations.devices.[].options")
        .short(Short::Labels)
        .carried(""),
    list("services.*.deploy.resources.reservations.generic_resources").carried(SWARM),
    section("services.*.deploy.resources.reservations.generic_resources.[]").carried(SWARM),
    section("services.*.deploy.resources.reservations.generic_resources.[].discrete_resource_spec")
        .carried(SWARM),
    text("services.*.deploy.resources.reservations.generic_resources.[].discrete_resource_spec.kind")
        .carried(SWARM)
        .print(Print::Always),
    number("services.*.deploy.resources.reservations.generic_resources.[].discrete_resource_spec.value")
        .carried(SWARM)
        .print(Print::Always),
    section("services.*.deploy.restart_policy").note("only when `restart` is absent"),
    text("services.*.deploy.restart_policy.condition"),
    duration("services.*.deploy.restart_policy.delay").print(Print::Present).carried(SWARM),
    integer("services.*.deploy.restart_policy.max_attempts").print(Print::Present),
    duration("services.*.deploy.restart_policy.window").print(Print::Present).carried(SWARM),
    section("services.*.deploy.placement").print(Print::Always).carried(SWARM).warned("deploy.placement is only honored by the Swarm scheduler"),
    texts("services.*.deploy.placement.constraints").carried(SWARM),
    list("services.*.deploy.placement.preferences").carried(SWARM),
    section("services.*.deploy.placement.preferences.[]").carried(SWARM),
    text("services.*.deploy.placement.preferences.[].spread").carried(SWARM),
    integer("services.*.deploy.placement.max_replicas_per_node").carried(SWARM),
    text("services.*.deploy.endpoint_mode").carried(SWARM).warned("deploy.endpoint_mode only applies to Swarm's routing mesh"),
    section("services.*.gpus.[]").carried(""),
    texts("services.*.gpus.[].capabilities").carried(""),
    text("services.*.gpus.[].driver").carried(""),
    count("services.*.gpus.[].count").carried(""),
    texts("services.*.gpus.[].device_ids").carried(""),
    pairs("services.*.gpus.[].options").short(Short::Labels).carried(""),
];
