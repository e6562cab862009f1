"""A root from an image of Raspberry Pi OS: unpacked, and the vendor's first-boot services disabled. roles/image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.programs import ROOT
from tests.unit.image.rootfs import DAY, EPOCH, OURS, make_root
from tests.unit.image.test_disk import DISK, make_disk

# Units enabled in Raspberry Pi OS Lite of 2026 that act at first boot or, like cloud-init, at each boot.
VENDOR = yaml.safe_load((ROOT / "roles/image/vars/main.yml").read_text(encoding="utf-8"))["__image_masked"]
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
    subprocess.run(["xz", "-0", folder / "card.img"], check=True)
    (folder / "stage").mkdir()
    text = PLAYBOOK.replace("STAGE", str(folder / "stage")).replace("IMAGE", str(folder / "card.img.xz"))
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


def test_both_partitions_become_one_folder(unpacked: Path) -> None:
    for name, contents in OURS.items():
        assert name.endswith(("cmdline.txt", "fstab")) or (unpacked / name).read_bytes() == contents, name
    assert (unpacked / "home/pi/.profile").stat().st_uid == 1000


@pytest.mark.parametrize(
    ("total", "contents", "sentence"),
    [
        ("0" * 64, b"x" * 4096, "it is another file, or damaged"),
        ("", b"x" * 4096, "does not have the two partitions of Raspberry Pi OS"),
        ("", None, "there is no image"),
    ],
)
def test_an_unsuitable_image_is_refused(tmp_path: Path, total: str, contents: bytes | None, sentence: str) -> None:
    card = tmp_path / "card.img"
    if contents is not None:
        card.write_bytes(contents)
    command: list[str | Path] = [DISK.with_name("unpack"), card, total, tmp_path / "root"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"card.img"}
