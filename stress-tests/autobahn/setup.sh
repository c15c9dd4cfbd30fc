#!/bin/sh
# Builds Autobahn's test suite beside this script, and the program wstest that starts it. It needs gcc
# and a Python 2.7 with headers: that of $PY27, else pyenv's 2.7.18, else python2.7 of the PATH, else that
# of Debian 11, which is unpacked beside this script. Ends with 3 if there is none.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

unpack() {
    sources=/etc/apt/sources.list.d/debian.sources
    [ -e "$sources" ] || return 1
    mkdir -p "$here/debian/lists/partial"
    cd "$here/debian"
    address=$(awk '/^URIs:/ { print $2; exit }' "$sources")
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $address bullseye main" >list
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$PWD/list" -o Dir::Etc::sourceparts=- \
            -o Dir::State::lists="$PWD/lists" "$@"
    }
    apt update || return 1
    apt download python2.7 python2.7-minimal python2.7-dev libpython2.7 libpython2.7-minimal \
        libpython2.7-stdlib libpython2.7-dev libffi7 libssl1.1 || return 1
    for package in *.deb; do
        dpkg-deb -x "$package" root
    done
    cd "$here"
}

libraries=""
python=${PY27:-$HOME/.pyenv/versions/2.7.18/bin/python2.7}
[ -x "$python" ] || python=$(command -v python2.7) || {
    unpack || {
        echo "Autobahn's suite needs Python 2.7: name one in PY27" >&2
        exit 3
    }
    python=$here/debian/root/usr/bin/python2.7
    libraries=$(echo "$here"/debian/root/usr/lib/*-linux-gnu)
    export LD_LIBRARY_PATH="$libraries"
    export CPATH="$here/debian/root/usr/include:$here/debian/root/usr/include/python2.7"
}
python3 -m venv "$here/tools"
# The last version that makes environments of Python 2.7.
"$here/tools/bin/pip" install --quiet 'virtualenv==20.21.1'
"$here/tools/bin/virtualenv" --quiet --python "$python" "$here/py27"
"$here/py27/bin/pip" install --quiet --constraint "$here/constraints.txt" autobahntestsuite==25.10.1 2>&1 |
    grep -v DEPRECATION || true
"$here/py27/bin/wstest" --autobahnversion
printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$here/py27/bin/wstest" >"$here/wstest"
chmod +x "$here/wstest"
