//! Life under the name `docker`: the client's own commands in our words.
//!
//! Programs that call `docker container inspect` or `docker ps` beside
//! `docker compose` find the same things here, without an Engine. Pure: argv
//! in, argv out.

use std::ffi::OsString;
use std::path::Path;

use crate::cli::plugin::client_flags;

/// The client's commands whose noun is left out.
const OF_CONTAINERS: [&str; 18] = [
    "attach", "commit", "cp", "exec", "export", "kill", "logs", "pause", "port", "restart", "rm",
    "run", "start", "stats", "stop", "top", "unpause", "wait",
];
const OF_IMAGES: [&str; 8] = [
    "build", "history", "import", "load", "pull", "push", "save", "tag",
];
/// Commands of the client alone.
const OWN: [&str; 4] = ["events", "inspect", "version", "buildx"];

/// Argv as we read it, when it is the docker client's.
pub(crate) fn translate(args: Vec<OsString>) -> Vec<OsString> {
    let program = args.first().map(Path::new).and_then(Path::file_name);
    if program.is_none_or(|name| name != "docker") {
        return args;
    }
    let asks_us = args.get(1).and_then(|word| word.to_str());
    if asks_us.is_some_and(|word| word.starts_with("__complete")) {
        return args;
    }
    let at = client_flags(&args);
    let Some(command) = args.get(at).and_then(|word| word.to_str()) else {
        return args;
    };
    let words: &[&str] = match command {
        "compose" => &[],
        "-v" | "--version" => &["docker", "version", "--line"],
        "ps" => &["container", "ls"],
        "images" => &["image", "ls"],
        "rmi" => &["image", "rm"],
        "info" => &["system", "info"],
        _ if OF_CONTAINERS.contains(&command) => &["container", command],
        _ if OF_IMAGES.contains(&command) => &["image", command],
        _ if OWN.contains(&command) => &["docker", command],
        _ => &[command],
    };
    let mut own: Vec<OsString> = args.iter().take(1).cloned().collect();
    own.extend(words.iter().map(OsString::from));
    own.extend(args.iter().skip(at + 1).cloned());
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let own = translate(args).into_iter().skip(1);
        let own: Vec<String> = own.map(|word| word.into_string().unwrap()).collect();
        own.join(" ")
    }

    #[test]
    fn the_client_s_commands_are_ours_with_a_noun() {
        for (line, own) in [
            ("docker ps -a", "container ls -a"),
            (
                "/usr/bin/docker --context x exec -i c sh",
                "container exec -i c sh",
            ),
            ("docker compose -f a up -d", "-f a up -d"),
            ("docker -H tcp://x compose ps", "ps"),
            ("docker volume ls", "volume ls"),
            ("docker images", "image ls"),
            (
                "docker inspect --type image a",
                "docker inspect --type image a",
            ),
            ("docker -v", "docker version --line"),
            ("docker login", "login"),
            ("rcompose ps -a", "ps -a"),
            ("docker-compose exec web sh", "exec web sh"),
        ] {
            assert_eq!(words(line), own, "{line}");
        }
    }
}
