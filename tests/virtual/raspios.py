"""How a card that Raspberry Pi Imager 2 wrote with Raspberry Pi OS (32-bit) differs from Debian: packages and settings.

At first boot, cloud-init reads Imager's settings and creates the account; sudo asks for its password. What Debian lacks
is left out: the vendor's kernel, and rpi-swap (replaced by dphys-swapfile, as in Raspberry Pi OS 12).
"""

import secrets
import subprocess

ACCOUNT = "teacher"
HOSTNAME = "raspi-imager"
SSID = "Classroom"
PACKAGES = ("cloud-init", "dphys-swapfile", "netplan.io", "network-manager")

# Run by mmdebstrap after the common part, with the new root as $1. The swap file has a fixed 16 MB, as its default size
# depends on the host's memory; a container has none.
CUSTOMIZE = """
sed -i -e 's/Debian/Raspbian/' -e 's/^ID=.*/ID=raspbian\\nID_LIKE=debian/' "$1/usr/lib/os-release"
echo 'CONF_SWAPSIZE=16' > "$1/etc/dphys-swapfile"
mkdir "$1/etc/systemd/system/dphys-swapfile.service.d"
printf '%s\\n' '[Unit]' 'ConditionVirtualization=!container' > "$1/etc/systemd/system/dphys-swapfile.service.d/vm.conf"
printf '%s\\n' 'datasource_list: [NoCloud, None]' > "$1/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg"
printf '%s\\n' 'network: {version: 2, renderer: NetworkManager}' > "$1/usr/lib/netplan/00-network-manager-all.yaml"
chmod 0600 "$1/usr/lib/netplan/00-network-manager-all.yaml"
cd "$1/etc/systemd/system"
mkdir cloud-init-local.service.d
printf '%s\\n' '[Unit]' 'After=systemd-tmpfiles-setup.service' > cloud-init-local.service.d/after.conf
"""

_USER_DATA = """\
#cloud-config
hostname: {hostname}
manage_etc_hosts: true
timezone: Europe/London
ssh_pwauth: true
ssh_deletekeys: false
users:
  - name: {account}
    groups: users,adm,dialout,audio,netdev,video,plugdev,games,input,gpio,spi,i2c,render,sudo
    shell: /bin/bash
    lock_passwd: false
    passwd: {password}
    ssh_authorized_keys:
      - {key}
"""
_NETWORK_CONFIG = """\
network:
  version: 2
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: GB
      optional: true
      access-points:
        {ssid}: {{password: "not a secret"}}
"""


def new_password() -> str:
    """Return a password for the account, with a space and quotes, as a teacher's may have."""
    return f'{secrets.token_hex(8)} "it\'s"'


def seed(key: str, password: str) -> dict[str, str]:
    """Return the cloud-init files that Imager writes to a card, by name: host name, account, SSH key and Wi-Fi."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "meta-data": f"instance-id: rpi-imager-{secrets.token_hex(6)}\n",
        "network-config": _NETWORK_CONFIG.format(ssid=SSID),
        "user-data": _USER_DATA.format(hostname=HOSTNAME, account=ACCOUNT, password=hashed, key=key.strip()),
    }
