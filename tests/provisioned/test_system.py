"""The system."""

import re
import shlex
import subprocess
import time

import pytest

from tests.provisioned.pi import Pi, Results

AVAHI = "busctl --auto-start=no call org.freedesktop.Avahi / org.freedesktop.Avahi.Server GetHostNameFqdn"


@pytest.fixture(scope="module")
def results(pi: Pi) -> Results:
    name = pi.settings.hostname or "$(hostname)"
    user = shlex.quote(pi.settings.user) if pi.settings.user else '"$SUDO_USER"'
    return pi.run(
        {
            "name": "hostname",
            "own name": f"getent hosts {name}",
            "network name": AVAHI,
            "half installed": "dpkg --audit",
            "updates": "apt-config dump APT::Periodic::Unattended-Upgrade; test -x /usr/bin/unattended-upgrade",
            "update timers": "systemctl is-active apt-daily.timer apt-daily-upgrade.timer",
            "update weights": "systemctl show --property=CPUWeight --value apt-daily apt-daily-upgrade",
            "keys": f'grep -c "^[^#]" "$(getent passwd {user} | cut -d: -f6)/.ssh/authorized_keys"',
            "denied": "/usr/sbin/sshd -T | grep '^denyusers '",
            "windows": "/usr/sbin/sshd -T | grep '^x11forwarding '",
            "expired": " && ".join(
                f"getent shadow {student} | cut -d: -f1,8" for student in map(shlex.quote, pi.settings.students)
            ),
            "journal": "logger --tag mynn-verify verified; journalctl --sync; "
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
    clock = int(pi.run({"clock": "date +%s"})["clock"].text)
    wrong = max(before - clock, clock - time.time(), 0)
    assert wrong < 60, (
        f"Its clock is {wrong:.0f} s off from this computer's, so downloads fail: check that the school's network lets "
        "NTP through, and that this computer's own clock is right."
    )


def test_name_is_known(pi: Pi, results: Results) -> None:
    """Its name works on the Pi itself and on the network (NAME.local)."""
    name = pi.settings.hostname or results["name"].text
    assert results["name"].text == name, f"Its name is {results['name'].text}, not {name}."
    assert results["own name"].status == 0, f"It cannot resolve its own name, {name}."
    assert results["network name"].text == f's "{name}.local"', (
        f"It does not answer to {name}.local: avahi-daemon is not running, or calls the Pi {name}-2. The "
        f"Pi corrects that within ten minutes, unless another Pi is called {name}. ({results['network name'].text})"
    )


def test_no_package_is_half_installed(results: Results) -> None:
    """No package is half installed."""
    assert results["half installed"].text == "", f"Half installed: {results['half installed'].text}"


def test_security_updates_install_themselves(results: Results) -> None:
    """Security updates install themselves, every day, and give way to students' programs."""
    updates = results["updates"]
    assert updates.status == 0, "The program unattended-upgrade is missing."
    assert '"1"' in updates.text, f"Unattended upgrades are disabled: {updates.text}"
    assert results["update timers"].status == 0, "The timers apt-daily and apt-daily-upgrade are not running."
    weights = [line for line in results["update weights"].lines if line]
    assert weights == ["5", "5"], f"apt-daily and apt-daily-upgrade have weights of {' and '.join(weights)}, not 5."


def test_ssh_takes_keys_only(pi: Pi, results: Results) -> None:
    """SSH accepts only keys, so nobody can guess a password, and forwards no windows."""
    if results["keys"].status != 0:
        pytest.skip("SSH still accepts passwords, since the account has no key yet; set system_ssh_keys.")
    user = [f"-oUser={pi.settings.user}"] if pi.settings.user else []
    command = ["ssh", *user, "-oPreferredAuthentications=none", "-oBatchMode=yes", "-oControlPath=none"]
    # A computer that is set up from itself does not have its own host key among the known ones.
    command += ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
    command += ["-oConnectTimeout=20", *shlex.split(pi.settings.ssh), pi.settings.address, "true"]
    errors = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    offered = re.search(r"Permission denied \((.*)\)", errors)
    assert offered, f"SSH does not list its ways to log in: {errors.strip()}"
    assert offered[1] == "publickey", f"SSH accepts more than keys: {offered[1]}."
    assert results["windows"].text == "x11forwarding no", "SSH forwards windows (X11)."


def test_students_cannot_log_in_over_ssh(pi: Pi, results: Results) -> None:
    """Students cannot log in over SSH, not even with a key."""
    denied = {name for line in results["denied"].lines for name in line.split()[1:]}
    students = set(pi.settings.students)
    assert students <= denied, f"SSH accepts {', '.join(sorted(students - denied))}."
    expired = {name for name, _, day in (line.partition(":") for line in results["expired"].lines) if day == "1"}
    assert students <= expired, (
        f"cron, systemd and others may start programs for {', '.join(sorted(students - expired))}, without the sandbox."
    )


def test_logs_and_swap_are_in_ram(results: Results) -> None:
    """Its logs and its swap stay in RAM and do not wear the card."""
    assert results["journal"].text == "verified", "New log entries do not reach /run/log/journal."
    assert results["disk"].text == "tmpfs", f"/run/log/journal is on {results['disk'].text}, not in RAM."
    if results["container"].status == 0 or results["zram"].status != 0:
        return  # a container has no swap of its own, and some kernels do not support zram
    swap = results["swap"].lines
    assert swap, "It has no swap, so larger trainings run out of memory: check systemd-zram-setup@zram0."
    onto_card = [name for name in swap if not name.startswith("/dev/zram")]
    assert not onto_card, f"It swaps onto {', '.join(onto_card)}, which wears the card."
