#!/bin/sh
# Install one wheel into the virtual environment, on the Pi: install.sh VENV WHEEL STAMP
# The stamp is written last, so a run that was cut off is taken up again by the next.
set -eu
venv=$1 wheel=$2 stamp=$3
# A run that was cut off may have left this script at work: wait for it, and see whether it finished.
exec 9>/run/mynn-venv.lock
flock 9
[ ! -e "$venv/$stamp" ] || exit 0
rm -f "$venv"/mynn-*
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheel"
touch "$venv/$stamp"
rm -f "$wheel"
