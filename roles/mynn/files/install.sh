#!/bin/sh
# Install wheels into the virtual environment, on the Pi: install.sh VENV STAMP WHEEL PLAIN SERVER
# Where the compiled kernel in mynn's WHEEL does not work, PLAIN is installed instead, and a line on the output says why;
# the stamp has the wheel's name, and that line. It is written last, so the next run repeats one that was cut off.
set -eu
venv=$1 stamp=$2 wheel=$3 plain=$4 server=$5
# A run that was cut off may have left this script running: wait for it, and see whether it finished. Only root can open
# the lock's file, since any program that can open it could hold the lock forever.
lock=/run/mynn-environment.lock
(umask 077 && : >>$lock)
exec 9>>$lock
flock --timeout 900 9 || { echo "Another run is still using $venv: run this again later." >&2; exit 1; }
[ ! -e "$venv/$stamp" ] || exit 0
rm -f "$venv"/mynn-*

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$1"
}
# One step of training, since what was compiled for another processor may break off only there.
works() {
    (cd / && "$venv/bin/python" -c '
from mynn import NeuralNetwork, kernel
if not kernel.READY: raise SystemExit(kernel.STATE)
NeuralNetwork(4, 3, 2, 0.1, seed=0).fit([([0.01, 0.3, 0.01, 0.9], 1)])')
}
# Until November 2026 mynn-pi was called mynn. Removed later, it would take the same files of mynn-pi with it.
for old in "$venv"/lib/python3*/site-packages/mynn-[0-9]*.dist-info; do
    [ ! -d "$old" ] || "$venv/bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes mynn
done
reason=
install "$server"
if [ "$wheel" = "$plain" ]; then
    install "$plain"
elif ! why=$({ install "$wheel" && works; } 2>&1); then
    install "$plain"
    reason=$(printf '%s\n' "${why:-it does not say why}" | tail -n 1)
    printf '%s\n' "$reason"
fi
printf '%s\n' "${wheel##*/}" ${reason:+"$reason"} >"$venv/.stamp"
mv "$venv/.stamp" "$venv/$stamp"
rm -f "$wheel" "$plain" "$server"
