#!/bin/bash
# Entry point of the example's Redis image: options go to redis-server, which
# runs as the user redis on a data folder that it owns.
set -euo pipefail

[[ ${1:-} != -* && ${1:-} != *.conf ]] || set -- redis-server "$@"
if [[ ${1:-} = redis-server && $EUID = 0 ]]; then
  find . ! -user redis -exec chown redis:redis {} +
  exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi
if [[ ${1:-} = redis-server ]]; then
  # Clients of other containers come in without a password, as with the official image.
  set -- "$@" --protected-mode no
  umask 077
fi
exec "$@"
