#!/bin/sh
# Make the virtual environment, on the Pi: install.sh VENV ARCHIVE STAMP
# The stamp is written last, so the next run repeats one that was cut off. It is a link to the environment's interpreter:
# without that, the stamp does not exist either.
set -eu
venv=$1 archive=$2 stamp=$3
# A run that was cut off may have left this script running: wait for it, and see whether it finished. Only root can open
# this folder: any program that can open a lock could hold it forever.
exec 9</root
flock --timeout 900 9 || { echo "Another run is still using $venv: run this again later." >&2; exit 1; }
[ ! -e "$venv/$stamp" ] || exit 0
rm -rf /var/cache/mynn-wheels.*/
wheels=$(mktemp -d /var/cache/mynn-wheels.XXXXXX)
trap 'rm -rf "$wheels"' EXIT
tar -xf "$archive" -C "$wheels"

# From nothing: what is there may be half made, damaged, or of another Python, and what is no longer required would hide
# apt's packages.
/usr/bin/python3 -m venv --clear --system-site-packages "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-index --no-deps --find-links "$wheels" \
    --require-hashes --requirement "$wheels/requirements.txt"
# Which fonts there are: a program takes seconds to find out, so the one that kernels are forked from reads it here.
# (Each image is to have the same list; and what is compiled, others see to.)
PYTHONHASHSEED=0 MPLCONFIGDIR="$venv/share/matplotlib" "$venv/bin/python" -B -c 'import matplotlib.font_manager'
sync --file-system "$venv"
ln -s bin/python "$venv/$stamp"
rm -f "$archive"
