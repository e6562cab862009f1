#!/bin/sh
# Write into this-pi.txt, on the partition that every computer can read, how to reach this Pi and how to recognise it
# (also shown on its screen). Run when the network has an address, some minutes after the start (mynn-announce.timer),
# when a password was changed (mynn-announce.path), and by first_boot.py, which passes the text for the two passwords in
# MYNN_notebooks and MYNN_account. Otherwise that text is taken over from this-pi.txt, the only file that has the
# passwords in plain text.
set -eu

root=${MYNN_ROOT:-}
file=$root/boot/firmware/this-pi.txt
spare=$root/boot/firmware/.this-pi.txt.new
stamps=$root/var/lib/mynn-pi/passwords
jupyter=$root/etc/jupyter
secret=$jupyter/password
# The desk's card has no notebook server.
desk=
if [ -d "$root/etc/mynn-desk" ]; then desk=yes secret=$root/etc/mynn-desk/password; fi

# A power cut while the file was written has left a whole copy.
if tail -n 1 "$spare" 2>/dev/null | grep -q '^This file is written by the Pi\.'; then
    cp "$spare" "$file"
    sync "$file" "${file%/*}"
fi
rm -f "$spare"

# The account that Ansible logs in with.
account=$(sed -n 's/^\([^:]*\):[^:]*:1000:.*/\1/p' "$root/etc/passwd")

# The fingerprint of the current password's hash; $stamps has that of the hash that first_boot.py set.
fingerprint() {
    case $1 in
    notebooks) sha256sum <"$secret" ;;
    account) sed -n "s/^$account:\([^:]*\):.*/\1/p" "$root/etc/shadow" | sha256sum ;;
    esac
}

# summary WHOSE LABEL: the text for a password.
summary() {
    found=$(fingerprint "$1" 2>/dev/null) || found=none
    if ! grep -qsx "$1 ${found%% *}" "$stamps"; then
        echo "was changed later, by site.yml (then it is on that computer, in dist/passwords) or by hand"
        return
    fi
    kept=$(sed -n "s/^$2: *//p" "$file" 2>/dev/null | tr -d '\r' | head -n 1)
    echo "${kept:-"no longer known; set a new one in rpi-preseed.toml"}"
}

# wifi: whether it is connected, or why not, by what wpa_supplicant has written since it last was; and the hardware address, for
# which a school may ask. The sentences are our own: others choose what networks and servers are called.
wifi() {
    if ! address=$(cat "$root/sys/class/net/wlan0/address" 2>/dev/null); then
        echo "this Pi has none, or it was not on yet"
        return
    fi
    refused="not connected:"
    if [ ! -e "$root/etc/wpa_supplicant/wpa_supplicant-wlan0.conf" ]; then
        state="no network is set${left:+; see below}"
    elif ip -o address show dev wlan0 scope global 2>/dev/null | grep -q inet; then
        state="connected"
    else
        log=$(journalctl -b -o cat -u wpa_supplicant@wlan0 2>/dev/null | sed -n 'H; /CTRL-EVENT-CONNECTED/h; ${x; p;}')
        case $log in
        *EAP-TLS-CERT-ERROR*"Domain suffix mismatch"*) state="$refused the server's name does not end in domain" ;;
        *EAP-TLS-CERT-ERROR*) state="$refused the server's certificate is not from ca_certificate" ;;
        *reason=WRONG_KEY*) state="$refused the password is wrong" ;;
        *CTRL-EVENT-EAP-FAILURE*) state="$refused the school refused identity or password" ;;
        *CTRL-EVENT-CONNECTED*) state="connected, but the network gave it no address" ;;
        *"Trying to "*) state="$refused the network is in reach, but does not let it in" ;;
        *) state="$refused no network that was set is in reach" ;;
        esac
    fi
    echo "$state (hardware address $address)"
}

left=$(cat "$root/boot/firmware/rpi-preseed-error.txt" 2>/dev/null | tr -d '\r')   # what first_boot.py left out
name=$(cat "$root/etc/hostname")
port=$(sed -n 's/^ExecStart=.* \([0-9]*\)$/\1/p' "$root/etc/systemd/system/jupyter.service" 2>/dev/null) || port=
# If several students share the Pi, each has a socket; the first student's has the lowest port.
sockets=$(find "$root/etc/systemd/system" -name 'jupyter-*@*.socket' 2>/dev/null) || sockets=
port=${port:-$(echo "$sockets" | sed -n 's/.*-\([0-9]*\)@.*/\1/p' | sort -n | head -n 1)}
scheme=http
if grep -qs '^c\.ServerApp\.certfile' "$jupyter/jupyter_server_config.py"; then scheme=https; fi
at=:${port:-8888} what="Notebooks:" whose="for the students"
if [ -n "$desk" ]; then
    at="" what="The desk: " whose="the desk's"
    if [ -e "$root/var/lib/mynn-desk/dist/ca/desk.pem" ]; then scheme=https; fi
fi
addresses=
for address in $(hostname -I); do
    case $desk$address in yes*:*) continue ;; *:*) address="[$address]" ;; esac    # the desk is for IPv4
    addresses="$addresses $scheme://$address$at"
done
addresses=${addresses# }
# Without a network, the last addresses stay.
if [ -z "$addresses" ]; then
    addresses=$(sed -n 's/^By address: *//p' "$file" 2>/dev/null | tr -d '\r') || addresses=
fi
notebooks=${MYNN_notebooks:-$(summary notebooks Password)}
password=${MYNN_account:-$(summary account 'Account password')}

# To compare with at the first login.
host_key=$(ssh-keygen -l -f "$root/etc/ssh/ssh_host_ed25519_key.pub" | cut -d ' ' -f 2) || host_key=

text="Name:              $name
$what         $scheme://$name.local$at
By address:        ${addresses:-not known yet; it is written here once the Pi is on a network}
Wi-Fi:             $(wifi)
Password:          $notebooks

Account:           $account
Account password:  $password
Over SSH:          ssh $account@$name.local
SSH host key:      ${host_key:-none yet} (ED25519)
${left:+
$left
}
The first password is $whose; the account is for the teacher only.
To change the name, Wi-Fi, time zone and passwords, edit rpi-preseed.toml beside this file.
This file is written by the Pi."

# write FILE TEXT: only if the text is new, since writing wears the card. The power may fail, and to rename a file over
# another is not atomic on FAT: the old contents are gone before the new ones have the name. So there is a copy meanwhile.
write() {
    if ! printf '%s\n' "$2" | cmp -s - "$1"; then
        new=${1%/*}/.${1##*/}.new
        printf '%s\n' "$2" >"$new"
        sync "$new" "${1%/*}"
        cp "$new" "$1"
        sync "$1" "${1%/*}"   # the file too: on FAT, its directory entry belongs to it, and would be written 10 s later
        rm "$new"
    fi
}
# Passwords that it tells of must be on the card before it: what site.yml writes gets there half a minute later.
sync "$secret" "$root/etc/shadow" "${secret%/*}" "$root/etc" 2>/dev/null || true
write "$file" "$(printf '%s\n' "$text" | sed 's/$/\r/')"   # Notepad wants CR LF
# getty shows these lines on the Pi's screen.
[ -z "$host_key" ] || write "$root/etc/issue.d/mynn-pi-host-key.issue" "SSH host key: $host_key (ED25519)"
[ -z "$desk" ] || write "$root/etc/issue.d/mynn-pi.issue" "
The desk: $scheme://\n.local or $scheme://\4, with the password $notebooks
"
