#!/bin/sh
# Install Dask's packages beside the virtual environment, on the Pi: install.sh VENV ARCHIVE FOLDER STAMP
# The folder appears whole or not at all. Only the worker has it in its PYTHONPATH, so notebooks do not see it.
set -eu
venv=$1 archive=$2 folder=$3 stamp=$4
[ ! -e "$stamp" ] || exit 0
rm -rf "$folder".new-*/
new=$(mktemp -d "$folder.new-XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 0755 "$new"
mkdir -m 0700 "$new/wheels"
tar -xf "$archive" -C "$new/wheels"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-index --no-deps --target "$new/packages" \
    --find-links "$new/wheels" --require-hashes --requirement "$new/wheels/requirements.txt"
touch "$new/packages/${stamp##*/}"
chmod 0755 "$new/packages"
rm -rf "$folder"
mv "$new/packages" "$folder"
rm -f "$archive"
