# The docker client calls us as its plugin, with no Engine behind it.
set -eu
docker compose version --short | grep -E '^[0-9]+\.[0-9]+\.[0-9]+$'
docker --context default compose -f compose.yaml up -d --wait 2>up.log
grep -E '^ Container demo-web-1 +(Healthy|Started)' up.log >/dev/null
test "$(docker compose ps --services | sort | tr '\n' ' ')" = 'db web '
test "$(docker compose exec -T web cat /www/index.html)" = hello
docker compose exec -T web sh -c 'exit 7' && exit 1 || test $? = 7
docker --log-level error compose port web 80 | grep -E '^127.0.0.1:[0-9]+$'
# Completion goes through the client too.
docker __complete compose exec w 2>/dev/null | grep -x 'web'
docker __complete compose up --force 2>/dev/null | grep '^--force-recreate'
# An unknown flag is refused with the client's code and our words.
docker compose up --nonsense 2>bad.log && exit 1 || true
grep 'unknown flag: --nonsense' bad.log
# A client that is told to end takes the command along.
docker compose logs -f web >follow.log 2>&1 &
client=$!
for _ in $(seq 300); do grep -q serving follow.log && break; sleep 0.1; done
kill -TERM $client
wait $client || true
follows() { for p in /proc/[0-9]*; do tr '\0' ' ' <"$p/cmdline" 2>/dev/null; echo; done | grep -q '[l]ogs -f web'; }
for _ in $(seq 300); do follows || break; sleep 0.1; done
! follows
docker compose down -v --timeout 0
test -z "$(docker compose ls -a -q)"
echo 'docker client: plugin'
