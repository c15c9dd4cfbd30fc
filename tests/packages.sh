#!/bin/sh
# Installs the Debian packages that the tests need and that are missing.
set -eu

# Some are where only root's PATH leads.
PATH="$PATH:/usr/sbin"
missing=""
need() { # command package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need redis-server redis-server
need chromium chromium
need node nodejs
need npm npm
need cc gcc
need curl curl
need openssl openssl
need nginx nginx-light
need apache2 apache2
need systemd-analyze systemd
# Debian keeps the server's programs where no PATH leads.
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
# To build uWSGI from source with TLS and internal routing.
[ -e /usr/include/openssl/ssl.h ] || missing="$missing libssl-dev"
[ -e /usr/include/pcre2.h ] || missing="$missing libpcre2-dev"

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo"
else
    echo "The tests need these packages, please install them:$missing" >&2
    exit 1
fi
# The tests start servers of their own: the services of the packages must not be started for them.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
