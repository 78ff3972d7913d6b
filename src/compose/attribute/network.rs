//! Networks, at the top level and at a service.

use crate::compose::attribute::{
    Attribute, Cast, Forms, Kind, Merge, Print, Short, Unique, boolean, labels, list, options, row,
    section, table, text, texts,
};

/// An integer that may not be text.
const fn plain_number(path: &'static str) -> Attribute {
    row(path, Forms::NUMBER, Kind::Int).cast(Cast::None)
}

pub(crate) static ROWS: &[Attribute] = &[
    section("networks.*").forms(Forms::MAP.or(Forms::NULL)),
    text("networks.*.name"),
    text("networks.*.driver").note("`bridge`, `host`, `none`"),
    options("networks.*.driver_opts"),
    section("networks.*.ipam").print(Print::Always),
    text("networks.*.ipam.driver").carried("addresses are always ours"),
    list("networks.*.ipam.config").merge(Merge::Ipam),
    section("networks.*.ipam.config.[]"),
    text("networks.*.ipam.config.[].subnet"),
    text("networks.*.ipam.config.[].gateway"),
    text("networks.*.ipam.config.[].ip_range"),
    table("networks.*.ipam.config.[].aux_addresses").values(Forms::TEXT),
    table("networks.*.ipam.options")
        .values(Forms::TEXT)
        .carried(""),
    boolean("networks.*.external")
        .forms(Forms::BOOL.or(Forms::TEXT).or(Forms::MAP))
        .short(Short::External),
    boolean("networks.*.internal"),
    boolean("networks.*.attachable").carried("every network of ours can be joined"),
    labels("networks.*.labels"),
    boolean("networks.*.enable_ipv4").print(Print::Present),
    boolean("networks.*.enable_ipv6").print(Print::Present),
    section("services.*.networks.*")
        .forms(Forms::MAP.or(Forms::NULL))
        .named(Forms::MAP),
    texts("services.*.networks.*.aliases").unique(Unique::Key),
    options("services.*.networks.*.driver_opts").carried(""),
    plain_number("services.*.networks.*.gw_priority"),
    text("services.*.networks.*.interface_name"),
    text("services.*.networks.*.ipv4_address"),
    text("services.*.networks.*.ipv6_address"),
    texts("services.*.networks.*.link_local_ips").unique(Unique::Key),
    text("services.*.networks.*.mac_address"),
    plain_number("services.*.networks.*.priority"),
];
