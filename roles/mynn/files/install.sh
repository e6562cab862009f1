#!/bin/sh
# Install the wheels of mynn and mynn_server into the virtual environment, on the Pi: install.sh VENV STAMP WHEEL SERVER
# The stamp, with the name of mynn's wheel, is written last, so the next run repeats an interrupted one.
set -eu
venv=$1 stamp=$2 wheel=$3 server=$4
[ ! -e "$venv/$stamp" ] || exit 0
rm -f "$venv"/mynn-*

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
# Until November 2026 mynn-pi was called mynn. Uninstalled later, that would delete mynn-pi's files of the same names.
for old in "$venv"/lib/python3*/site-packages/mynn-[0-9]*.dist-info; do
    [ ! -d "$old" ] || pip uninstall --quiet --yes mynn
done
pip install --quiet --no-index --no-deps --force-reinstall "$wheel" "$server"
# (-B: byte-compiling is done elsewhere.)
"$venv/bin/python" -BI -m mynn_server.scripts
printf '%s\n' "${wheel##*/}" >"$venv/.stamp"
sync --file-system "$venv"
mv "$venv/.stamp" "$venv/$stamp"
rm -f "$wheel" "$server"
