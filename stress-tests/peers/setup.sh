#!/bin/sh
# Installs what the benchmark compares us with, and says by name what could not be had.
# Nothing of it comes into the environment of our own tests.
set -u

cd "$(dirname "$0")" || exit 1
PYTHON="${PYTHON:-python3}"
left_out=""

give_up() { # name
    left_out="${left_out:+$left_out, }$1"
}

# What is installed already is not asked for again, until its list of versions changes.
newer() { # stamp list
    [ -e "$1" ] && [ "$1" -nt "$2" ]
}

channels() {
    newer .venv/stamp requirements.txt && return
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv || return
    .venv/bin/python -m pip install --quiet --requirement requirements.txt && touch .venv/stamp
}

node() {
    newer node_modules/stamp package.json && return
    command -v npm >/dev/null || return
    npm install --loglevel=error && touch node_modules/stamp
}

nchan() {
    [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] && return
    if [ "$(id -u)" = 0 ]; then as_root=""; else as_root="sudo"; fi
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends libnginx-mod-nchan
}

channels || give_up "Channels (Python packages)"
node || give_up "ws and Socket.IO (npm packages)"
nchan || give_up "nchan (Debian's libnginx-mod-nchan)"

[ -z "$left_out" ] || echo "bench-peers: could not be had and will be left out: $left_out" >&2
