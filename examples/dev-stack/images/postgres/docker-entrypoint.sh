#!/bin/bash
# Entry point of the example's Postgres image. It takes the official image's
# variables (POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS,
# POSTGRES_HOST_AUTH_METHOD, PGDATA; the first three also as NAME_FILE) and its
# folder /docker-entrypoint-initdb.d. Anything but `postgres` is run as it is.
set -euo pipefail
shopt -s nullglob

init_folder=/docker-entrypoint-initdb.d

fail() { echo "entrypoint: $*" >&2; exit 1; }

# setting NAME DEFAULT: sets NAME from NAME_FILE, itself or the default.
setting() {
  local name=$1 file=$1_FILE
  if [[ -n ${!file:-} ]]; then
    [[ -z ${!name:-} ]] || fail "$name and $file are both set"
    printf -v "$name" %s "$(<"${!file}")"
  else
    printf -v "$name" %s "${!name:-$2}"
  fi
  unset "$file"
}

# Runs a statement or file given as psql's arguments on the temporary server.
query() {
  psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password "$@"
}

# The temporary server listens on its local socket only.
start_temporary() {
  pg_ctl --pgdata "$PGDATA" --wait --silent --options "-c listen_addresses= -p 5432" start
}

run_init_files() {
  local file
  for file in "$init_folder"/*; do
    case $file in
      *.sh) echo "entrypoint: running $file"; if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) echo "entrypoint: running $file"; query --dbname "$POSTGRES_DB" --file "$file" ;;
      *.sql.gz) echo "entrypoint: running $file"; gunzip --stdout "$file" | query --dbname "$POSTGRES_DB" ;;
      *) echo "entrypoint: ignoring $file" ;;
    esac
  done
}

create_cluster() {
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} arguments=()
  setting POSTGRES_PASSWORD ''
  setting POSTGRES_USER postgres
  setting POSTGRES_DB "$POSTGRES_USER"
  [[ -n $POSTGRES_PASSWORD || $method = trust ]] || fail "no password: set POSTGRES_PASSWORD (or POSTGRES_HOST_AUTH_METHOD=trust)"
  read -ra arguments <<<"${POSTGRES_INITDB_ARGS:-}"
  initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "${POSTGRES_PASSWORD:-unused}") \
    --auth-host "$method" --auth-local trust "${arguments[@]}"
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  # The official image listens on every address unless told otherwise.
  sed -i "s/^#\?listen_addresses = .*/listen_addresses = '*'/" "$PGDATA/postgresql.conf"
  start_temporary
  [[ $POSTGRES_DB = postgres ]] || query --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
  run_init_files
  pg_ctl --pgdata "$PGDATA" --mode fast --wait --silent stop
  echo "entrypoint: the database is ready for its first start"
}

[[ ${1:-} != -* ]] || set -- postgres "$@"
if [[ ${1:-} = postgres ]]; then
  if [[ $EUID = 0 ]]; then
    mkdir -p "$PGDATA" /run/postgresql
    chmod 700 "$PGDATA"
    chown postgres:postgres /run/postgresql
    find "$PGDATA" ! -user postgres -exec chown postgres:postgres {} +
    # The server and its clients must not run as root.
    exec setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/var/lib/postgresql "$0" "$@"
  fi
  [[ -s $PGDATA/PG_VERSION ]] || create_cluster
fi
exec "$@"
