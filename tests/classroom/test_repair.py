"""site.yml repairs a Pi, waits for locks, and reboots if needed."""

from __future__ import annotations

import re
import time

import pytest

from tests.classroom.test_site import wait_for_login
from tests.support.classroom import Classroom, recap, until

VENV = "/opt/mynn/venv"
AVAHI = "busctl call org.freedesktop.Avahi / org.freedesktop.Avahi.Server"
# Kill dpkg in the middle of installing packages that nothing needs, as in a power cut.
INTERRUPT = """
cd /tmp && apt-get download -q sl hello && sh -c '
dpkg --status-fd 3 --install sl_*.deb hello_*.deb 3>&1 >/dev/null | while read line; do
    case $line in *"status: unpacked"*) pkill -KILL -x dpkg;; esac
done'
dpkg --audit | grep -E "^ (sl|hello) "
"""
# Kill dpkg while it unpacks a package that is installed already, and a new one.
UNPACK = r"""
mkdir -p /tmp/cut && cd /tmp/cut
cat > dpkg-deb <<"END"
#!/bin/sh
case $1 in
    --fsys-tarfile) /usr/bin/dpkg-deb "$@" | head -c 3000; sleep 1; kill -KILL $PPID;;
    *) exec /usr/bin/dpkg-deb "$@";;
esac
END
chmod +x dpkg-deb
apt-get download -q python3-distro-info hello
for archive in *.deb; do PATH=/tmp/cut:$PATH dpkg --unpack $archive; done
rm -r /tmp/cut
"""
# Change a package's state in dpkg's status file.
STATE = r"sed -i '/^Package: {}$/,/^$/s/^Status: .*/Status: install ok {}/' /var/lib/dpkg/status"
STATES = {
    "tar": "unpacked",
    "grep": "half-configured",
    "libc-bin": r"triggers-pending\nTriggers-Pending: ldconfig",
    "sed": r"triggers-awaited\nTriggers-Awaited: libc-bin",
}
# Leave archives as apt does when the power fails: of a package that is installed, and of a missing one.
FETCHED = """
cd /var/cache/apt/archives
apt-get remove -y systemd-zram-generator
apt-get download -q tar systemd-zram-generator
"""
# Make a truncated list, files of zeros, a missing package whose archive has the right size but is damaged, and stale
# lock files.
APT = r"""
apt-get remove -y avahi-daemon
apt-get install --download-only --no-install-recommends -y -o APT::Keep-Downloaded-Packages=true avahi-daemon
dd if=/dev/zero of=$(ls /var/cache/apt/archives/avahi-daemon_*.deb) bs=1 seek=10000 count=300 conv=notrunc
cd /var/lib/apt/lists
truncate --size=1M *_trixie_main_binary-*_Packages
for file in *_trixie-updates_InRelease /var/lib/apt/extended_states; do
    size=$(stat -c %s $file); truncate --size=0 $file; truncate --size=$size $file
done
touch lock /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend
"""
DATABASE = r"""
cd /var/lib/dpkg
truncate --size=-60000 status
rm info/ucf.list; truncate --size=0 info/tzdata.list; truncate --size=-1 info/avahi-daemon.list
for file in info/bash.list diversions statoverride; do
    truncate --size=0 $file; truncate --size=100 $file
done
printf "Package: bash\nSta" > updates/0007
"""
# Hold the lock of apt and dpkg: Python's lockf takes the same fcntl lock.
HOLD = """
import fcntl, time
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep({seconds})
"""


def root(classroom: Classroom, script: str) -> str:
    """Run a script as root on the Pi, and return its output."""
    quoted = script.replace("'", "'\\''")
    done = classroom.ssh(f"sudo sh -c '{quoted}'")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def assert_repaired(classroom: Classroom) -> None:
    """One run repairs everything, the next changes nothing, and the server answers."""
    done = classroom.playbook("site")
    assert done.returncode == 0
    assert recap(classroom.playbook("site").stdout)["pi-01"].changed == 0
    assert wait_for_login(f"http://{classroom.address}:8888") == 200


def test_one_run_repairs_everything(classroom: Classroom) -> None:
    sums = root(classroom, "cd /srv/mynn/mnist; sha256sum *.csv")
    interrupted = root(classroom, INTERRUPT)
    assert interrupted
    root(classroom, "truncate --size=50M /srv/mynn/mnist/mnist_train.csv; rm /srv/mynn/mnist/mnist_test_10.csv")
    root(classroom, f"rm {VENV}/bin/python3; systemctl disable --now jupyter")
    assert_repaired(classroom)
    assert root(classroom, "dpkg --audit") == ""
    assert root(classroom, "cd /srv/mynn/mnist; sha256sum *.csv") == sums
    assert root(classroom, "systemctl is-enabled jupyter; systemctl is-active jupyter").split() == ["enabled", "active"]
    assert root(
        classroom, f"cd /; {VENV}/bin/python -c 'import mynn, jupyterlab, numpy; print(mynn.__file__)'"
    ).startswith(VENV)
    root(classroom, "apt-get remove --yes sl hello; rm /tmp/*.deb")


def audit(classroom: Classroom) -> str:
    """Return the problems that dpkg and apt report."""
    return root(classroom, "dpkg --audit 2>&1; python3 -c 'import apt; apt.Cache()' 2>&1 | tail -1; true")


def packages(classroom: Classroom) -> str:
    """Return the installed packages and their states."""
    return root(classroom, "dpkg-query --show --showformat '${binary:Package} ${db:Status-Abbrev}\n' | grep -v ' rc'")


def test_packages_in_any_unfinished_state_are_repaired(classroom: Classroom) -> None:
    root(classroom, UNPACK)
    for package, state in STATES.items():
        root(classroom, STATE.format(package, state))
    assert packages(classroom).count(" iHR") == 2
    broken = audit(classroom)
    assert all(re.search(rf"(?m)^ {package} ", broken) for package in ("python3-distro-info", "hello", *STATES))
    assert root(classroom, "dpkg --configure -a; apt-get --fix-broken install -y >/dev/null 2>&1; dpkg --audit")
    for package, state in STATES.items():
        root(classroom, STATE.format(package, state))
    root(classroom, FETCHED)
    assert_repaired(classroom)
    assert audit(classroom) == ""
    root(classroom, "apt-get remove --yes hello")


def test_damaged_apt_files_are_fetched_again(classroom: Classroom) -> None:
    before = packages(classroom)
    root(classroom, APT)
    assert "parse" in audit(classroom)
    assert_repaired(classroom)
    assert audit(classroom) == ""
    assert packages(classroom) == before


@pytest.mark.parametrize("status", ["truncated", pytest.param("empty", marks=pytest.mark.long)])
def test_dpkgs_database_is_restored(classroom: Classroom, status: str) -> None:
    before = packages(classroom)
    root(classroom, DATABASE if status == "truncated" else "truncate --size=0 /var/lib/dpkg/status")
    if status == "truncated":
        assert "error" in audit(classroom)
    else:
        assert root(classroom, "dpkg-query --show | wc -l") == "0"
    assert_repaired(classroom)
    assert audit(classroom) == ""
    assert packages(classroom) == before


def test_it_waits_for_a_held_apt_lock(classroom: Classroom) -> None:
    root(classroom, "apt-get remove --yes avahi-daemon")  # so that there is something to install
    held = 20
    script = HOLD.format(seconds=held).replace("\n", "; ").strip("; ")
    began = time.monotonic()
    root(classroom, f"systemd-run --unit=lock-holder /usr/bin/python3 -c '{script}'")
    done = classroom.playbook("site")
    assert time.monotonic() - began > held
    assert done.returncode == 0
    assert root(classroom, "systemctl is-active avahi-daemon") == "active"


def test_a_pi_that_needs_a_reboot_is_rebooted(classroom: Classroom) -> None:
    boot = root(classroom, "cat /proc/sys/kernel/random/boot_id")
    root(classroom, "touch /run/reboot-required")
    assert_repaired(classroom)
    assert root(classroom, "cat /proc/sys/kernel/random/boot_id") != boot


def test_an_environment_whose_making_was_cut_off_is_made_anew(classroom: Classroom) -> None:
    """Its pip works, but it does not see apt's packages yet."""
    setting = "include-system-site-packages"
    root(classroom, f"sed -i 's/^{setting} = true/{setting} = false/' {VENV}/pyvenv.cfg; rm {VENV}/installed-*")
    assert_repaired(classroom)


def test_a_wrong_name_on_the_network_is_corrected(classroom: Classroom) -> None:
    """avahi-daemon sometimes takes the Pi's own old announcement for another Pi's."""
    assert root(classroom, "systemctl is-active mynn-name.timer") == "active"
    root(classroom, "systemctl stop mynn-name.timer")
    root(classroom, f"{AVAHI} SetHostName s pi-01-2")
    until(lambda: called(classroom) == "pi-01-2", 30)
    root(classroom, "systemctl start mynn-name")
    until(lambda: called(classroom) == "pi-01", 30)
    # While avahi-daemon is stopped, it is left alone, and no unit has failed.
    units = "avahi-daemon.socket avahi-daemon.service"
    stopped = f"systemctl stop {units}; systemctl start mynn-name; systemctl is-active {units}; systemctl start {units}"
    assert root(classroom, stopped).split() == ["inactive", "inactive"]
    assert root(classroom, "systemctl is-failed mynn-name || true") == "inactive"
    assert root(classroom, "systemctl is-active mynn-name.timer") == "active"  # avahi-daemon has started it


def called(classroom: Classroom) -> str:
    """Return what avahi-daemon calls the Pi."""
    return root(classroom, f"{AVAHI} GetHostName").split('"')[1]


@pytest.mark.long
def test_a_new_python_gets_a_new_environment(classroom: Classroom) -> None:
    """Simulate an environment from before an upgrade to the next minor version."""
    python = root(classroom, f"cd {VENV}/lib; ls -d python3.*")
    older = f"python3.{int(python.removeprefix('python3.')) - 1}"
    number, old_number = python.removeprefix("python"), older.removeprefix("python")
    root(
        classroom,
        f"cd {VENV}; mv lib/{python} lib/{older}; sed -i 's/{number}/{old_number}/' pyvenv.cfg; "
        f"for stamp in installed-*; do mv $stamp installed-{old_number}-${{stamp##*-}}; done; "
        f"systemctl stop jupyter",
    )
    assert_repaired(classroom)
    assert root(classroom, f"ls {VENV}/lib") == python
    assert root(
        classroom, f"cd /; {VENV}/bin/python -c 'import mynn, jupyterlab, numpy; print(mynn.__file__)'"
    ).startswith(VENV)
