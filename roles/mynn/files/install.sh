#!/bin/sh
# Install a wheel into the virtual environment, on the Pi: install.sh VENV STAMP WHEEL PLAIN
# Where the wheel's compiled kernel does not work, PLAIN is installed instead, and a line on the output says why; the
# stamp says which wheel was meant, and that line. It is written last, so a run that was cut off is taken up again by
# the next.
set -eu
venv=$1 stamp=$2 wheel=$3 plain=$4
# A run that was cut off may have left this script at work: wait for it, and see whether it finished. Whoever can open
# a lock's file can hold it for ever, so only root can open this one.
lock=/run/mynn-environment.lock
(umask 077 && : >>$lock)
exec 9>>$lock
flock --timeout 900 9 || { echo "Another run is still at work in $venv: run this again later." >&2; exit 1; }
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
said=
if [ "$wheel" = "$plain" ]; then
    install "$plain"
elif ! why=$({ install "$wheel" && works; } 2>&1); then
    install "$plain"
    said=$(printf '%s\n' "${why:-it does not say why}" | tail -n 1)
    printf '%s\n' "$said"
fi
printf '%s\n' "${wheel##*/}" ${said:+"$said"} >"$venv/.stamp"
mv "$venv/.stamp" "$venv/$stamp"
rm -f "$wheel" "$plain"
