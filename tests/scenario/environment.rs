//! Which value of a variable wins.

use crate::support::{exits, prints_exactly, rcompose, says, scenario, shell, state};

#[test]
fn priorities() {
    scenario(
        "run -e beats environment beats env_file beats nothing",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    env_file: [web.env]
    environment:
      A: ${A:-default}
      PASSED:
      UNSET:
  other:
    image: busybox:local
    command: [sleep, '1000']
    env_file: [missing.env]
    profiles: [other]
",
            );
            s.file("web.env", "A=file\nB=file # a comment\nC=\"$D\"\n");
            s.file(".env", "A=dotenv\nD=dotenv\nE=dotenv\n");
            let case = |script: &str, words: &str| (script.to_owned(), words.to_owned());
            for (script, words) in [
                case(
                    "$RCOMPOSE run --rm -T web sh -c 'echo $A $B $C'",
                    "dotenv file dotenv\n",
                ),
                case(
                    "A=shell $RCOMPOSE run --rm -T web sh -c 'echo $A'",
                    "shell\n",
                ),
                case(
                    "A=shell $RCOMPOSE run --rm -T -e A=flag web sh -c 'echo $A'",
                    "flag\n",
                ),
                case("$RCOMPOSE run --rm -T -e E web sh -c 'echo $E'", "dotenv\n"),
                case(
                    "A=shell $RCOMPOSE run --rm -T -e A web sh -c 'echo $A'",
                    "shell\n",
                ),
                case(
                    "PASSED=on $RCOMPOSE run --rm -T web sh -c 'echo $PASSED ${UNSET-unset}'",
                    "on unset\n",
                ),
                case(
                    "echo F=flag >run.env; $RCOMPOSE run --rm -T --env-from-file run.env web sh -c 'echo $F'",
                    "flag\n",
                ),
                case(
                    "echo A=other >other.env; $RCOMPOSE --env-file other.env run --rm -T web sh -c 'echo $A'",
                    "other\n",
                ),
            ] {
                let quiet = format!("{{ {script}; }} 2>err || {{ cat err; exit 1; }}");
                s.step(&script, shell(&quiet), [exits(0), prints_exactly(&words)]);
            }
            s.step(
                "a missing env_file of another service hurts nobody",
                rcompose("up -d"),
                [exits(0), state("web", "running")],
            );
            s.step(
                "but its own",
                rcompose("up -d other"),
                [exits(1), says("missing.env")],
            );
            s.step(
            "ps, logs, exec, down",
            shell("$RCOMPOSE ps -q web >/dev/null; $RCOMPOSE logs web; $RCOMPOSE exec -T web sh -c 'echo $A'"),
            [exits(0), prints_exactly("dotenv\n")],
        );
        },
    );
}
