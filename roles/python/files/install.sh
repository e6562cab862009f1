#!/bin/sh
# Make or mend the virtual environment, on the Pi: install.sh VENV ARCHIVE STAMP
# The stamp is written last, so a run that was cut off is taken up again by the next.
set -eu
venv=$1 archive=$2 stamp=$3
wheels=$(mktemp -d /var/cache/mynn-wheels.XXXXXX)
trap 'rm -rf "$wheels"' EXIT
tar -xf "$archive" -C "$wheels"

# An environment belongs to one minor version of Python: after an upgrade of the system it is made anew.
if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info[:2] != tuple(map(int, sys.argv[1].split("."))))' \
    "$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" 2>/dev/null; then
    /usr/bin/python3 -m venv --clear --system-site-packages "$venv"
fi
rm -f "$venv"/installed-*
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
    --find-links "$wheels" --require-hashes --requirement "$wheels/requirements.txt"
touch "$venv/$stamp"
rm -f "$archive"
