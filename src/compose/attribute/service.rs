//! A service's own attributes, in the reference's order of fields. Sections
//! with many attributes have files of their own.

use crate::compose::attribute::{
    Attribute, Base, Cast, Forms, Kind, Limit, Merge, Print, Short, Unique, boolean, bytes,
    command, duration, float, integer, labels, list, number, options, pairs, row, section, table,
    text, text_or_texts, texts,
};

/// A number that may be text, with limits of the schema's own.
const fn limited(path: &'static str, limit: Limit) -> Attribute {
    integer(path).named(Forms::TEXT).limit(limit)
}

const fn device_rate(path: &'static str) -> Attribute {
    bytes(path)
        .forms(Forms::INT.or(Forms::TEXT))
        .print(Print::Always)
}

fn is_container_name(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| {
        matches!(pair, [first, second]
            if first.is_ascii_alphanumeric()
                && (second.is_ascii_alphanumeric() || b"_.-".contains(second)))
    })
}

fn is_pull_policy(text: &str) -> bool {
    const WORDS: [&str; 8] = [
        "always",
        "never",
        "build",
        "if_not_present",
        "missing",
        "refresh",
        "daily",
        "weekly",
    ];
    WORDS.contains(&text) || text.strip_prefix("every_").is_some_and(is_spans)
}

/// Digits and a unit, once or more.
fn is_spans(mut text: &str) -> bool {
    loop {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let mut rest = text.get(digits..).unwrap_or_default().chars();
        if digits == 0 || !rest.next().is_some_and(|unit| "wdhms".contains(unit)) {
            return false;
        }
        text = rest.as_str();
        if text.is_empty() {
            return true;
        }
    }
}

pub(crate) static ROWS: &[Attribute] = &[
    section("services.*"),
    texts("services.*.profiles").unique(Unique::Key),
    labels("services.*.annotations").carried("kept with the container"),
    boolean("services.*.attach")
        .cast(Cast::None)
        .print(Print::Present),
    section("services.*.build")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT)
        .merge(Merge::Build)
        .short(Short::Build),
    section("services.*.develop").forms(Forms::MAP.or(Forms::NULL)),
    section("services.*.blkio_config"),
    integer("services.*.blkio_config.weight").cast(Cast::None),
    list("services.*.blkio_config.weight_device"),
    section("services.*.blkio_config.weight_device.[]"),
    text("services.*.blkio_config.weight_device.[].path").print(Print::Always),
    integer("services.*.blkio_config.weight_device.[].weight")
        .cast(Cast::None)
        .print(Print::Always),
    list("services.*.blkio_config.device_read_bps"),
    section("services.*.blkio_config.device_read_bps.[]"),
    text("services.*.blkio_config.device_read_bps.[].path").print(Print::Always),
    device_rate("services.*.blkio_config.device_read_bps.[].rate"),
    list("services.*.blkio_config.device_read_iops"),
    section("services.*.blkio_config.device_read_iops.[]"),
    text("services.*.blkio_config.device_read_iops.[].path").print(Print::Always),
    device_rate("services.*.blkio_config.device_read_iops.[].rate"),
    list("services.*.blkio_config.device_write_bps"),
    section("services.*.blkio_config.device_write_bps.[]"),
    text("services.*.blkio_config.device_write_bps.[].path").print(Print::Always),
    device_rate("services.*.blkio_config.device_write_bps.[].rate"),
    list("services.*.blkio_config.device_write_iops"),
    section("services.*.blkio_config.device_write_iops.[]"),
    text("services.*.blkio_config.device_write_iops.[].path").print(Print::Always),
    device_rate("services.*.blkio_config.device_write_iops.[].rate"),
    texts("services.*.cap_add").unique(Unique::Key),
    texts("services.*.cap_drop").unique(Unique::Key),
    text("services.*.cgroup_parent"),
    text("services.*.cgroup").limit(Limit::Words(&["host", "private"])),
    limited("services.*.cpu_count", Limit::Minimum(0))
        .cast(Cast::Int64)
        .carried("Windows"),
    row(
        "services.*.cpu_percent",
        Forms::INT.or(Forms::TEXT),
        Kind::Float,
    )
    .named(Forms::TEXT)
    .limit(Limit::Range(0, 100))
    .carried("Windows"),
    number("services.*.cpu_period").cast(Cast::Int64),
    number("services.*.cpu_quota").cast(Cast::Int64),
    number("services.*.cpu_rt_period")
        .cast(Cast::Int64)
        .note("cgroup v1"),
    number("services.*.cpu_rt_runtime")
        .cast(Cast::Int64)
        .note("cgroup v1"),
    float("services.*.cpus"),
    text("services.*.cpuset"),
    number("services.*.cpu_shares").cast(Cast::Int64),
    command("services.*.command"),
    list("services.*.configs")
        .short(Short::FileRefs)
        .unique(Unique::ConfigTarget),
    text("services.*.container_name").limit(Limit::Pattern(
        "[a-zA-Z0-9][a-zA-Z0-9_.-]+",
        is_container_name,
    )),
    section("services.*.credential_spec")
        .carried("Windows")
        .warned("credential_spec is only supported when running Windows containers under Swarm"),
    text("services.*.credential_spec.config").carried("Windows"),
    text("services.*.credential_spec.file").carried("Windows"),
    text("services.*.credential_spec.registry").carried("Windows"),
    table("services.*.depends_on")
        .limit(Limit::Names)
        .forms(Forms::LIST.or(Forms::MAP))
        .named(Forms::LIST)
        .items(Forms::TEXT)
        .merge(Merge::Keyed)
        .unique(Unique::Refused)
        .short(Short::DependsOn),
    section("services.*.depends_on.*").limit(Limit::Required(&["condition"])),
    text("services.*.depends_on.*.condition").limit(Limit::Words(&[
        "service_started",
        "service_healthy",
        "service_completed_successfully",
    ])),
    boolean("services.*.depends_on.*.restart"),
    boolean("services.*.depends_on.*.required")
        .forms(Forms::BOOL)
        .print(Print::Present),
    section("services.*.deploy").forms(Forms::MAP.or(Forms::NULL)),
    texts("services.*.device_cgroup_rules").unique(Unique::Refused),
    list("services.*.devices")
        .short(Short::Devices)
        .unique(Unique::DeviceTarget),
    section("services.*.devices.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT)
        .limit(Limit::Required(&["source"])),
    text("services.*.devices.[].source")
        .note("a path; CDI names are refused when a container is made"),
    text("services.*.devices.[].target"),
    text("services.*.devices.[].permissions"),
    text_or_texts("services.*.dns")
        .merge(Merge::Sequence)
        .unique(Unique::Key),
    texts("services.*.dns_opt")
        .merge(Merge::Sequence)
        .unique(Unique::Key),
    text_or_texts("services.*.dns_search")
        .short(Short::LateTexts)
        .merge(Merge::Sequence)
        .unique(Unique::Key),
    text("services.*.domainname"),
    command("services.*.entrypoint"),
    section("services.*.provider")
        .limit(Limit::Required(&["type"]))
        .carried("no external providers yet; the service is skipped with a warning"),
    text("services.*.provider.type").carried(""),
    table("services.*.provider.options")
        .values(
            Forms::TEXT
                .or(Forms::NUMBER)
                .or(Forms::BOOL)
                .or(Forms::LIST),
        )
        .short(Short::MultiOptions)
        .carried(""),
    pairs("services.*.environment"),
    list("services.*.env_file")
        .forms(Forms::TEXT.or(Forms::LIST))
        .named(Forms::TEXT)
        .merge(Merge::Sequence)
        .unique(Unique::EnvFilePath)
        .short(Short::EnvFiles),
    section("services.*.env_file.[]")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT)
        .limit(Limit::Required(&["path"])),
    text("services.*.env_file.[].path").base(Base::Folder),
    boolean("services.*.env_file.[].required").print(Print::IfFalse),
    text("services.*.env_file.[].format"),
    list("services.*.expose")
        .items(Forms::TEXT.or(Forms::NUMBER))
        .short(Short::Stringly)
        .unique(Unique::Expose),
    section("services.*.extends")
        .forms(Forms::TEXT.or(Forms::MAP))
        .named(Forms::TEXT)
        .short(Short::Extends),
    text("services.*.extends.file").base(Base::Folder),
    text("services.*.extends.service"),
    texts("services.*.external_links")
        .unique(Unique::Refused)
        .rejected("containers outside the project are reached through a shared external network"),
    list("services.*.extra_hosts")
        .forms(Forms::MAP.or(Forms::LIST))
        .named(Forms::MAP)
        .items(Forms::TEXT)
        .values(Forms::TEXT.or(Forms::LIST))
        .merge(Merge::Hosts)
        .unique(Unique::Refused)
        .short(Short::Hosts),
    list("services.*.group_add")
        .items(Forms::TEXT.or(Forms::NUMBER))
        .short(Short::Strings)
        .unique(Unique::Refused),
    list("services.*.gpus")
        .forms(Forms::TEXT.or(Forms::LIST))
        .named(Forms::TEXT)
        .limit(Limit::Words(&["all"]))
        .short(Short::Gpus)
        .carried("no device drivers")
        .warned("has no effect, since there are no device drivers"),
    text("services.*.hostname"),
    section("services.*.healthcheck"),
    list("services.*.healthcheck.test")
        .forms(Forms::TEXT.or(Forms::LIST))
        .named(Forms::TEXT)
        .items(Forms::TEXT)
        .merge(Merge::Replace)
        .short(Short::HealthTest),
    duration("services.*.healthcheck.timeout").print(Print::Present),
    duration("services.*.healthcheck.interval").print(Print::Present),
    number("services.*.healthcheck.retries")
        .kind(Kind::Unsigned)
        .print(Print::Present),
    duration("services.*.healthcheck.start_period").print(Print::Present),
    duration("services.*.healthcheck.start_interval").print(Print::Present),
    boolean("services.*.healthcheck.disable"),
    text("services.*.image"),
    boolean("services.*.init").print(Print::Present),
    text("services.*.ipc"),
    text("services.*.isolation").carried("Windows"),
    labels("services.*.labels"),
    text_or_texts("services.*.label_file")
        .merge(Merge::Sequence)
        .base(Base::Folder),
    texts("services.*.links").unique(Unique::Key),
    section("services.*.logging").merge(Merge::Logging),
    text("services.*.logging.driver").note("`json-file`, `local` and `none`; others are carried"),
    options("services.*.logging.options").values(Forms::TEXT.or(Forms::NUMBER).or(Forms::NULL)),
    bytes("services.*.mem_limit"),
    bytes("services.*.mem_reservation").forms(Forms::INT.or(Forms::TEXT)),
    bytes("services.*.memswap_limit"),
    bytes("services.*.mem_swappiness")
        .forms(Forms::INT.or(Forms::TEXT))
        .note("cgroup v1"),
    text("services.*.mac_address"),
    table("services.*.models")
        .forms(Forms::LIST.or(Forms::MAP))
        .named(Forms::LIST)
        .items(Forms::TEXT)
        .merge(Merge::Keyed)
        .unique(Unique::Refused)
        .short(Short::Models)
        .carried("no model runner"),
    section("services.*.models.*")
        .forms(Forms::MAP.or(Forms::NULL))
        .named(Forms::MAP)
        .carried(""),
    text("services.*.models.*.endpoint_var").carried(""),
    text("services.*.models.*.model_var").carried(""),
    text("services.*.network_mode"),
    table("services.*.networks")
        .limit(Limit::Names)
        .forms(Forms::LIST.or(Forms::MAP))
        .named(Forms::LIST)
        .items(Forms::TEXT)
        .merge(Merge::Keyed)
        .unique(Unique::Refused)
        .short(Short::Networks),
    boolean("services.*.oom_kill_disable").note("cgroup v1"),
    limited("services.*.oom_score_adj", Limit::Range(-1000, 1000)).cast(Cast::Int64),
    row("services.*.pid", Forms::TEXT.or(Forms::NULL), Kind::Text),
    number("services.*.pids_limit").cast(Cast::Int64),
    text("services.*.platform"),
    list("services.*.ports")
        .short(Short::Ports)
        .unique(Unique::Port),
    boolean("services.*.privileged"),
    text("services.*.pull_policy").limit(Limit::Pattern(
        "^(always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+)$",
        is_pull_policy,
    )),
    boolean("services.*.read_only"),
    text("services.*.restart"),
    text("services.*.runtime").carried("the runtime is ours"),
    integer("services.*.scale").print(Print::Present),
    list("services.*.secrets")
        .short(Short::FileRefs)
        .unique(Unique::SecretTarget),
    texts("services.*.security_opt")
        .unique(Unique::Refused)
        .note("but profiles of AppArmor and labels of SELinux, which are warned about"),
    bytes("services.*.shm_size"),
    boolean("services.*.stdin_open"),
    duration("services.*.stop_grace_period").print(Print::Present),
    text("services.*.stop_signal"),
    options("services.*.storage_opt")
        .values(Forms::ANY)
        .short(Short::Strings)
        .carried("no quota on root file systems")
        .warned("has no effect, since there is no quota on root file systems"),
    labels("services.*.sysctls").note("those of the container's own namespaces"),
    text_or_texts("services.*.tmpfs")
        .short(Short::LateTexts)
        .merge(Merge::Sequence)
        .unique(Unique::Key),
    boolean("services.*.tty"),
    table("services.*.ulimits"),
    section("services.*.ulimits.*")
        .forms(Forms::INT.or(Forms::TEXT).or(Forms::MAP))
        .named(Forms::INT.or(Forms::TEXT))
        .limit(Limit::Required(&["soft", "hard"]))
        .merge(Merge::Ulimit)
        .short(Short::Ulimit),
    integer("services.*.ulimits.*.soft"),
    integer("services.*.ulimits.*.hard"),
    boolean("services.*.use_api_socket")
        .forms(Forms::BOOL)
        .cast(Cast::None)
        .carried("there is no engine socket")
        .warned("has no effect, since there is no engine socket"),
    text("services.*.user"),
    text("services.*.userns_mode").carried("containers share the host's user namespace"),
    text("services.*.uts"),
    list("services.*.volumes")
        .short(Short::Volumes)
        .unique(Unique::VolumeTarget),
    texts("services.*.volumes_from").unique(Unique::Refused),
    text("services.*.working_dir"),
    list("services.*.pre_start"),
    list("services.*.post_start"),
    list("services.*.pre_stop"),
    text("services.*.pull_refresh_after"),
];
