//! The last part of every start: from a process that stands in its sandbox to
//! the user's program.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::{ProcessSpec, Rlimit};
use crate::runtime::channel::Channel;
use crate::runtime::error::{Error, NOT_EXECUTABLE, NOT_FOUND, Step};
use crate::runtime::seccomp;
use crate::runtime::streams::{self, Stdio};
use crate::runtime::user::{self, Identity};
use crate::sys::fs::OFlags;
use crate::sys::{caps, exec, fs, init};

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes read of a passwd or group file at most.
const USER_FILE_BYTES_MAX: usize = 8 << 20;

/// Resolves the process's user in the files of the container's root.
pub(crate) fn identify(process: &ProcessSpec, root: BorrowedFd<'_>) -> Result<Identity, Error> {
    let read = |path: &str| {
        fs::read_in_root(root, path, USER_FILE_BYTES_MAX)
            .map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
            .step(|| format!("read of /{path} in the container"))
    };
    let (passwd, group) = (read("etc/passwd")?, read("etc/group")?);
    user::resolve(&process.user, &process.groups, &passwd, &group)
        .map_err(|error| Error::because(format!("user {:?}", process.user), error.to_string()))
}

/// Everything that the last part needs.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The program.
    pub(crate) process: &'a ProcessSpec,
    /// Whom it runs as.
    pub(crate) identity: Identity,
    /// Its streams.
    pub(crate) stdio: Stdio,
    /// The container's null device, for streams that have nothing else.
    pub(crate) null: OwnedFd,
    /// A procfs of its pid namespace.
    pub(crate) proc: OwnedFd,
    /// The init program that runs it as its child, if there is one.
    pub(crate) init: Option<OwnedFd>,
}

impl Launch<'_> {
    /// Becomes the program. The working folder is set by now.
    pub(crate) fn run(self, channel: &Channel) -> Error {
        match self.prepare(channel) {
            Ok(program) => program.execute(),
            Err(error) => error,
        }
    }

    fn prepare(self, channel: &Channel) -> Result<Program, Error> {
        let Self {
            process,
            identity,
            stdio,
            null,
            proc,
            init,
        } = self;
        let environment = strings(&environment(process, &identity), "environment")?;
        let filter = seccomp::filter(process)?;
        let master = streams::connect(stdio, null.as_fd(), identity.uid)?;
        drop(null);
        set_limits(process, proc.as_fd())?;
        drop(proc);
        exec::reset_affinity().step(|| "CPU affinity".to_owned())?;
        exec::reset_signals().step(|| "signals".to_owned())?;
        exec::set_umask(0o022);
        let own = take_user(process, &identity)?;
        let path = find(process)?;
        let arguments = match &init {
            None => strings(&process.argv, "arguments")?,
            Some(_) => {
                let before = [init::NAME.as_bytes(), path.as_bytes()];
                let all: Vec<&[u8]> = before
                    .into_iter()
                    .chain(process.argv.iter().map(String::as_bytes))
                    .collect();
                strings(&all, "arguments")?
            }
        };
        if channel.is_closed() {
            return Err(Error::because("start", "the starter is gone"));
        }
        channel
            .ready(master)
            .step(|| "answer to the starter".to_owned())?;
        // No descriptor is left that a path like /proc/self/fd/5/… could lead through.
        let mut kept = vec![channel.as_fd()];
        kept.extend(init.as_ref().map(AsFd::as_fd));
        exec::keep_only(&kept).step(|| "closing of descriptors".to_owned())?;
        // From here on a profile may refuse any call but the two that follow it.
        if let Some(filter) = filter {
            filter.install()?;
        }
        caps::set(own).step(|| "capabilities".to_owned())?;
        Ok(Program {
            name: process.argv.first().cloned().unwrap_or_default(),
            file: match init {
                Some(init) => File::Init(init),
                None => File::Path(path),
            },
            arguments,
            environment,
        })
    }
}

struct Program {
    name: String,
    file: File,
    arguments: exec::Strings,
    environment: exec::Strings,
}

enum File {
    /// In the container.
    Path(CString),
    /// Our init, open.
    Init(OwnedFd),
}

impl Program {
    fn execute(&self) -> Error {
        match &self.file {
            File::Path(path) => {
                let error = exec::execute(path, &self.arguments, &self.environment);
                unusable(&self.name, error)
            }
            File::Init(init) => {
                let error = exec::execute_file(init.as_fd(), &self.arguments, &self.environment);
                Error::new("exec of the init program", error)
            }
        }
    }
}

/// Docker's words and codes for a program that can't be run.
fn unusable(name: &str, error: io::Error) -> Error {
    let exit_code = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    Error::new(format!("exec: {name:?}"), error).with_exit_code(exit_code)
}

fn strings<T: AsRef<[u8]>>(texts: &[T], what: &str) -> Result<exec::Strings, Error> {
    exec::Strings::new(texts.iter().map(AsRef::as_ref))
        .map_err(|_| Error::because(what, "a text holds a zero byte"))
}

/// The environment, with HOME when it is missing.
fn environment(process: &ProcessSpec, identity: &Identity) -> Vec<String> {
    let mut lines: Vec<String> = process
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !process.env.iter().any(|(key, _)| key == "HOME") {
        lines.push(format!("HOME={}", identity.home));
    }
    lines
}

fn set_limits(process: &ProcessSpec, proc: BorrowedFd<'_>) -> Result<(), Error> {
    for Rlimit { name, soft, hard } in &process.rlimits {
        let step = || format!("limit {name}={soft}:{hard}");
        let number = exec::limit_number(name)
            .ok_or_else(|| Error::because(step(), "there is no such limit"))?;
        // -1 becomes the kernel's "unlimited", which is all ones.
        exec::set_limit(number, soft.cast_unsigned(), hard.cast_unsigned()).step(step)?;
    }
    let adjustment = process.oom_score_adj.unwrap_or(0).to_string();
    let path = format!("{}/oom_score_adj", std::process::id());
    let written = fs::open_plain(proc, path, OFlags::WRONLY)
        .and_then(|file| fs::write_value(file.as_fd(), adjustment.as_bytes()));
    match written {
        // Without the right to lower it, the caller's own is the lowest there is.
        Err(error)
            if process.oom_score_adj.is_none()
                && error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(())
        }
        written => written.step(|| format!("oom_score_adj {adjustment}")),
    }
}

/// Takes up user and groups, for good, and bounds the capabilities. Gives the
/// sets to take up last: a filter can't be installed with less than this keeps.
fn take_user(process: &ProcessSpec, identity: &Identity) -> Result<caps::Sets, Error> {
    let step = || "capabilities".to_owned();
    let permitted = caps::get().step(step)?.permitted;
    caps::bound(process.capabilities).step(step)?;
    caps::keep_across_user_change(true).step(step)?;
    exec::set_user(identity.uid, identity.gid, &identity.groups)
        .step(|| format!("user {}:{}", identity.uid, identity.gid))?;
    caps::keep_across_user_change(false).step(step)?;
    if process.no_new_privileges {
        exec::forbid_new_privileges().step(|| "no_new_privileges".to_owned())?;
    }
    let own = if identity.uid == 0 {
        process.capabilities & permitted
    } else {
        0
    };
    // As the user, so that the program is found (or not) with the user's rights.
    caps::set(caps::Sets {
        effective: own | (caps::SYS_ADMIN & permitted),
        permitted: own | (caps::SYS_ADMIN & permitted),
        inheritable: 0,
    })
    .step(step)?;
    Ok(caps::Sets {
        effective: own,
        permitted: own,
        inheritable: 0,
    })
}

/// Finds the program as a shell would.
fn find(process: &ProcessSpec) -> Result<CString, Error> {
    let name = process.argv.first().map(String::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Error::because("exec", "no command specified"));
    }
    let c_string = |path: String| {
        CString::new(path).map_err(|_| Error::because("arguments", "a text holds a zero byte"))
    };
    if name.contains('/') {
        let path = c_string(name.to_owned())?;
        return match exec::executable(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(unusable(name, error)),
        };
    }
    let variable = process.env.iter().rev().find(|(key, _)| key == "PATH");
    let folders = variable.map_or(DEFAULT_PATH, |(_, value)| value);
    for folder in folders.split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        let path = c_string(format!("{folder}/{name}"))?;
        if exec::executable(&path).is_ok() {
            return Ok(path);
        }
    }
    Err(Error::because(
        format!("exec: {name:?}"),
        "executable file not found in $PATH",
    )
    .with_exit_code(NOT_FOUND))
}

/// Makes `cwd` the working folder, resolved inside `root` and never through a
/// magic link, which could lead to a descriptor of the host's.
pub(crate) fn enter_folder(cwd: &str, root: BorrowedFd<'_>) -> Result<(), Error> {
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    fs::open_in_root(root, cwd, OFlags::PATH | OFlags::DIRECTORY)
        .and_then(fs::enter)
        .step(|| format!("working folder {cwd}"))
        .map_err(|error| error.with_exit_code(NOT_FOUND))
}
