"""The software bill of materials of an image: roles/image/files/manifest.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.programs import ROOT
from tests.unit.image.rootfs import EPOCH, OURS

MANIFEST = ROOT / "roles/image/files/manifest.py"
FILES = ("usr/lib/os-release", "etc/debian_version", "var/lib/dpkg/status")


def make_manifest(root: Path, out: Path, epoch: int = EPOCH) -> subprocess.CompletedProcess[str]:
    options = ["--name=mynn-pi-zero", "--version=0.1", f"--epoch={epoch}"]
    command = [sys.executable, str(MANIFEST), str(root), str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in OURS.items():
        if name in FILES or name.startswith("opt/"):
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return tmp_path / "root"


def read(path: Path) -> dict[str, Any]:
    listed: dict[str, Any] = json.loads(path.read_text())
    return listed


def test_it_lists_exactly_the_installed_packages(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.cdx.json"
    done = make_manifest(root, out)
    assert (done.returncode, done.stderr) == (0, "")
    listed = read(out)
    installed = [component for component in listed["components"] if "arch=source" not in component.get("purl", "")]
    assert {component["name"]: component["version"] for component in installed} == {
        "debian": "13.2",
        "linux-image-6.12.107+deb13-rpi": "6.12.107-1",
        "python3-numpy": "1:2.2.4+ds-1",
        "notebook": "7.6.0",
        "mynn": "0.1",
    }
    addresses = [component.get("purl") for component in listed["components"]]
    assert "pkg:deb/debian/python3-numpy@1:2.2.4%2Bds-1?arch=armel&distro=debian-13" in addresses
    assert "pkg:pypi/notebook@7.6.0" in addresses
    assert listed["metadata"]["component"]["name"] == "mynn-pi-zero"
    assert listed["metadata"]["timestamp"] == "2024-10-04T00:00:00+00:00"


def test_each_package_depends_on_its_source_packages(root: Path, tmp_path: Path) -> None:
    """Debian's security tracker knows only these, and a kernel by that of the unsigned one."""
    status = root / "var/lib/dpkg/status"
    kernel = "Version: 6.12.107-1\nSource: linux-signed-armel (6.12.107+1)\nBuilt-Using: linux (= 6.12.107-1)\n"
    text = status.read_text().replace("Version: 6.12.107-1\n", kernel)
    status.write_text(
        text.replace("Version: 1:2.2.4+ds-1\n", "Version: 1:2.2.4+ds-1+b2\nSource: numpy (1:2.2.4+ds-1)\n")
    )
    out = tmp_path / "a.cdx.json"
    done = make_manifest(root, out)
    assert (done.returncode, done.stderr) == (0, "")
    sources = {entry["ref"]: entry.get("dependsOn", []) for entry in read(out)["dependencies"]}
    assert sources["pkg:deb/debian/linux-image-6.12.107%2Bdeb13-rpi@6.12.107-1?arch=armel&distro=debian-13"] == [
        "pkg:deb/debian/linux-signed-armel@6.12.107%2B1?arch=source",
        "pkg:deb/debian/linux@6.12.107-1?arch=source",
    ]
    [numpy] = [packages for name, packages in sources.items() if "/python3-numpy@" in name]
    assert numpy == ["pkg:deb/debian/numpy@1:2.2.4%2Bds-1?arch=source"]


def test_debsbom_finds_the_holes_that_debians_tracker_knows(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.cdx.json"
    make_manifest(root, out)
    fixed = {"status": "resolved", "fixed_version": "1:2.2.3", "urgency": "high"}
    later = {"status": "resolved", "fixed_version": "1:2.2.5", "urgency": "high"}
    still = {"status": "open", "urgency": "low"}
    holes = {
        f"CVE-2026-{number}": {"releases": {"trixie": state}} for number, state in enumerate((fixed, later, still))
    }
    tracker = tmp_path / "tracker.json"
    tracker.write_text(json.dumps({"python3-numpy": holes, "elsewhere": holes}))
    scan = [str(Path(sys.executable).with_name("debsbom")), "sec-scan", "--sbom-type=cdx", "--distro=trixie"]
    done = subprocess.run([*scan, f"--db={tracker}", out], capture_output=True, text=True, check=True)
    found = [line.split()[:2] for line in done.stdout.splitlines()]
    assert found == [["python3-numpy@1:2.2.4+ds-1", "CVE-2026-1"], ["python3-numpy@1:2.2.4+ds-1", "CVE-2026-2"]]


def test_it_follows_the_cyclonedx_schema(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.cdx.json"
    make_manifest(root, out)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(out.read_text()) is None
    wrong = read(out)
    wrong["components"][0]["type"] = "nonsense"
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_the_same_packages_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    first, second, third, later = (tmp_path / f"{name}.cdx.json" for name in "abcd")
    make_manifest(root, first)
    make_manifest(root, second)
    assert first.read_bytes() == second.read_bytes()
    status = root / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("6.12.107-1", "6.12.108-1"))
    make_manifest(root, third)
    make_manifest(root, later, EPOCH + 1)
    assert len({read(path)["serialNumber"] for path in (first, third, later)}) == 3


def test_a_root_without_packages_is_refused_with_a_message(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "a.cdx.json"
    out.parent.mkdir()
    (root / "opt/mynn/venv/lib").rename(root / "opt/mynn/venv/elsewhere")
    done = make_manifest(root, out)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("is not a virtual environment: give its path with --venv.")
    (root / "var/lib/dpkg/status").unlink()
    done = make_manifest(root, out)
    assert done.returncode == 1
    assert "var/lib/dpkg/status could not be read" in done.stderr
    assert list(out.parent.iterdir()) == []
