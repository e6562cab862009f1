#!/bin/sh
# Make the virtual environment, on the Pi: install.sh VENV ARCHIVE STAMP
# The stamp is written last, so the next run repeats an interrupted one. It links to the environment's interpreter: if
# that is missing, the stamp counts as missing.
set -eu
venv=$1 archive=$2 stamp=$3
[ ! -e "$venv/$stamp" ] || exit 0
rm -rf /var/cache/mynn-wheels.*/
wheels=$(mktemp -d /var/cache/mynn-wheels.XXXXXX)
trap 'rm -rf "$wheels"' EXIT
tar -xf "$archive" -C "$wheels"

# Start from scratch: the old environment may be incomplete, damaged or for another Python, and packages that are no
# longer required would hide apt's.
/usr/bin/python3 -m venv --clear --system-site-packages "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-index --no-deps --find-links "$wheels" \
    --require-hashes --requirement "$wheels/requirements.txt"
# Write matplotlib's font cache, which takes seconds: the process that kernels are forked from reads it here.
# (PYTHONHASHSEED: each image gets the same cache. -B: byte-compiling is done elsewhere.)
PYTHONHASHSEED=0 MPLCONFIGDIR="$venv/share/matplotlib" "$venv/bin/python" -B -c 'import matplotlib.font_manager'
sync --file-system "$venv"
ln -s bin/python "$venv/$stamp"
rm -f "$archive"
