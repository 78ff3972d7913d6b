//! Items of `ports`, `volumes`, `secrets` and `configs` of a service.

use crate::compose::attribute::{
    Attribute, Base, Forms, Kind, Limit, Print, boolean, bytes, labels, row, section, text,
};

const fn mode(path: &'static str) -> Attribute {
    row(path, Forms::NUMBER.or(Forms::TEXT), Kind::Mode).print(Print::Present)
}

pub(crate) static ROWS: &[Attribute] = &[
    section("services.*.ports.[]")
        .forms(Forms::NUMBER.or(Forms::TEXT).or(Forms::MAP))
        .named(Forms::NUMBER),
    text("services.*.ports.[].name"),
    text("services.*.ports.[].mode").note("`host` and `ingress` mean the same here"),
    text("services.*.ports.[].host_ip"),
    row(
        "services.*.ports.[].target",
        Forms::INT.or(Forms::TEXT),
        Kind::Int,
    ),
    row(
        "services.*.ports.[].published",
        Forms::TEXT.or(Forms::INT),
        Kind::Text,
    ),
    text("services.*.ports.[].protocol"),
    text("services.*.ports.[].app_protocol").carried("kept with the port"),
    section("services.*.volumes.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT)
        .limit(Limit::Required(&["type"]))
        .base(Base::Bind),
    text("services.*.volumes.[].type")
        .limit(Limit::Words(&[
            "bind", "volume", "tmpfs", "cluster", "npipe", "image",
        ]))
        .note("`cluster` and `npipe` are refused when a container is made"),
    text("services.*.volumes.[].source"),
    text("services.*.volumes.[].target"),
    boolean("services.*.volumes.[].read_only"),
    text("services.*.volumes.[].consistency").carried("Docker Desktop"),
    section("services.*.volumes.[].bind"),
    text("services.*.volumes.[].bind.selinux")
        .limit(Limit::Words(&["z", "Z"]))
        .carried("no relabelling"),
    text("services.*.volumes.[].bind.propagation"),
    boolean("services.*.volumes.[].bind.create_host_path").print(Print::IfFalse),
    text("services.*.volumes.[].bind.recursive").limit(Limit::Words(&[
        "enabled", "disabled", "writable", "readonly",
    ])),
    section("services.*.volumes.[].volume"),
    labels("services.*.volumes.[].volume.labels"),
    boolean("services.*.volumes.[].volume.nocopy"),
    text("services.*.volumes.[].volume.subpath"),
    section("services.*.volumes.[].tmpfs"),
    bytes("services.*.volumes.[].tmpfs.size")
        .forms(Forms::INT.or(Forms::TEXT))
        .named(Forms::INT)
        .limit(Limit::Minimum(0)),
    row(
        "services.*.volumes.[].tmpfs.mode",
        Forms::NUMBER.or(Forms::TEXT),
        Kind::ModeNumber,
    ),
    section("services.*.volumes.[].image"),
    text("services.*.volumes.[].image.subpath"),
    section("services.*.configs.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT),
    text("services.*.configs.[].source"),
    text("services.*.configs.[].target"),
    text("services.*.configs.[].uid"),
    text("services.*.configs.[].gid"),
    mode("services.*.configs.[].mode"),
    section("services.*.secrets.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT),
    text("services.*.secrets.[].source"),
    text("services.*.secrets.[].target"),
    text("services.*.secrets.[].uid"),
    text("services.*.secrets.[].gid"),
    mode("services.*.secrets.[].mode"),
];
