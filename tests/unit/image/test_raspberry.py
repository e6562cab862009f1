"""A root from an image of Raspberry Pi OS: the vendor's first-boot services are disabled. roles/image/tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.unit.image.rootfs import DAY, EPOCH, make_root
from tests.unit.image.test_disk import make_disk

# Units enabled in Raspberry Pi OS Lite of 2026 that act at first boot or, like cloud-init, at each boot.
VENDOR = [
    "NetworkManager.service",
    "cloud-config.service",
    "cloud-final.service",
    "cloud-init-hotplugd.socket",
    "cloud-init-local.service",
    "cloud-init-main.service",
    "cloud-init-network.service",
    "regenerate_ssh_host_keys.service",
    "rpi-preseed-runcmd-early.service",
    "rpi-preseed-runcmd-late.service",
    "rpi-preseed.service",
    "rpi-resize.service",
    "sshswitch.service",
    "userconfig.service",
]
CMDLINE = (
    "console=serial0,115200 console=tty1 root=PARTUUID=3d1e6f2a-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
    "init=/usr/lib/raspberrypi-sys-mods/firstboot resize ds=nocloud;i=rpi-imager-1 cfg80211.ieee80211_regdom=GB\n"
)
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: { name: image, tasks_from: raspberry, public: true }
      vars: { __image_stage: STAGE, image_from: IMAGE }
"""


def add_vendors(root: Path) -> None:
    """Add the vendor's units, enabled, and its kernel command line."""
    units, wants = root / "usr/lib/systemd/system", root / "etc/systemd/system/multi-user.target.wants"
    for folder in (units, wants):
        folder.mkdir(parents=True)
    for name in (*VENDOR, "ssh.service"):
        kind = "[Socket]\nListenFIFO=/run/f" if name.endswith(".socket") else "[Service]\nExecStart=/usr/bin/true"
        (units / name).write_text(f"{kind}\n[Install]\nWantedBy=multi-user.target\n")
        (wants / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    (root / "boot/firmware/cmdline.txt").write_text(CMDLINE)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root that the role makes from such an image."""
    folder = tmp_path_factory.mktemp("raspberry")
    root = make_root(folder / "root", EPOCH + DAY)
    add_vendors(root)
    built = make_disk(root, folder / "card.img")
    assert built.returncode == 0, built.stderr
    (folder / "stage").mkdir()
    text = PLAYBOOK.replace("STAGE", str(folder / "stage")).replace("IMAGE", str(folder / "card.img"))
    (folder / "playbook.yml").write_text(text)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(folder / "playbook.yml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "stage/root"


@pytest.mark.slow
def test_the_vendors_first_boot_is_disabled(unpacked: Path) -> None:
    def state(name: str) -> str:
        command = ["systemctl", f"--root={unpacked}", "is-enabled", name]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    assert {name: state(name) for name in VENDOR} == dict.fromkeys(VENDOR, "masked")
    assert state("ssh.service") == "enabled"


def test_it_boots_our_partition_with_systemd(unpacked: Path) -> None:
    words = (unpacked / "boot/firmware/cmdline.txt").read_text().split()
    assert [word for word in words if word.startswith("root=")] == ["root=PARTUUID=6d796e6e-02"]
    assert not [word for word in words if word.startswith(("init=", "systemd.")) or word == "resize"]
    assert {"rootwait", "cfg80211.ieee80211_regdom=GB"} <= set(words)
