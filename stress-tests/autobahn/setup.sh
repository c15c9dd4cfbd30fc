#!/bin/sh
# Builds Autobahn's test suite beside this script, in py27/. It needs gcc and a Python 2.7 with headers:
# that of $PY27, else pyenv's 2.7.18, else python2.7 of the PATH.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PY27:-$HOME/.pyenv/versions/2.7.18/bin/python2.7}
[ -x "$python" ] || python=$(command -v python2.7) || {
    echo "Autobahn's suite needs Python 2.7: name one in PY27" >&2
    exit 1
}
python3 -m venv "$here/tools"
# The last version that makes environments of Python 2.7.
"$here/tools/bin/pip" install --quiet 'virtualenv==20.21.1'
"$here/tools/bin/virtualenv" --quiet --python "$python" "$here/py27"
"$here/py27/bin/pip" install --quiet --constraint "$here/constraints.txt" autobahntestsuite==25.10.1
"$here/py27/bin/wstest" --autobahnversion
