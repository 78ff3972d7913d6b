//! `RUN --mount`: comma-separated fields and what each type allows.
//!
//! It doesn't know stages: where a mount comes from stays a name here.

use crate::dockerfile::expand;
use crate::dockerfile::parse::truth;
use crate::dockerfile::step::Sharing;
use crate::model::units;

/// The fields of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mount {
    pub(crate) kind: MountKind,
    pub(crate) from: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) target: Option<String>,
    /// As said by `ro` or `rw`.
    pub(crate) is_read_only: Option<bool>,
    pub(crate) is_required: bool,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) sharing: Option<Sharing>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) env: Option<String>,
}

/// The types of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MountKind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Why a text is no mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("unsupported mount type {0:?}")]
    Type(String),
    #[error("unexpected key '{key}' in '{field}'")]
    Key { key: String, field: String },
    #[error("invalid field '{0}': it must be a key=value pair")]
    Pair(String),
    #[error("invalid value {value:?} for {key}")]
    Value { key: String, value: String },
    #[error("'from' doesn't support variable expansion")]
    VariableInFrom,
    #[error("a {kind} mount takes no {key}")]
    Useless {
        kind: &'static str,
        key: &'static str,
    },
    #[error("a {0} mount needs a target")]
    NoTarget(&'static str),
    #[error("a secret mount needs an id, a source or a target")]
    NoSecret,
    #[error("a secret mount has either an id or a source")]
    TwoSecrets,
    #[error(transparent)]
    Expand(#[from] expand::Error),
}

impl Error {
    /// What to do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Type(_) => "the types are bind, cache, tmpfs, secret and ssh",
            Self::Key { .. } => {
                "the keys are type, from, source, target, ro, rw, required, size, id, sharing, mode, uid, gid and env"
            }
            Self::Pair(_) => "write key=value,key=value",
            Self::Value { .. } => {
                "sizes are as 64m, modes octal, sharing is shared, private or locked"
            }
            Self::VariableInFrom => "define an alias stage instead",
            Self::NoTarget(_) => "add target=PATH",
            Self::Useless { .. } | Self::NoSecret | Self::TwoSecrets | Self::Expand(_) => "",
        }
    }
}

impl MountKind {
    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// Checks what can be known before variables are.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    let mut has_variables = false;
    let mount = read(text, &mut |value| {
        if value.contains('$') {
            has_variables = true;
            return Ok(None);
        }
        Ok(Some(unquoted(value)))
    })?;
    if has_variables { Ok(()) } else { mount.check() }
}

/// Reads a mount, its values expanded.
pub(crate) fn parse(
    text: &str,
    expand: &mut dyn FnMut(&str) -> Result<String, expand::Error>,
) -> Result<Mount, Error> {
    let mount = read(text, &mut |value| expand(value).map(Some))?;
    mount.check()?;
    Ok(mount)
}

/// The stage, image or context that a mount names.
pub(crate) fn from(text: &str) -> Option<String> {
    let value = |field: String| {
        let (key, value) = field.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("from")
            .then(|| unquoted(value))
    };
    fields(text).into_iter().filter_map(value).next_back()
}

/// Reads the fields; `value_of` gives a value, or none for one to leave out.
fn read(
    text: &str,
    value_of: &mut dyn FnMut(&str) -> Result<Option<String>, expand::Error>,
) -> Result<Mount, Error> {
    let mut mount = Mount::default();
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let key = key.trim().to_ascii_lowercase();
        if key == "from" && value.is_some_and(has_variable) {
            return Err(Error::VariableInFrom);
        }
        let value = match value {
            Some(value) => match value_of(value)? {
                Some(value) => Some(value),
                None => continue,
            },
            None => None,
        };
        mount.set(&key, value, &field)?;
    }
    Ok(mount)
}

/// Fields between commas; quotes hide a comma.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quote = None;
    for next in text.chars() {
        match (quote, next) {
            (None, ',') => {
                fields.push(String::new());
                continue;
            }
            (None, '"' | '\'') => quote = Some(next),
            (Some(open), _) if open == next => quote = None,
            (None | Some(_), _) => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push(next);
        }
    }
    // A whole field in quotes: `"source=a,b"`.
    let strip = |field: String| {
        let inner = field.strip_prefix('"').and_then(|f| f.strip_suffix('"'));
        match inner {
            Some(inner) if !inner.contains('"') => inner.to_owned(),
            Some(_) | None => field,
        }
    };
    fields.into_iter().map(strip).collect()
}

fn unquoted(value: &str) -> String {
    value.replace(['"', '\''], "")
}

fn has_variable(text: &str) -> bool {
    text.find('$').is_some_and(|at| at + 1 < text.len())
}

impl Mount {
    fn set(&mut self, key: &str, value: Option<String>, field: &str) -> Result<(), Error> {
        let Some(value) = value else {
            match key {
                "readonly" | "ro" => self.is_read_only = Some(true),
                "readwrite" | "rw" => self.is_read_only = Some(false),
                "required" => self.is_required = true,
                _ => return Err(Error::Pair(field.to_owned())),
            }
            return Ok(());
        };
        let refuse = || Error::Value {
            key: key.to_owned(),
            value: value.clone(),
        };
        let is_true = || truth(&value).ok_or_else(refuse);
        let number = || value.parse::<u32>().map_err(|_| refuse());
        match key {
            "type" => self.kind = kind(&value).ok_or_else(|| Error::Type(value.clone()))?,
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "readonly" | "ro" => self.is_read_only = Some(is_true()?),
            "readwrite" | "rw" => self.is_read_only = Some(!is_true()?),
            "required" => self.is_required = is_true()?,
            "size" => {
                let bytes = units::parse_bytes(&value).and_then(|n| u64::try_from(n).ok());
                self.size_bytes = Some(bytes.ok_or_else(refuse)?);
            }
            "id" if value.is_empty() => return Err(refuse()),
            "id" => self.id = Some(value),
            "sharing" => {
                self.sharing = Some(match value.as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(refuse()),
                });
            }
            "mode" => {
                let mode = u32::from_str_radix(&value, 8).ok();
                self.mode = Some(mode.filter(|m| *m <= 0o7777).ok_or_else(refuse)?);
            }
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "env" => self.env = Some(value),
            _ => {
                return Err(Error::Key {
                    key: key.to_owned(),
                    field: field.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What doesn't go together.
    fn check(&self) -> Result<(), Error> {
        let kind = self.kind.name();
        let useless = |is_there: bool, key| {
            if is_there {
                Err(Error::Useless { kind, key })
            } else {
                Ok(())
            }
        };
        let is = |kinds: &[MountKind]| kinds.contains(&self.kind);
        let has_owner = is(&[MountKind::Cache, MountKind::Secret, MountKind::Ssh]);
        useless(self.mode.is_some() && !has_owner, "mode")?;
        useless(self.uid.is_some() && !has_owner, "uid")?;
        useless(self.gid.is_some() && !has_owner, "gid")?;
        useless(
            self.sharing.is_some() && !is(&[MountKind::Cache]),
            "sharing",
        )?;
        useless(
            self.size_bytes.is_some() && !is(&[MountKind::Tmpfs]),
            "size",
        )?;
        useless(self.env.is_some() && !is(&[MountKind::Secret]), "env")?;
        let has_from = is(&[MountKind::Bind, MountKind::Cache]);
        useless(self.from.is_some() && !has_from, "from")?;
        useless(
            self.is_required && !is(&[MountKind::Secret, MountKind::Ssh]),
            "required",
        )?;
        let has_target = self
            .target
            .as_ref()
            .is_some_and(|target| !target.is_empty());
        match self.kind {
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs if !has_target => {
                Err(Error::NoTarget(kind))
            }
            MountKind::Secret if self.id.is_some() && self.source.is_some() => {
                Err(Error::TwoSecrets)
            }
            MountKind::Secret if self.id.is_none() && self.source.is_none() && !has_target => {
                Err(Error::NoSecret)
            }
            _ => Ok(()),
        }
    }
}

fn kind(text: &str) -> Option<MountKind> {
    let kinds = [
        MountKind::Bind,
        MountKind::Cache,
        MountKind::Tmpfs,
        MountKind::Secret,
        MountKind::Ssh,
    ];
    kinds.into_iter().find(|kind| kind.name() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<Mount, Error> {
        parse(text, &mut |value| {
            Ok(unquoted(value).replace("$x", "expanded"))
        })
    }

    #[test]
    fn every_type_has_its_keys() {
        let bind = mount("target=/t,from=stage,src=s,rw").unwrap();
        assert_eq!(
            (bind.kind, bind.is_read_only),
            (MountKind::Bind, Some(false))
        );
        assert_eq!(bind.from.as_deref(), Some("stage"));
        let cache = mount("type=cache,dst=/c,sharing=locked,id=$x,mode=0700,uid=1,gid=2").unwrap();
        assert_eq!(cache.id.as_deref(), Some("expanded"));
        assert_eq!(
            (cache.mode, cache.uid, cache.gid),
            (Some(0o700), Some(1), Some(2))
        );
        assert_eq!(cache.sharing, Some(Sharing::Locked));
        let tmpfs = mount("type=tmpfs,target=/t,size=1m").unwrap();
        assert_eq!(tmpfs.size_bytes, Some(1 << 20));
        let secret = mount("type=secret,id=s,required,env=S").unwrap();
        assert!(secret.is_required);
        assert_eq!(mount("type=ssh").unwrap().kind, MountKind::Ssh);
        let quoted = mount("type=bind,\"source=a,b\",target='/t'").unwrap();
        assert_eq!(quoted.source.as_deref(), Some("a,b"));
        assert_eq!(quoted.target.as_deref(), Some("/t"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, message) in [
            ("type=bnd,target=/t", "unsupported mount type \"bnd\""),
            ("target=/t,foo=1", "unexpected key 'foo' in 'foo=1'"),
            (
                "target=/t,foo",
                "invalid field 'foo': it must be a key=value pair",
            ),
            ("type=bind", "a bind mount needs a target"),
            ("type=cache", "a cache mount needs a target"),
            (
                "type=secret",
                "a secret mount needs an id, a source or a target",
            ),
            (
                "type=secret,id=a,source=b",
                "a secret mount has either an id or a source",
            ),
            ("type=bind,target=/t,mode=7", "a bind mount takes no mode"),
            ("type=tmpfs,target=/t,from=a", "a tmpfs mount takes no from"),
            (
                "type=bind,target=/t,sharing=locked",
                "a bind mount takes no sharing",
            ),
            (
                "type=cache,target=/t,sharing=x",
                "invalid value \"x\" for sharing",
            ),
            (
                "type=cache,target=/t,mode=9",
                "invalid value \"9\" for mode",
            ),
            (
                "type=cache,target=/t,uid=-1",
                "invalid value \"-1\" for uid",
            ),
            (
                "type=tmpfs,target=/t,size=big",
                "invalid value \"big\" for size",
            ),
            (
                "target=/t,from=$x",
                "'from' doesn't support variable expansion",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err().to_string(), message, "{text}");
            assert_eq!(check(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn variables_are_waited_for() {
        assert_eq!(check("type=$x"), Ok(()));
        assert_eq!(check("type=cache,target=$x,mode=$y"), Ok(()));
        assert!(check("type=cache,target=$x,mode=9").is_err());
    }
}
