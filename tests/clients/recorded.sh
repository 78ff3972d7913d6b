# Command lines recorded from programs that can't run here, replayed word for
# word: dockge, lando, ddev and lazydocker. What each reads of the answer is held.
set -eu
compose() { "$RCOMPOSE" "$@"; }

# dockge: one JSON.parse of all of stdout, and `ls` with its states.
compose up -d --remove-orphans
compose ps --format json | python3 -c 'import json,sys; rows=[json.loads(l) for l in sys.stdin]; assert {r["Service"] for r in rows} == {"web","db"}, rows; assert all(r["State"] == "running" and "Health" in r for r in rows)'
compose ls --all --format json | python3 -c 'import json,sys; (row,)=json.load(sys.stdin); assert row["Name"] == "demo" and row["Status"] == "running(2)", row; assert row["ConfigFiles"].endswith("/compose.yaml")'
compose stop
compose ls --all --format json | python3 -c 'import json,sys; (row,)=json.load(sys.stdin); assert row["Status"] == "exited(2)", row'
compose restart
compose down --remove-orphans
echo 'A=1' >.env.dockge
compose --env-file .env.dockge up -d --remove-orphans
compose --env-file .env.dockge down --remove-orphans

# lando: a project by name, files given, exec with everything.
lando() { compose --project-name demo --file "$PWD/compose.yaml" "$@"; }
lando up --detach --no-recreate --remove-orphans
test "$(lando ps --quiet | wc -l)" = 2
lando ps --quiet | grep -E '^[0-9a-f]{64}$' >/dev/null
test "$(lando exec -T --env LANDO=1 --user root --workdir /tmp web sh -c 'echo $LANDO $(id -un) $PWD')" = '1 root /tmp'
lando logs | grep serving >/dev/null
lando kill
lando rm --force -v
lando down --remove-orphans -v

# ddev: the file on stdin, and plain progress that its own filter reads.
test "$(COMPOSE_DISABLE_ENV_FILE=1 compose version --short | tr . '\n' | wc -l)" = 3
ddev() { COMPOSE_DISABLE_ENV_FILE=1 compose -p demo -f - "$@" <compose.yaml; }
ddev up -d --progress plain 2>/dev/null || ddev up -d 2>progress.log
ddev stop 2>>progress.log
ddev down 2>>progress.log
grep -vE '^ (Network|Container|Image|Volume|Service) [^ ]+ +(Creating|Created|Starting|Started|Stopping|Stopped|Removing|Removed|Running|Waiting|Healthy|Exited) ?$' progress.log >other.log || true
test ! -s other.log || { cat other.log; exit 1; }
compose -p demo down -v

# lazydocker: its command templates.
compose config --quiet
compose config >/dev/null
compose up -d
compose up -d --force-recreate web
compose restart web
compose stop web
compose up -d web
until compose logs --tail=300 web | grep serving >/dev/null; do sleep 0.1; done
"$RCOMPOSE" logs --since=60m --follow web >follow.log &
until grep serving follow.log >/dev/null; do sleep 0.1; done
kill $! && wait $! || true
compose top web | grep httpd >/dev/null
compose rm --stop --force web
compose down -v --timeout 0
echo 'recorded: all lines'
