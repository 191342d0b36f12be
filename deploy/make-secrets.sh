#!/usr/bin/env bash
# Creates the secrets that docker-compose.yml mounts, one file each below deploy/secrets (or the given
# directory). Existing files are kept, so it can be run again.
set -euo pipefail

directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
# Compose mounts the files with their permissions, and the product reads them as another user: so the
# files are readable, and only the directory is protected.
chmod 700 "$directory"

keep_or_write() {
  [ -e "$directory/$1" ] && return
  (umask 022 && printf '%s\n' "$2" >"$directory/$1")
  echo "created $directory/$1"
}

keep_or_write jwt_secret "$(openssl rand -hex 32)"
keep_or_write secrets_key "$(openssl rand -base64 32)"
keep_or_write postgres_password "$(openssl rand -hex 24)"
keep_or_write database_url "postgres://tidings:$(cat "$directory/postgres_password")@postgres:5432/tidings"
