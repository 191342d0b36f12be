#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml mounts, each a file of its own below deploy/secrets (or
# the directory that is given). What exists is kept, so it can be run again.
set -euo pipefail

directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
# Compose mounts the files as they are, and the product reads them as a user of its own: so they are
# readable, and the directory lets nobody through.
chmod 700 "$directory"

keep_or_write() {
  [ -e "$directory/$1" ] && return
  (umask 022 && printf '%s\n' "$2" >"$directory/$1")
  echo "made $directory/$1"
}

keep_or_write jwt_secret "$(openssl rand -hex 32)"
keep_or_write secrets_key "$(openssl rand -base64 32)"
keep_or_write postgres_password "$(openssl rand -hex 24)"
keep_or_write database_url "postgres://tidings:$(cat "$directory/postgres_password")@postgres:5432/tidings"
