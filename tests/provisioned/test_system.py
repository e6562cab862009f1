"""The system."""

from __future__ import annotations

import re
import shlex
import subprocess
import time

import pytest

from tests.provisioned.pi import Answers, Pi

# One question to the neighbours on the network, as a browser's "NAME.local" is: who has this name? (RFC 6762, 6.7)
WHO_HAS = """
import socket, struct, sys
labels = sys.argv[1].encode().split(b".")
name = b"".join(bytes([len(label)]) + label for label in labels) + bytes(1)
question = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(2)
for attempt in range(4):
    asking.sendto(question, ("224.0.0.251", 5353))
    try:
        answer = asking.recv(2000)
    except TimeoutError:
        continue
    if struct.unpack("!4H", answer[:8])[3]:
        print("answered")
        break
"""


@pytest.fixture(scope="module")
def answers(pi: Pi) -> Answers:
    name = pi.settings.hostname or "$(hostname)"
    user = shlex.quote(pi.settings.user) if pi.settings.user else '"$SUDO_USER"'
    return pi.ask(
        {
            "clock": "date +%s",
            "name": "hostname",
            "own name": f"getent hosts {name}",
            "network name": f"python3 -c {shlex.quote(WHO_HAS)} {name}.local",
            "half installed": "dpkg --audit",
            "updates": "apt-config dump APT::Periodic::Unattended-Upgrade; test -x /usr/bin/unattended-upgrade",
            "update timers": "systemctl is-active apt-daily.timer apt-daily-upgrade.timer",
            "keys": f'grep -c "^[^#]" "$(getent passwd {user} | cut -d: -f6)/.ssh/authorized_keys"',
            "denied": "/usr/sbin/sshd -T | grep '^denyusers '",
            "expired": " && ".join(
                f"getent shadow {student} | cut -d: -f1,8" for student in map(shlex.quote, pi.settings.students)
            ),
            "journal": "logger --tag mynn-verify asked; journalctl --sync; "
            "journalctl --directory=/run/log/journal --identifier=mynn-verify --lines=1 --output=cat",
            "disk": "stat --file-system --format=%T /run/log/journal",
            "container": "systemd-detect-virt --container",
            "swap": "swapon --show=NAME --noheadings",
            "zram": "modprobe --dry-run zram",
        }
    )


def test_clock_is_right(pi: Pi) -> None:
    """Its clock is right."""
    before = time.time()
    clock = int(pi.ask({"clock": "date +%s"})["clock"].text)
    wrong = max(before - clock, clock - time.time(), 0)
    assert wrong < 60, (
        f"Its clock is {wrong:.0f} s off (by this computer's), so downloads fail: does the school's network let NTP "
        "through, or is this computer's own clock wrong?"
    )


def test_name_is_known(pi: Pi, answers: Answers) -> None:
    """It is known by its name, to itself and on the network (NAME.local)."""
    name = pi.settings.hostname or answers["name"].text
    assert answers["name"].text == name, f"It calls itself {answers['name'].text}, not {name}."
    assert answers["own name"].status == 0, f"It does not know the address of its own name, {name}."
    assert answers["network name"].text == "answered", (
        f"Nobody on its network answers to {name}.local: avahi-daemon does not run, or does not know the name."
    )


def test_packages_are_whole(answers: Answers) -> None:
    """No package is half installed."""
    assert answers["half installed"].text == "", f"Half installed: {answers['half installed'].text}"


def test_security_updates_install_themselves(answers: Answers) -> None:
    """Security updates install themselves, every day."""
    updates = answers["updates"]
    assert updates.status == 0, "The program unattended-upgrade is missing."
    assert '"1"' in updates.text, f"Unattended upgrades are switched off: {updates.text}"
    assert answers["update timers"].status == 0, "The timers apt-daily and apt-daily-upgrade do not run."


def test_ssh_takes_keys_only(pi: Pi, answers: Answers) -> None:
    """Nobody gets in over SSH with a guessed password: only a key opens."""
    if answers["keys"].status != 0:
        pytest.skip("Passwords are still taken over SSH, as the account has no key yet; set system_ssh_keys.")
    user = [f"-oUser={pi.settings.user}"] if pi.settings.user else []
    command = ["ssh", *user, "-oPreferredAuthentications=none", "-oBatchMode=yes", "-oControlPath=none"]
    command += ["-oConnectTimeout=20", *shlex.split(pi.settings.ssh), pi.settings.address, "true"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    offered = re.search(r"Permission denied \((.*)\)", said)
    assert offered, f"SSH does not say how one may log in: {said.strip()}"
    assert offered[1] == "publickey", f"SSH takes more than keys: {offered[1]}."


def test_no_student_gets_in_over_ssh(pi: Pi, answers: Answers) -> None:
    """No student gets in over SSH, whatever keys lie about."""
    denied = {name for line in answers["denied"].lines for name in line.split()[1:]}
    students = set(pi.settings.students)
    assert students <= denied, f"SSH does not refuse {', '.join(sorted(students - denied))}."
    expired = {name for name, _, day in (line.partition(":") for line in answers["expired"].lines) if day == "1"}
    assert students <= expired, (
        f"cron, systemd and others may start programs for {', '.join(sorted(students - expired))}, without the sandbox."
    )


def test_journal_is_in_ram(answers: Answers) -> None:
    """Its logs are kept in RAM and do not wear the card."""
    assert answers["journal"].text == "asked", "What is logged now does not end up in /run/log/journal."
    assert answers["disk"].text == "tmpfs", f"/run/log/journal is on {answers['disk'].text}, not in RAM."


def test_swap_is_in_ram(answers: Answers) -> None:
    """It swaps into compressed RAM, not onto the card."""
    if answers["container"].status == 0:
        pytest.skip("It is a container, which has no swap of its own.")
    if answers["zram"].status != 0:
        pytest.skip("It has none: its kernel knows no zram.")
    swap = answers["swap"].lines
    assert swap, "It has no swap, so a larger training ends for want of memory: does systemd-zram-setup@zram0 run?"
    onto_card = [name for name in swap if not name.startswith("/dev/zram")]
    assert not onto_card, f"It swaps onto {', '.join(onto_card)}, which wears the card."
