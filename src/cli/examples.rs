//! An example of every command, as its help and the reference show it.

/// Commands by their words, each with a line that somebody may have typed.
const EXAMPLES: &[(&str, &str)] = &[
    ("attach", "rcompose attach web"),
    ("build", "rcompose build --build-arg VERSION=2 web"),
    ("builder", "rcompose builder df"),
    ("builder df", "rcompose builder df"),
    ("builder prune", "rcompose builder prune --all"),
    ("commit", "rcompose commit -m 'with fixtures' db db:seeded"),
    (
        "config",
        "rcompose config --format json | jq '.services | keys'",
    ),
    ("container", "rcompose container run --rm -it alpine sh"),
    ("container attach", "rcompose container attach shop-repl-1"),
    (
        "container commit",
        "rcompose container commit shop-db-1 db:seeded",
    ),
    (
        "container cp",
        "rcompose container cp shop-web-1:/etc/nginx/nginx.conf .",
    ),
    ("container diff", "rcompose container diff shop-web-1"),
    (
        "container export",
        "rcompose container export -o web.tar shop-web-1",
    ),
    ("container pause", "rcompose container pause shop-web-1"),
    ("container top", "rcompose container top shop-web-1"),
    ("container unpause", "rcompose container unpause shop-web-1"),
    (
        "container exec",
        "rcompose container exec -it shop-web-1 sh",
    ),
    (
        "container inspect",
        "rcompose container inspect -f '{{.State.Health.Status}}' shop-db-1",
    ),
    (
        "container kill",
        "rcompose container kill -s HUP shop-web-1",
    ),
    (
        "container logs",
        "rcompose container logs --tail 20 -f shop-web-1",
    ),
    (
        "container ls",
        "rcompose container ls -a --filter status=exited",
    ),
    ("container port", "rcompose container port shop-web-1 80"),
    ("container prune", "rcompose container prune --force"),
    (
        "container rename",
        "rcompose container rename scratch keeper",
    ),
    (
        "container update",
        "rcompose container update --memory 512m --restart always shop-db-1",
    ),
    (
        "container restart",
        "rcompose container restart -t 3 shop-web-1",
    ),
    ("container rm", "rcompose container rm -f scratch"),
    (
        "container run",
        "rcompose container run --rm -p 8080:80 -v ./site:/www nginx",
    ),
    ("container start", "rcompose container start shop-web-1"),
    ("container stats", "rcompose container stats --no-stream"),
    ("container stop", "rcompose container stop -t 3 shop-web-1"),
    ("container wait", "rcompose container wait shop-migrate-1"),
    ("completion", "source <(rcompose completion bash)"),
    ("cp", "rcompose cp db:/var/lib/postgresql/data/pg.log ."),
    ("create", "rcompose create --force-recreate web"),
    ("down", "rcompose down --volumes --remove-orphans"),
    (
        "env",
        "eval \"$(rcompose env)\" && psql -h $DB_HOST -p $DB_PORT",
    ),
    ("events", "rcompose events --json"),
    ("exec", "rcompose exec -T db pg_dump shop > shop.sql"),
    ("export", "rcompose export -o web.tar web"),
    ("gc", "rcompose gc --dry-run"),
    ("image", "rcompose image ls"),
    ("image build", "rcompose image build -t web:dev ."),
    ("image export", "rcompose image export -o rootfs.tar nginx"),
    ("image history", "rcompose image history nginx"),
    (
        "image import",
        "rcompose image import -c 'CMD [\"sh\"]' rootfs.tar busybox:local",
    ),
    (
        "image inspect",
        "rcompose image inspect -f '{{.Architecture}}' nginx",
    ),
    ("image load", "rcompose image load -i images.tar"),
    ("image ls", "rcompose image ls --filter dangling=true"),
    ("image prune", "rcompose image prune --all"),
    ("image pull", "rcompose image pull nginx:1.27"),
    (
        "image push",
        "rcompose image push registry.example.com/shop/web:2",
    ),
    ("image rm", "rcompose image rm nginx:1.26"),
    (
        "image save",
        "rcompose image save -o images.tar nginx redis",
    ),
    (
        "image tag",
        "rcompose image tag web:dev registry.example.com/shop/web:2",
    ),
    ("images", "rcompose images --format json"),
    ("install", "rcompose install"),
    ("kill", "rcompose kill -s HUP web"),
    ("lock", "rcompose lock && git add rcompose.lock"),
    ("login", "rcompose login registry.example.com"),
    ("logout", "rcompose logout registry.example.com"),
    ("logs", "rcompose logs -f --tail 20 web db"),
    ("ls", "rcompose ls --all --format json"),
    ("man", "rcompose man | man -l -"),
    ("network", "rcompose network ls"),
    (
        "network create",
        "rcompose network create --subnet 10.9.0.0/24 shared",
    ),
    (
        "network inspect",
        "rcompose network inspect -f '{{range .Containers}}{{.Name}} {{end}}' shared",
    ),
    (
        "network ls",
        "rcompose network ls --filter label=com.docker.compose.project=shop",
    ),
    ("network prune", "rcompose network prune --force"),
    ("network rm", "rcompose network rm shared"),
    ("pause", "rcompose pause web"),
    ("plan", "rcompose plan --format json web"),
    ("port", "rcompose port web 80"),
    ("ps", "rcompose ps -a --format '{{.Name}}: {{.Status}}'"),
    ("publish", "rcompose publish registry.example.com/shop:1"),
    ("pull", "rcompose pull --ignore-pull-failures"),
    ("push", "rcompose push web"),
    ("restart", "rcompose restart --no-deps web"),
    ("rm", "rcompose rm --stop --force web"),
    ("run", "rcompose run --rm web python manage.py migrate"),
    ("scale", "rcompose scale web=3"),
    ("start", "rcompose start web"),
    ("stats", "rcompose stats --no-stream"),
    ("stop", "rcompose stop -t 3 web"),
    ("system", "rcompose system info"),
    ("system df", "rcompose system df -v"),
    ("system disable", "rcompose system disable"),
    ("system enable", "rcompose system enable"),
    ("system gc", "rcompose system gc --dry-run"),
    ("system info", "rcompose system info --format json"),
    ("system prune", "rcompose system prune --volumes"),
    ("system resume", "rcompose system resume"),
    ("system suspend", "rcompose system suspend"),
    ("test", "rcompose test -- pytest -x tests/integration"),
    ("top", "rcompose top web"),
    ("unpause", "rcompose unpause web"),
    ("up", "rcompose up -d --wait --build web"),
    ("version", "rcompose version --short"),
    ("volume", "rcompose volume ls"),
    (
        "volume create",
        "rcompose volume create --label team=db pgdata",
    ),
    (
        "volume inspect",
        "rcompose volume inspect -f '{{.Mountpoint}}' pgdata",
    ),
    ("volume ls", "rcompose volume ls --filter dangling=true"),
    (
        "volume prune",
        "rcompose volume prune --all --filter label=temporary",
    ),
    ("volume rm", "rcompose volume rm pgdata"),
    ("volumes", "rcompose volumes --format json"),
    ("wait", "rcompose wait migrate"),
    ("watch", "rcompose watch --no-up web"),
    ("watch", "rcompose watch --no-up web"),
];

/// The example of the command that these words lead to, without `rcompose`.
pub(crate) fn of(words: &str) -> Option<&'static str> {
    let found = EXAMPLES.iter().find(|(command, _)| *command == words);
    found.map(|(_, example)| *example)
}

/// The commands below `command`, itself included, each with its example.
pub(crate) fn add(command: clap::Command) -> clap::Command {
    below(command, "")
}

fn below(mut command: clap::Command, words: &str) -> clap::Command {
    if let Some(example) = of(words) {
        command = command.after_help(format!("Example:\n  {example}"));
    }
    command.mut_subcommands(|child| {
        let name = child.get_name();
        let words = if words.is_empty() {
            name.to_owned()
        } else {
            format!("{words} {name}")
        };
        below(child, &words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::whole;

    fn visit(command: &clap::Command, words: &str, lacking: &mut Vec<String>) {
        for child in command
            .get_subcommands()
            .filter(|child| !child.is_hide_set())
        {
            let words = format!("{words} {}", child.get_name()).trim().to_owned();
            if of(&words).is_none() {
                lacking.push(words.clone());
            }
            visit(child, &words, lacking);
        }
    }

    #[test]
    fn every_command_has_an_example() {
        let mut lacking = Vec::new();
        visit(&whole(), "", &mut lacking);
        assert!(
            lacking.is_empty(),
            "no example in cli/examples.rs: {lacking:?}"
        );
    }

    #[test]
    fn an_example_is_of_its_command() {
        for (words, example) in EXAMPLES {
            assert!(example.contains("rcompose"), "{example}");
            let command = words.split(' ').next().unwrap();
            assert!(example.contains(command), "{words}: {example}");
        }
    }
}
