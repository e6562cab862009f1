#!/bin/sh
# Make or repair the virtual environment, on the Pi: install.sh VENV ARCHIVE STAMP
# The stamp is written last, so the next run repeats one that was cut off. It is a link to the environment's interpreter:
# without that, the stamp does not exist either.
set -eu
venv=$1 archive=$2 stamp=$3
# A run that was cut off may have left this script running: wait for it, and see whether it finished. Only root can open
# the lock's file, since any program that can open it could hold the lock forever.
lock=/run/mynn-environment.lock
(umask 077 && : >>$lock)
exec 9>>$lock
flock --timeout 900 9 || { echo "Another run is still using $venv: run this again later." >&2; exit 1; }
[ ! -e "$venv/$stamp" ] || exit 0
rm -rf /var/cache/mynn-wheels.*/
wheels=$(mktemp -d /var/cache/mynn-wheels.XXXXXX)
trap 'rm -rf "$wheels"' EXIT
tar -xf "$archive" -C "$wheels"

# An environment belongs to one minor version of Python: a system upgrade requires a new one. One whose making was cut off
# may work, but not see apt's packages: venv writes that last.
now=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
is_now='import pip, sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])'
if ! [ -d "$venv/lib/python$now" ] || ! grep -qx 'include-system-site-packages = true' "$venv/pyvenv.cfg" ||
    ! "$venv/bin/python" -c "$is_now" "$now" 2>/dev/null; then
    /usr/bin/python3 -m venv --clear --system-site-packages "$venv"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

rm -f "$venv"/installed-*
pip install --quiet --no-index --no-deps --find-links "$wheels" --require-hashes --requirement "$wheels/requirements.txt"

# Packages that are no longer required would hide apt's.
wanted=" pip setuptools mynn mynn-server $(sed -n 's/^\([a-z0-9-]*\)==.*/\1/p' "$wheels/requirements.txt" | tr '\n' ' ')"
for name in $(pip list --local --format freeze | sed 's/==.*//' | tr 'A-Z_.' 'a-z--'); do
    case $wanted in
        *" $name "*) ;;
        *) pip uninstall --quiet --yes "$name" ;;
    esac
done
# Which fonts there are: a program takes seconds to find out, so the one that kernels are forked from reads it here.
# (Each image is to have the same list; and what is compiled, others see to.)
rm -rf "$venv/share/matplotlib"
PYTHONHASHSEED=0 MPLCONFIGDIR="$venv/share/matplotlib" "$venv/bin/python" -B -c 'import matplotlib.font_manager'
sync --file-system "$venv"
ln -s bin/python "$venv/$stamp"
rm -f "$archive"
