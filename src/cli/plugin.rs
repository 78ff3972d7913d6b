//! Life as the docker client's plugin `docker-compose`.
//!
//! The client asks for metadata, then calls us as `docker-compose [its own
//! flags] compose ARGS…`. What it adds is taken away here, so that nothing
//! behind this file knows who called.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};

use crate::cli::environment::Environment;
use crate::model::Signal;
use crate::sys;

/// The word with which the client asks who we are.
const METADATA: &str = "docker-cli-plugin-metadata";

/// The client's own flags that may stand before `compose` and take a value.
const VALUED: [&str; 10] = [
    "--config",
    "-c",
    "--context",
    "-H",
    "--host",
    "-l",
    "--log-level",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
];
/// Its own flags without a value.
const BARE: [&str; 4] = ["-D", "--debug", "--tls", "--tlsverify"];

/// What the client reads about us; None when it doesn't ask.
pub(crate) fn metadata(args: &[OsString]) -> Option<String> {
    (args.get(1)? == METADATA).then(|| {
        let metadata = serde_json::json!({
            "SchemaVersion": "0.1.0",
            "Vendor": "rcompose",
            "Version": concat!("v", env!("CARGO_PKG_VERSION")),
            "ShortDescription": "Compose projects without a daemon",
        });
        format!("{metadata}\n")
    })
}

/// Ends this process in the orderly way when the client that called us goes:
/// it keeps a socket open as long as it wants us, and an interrupt that isn't
/// ours (`kill` of the client) closes it.
pub(crate) fn end_with_client(environment: &Environment) {
    let Some(socket) = environment.non_empty("DOCKER_CLI_PLUGIN_SOCKET") else {
        return;
    };
    let connected = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixStream::connect_addr(&address)),
        None => UnixStream::connect(socket),
    };
    let Ok(mut stream) = connected else {
        // A client that doesn't listen can't call us back.
        return;
    };
    std::thread::spawn(move || {
        let mut byte = [0];
        // Nothing is ever sent; an error ends it as well.
        while matches!(stream.read(&mut byte), Ok(count) if count > 0) {}
        if let Ok(own) = sys::process::own_identity() {
            let _ = sys::process::kill(&own, Signal::TERM.number());
        }
    });
}

/// Argv without what the client put before our own words.
pub(crate) fn own_args(args: Vec<OsString>) -> Vec<OsString> {
    match position_of_compose(&args) {
        Some(at) => {
            let mut own: Vec<OsString> = args.iter().take(1).cloned().collect();
            own.extend(args.into_iter().skip(at + 1));
            own
        }
        None => args,
    }
}

/// Where `compose` stands when only the client's flags stand before it.
fn position_of_compose(args: &[OsString]) -> Option<usize> {
    let at = client_flags(args);
    args.get(at).filter(|word| *word == "compose").map(|_| at)
}

/// Where the first word stands behind the program's name that is none of the
/// client's own flags.
pub(crate) fn client_flags(args: &[OsString]) -> usize {
    let mut words = args.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        let Some(word) = word.to_str() else { return at };
        let (name, has_value) = match word.split_once('=') {
            Some((name, _)) => (name, true),
            None => (word, false),
        };
        if VALUED.contains(&name) {
            if !has_value {
                words.next();
            }
        } else if !BARE.contains(&name) {
            return at;
        }
    }
    args.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(words: &[&str]) -> Vec<String> {
        let args = std::iter::once(&"docker-compose")
            .chain(words)
            .map(OsString::from)
            .collect();
        own_args(args)
            .into_iter()
            .skip(1)
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_client_s_words_are_taken_away() {
        assert_eq!(own(&["compose", "-f", "x", "up"]), ["-f", "x", "up"]);
        assert_eq!(
            own(&[
                "--context",
                "default",
                "-D",
                "--host=unix:///x",
                "compose",
                "ps"
            ]),
            ["ps"]
        );
    }

    #[test]
    fn our_own_words_stay() {
        assert_eq!(own(&["-f", "compose", "up"]), ["-f", "compose", "up"]);
        assert_eq!(own(&["exec", "web", "compose"]), ["exec", "web", "compose"]);
        assert_eq!(own(&["-p", "compose"]), ["-p", "compose"]);
        assert!(own(&[]).is_empty());
    }

    #[test]
    fn the_client_learns_who_we_are() {
        let args = [OsString::from("docker-compose"), OsString::from(METADATA)];
        let metadata: serde_json::Value = serde_json::from_str(&metadata(&args).unwrap()).unwrap();
        assert_eq!(metadata.get("SchemaVersion").unwrap(), "0.1.0");
        assert!(metadata.get("Vendor").is_some());
    }
}
