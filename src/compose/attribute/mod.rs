//! The table: one row an attribute, and everything that follows from it.
//!
//! Schema checks, casts, merging, uniqueness, paths, what is printed and the
//! support page all read these rows; no other module lists attributes. A path
//! is dotted, `*` stands for any key and `[]` for any item. Rows stand in the
//! order in which the reference prints its fields, which the config hash needs.

mod build;
mod deploy;
mod hooks;
mod mounts;
mod network;
mod schema;
mod service;
mod support;
mod top;

pub(crate) use schema::{Schema, root};
pub use support::support_page;

/// One attribute of the Compose file.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// Where it stands.
    pub(crate) path: &'static str,
    /// The YAML forms that it may have.
    pub(crate) forms: Forms,
    /// The forms named when none fits: those of the schema's first choice.
    pub(crate) named: Forms,
    /// The forms of a list's items that have no row of their own.
    pub(crate) item: Forms,
    /// The forms of a mapping's values that have no row of their own.
    pub(crate) value: Forms,
    /// Further limits on the value.
    pub(crate) limit: Limit,
    /// What it is once settled.
    pub(crate) kind: Kind,
    /// What text becomes as soon as its variables have values.
    pub(crate) cast: Cast,
    /// How its short forms become the long one.
    pub(crate) short: Short,
    /// How a later file's value meets an earlier one.
    pub(crate) merge: Merge,
    /// What tells a list's entries apart.
    pub(crate) unique: Unique,
    /// What a relative path in it is relative to.
    pub(crate) base: Base,
    /// When it is printed.
    pub(crate) print: Print,
    /// Whether the engine acts on it.
    pub(crate) support: Support,
    /// A word for the support page.
    pub(crate) note: &'static str,
    /// What a load says when it is used, though it has no effect.
    pub(crate) warning: &'static str,
}

/// A set of YAML forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forms(u8);

impl Forms {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOL: Self = Self(2);
    pub(crate) const INT: Self = Self(4);
    /// Integers and floats.
    pub(crate) const NUMBER: Self = Self(4 | 8);
    pub(crate) const TEXT: Self = Self(16);
    pub(crate) const LIST: Self = Self(32);
    pub(crate) const MAP: Self = Self(64);
    pub(crate) const ANY: Self = Self(127);
    /// Text, numbers, booleans and nothing.
    pub(crate) const SCALAR: Self = Self(1 | 2 | 4 | 8 | 16);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A limit beyond the form.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    None,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Not below this number.
    Minimum(i64),
    /// Between these numbers.
    Range(i64, i64),
    /// A mapping with these keys.
    Required(&'static [&'static str]),
    /// A mapping whose keys are legal names.
    Names,
    /// Text in which the pattern's function finds a match.
    Pattern(&'static str, fn(&str) -> bool),
}

/// What a value is once settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Int,
    /// An integer that may not be negative.
    Unsigned,
    /// A 32-bit float, as the reference keeps it.
    Float,
    /// A number of bytes; JSON has it as text.
    Bytes,
    /// A span of time, printed as Go does.
    Duration,
    /// A list of `id=path`, whose YAML form is `id: path` in one text.
    SshKeys,
    /// Permission bits, printed in octal.
    Mode,
    /// Permission bits kept as a number.
    ModeNumber,
    /// Number of devices; -1 is all.
    Count,
    /// A mapping with attributes of its own.
    Section,
    /// A mapping with free keys.
    Table,
    List,
}

/// What text becomes at interpolation, and which of Go's functions words its
/// faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    /// It stays text.
    None,
    /// `strconv.Atoi`.
    Int,
    /// `strconv.ParseInt`.
    Int64,
    Float,
    Bool,
}

/// How short forms become long ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    None,
    /// `k=v` list or mapping to a mapping of text; nulls stay.
    Pairs,
    /// The same; nulls become empty text.
    Labels,
    /// The same from a mapping only; nulls become empty text.
    Options,
    /// Mapping of values that are text or lists of text.
    MultiOptions,
    /// Text becomes a list of one.
    Texts,
    /// The same, once nothing else is to come.
    LateTexts,
    /// Text is split into words as a shell does.
    Command,
    /// Text becomes `CMD-SHELL`.
    HealthTest,
    /// `host=ip` in all its forms.
    Hosts,
    Build,
    DependsOn,
    Networks,
    Models,
    Ports,
    Volumes,
    Devices,
    /// A name becomes `{source}`.
    FileRefs,
    EnvFiles,
    /// `external: {name}` becomes true and a name.
    External,
    Gpus,
    Ulimit,
    Ssh,
    Extends,
    Include,
    /// Numbers become text.
    Stringly,
    /// Whole numbers of a list or mapping become text, other values none.
    Strings,
}

/// How a later value meets an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Mappings are merged, lists are appended, scalars are replaced.
    Deep,
    /// The later one wins as a whole, even null.
    Replace,
    /// Both become lists of text, which are appended.
    Sequence,
    /// Both become lists; entries that are there already are not added.
    Hosts,
    /// Lists become mappings, which are merged.
    Keyed,
    /// Text becomes `{context}`, then mappings are merged.
    Build,
    /// Merged when the driver is the same, else replaced.
    Logging,
    /// Two mappings are merged; else the later limit wins as a whole.
    Ulimit,
    /// Entries are matched by subnet.
    Ipam,
}

/// What tells a list's entries apart; the later of two equal ones wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unique {
    None,
    /// Text up to the first `=`.
    Key,
    /// Published ports as they stand.
    Expose,
    /// Two equal items are an error.
    Refused,
    Port,
    VolumeTarget,
    DeviceTarget,
    SecretTarget,
    ConfigTarget,
    EnvFilePath,
}

/// What a relative path is relative to: always the project folder of the file
/// that it stands in; the variants differ in what is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    None,
    /// A path.
    Folder,
    /// A path, unless it is a URL or another kind of context.
    Context,
    /// A path, unless it is absolute on Windows.
    MaybeUnix,
    /// A path whose symbolic links are followed.
    Watched,
    /// The path after `=`.
    AfterEquals,
    /// The source of a bind mount.
    Bind,
    /// `device` of a local volume that binds.
    DriverOptions,
}

/// When an attribute is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    /// Unless it is zero or empty.
    NonZero,
    /// When it is there.
    Present,
    /// In any case.
    Always,
    /// In any case in JSON, as null when absent; in YAML when present.
    JsonNull,
    /// Only when false: true is the default.
    IfFalse,
    /// Never.
    Never,
}

/// Whether the engine acts on an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It takes effect.
    Enforced,
    /// It is accepted, printed and has no effect.
    Carried,
    /// It is refused with a diagnostic.
    Rejected,
}

/// A row with defaults that fit most attributes.
const fn row(path: &'static str, forms: Forms, kind: Kind) -> Attribute {
    Attribute {
        path,
        forms,
        named: forms,
        item: Forms::ANY,
        value: Forms::ANY,
        limit: Limit::None,
        kind,
        cast: match kind {
            Kind::Int | Kind::Unsigned => Cast::Int,
            Kind::Float => Cast::Float,
            Kind::Bool => Cast::Bool,
            _ => Cast::None,
        },
        short: Short::None,
        merge: Merge::Deep,
        unique: Unique::None,
        base: Base::None,
        print: Print::NonZero,
        support: Support::Enforced,
        note: "",
        warning: "",
    }
}

const fn text(path: &'static str) -> Attribute {
    row(path, Forms::TEXT, Kind::Text)
}

const fn boolean(path: &'static str) -> Attribute {
    row(path, Forms::BOOL.or(Forms::TEXT), Kind::Bool)
}

const fn integer(path: &'static str) -> Attribute {
    row(path, Forms::INT.or(Forms::TEXT), Kind::Int)
}

/// An integer for which the schema takes any number.
const fn number(path: &'static str) -> Attribute {
    row(path, Forms::NUMBER.or(Forms::TEXT), Kind::Int)
}

const fn float(path: &'static str) -> Attribute {
    row(path, Forms::NUMBER.or(Forms::TEXT), Kind::Float)
}

const fn bytes(path: &'static str) -> Attribute {
    row(path, Forms::NUMBER.or(Forms::TEXT), Kind::Bytes)
}

const fn duration(path: &'static str) -> Attribute {
    row(path, Forms::TEXT, Kind::Duration)
}

/// A list of text.
const fn texts(path: &'static str) -> Attribute {
    let mut row = row(path, Forms::LIST, Kind::List);
    row.item = Forms::TEXT;
    row
}

/// Text or a list of text.
const fn text_or_texts(path: &'static str) -> Attribute {
    let mut row = texts(path);
    row.forms = Forms::TEXT.or(Forms::LIST);
    row.named = Forms::TEXT;
    row.short = Short::Texts;
    row
}

/// A mapping of scalars or a list of `k=v`.
const fn pairs(path: &'static str) -> Attribute {
    let mut row = row(path, Forms::MAP.or(Forms::LIST), Kind::Table);
    row.named = Forms::MAP;
    row.item = Forms::TEXT;
    row.value = Forms::SCALAR;
    row.short = Short::Pairs;
    row.merge = Merge::Sequence;
    row.unique = Unique::Key;
    row
}

/// The same without nulls once settled.
const fn labels(path: &'static str) -> Attribute {
    pairs(path).short(Short::Labels)
}

/// A mapping of text or numbers.
const fn options(path: &'static str) -> Attribute {
    let mut row = row(path, Forms::MAP, Kind::Table);
    row.value = Forms::TEXT.or(Forms::NUMBER);
    row.short = Short::Options;
    row
}

const fn section(path: &'static str) -> Attribute {
    row(path, Forms::MAP, Kind::Section).print(Print::Present)
}

/// Text or a list of words, or nothing.
const fn command(path: &'static str) -> Attribute {
    let mut row = row(
        path,
        Forms::NULL.or(Forms::TEXT).or(Forms::LIST),
        Kind::List,
    );
    row.named = Forms::NULL;
    row.item = Forms::TEXT;
    row.short = Short::Command;
    row.merge = Merge::Replace;
    row.print = Print::JsonNull;
    row
}

/// A mapping with free keys and rows for its values.
const fn table(path: &'static str) -> Attribute {
    row(path, Forms::MAP, Kind::Table)
}

/// A list with rows for its items.
const fn list(path: &'static str) -> Attribute {
    row(path, Forms::LIST, Kind::List)
}

impl Attribute {
    /// Whether it is one of the limits of `blkio_config`, whose fields the
    /// reference gives no names.
    pub(crate) fn is_device_limit(&self) -> bool {
        self.path.starts_with("services.*.blkio_config.") && self.path.contains(".[].")
    }

    const fn forms(mut self, forms: Forms) -> Self {
        self.forms = forms;
        self.named = forms;
        self
    }

    const fn named(mut self, named: Forms) -> Self {
        self.named = named;
        self
    }

    const fn items(mut self, item: Forms) -> Self {
        self.item = item;
        self
    }

    const fn values(mut self, value: Forms) -> Self {
        self.value = value;
        self
    }

    const fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    const fn cast(mut self, cast: Cast) -> Self {
        self.cast = cast;
        self
    }

    const fn short(mut self, short: Short) -> Self {
        self.short = short;
        self
    }

    const fn merge(mut self, merge: Merge) -> Self {
        self.merge = merge;
        self
    }

    const fn unique(mut self, unique: Unique) -> Self {
        self.unique = unique;
        self
    }

    const fn base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    const fn print(mut self, print: Print) -> Self {
        self.print = print;
        self
    }

    const fn carried(mut self, note: &'static str) -> Self {
        self.support = Support::Carried;
        self.note = note;
        self
    }

    const fn rejected(mut self, note: &'static str) -> Self {
        self.support = Support::Rejected;
        self.note = note;
        self
    }

    const fn warned(mut self, warning: &'static str) -> Self {
        self.warning = warning;
        self
    }

    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

/// Every row, in order.
pub(crate) fn rows() -> impl Iterator<Item = &'static Attribute> {
    [
        top::ROWS,
        service::ROWS,
        build::ROWS,
        deploy::ROWS,
        hooks::ROWS,
        mounts::ROWS,
        network::ROWS,
    ]
    .into_iter()
    .flatten()
}
