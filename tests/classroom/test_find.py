"""`make find` on the network of the virtual Pis, with real multicast DNS: zeroconf on this side, Avahi on the Pis."""

import subprocess
import sys
from pathlib import Path

from tests.support.classroom import ROOT, Classroom


def test_lines_for_the_inventory_are_proposed(three: Classroom, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.ini"
    inventory.write_text("[pis]\npi-01\n", encoding="utf-8")
    command = [sys.executable, "-m", "mynn_control.find", "--inventory", str(inventory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for number in (2, 3):
        address = f"10.77.7.{number}"  # in the fleet's own network
        note = "is set up already, perhaps for another class"  # so it is a comment
        assert f"# pi-0{number} ansible_host={address} # {address}: {note}" in lines
    assert [line for line in lines if line.startswith("# pi-01 ") and line.endswith("is already in the inventory")]
