//! Commands at the turns of a container's life.

use crate::compose::attribute::{Attribute, Limit, Print, boolean, command, pairs, section, text};

/// What a service has and a `pre_start` hook doesn't: a hook is a container
/// of its own, and neither a service nor a part of a plan.
pub(crate) const NOT_IN_PRE_START: &[&str] = &[
    "attach",
    "build",
    "container_name",
    "depends_on",
    "deploy",
    "develop",
    "expose",
    "extends",
    "external_links",
    "healthcheck",
    "links",
    "ports",
    "post_start",
    "pre_start",
    "pre_stop",
    "profiles",
    "provider",
    "restart",
    "scale",
    "stdin_open",
    "tty",
];

pub(crate) static ROWS: &[Attribute] = &[
    section("services.*.pre_start.[]")
        .note("a service's attributes but for those that make it one; what it leaves out is the service's"),
    boolean("services.*.pre_start.[].per_replica").note("true is refused"),
    section("services.*.post_start.[]").limit(Limit::Required(&["command"])),
    command("services.*.post_start.[].command"),
    text("services.*.post_start.[].user"),
    boolean("services.*.post_start.[].privileged"),
    text("services.*.post_start.[].working_dir"),
    pairs("services.*.post_start.[].environment"),
    section("services.*.pre_stop.[]").limit(Limit::Required(&["command"])),
    command("services.*.pre_stop.[].command"),
    text("services.*.pre_stop.[].user"),
    boolean("services.*.pre_stop.[].privileged"),
    text("services.*.pre_stop.[].working_dir"),
    pairs("services.*.pre_stop.[].environment"),
    command("services.*.develop.watch.[].exec.command"),
    text("services.*.develop.watch.[].exec.user"),
    boolean("services.*.develop.watch.[].exec.privileged"),
    text("services.*.develop.watch.[].exec.working_dir"),
    pairs("services.*.develop.watch.[].exec.environment").print(Print::NonZero),
];
