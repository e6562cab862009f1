"""site.yml mends what befell a Pi, waits for what is in its way, and reboots a Pi that asks for it."""

from __future__ import annotations

import time

from tests.classroom.classroom import Classroom, recap
from tests.classroom.test_site import patient_page

VENV = "/opt/mynn/venv"
# A package that nothing needs. dpkg is killed in mid-install, as a power cut would do it.
INTERRUPT = """
cd /tmp && apt-get download -q sl hello && sh -c '
dpkg --status-fd 3 --install sl_*.deb hello_*.deb 3>&1 >/dev/null | while read line; do
    case $line in *"status: unpacked"*) pkill -KILL -x dpkg;; esac
done'
dpkg --audit | grep -E "^ (sl|hello) "
"""
# The lock that apt and dpkg take. Python's lockf is the fcntl lock that they use.
HOLD = """
import fcntl, time
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep({seconds})
"""


def root(classroom: Classroom, script: str) -> str:
    """Run a script as root on the Pi; what it printed."""
    quoted = script.replace("'", "'\\''")
    done = classroom.ssh(f"sudo sh -c '{quoted}'")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def assert_mended(classroom: Classroom) -> None:
    """One run mends it all; the next has nothing to do; the server answers."""
    done = classroom.playbook("site")
    assert done.returncode == 0
    assert recap(classroom.playbook("site").stdout)["pi-01"].changed == 0
    assert patient_page(f"http://{classroom.address}:8888") == 200


def test_one_run_mends_all_that_is_broken(classroom: Classroom) -> None:
    sums = root(classroom, "cd /srv/mynn/mnist; sha256sum *.csv")
    interrupted = root(classroom, INTERRUPT)
    assert interrupted
    root(classroom, "truncate --size=50M /srv/mynn/mnist/mnist_train.csv; rm /srv/mynn/mnist/mnist_test_10.csv")
    root(classroom, f"rm {VENV}/bin/python3; systemctl disable --now jupyter")
    assert_mended(classroom)
    assert root(classroom, "dpkg --audit") == ""
    assert root(classroom, "cd /srv/mynn/mnist; sha256sum *.csv") == sums
    assert root(classroom, "systemctl is-enabled jupyter; systemctl is-active jupyter").split() == ["enabled", "active"]
    assert root(
        classroom, f"cd /; {VENV}/bin/python -c 'import mynn, jupyterlab, numpy; print(mynn.__file__)'"
    ).startswith(VENV)
    root(classroom, "apt-get remove --yes sl hello; rm /tmp/*.deb")


def test_a_held_apt_lock_is_waited_for(classroom: Classroom) -> None:
    root(classroom, "apt-get remove --yes avahi-daemon")  # so that the run has something to install
    held = 20
    script = HOLD.format(seconds=held).replace("\n", "; ").strip("; ")
    began = time.monotonic()
    root(classroom, f"systemd-run --unit=lock-holder /usr/bin/python3 -c '{script}'")
    done = classroom.playbook("site")
    assert time.monotonic() - began > held
    assert done.returncode == 0
    assert root(classroom, "systemctl is-active avahi-daemon") == "active"


def test_a_pi_that_asks_for_a_reboot_is_rebooted(classroom: Classroom) -> None:
    boot = root(classroom, "cat /proc/sys/kernel/random/boot_id")
    root(classroom, "touch /run/reboot-required")
    assert_mended(classroom)
    assert root(classroom, "cat /proc/sys/kernel/random/boot_id") != boot


def test_a_new_python_gets_a_new_environment(classroom: Classroom) -> None:
    """What a system's upgrade from the last minor version leaves behind."""
    python = root(classroom, f"cd {VENV}/lib; ls -d python3.*")
    older = f"python3.{int(python.removeprefix('python3.')) - 1}"
    number, old_number = python.removeprefix("python"), older.removeprefix("python")
    root(
        classroom,
        f"cd {VENV}; mv lib/{python} lib/{older}; sed -i 's/{number}/{old_number}/' pyvenv.cfg; "
        f"for stamp in installed-*; do mv $stamp installed-{old_number}-${{stamp##*-}}; done; "
        f"systemctl stop jupyter",
    )
    assert_mended(classroom)
    assert root(classroom, f"ls {VENV}/lib") == python
    assert root(
        classroom, f"cd /; {VENV}/bin/python -c 'import mynn, jupyterlab, numpy; print(mynn.__file__)'"
    ).startswith(VENV)
