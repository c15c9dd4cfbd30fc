#!/bin/sh
# Runs the unit and integration tests on every supported Python that is here, with every supported
# Django. Environments are kept in .matrix, so that only the first run is slow. DONE may name one that
# was tested already, such as "3.11 5.2".
set -eu

# With pyenv, let all of its versions be found at the same time.
if command -v pyenv >/dev/null 2>&1; then
    PYENV_VERSION=$(pyenv versions --bare | paste -sd: -)
    export PYENV_VERSION
fi

for python in python3.11 python3.12 python3.13; do
    "$python" -c "" 2>/dev/null || { echo "matrix: no $python here, skipped"; continue; }
    for django in 4.2 5.2; do
        # Django 4.2 does not know Python 3.13.
        [ "$python $django" = "python3.13 4.2" ] && continue
        [ "$python $django" = "python${DONE:-}" ] && continue
        venv=".matrix/$python-$django"
        if [ ! -e "$venv/ready" ]; then
            "$python" -m venv "$venv"
            "$venv/bin/pip" install --quiet --editable '.[test]' "Django~=$django.0"
            touch "$venv/ready"
        fi
        echo "matrix: $python, Django $django"
        # The engine knows nothing of Django, so once for each Python is enough.
        engine=
        [ "$django" = 4.2 ] && engine="--ignore tests/unit/loop --ignore tests/unit/wire"
        # shellcheck disable=SC2086 # several words
        "$venv/bin/python" -X dev -m pytest -q -n auto --dist loadgroup $engine tests/unit tests/integration
    done
done
