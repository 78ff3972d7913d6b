//! `build` and `develop`.

use crate::compose::attribute::{
    Attribute, Base, Forms, Kind, Limit, Merge, Print, Short, Unique, boolean, bytes, integer,
    labels, list, pairs, row, section, table, text, text_or_texts, texts,
};

/// What docker compose says of a build secret's owner and mode, too.
const MOUNT_SAYS: &str = "the mount in the Dockerfile says it";

pub(crate) static ROWS: &[Attribute] = &[
    text("services.*.build.context").base(Base::Context),
    text("services.*.build.dockerfile"),
    text("services.*.build.dockerfile_inline"),
    texts("services.*.build.entitlements"),
    pairs("services.*.build.args"),
    row(
        "services.*.build.provenance",
        Forms::TEXT.or(Forms::BOOL),
        Kind::Text,
    )
    .short(Short::Stringly)
    .carried("no attestations"),
    row(
        "services.*.build.sbom",
        Forms::TEXT.or(Forms::BOOL),
        Kind::Text,
    )
    .short(Short::Stringly)
    .carried("no attestations"),
    pairs("services.*.build.ssh")
        .short(Short::Ssh)
        .kind(Kind::SshKeys)
        .base(Base::AfterEquals),
    labels("services.*.build.labels"),
    texts("services.*.build.cache_from").note("type=local"),
    texts("services.*.build.cache_to").note("type=local"),
    boolean("services.*.build.no_cache"),
    text_or_texts("services.*.build.no_cache_filter").short(Short::LateTexts),
    pairs("services.*.build.additional_contexts")
        .short(Short::Labels)
        .base(Base::Context),
    boolean("services.*.build.pull"),
    list("services.*.build.extra_hosts")
        .forms(Forms::MAP.or(Forms::LIST))
        .named(Forms::MAP)
        .items(Forms::TEXT)
        .values(Forms::TEXT.or(Forms::LIST))
        .merge(Merge::Hosts)
        .unique(Unique::Refused)
        .short(Short::Hosts),
    text("services.*.build.isolation").carried("Windows"),
    text("services.*.build.network"),
    text("services.*.build.target"),
    list("services.*.build.secrets").short(Short::FileRefs),
    section("services.*.build.secrets.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT),
    text("services.*.build.secrets.[].source"),
    text("services.*.build.secrets.[].target"),
    text("services.*.build.secrets.[].uid").carried(MOUNT_SAYS),
    text("services.*.build.secrets.[].gid").carried(MOUNT_SAYS),
    row(
        "services.*.build.secrets.[].mode",
        Forms::NUMBER.or(Forms::TEXT),
        Kind::Mode,
    )
    .carried(MOUNT_SAYS)
    .print(Print::Present),
    bytes("services.*.build.shm_size").forms(Forms::INT.or(Forms::TEXT)),
    texts("services.*.build.tags").unique(Unique::Key),
    table("services.*.build.ulimits"),
    section("services.*.build.ulimits.*")
        .forms(Forms::INT.or(Forms::TEXT).or(Forms::MAP))
        .named(Forms::INT.or(Forms::TEXT))
        .limit(Limit::Required(&["soft", "hard"]))
        .merge(Merge::Ulimit)
        .short(Short::Ulimit),
    integer("services.*.build.ulimits.*.soft"),
    integer("services.*.build.ulimits.*.hard"),
    texts("services.*.build.platforms"),
    boolean("services.*.build.privileged"),
    list("services.*.develop.watch"),
    section("services.*.develop.watch.[]").limit(Limit::Required(&["path", "action"])),
    text("services.*.develop.watch.[].path").base(Base::Watched),
    text("services.*.develop.watch.[].action").limit(Limit::Words(&[
        "rebuild",
        "sync",
        "restart",
        "sync+restart",
        "sync+exec",
    ])),
    text("services.*.develop.watch.[].target"),
    section("services.*.develop.watch.[].exec").print(Print::Always),
    text_or_texts("services.*.develop.watch.[].include"),
    text_or_texts("services.*.develop.watch.[].ignore"),
    boolean("services.*.develop.watch.[].initial_sync"),
];
