//! Commands at the turns of a container's life.

use crate::compose::attribute::{
    Attribute, Forms, Limit, Merge, Print, Short, boolean, command, pairs, section, table, text,
};

pub(crate) static ROWS: &[Attribute] = &[
    section("services.*.pre_start.[]"),
    command("services.*.pre_start.[].command"),
    command("services.*.pre_start.[].entrypoint"),
    text("services.*.pre_start.[].image"),
    text("services.*.pre_start.[].user"),
    boolean("services.*.pre_start.[].privileged"),
    text("services.*.pre_start.[].working_dir"),
    pairs("services.*.pre_start.[].environment"),
    table("services.*.pre_start.[].networks")
        .forms(Forms::LIST.or(Forms::MAP))
        .named(Forms::LIST)
        .items(Forms::TEXT)
        .merge(Merge::Keyed)
        .short(Short::Networks),
    section("services.*.pre_start.[].networks.*").forms(Forms::MAP.or(Forms::NULL)),
    boolean("services.*.pre_start.[].per_replica"),
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
