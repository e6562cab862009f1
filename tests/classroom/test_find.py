"""`make find` on the network of the virtual Pis, with real multicast DNS: zeroconf on this side, Avahi on the Pis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.classroom import ROOT, Classroom
<<<<<<< HEAD
from tests.virtual import Fleet
from tests.virtual.container import Container

SUDO = [] if os.geteuid() == 0 else ["sudo"]
NAMESPACE = f"mynn-find-{os.getpid()}"
NETWORK = "192.168.77"
AVAHI = (
    "sudo apt-get -qq -o DPkg::Lock::Timeout=60 update"
    " && sudo apt-get -qqy --no-install-recommends install avahi-daemon >&2"
)
SSH_SERVICE = "sudo cp /usr/share/doc/avahi-daemon/examples/ssh.service /etc/avahi/services/"


def host(*words: str) -> None:
    subprocess.run([*SUDO, *words], check=True)


def find(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `make find`'s program in the test's namespace."""
    command = [sys.executable, "-m", "mynn_control.find", *arguments]
    done = subprocess.run(
        [*SUDO, "ip", "netns", "exec", NAMESPACE, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def namespace() -> Iterator[None]:
    """Create a network namespace with a bridge and no Pis."""
    host("ip", "netns", "add", NAMESPACE)
    host("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
    host("ip", "-n", NAMESPACE, "link", "add", "bridge0", "type", "bridge")
    host("ip", "-n", NAMESPACE, "link", "set", "bridge0", "up")
    host("ip", "-n", NAMESPACE, "address", "add", f"{NETWORK}.1/24", "dev", "bridge0")
    yield
    host("ip", "netns", "delete", NAMESPACE)


def connect(stack: ExitStack, fleet: Fleet, number: int, address: int) -> None:
    """Connect a Pi to the bridge until the stack is closed."""
    pi = fleet.member(f"pi-{number:02}")
    assert isinstance(pi, Container)
    network = pi.network()
    cable = f"pi{address}"
    host("ip", "-n", NAMESPACE, "link", "add", cable, "type", "veth", "peer", "name", "lan0", "netns", network)
    stack.callback(host, "ip", "-n", NAMESPACE, "link", "delete", cable)
    host("ip", "-n", NAMESPACE, "link", "set", cable, "master", "bridge0", "up")
    inside = ("nsenter", f"--net={network}", "ip")
    host(*inside, "address", "add", f"{NETWORK}.{address}/24", "dev", "lan0")
    host(*inside, "link", "set", "lan0", "up")


def install(fleet: Fleet, number: int, command: str) -> None:
    done = fleet.ssh(f"pi-{number:02}", command, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pis(ten: Classroom, namespace: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Connect six hosts: two notebook servers, two freshly flashed Pis, one that was renamed, and a laptop."""
    fresh = Fleet(tmp_path_factory.mktemp("fresh") / "state", address="127.77.23.0")
    with ExitStack() as stack:
        stack.callback(fresh.down)
        fresh.up(4)
        for number, address in ((1, 11), (2, 12)):
            connect(stack, ten.fleet, number, address)
        for number in range(1, 5):
            connect(stack, fresh, number, 20 + number)
        install(fresh, 1, AVAHI)  # first, so that it gets the name that two of them want
        with ThreadPoolExecutor() as pool:
            installing = [
                pool.submit(install, fresh, 2, AVAHI),
                pool.submit(install, fresh, 3, f"sudo hostnamectl set-hostname lab7 && {AVAHI}"),
                pool.submit(install, fresh, 4, f"sudo hostnamectl set-hostname laptop && {AVAHI} && {SSH_SERVICE}"),
            ]
            for done in installing:
                done.result()
        yield


def test_an_empty_network_is_reported_with_what_to_do(namespace: None) -> None:
    done = find("--seconds", "1")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "No Pi answered. Check that they have been on" in done.stderr


def test_lines_for_the_inventory_are_proposed(pis: None, tmp_path: Path) -> None:
=======


def test_lines_for_the_inventory_are_proposed(three: Classroom, tmp_path: Path) -> None:
>>>>>>> fad6624d33dffa8be5a8b3eaf46d0134624c667b
    inventory = tmp_path / "inventory.ini"
    inventory.write_text("[pis]\npi-01\n", encoding="utf-8")
    command = [sys.executable, "-m", "mynn_control.find", "--inventory", str(inventory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for number in (2, 3):
        address = f"10.77.7.{number}"  # in the fleet's own network
        assert f"pi-0{number} ansible_host={address} # {address}: is a notebook server" in lines
    assert [line for line in lines if line.startswith("# pi-01 ") and line.endswith("is already in the inventory")]
