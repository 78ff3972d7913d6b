//! Top-level elements other than services and networks.

use crate::compose::attribute::{
    Attribute, Base, Cast, Forms, Limit, Print, Short, boolean, integer, labels, list, options,
    section, table, text, text_or_texts, texts,
};

/// `external` may be a boolean, text, or the old `{name}`.
const fn external(path: &'static str) -> Attribute {
    boolean(path)
        .forms(Forms::BOOL.or(Forms::TEXT).or(Forms::MAP))
        .short(Short::External)
}

pub(crate) static ROWS: &[Attribute] = &[
    text("version")
        .print(Print::Never)
        .carried("obsolete; a warning says so"),
    text("name"),
    list("include").short(Short::Include).print(Print::Never),
    section("include.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT),
    text_or_texts("include.[].path").base(Base::Folder),
    text_or_texts("include.[].env_file").base(Base::Folder),
    text("include.[].project_directory").base(Base::Folder),
    table("services").print(Print::Always).limit(Limit::Names),
    table("networks"),
    table("volumes").limit(Limit::Names),
    section("volumes.*")
        .forms(Forms::MAP.or(Forms::NULL))
        .base(Base::DriverOptions),
    text("volumes.*.name"),
    text("volumes.*.driver").note("`local` only"),
    options("volumes.*.driver_opts"),
    external("volumes.*.external"),
    labels("volumes.*.labels"),
    table("secrets").limit(Limit::Names),
    section("secrets.*"),
    text("secrets.*.name").carried("printed; containers name their secrets by key"),
    text("secrets.*.file").base(Base::MaybeUnix),
    text("secrets.*.environment"),
    external("secrets.*.external").note("external secrets are refused when a container is made"),
    labels("secrets.*.labels")
        .carried("swarm")
        .warned("secrets[].labels are only applied to Swarm secret objects"),
    text("secrets.*.driver").carried("swarm"),
    options("secrets.*.driver_opts")
        .carried("swarm")
        .warned("secrets[].driver_opts is only honored by Swarm secret drivers"),
    text("secrets.*.template_driver").carried("swarm"),
    table("configs").limit(Limit::Names),
    section("configs.*"),
    text("configs.*.name").carried("printed; containers name their configs by key"),
    text("configs.*.file").base(Base::MaybeUnix),
    text("configs.*.environment"),
    text("configs.*.content"),
    external("configs.*.external").note("external configs are refused when a container is made"),
    labels("configs.*.labels")
        .carried("swarm")
        .warned("configs[].labels are only applied to Swarm config objects"),
    text("configs.*.template_driver").carried("swarm"),
    table("models").carried("no model runner"),
    section("models.*")
        .limit(Limit::Required(&["model"]))
        .carried("no model runner"),
    text("models.*.name").carried("no model runner"),
    text("models.*.model").carried("no model runner"),
    integer("models.*.context_size")
        .forms(Forms::INT)
        .cast(Cast::None)
        .carried("no model runner"),
    texts("models.*.runtime_flags").carried("no model runner"),
];
