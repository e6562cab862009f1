"""Ten Pis, most of them faulty: the others are finished, and one table says what is wrong with each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.classroom import ANSIBLE, ROOT, Classroom, recap
from tests.virtual.state import SSH_PORT

GOOD, OFF, SLOW, FULL, CLOCK, CARD, SYSTEM, NEW, STRANGER, SMALL = (f"pi-{number:02}" for number in range(1, 11))
NOBODY = "pi-11.invalid"
SLOW_PORT = 2300
FINISHED = (GOOD, SLOW, NEW)
# Mount a full file system where a task writes.
FOLDER = "/etc/systemd/journald.conf.d"
FILL = f"sudo mount -t tmpfs -o size=4k tmpfs {FOLDER} && sudo dd if=/dev/zero of={FOLDER}/filler bs=4096 count=1"
# A container uses its host's clock. This library makes every program see it 400 days slow.
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
WRONG_CLOCK = (
    "sudo apt-get -qq -o DPkg::Lock::Timeout=60 update && sudo apt-get -qqy --no-install-recommends install libfaketime"
    " && echo -400d | sudo tee /etc/faketimerc"
    f" && echo {FAKETIME} | sudo tee /etc/ld.so.preload"
)
RIGHT_CLOCK = "sudo rm /etc/ld.so.preload /etc/faketimerc && sudo apt-get -qqy purge --autoremove libfaketime"
OTHER_SYSTEM = (
    "printf 'ID=ubuntu\\nVERSION_ID=24.04\\nPRETTY_NAME=Ubuntu-24.04\\n' > /tmp/os-release"
    " && sudo mount --bind /tmp/os-release /usr/lib/os-release"
)
# What the table must say about each: why, and what to do. HERE stands for its address.
ROWS = {
    OFF: ("It does not answer: it is off", "Switch it on"),
    FULL: ("Its card is full.", "Make room, or use a larger card."),
    CLOCK: ("Its clock is wrong, and could not be set.", "switch the Pi off and on."),
    CARD: ("Its SSH host key has changed", "`ssh-keygen -R '[HERE]:2222'`"),
    SYSTEM: ("It runs Ubuntu-24.04 on amd64.", "Flash its card with Raspberry Pi OS 12 or 13"),
    STRANGER: ("It does not let you in", "`ssh-copy-id -p 2222 pi@HERE`"),
    SMALL: ("MB free on its card and needs 99999999 MB.", "Make room on the card, or use a larger one."),
    NOBODY: ("Its name is not found on the network.", f"`{NOBODY} ansible_host=ADDRESS`"),
}


@dataclass(frozen=True)
class Faulty:
    """The inventory, and the known_hosts file: where it is, and its initial content."""

    inventory: Path
    known_hosts: Path
    known: str
    addresses: dict[str, str]

    def site(self, strategy: str) -> subprocess.CompletedProcess[str]:
        """Run site.yml, with the initial known_hosts."""
        self.known_hosts.write_text(self.known, encoding="utf-8")
        done = subprocess.run(
            [str(ANSIBLE), "-i", str(self.inventory), str(ROOT / "playbooks/site.yml")],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_STRATEGY": strategy},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout[-30000:], done.stderr[-5000:])
        return done


def strange_known_hosts(text: str, good: str, card: str, new: str) -> str:
    """Return known hosts in which the Pi ``card`` has the key of ``good``, and ``new`` is missing (all addresses)."""
    keys = dict(line.split(maxsplit=1) for line in text.splitlines())
    keys[f"[{card}]:{SSH_PORT}"] = keys[f"[{good}]:{SSH_PORT}"]
    del keys[f"[{new}]:{SSH_PORT}"]
    return "".join(f"{end} {key}\n" for end, key in keys.items())


@pytest.fixture(scope="module")
def faulty(ten: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """Break eight of the ten, and repair them afterwards."""
    folder = tmp_path_factory.mktemp("faulty")
    fleet = ten.fleet
    addresses = {str(pi["name"]): str(pi["address"]) for pi in fleet.list()}
    key, known_hosts = folder / "key", folder / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    more = {
        SLOW: f" ansible_port={SLOW_PORT}",
        STRANGER: f" ansible_ssh_private_key_file={key}",
        SMALL: " system_free_mb_again=99999999",
    }
    lines = [
        line + more.get(line.split(" ")[0], "") + (f"\n{NOBODY}" if line.startswith(SMALL) else "")
        for line in fleet.inventory.read_text(encoding="utf-8").splitlines()
    ]
    inventory = folder / "inventory.ini"
    text = "\n".join(lines) + "\n"
    inventory.write_text(text.replace(str(fleet.state.known_hosts), str(known_hosts)), encoding="utf-8")
    with ExitStack() as repairs:

        def on(name: str, command: str) -> None:
            done = fleet.ssh(name, command, timeout=180)
            assert done.returncode == 0, done.stdout + done.stderr

        on(FULL, FILL)
        repairs.callback(on, FULL, f"sudo umount {FOLDER}")
        on(SYSTEM, OTHER_SYSTEM)
        repairs.callback(on, SYSTEM, "sudo umount /usr/lib/os-release")
        repairs.callback(on, CLOCK, RIGHT_CLOCK)
        on(CLOCK, WRONG_CLOCK)
        proxy = subprocess.Popen(
            [sys.executable, "-m", "tests.virtual.delay", addresses[SLOW], str(SLOW_PORT), str(SSH_PORT), "200"],
            cwd=ROOT,
        )
        repairs.callback(proxy.wait)
        repairs.callback(proxy.terminate)
        repairs.callback(fleet.start, OFF)
        fleet.kill(OFF)
        known = strange_known_hosts(
            fleet.state.known_hosts.read_text(encoding="utf-8"), addresses[GOOD], addresses[CARD], addresses[NEW]
        )
        yield Faulty(inventory, known_hosts, known, addresses)


def rows_of(output: str) -> dict[str, tuple[str, str]]:
    """Return the table at the end of a run: why, and what to do, by Pi."""
    block = output[output.index("NOT FINISHED") :].split("\n\n")[0]
    header, *lines = block.splitlines()[1:]
    columns = [0, header.index("why"), header.index("what to do"), None]
    rows: dict[str, tuple[str, str]] = {}
    name = ""
    for line in lines:
        first, why, what = (line[begin:end].strip() for begin, end in pairwise(columns))
        name = first or name
        before = rows.get(name, ("", ""))
        rows[name] = (f"{before[0]} {why}".strip(), f"{before[1]} {what}".strip())
    return rows


# With mitogen, and with Ansible's own strategy.
@pytest.mark.parametrize("strategy", ["classroom", pytest.param("linear", marks=pytest.mark.long)])
def test_the_summary_says_which_pi_was_not_finished_why_and_what_to_do(faulty: Faulty, strategy: str) -> None:
    done = faulty.site(strategy)
    assert done.returncode != 0
    counts = recap(done.stdout)
    for name in FINISHED:
        assert (counts[name].failed, counts[name].unreachable, counts[name].changed) == (0, 0, 0)
        assert counts[name].ok > 20
    rows = rows_of(done.stdout)
    assert set(rows) == set(ROWS)
    for name, (why, what) in ROWS.items():
        assert why in rows[name][0], (name, rows[name])
        assert what.replace("HERE", faulty.addresses.get(name, "")) in rows[name][1], (name, rows[name])
    end = done.stdout.strip().splitlines()[-1]
    assert end == f"Not finished: {', '.join(ROWS)}. Finished: {len(FINISHED)} of 11."
    assert all(char.isprintable() or char == "\n" for char in done.stdout[done.stdout.index("NOT FINISHED") :])
    command = ["ssh-keygen", "-F", f"[{faulty.addresses[NEW]}]:{SSH_PORT}", "-f", str(faulty.known_hosts)]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0  # its key was added
