#!/bin/sh
# Write this-pi.txt, on the FAT partition that every computer can read: how to reach this Pi, and its SSH host key (also
# shown on its screen). Run when the network has an address (dhcpcd.exit-hook), some minutes after the start
# (mynn-announce.timer), after a password change (mynn-announce.path), and by first_boot.py. That passes the texts for
# passwords in MYNN_shown, one a line: whose, and the text. Otherwise a text is copied from the existing this-pi.txt,
# the only file with the passwords in plain text.
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

# Restore the complete copy that a power cut during an earlier write has left (see write below).
if tail -n 1 "$spare" 2>/dev/null | grep -q '^This file is written by the Pi\.'; then
    cp "$spare" "$file"
    sync "$file" "${file%/*}"
fi
rm -f "$spare"

# The account that Ansible logs in with.
account=$(sed -n 's/^\([^:]*\):[^:]*:1000:.*/\1/p' "$root/etc/passwd")

# Print the fingerprint of the current password's hash. $stamps holds the fingerprints of the hashes from first_boot.py.
fingerprint() {
    case $1 in
    notebooks*) sha256sum <"$secret${1#notebooks}" ;;
    account) sed -n "s/^$account:\([^:]*\):.*/\1/p" "$root/etc/shadow" | sha256sum ;;
    esac
}

# summary WHOSE LABEL: print the text for a password.
summary() {
    given=$(echo "${MYNN_shown:-}" | sed -n "s/^$1 //p")
    if [ -n "$given" ]; then echo "$given" && return; fi
    found=$(fingerprint "$1" 2>/dev/null) || found=none
    if ! grep -qsx "$1 ${found%% *}" "$stamps"; then
        echo "was changed later, by site.yml (then it is on that computer, in dist/passwords) or by hand"
        return
    fi
    kept=$(sed -n "s/^$2: *//p" "$file" 2>/dev/null | tr -d '\r' | head -n 1)
    echo "${kept:-"no longer known; set a new one in rpi-preseed.toml"}"
}

# wifi: print whether Wi-Fi is connected, or why not, from wpa_supplicant's log since the last connection; and the
# hardware address, which a school may ask for. Print only our own sentences: others choose the names in the log.
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
# If several students share the Pi, each has a socket; the first student has the lowest port. One a line: PORT NAME.
sockets=$(find "$root/etc/systemd/system" -maxdepth 1 -name 'jupyter-*@*.socket' 2>/dev/null |
    sed 's/.*-\([0-9]*\)@\(.*\)\.socket$/\1 \2/' | sort -n)
port=${port:-${sockets%% *}}
scheme=http
if grep -qs '^c\.ServerApp\.certfile' "$jupyter/jupyter_server_config.py"; then scheme=https; fi
at=:${port:-8888} what="Notebooks:" whose="password is for the students"
if [ -n "$desk" ]; then
    at="" what="The desk: " whose="password is the desk's"
    if [ -e "$root/var/lib/mynn-desk/dist/ca/desk.pem" ]; then scheme=https; fi
fi
addresses=
for address in $(hostname -I); do
    case $desk$address in yes*:*) continue ;; *:*) address="[$address]" ;; esac    # the desk listens on IPv4 only
    addresses="$addresses $scheme://$address$at"
done
addresses=${addresses# }
# Without a network, keep the last known addresses.
if [ -z "$addresses" ]; then
    addresses=$(sed -n 's/^By address: *//p' "$file" 2>/dev/null | tr -d '\r') || addresses=
fi
notebooks=$(summary notebooks Password)
passwords="Password:          $notebooks"
if [ -n "$sockets" ]; then
    whose="passwords are for the students"
    passwords=$(echo "$sockets" | while read -r number student; do
        password=$(summary "notebooks-$student" "$student: .*password")
        printf '%-18s %s\n' "$student:" "$scheme://$name.local:$number  password: $password"
    done)
fi
password=$(summary account 'Account password')

# For comparison at the first SSH login.
host_key=$(ssh-keygen -l -f "$root/etc/ssh/ssh_host_ed25519_key.pub" | cut -d ' ' -f 2) || host_key=

text="Name:              $name
$what         $scheme://$name.local$at
By address:        ${addresses:-not known yet; it is written here once the Pi is on a network}
Wi-Fi:             $(wifi)
$passwords

Account:           $account
Account password:  $password
Over SSH:          ssh $account@$name.local
SSH host key:      ${host_key:-none yet} (ED25519)
${left:+
$left
}
The first $whose; the account is for the teacher only.
To change the name, Wi-Fi, time zone and passwords, edit rpi-preseed.toml beside this file.
This file is written by the Pi."

# write FILE TEXT: write only changed text, since writing wears the card. A rename is not atomic on FAT: a power cut may
# leave neither the old nor the new contents. So a synced copy exists until the file itself is written.
write() {
    if ! printf '%s\n' "$2" | cmp -s - "$1"; then
        new=${1%/*}/.${1##*/}.new
        printf '%s\n' "$2" >"$new"
        sync "$new" "${1%/*}"
        cp "$new" "$1"
        sync "$1" "${1%/*}"   # the file, too: otherwise FAT writes its directory entry 10 s later
        rm "$new"
    fi
}
# Passwords must be on the card before the file describes them: site.yml itself leaves that to the kernel (30 s).
sync "$secret"* "$root/etc/shadow" "${secret%/*}" "$root/etc" 2>/dev/null || true
write "$file" "$(printf '%s\n' "$text" | sed 's/$/\r/')"   # CR LF for Notepad
# getty shows these files on the Pi's screen.
[ -z "$host_key" ] || write "$root/etc/issue.d/mynn-pi-host-key.issue" "SSH host key: $host_key (ED25519)"
[ -z "$desk" ] || write "$root/etc/issue.d/mynn-pi.issue" "
The desk: $scheme://\n.local or $scheme://\4, with the password $notebooks
"
