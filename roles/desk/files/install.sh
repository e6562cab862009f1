#!/bin/sh
# Install the desk on its Pi, from the pushed archive: install.sh FOLDER KEPT ACCOUNT STAMP
# The stamp is written last, so an interrupted run is repeated. Files of ACCOUNT in KEPT stay.
set -eu
folder=$1 kept=$2 account=$3 stamp=$4
settings=playbooks/group_vars/all
rm -rf "$folder.new"
mkdir -p "$folder.new"
tar -xf /var/cache/mynn-desk.tar -C "$folder.new" --no-same-owner
for own in settings.yml settings.yml.old settings.desk.yml; do
    [ ! -e "$folder/project/$settings/$own" ] || cp -p "$folder/project/$settings/$own" "$folder.new/project/$settings/"
done
rm -rf "$folder"
mv "$folder.new" "$folder"

/usr/bin/python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-index --no-deps --require-hashes \
    --find-links "$folder/wheels" --requirement "$folder/wheels/requirements.txt"
printf '%s\n' "$folder/project" "$folder/project/collections" >"$(echo "$folder"/venv/lib/python3*)/site-packages/mynn-pi.pth"
[ "${PIP_COMPILE:-1}" = 0 ] || "$folder/venv/bin/python" -m compileall -q "$folder/project"

# /etc/mynn-desk: the first boot stores the password's hash there.
mkdir -p "$kept/dist" /etc/mynn-desk
cp -r "$folder/kept/." "$kept"
[ -e "$kept/inventory.ini" ] || cp "$folder/project/inventory.ini" "$kept"
ln -s "$kept/dist" "$kept/build" "$folder/project"
chown -R "$account:" "$kept" "$folder/project/$settings"
chmod 0700 "$kept"
rm -rf "$folder/kept" "$folder/wheels" /var/cache/mynn-desk.tar
touch "$folder/$stamp"
