"""The virtual Pis themselves: they boot, have limited memory, survive faults, and leave nothing behind.

Leftovers are looked up in the kernel's own lists, without the fleet's code.
"""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.virtual import Fleet, VirtualError
from tests.virtual.host import ensure_watches

PROJECT = Path(__file__).resolve().parents[2]
ADDRESS = "127.77.9.0"
COMMAND = ["/usr/bin/python3", "-m", "tests.virtual"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("virtual") / "state", address=ADDRESS)
    fleet.up(2)
    yield fleet
    fleet.down()


@pytest.fixture
def own_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Return another fleet, not started yet, for a test to break."""
    fleet = Fleet(tmp_path / "state", address="127.77.10.0")
    yield fleet
    fleet.down()


def output_of(fleet: Fleet, command: str, name: str = "pi-01") -> str:
    done = fleet.ssh(name, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def take_memory(mebibytes: int) -> str:
    return f"python3 -c 'bytearray({mebibytes} << 20)'; echo $?"


def boot_of(fleet: Fleet, name: str = "pi-01") -> str:
    return output_of(fleet, "cat /proc/sys/kernel/random/boot_id", name)


def wait_for_another_boot(fleet: Fleet, boot: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done = fleet.ssh("pi-01", "cat /proc/sys/kernel/random/boot_id")
        if done.returncode == 0 and done.stdout.strip() != boot:
            return
        time.sleep(0.1)
    pytest.fail("pi-01 did not reboot within 30 s")


def test_boots_without_failed_units(fleet: Fleet) -> None:
    assert output_of(fleet, "systemctl is-system-running --wait || systemctl --failed --no-legend") == "running"
    assert output_of(fleet, ". /etc/os-release; echo $VERSION_CODENAME") == "trixie"
    assert output_of(fleet, "hostname") == "raspberrypi"


def test_is_as_minimal_as_a_fresh_pi(fleet: Fleet) -> None:
    assert output_of(fleet, "sudo -n id -u") == "0"
    assert fleet.ssh("pi-01", "/usr/bin/python3 -c 'import apt'").returncode != 0


def test_each_pi_has_its_own_identity(fleet: Fleet) -> None:
    for command in ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "ip -4 -o addr show eth0"):
        assert output_of(fleet, command, "pi-01") != output_of(fleet, command, "pi-02")


def test_reaches_the_internet_and_resolves_names(fleet: Fleet) -> None:
    assert "Err:" not in output_of(fleet, "sudo apt-get -q --error-on=any update")


def test_memory_is_limited_and_the_pi_survives(fleet: Fleet) -> None:
    boot = boot_of(fleet)
    assert output_of(fleet, take_memory(300)) == "0"
    assert output_of(fleet, take_memory(600)) == str(128 + signal.SIGKILL)
    assert boot_of(fleet) == boot


def test_a_published_port_is_reachable_from_the_host(fleet: Fleet) -> None:
    output_of(fleet, "sudo systemd-run --quiet --unit=page python3 -m http.server 8888")
    output_of(fleet, "for i in $(seq 50); do ss -Hltn 'sport = 8888' | grep -q . && break; sleep 0.1; done")
    with socket.create_connection(("127.77.9.1", 8888), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.0 "
    output_of(fleet, "sudo systemctl stop page")


def test_a_sandboxed_service_runs(fleet: Fleet) -> None:
    sandbox = (
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "PrivateUsers=no",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectControlGroups=yes",
        "DynamicUser=yes",
        "ProtectProc=invisible",
        "RestrictNamespaces=yes",
        "SystemCallFilter=@system-service",
        "LoadCredential=name:/etc/hostname",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
    )
    options = " ".join(f"-p {setting}" for setting in sandbox)
    asks = "cat ${CREDENTIALS_DIRECTORY:-/nowhere}/name; id -u"  # a form that systemd does not expand itself
    name, user = output_of(fleet, f"sudo systemd-run --quiet --wait --pipe {options} sh -c '{asks}'").split()
    assert name == "raspberrypi"
    assert user != "0"


def test_reboots_with_its_disk_and_network(fleet: Fleet) -> None:
    boot = boot_of(fleet)
    output_of(fleet, "touch kept")
    fleet.ssh("pi-01", "sudo reboot")
    wait_for_another_boot(fleet, boot)
    output_of(fleet, "test -e kept")
    output_of(fleet, "sudo apt-get -q --error-on=any update")
    assert output_of(fleet, take_memory(600)) == str(128 + signal.SIGKILL)


def test_up_again_changes_nothing_and_is_quick(fleet: Fleet) -> None:
    boots = [boot_of(fleet, name) for name in ("pi-01", "pi-02")]
    start = time.monotonic()
    fleet.up(2)
    assert time.monotonic() - start < 5
    assert [boot_of(fleet, name) for name in ("pi-01", "pi-02")] == boots


def test_up_with_a_smaller_size_keeps_all_pis(fleet: Fleet) -> None:
    fleet.up(1)
    assert [row["status"] for row in fleet.list()] == ["running", "running"]


def test_poweroff_stops_a_pi_and_up_starts_it_with_its_disk(fleet: Fleet) -> None:
    output_of(fleet, "touch before-poweroff")
    fleet.ssh("pi-01", "sudo poweroff")
    deadline = time.monotonic() + 20
    while fleet.status("pi-01") != "stopped" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert fleet.status("pi-01") == "stopped"
    assert fleet.status("pi-02") == "running"
    fleet.up(2)
    output_of(fleet, "test -e before-poweroff")


def test_a_killed_pi_refuses_connections_and_keeps_its_disk(fleet: Fleet) -> None:
    output_of(fleet, "touch before-kill; sync")
    fleet.kill("pi-01")
    assert fleet.ssh("pi-01", "true", timeout=5).returncode == 255
    assert "pi-01 ansible_host=127.77.9.1" in fleet.inventory.read_text()
    fleet.start("pi-01")
    output_of(fleet, "test -e before-kill")


def test_a_reset_pi_has_a_fresh_disk_and_the_same_host_key(fleet: Fleet) -> None:
    output_of(fleet, "touch before-reset")
    fleet.reset("pi-01")
    output_of(fleet, "test ! -e before-reset")


@pytest.mark.parametrize(("fault", "repair"), [("freeze", "thaw"), ("unplug", "plug")])
def test_an_unresponsive_pi_recovers(fleet: Fleet, fault: str, repair: str) -> None:
    boot = boot_of(fleet)
    getattr(fleet, fault)("pi-01")
    with pytest.raises(subprocess.TimeoutExpired):
        fleet.ssh("pi-01", "true", timeout=2)
    getattr(fleet, repair)("pi-01")
    assert boot_of(fleet) == boot


def test_another_suite_is_refused(fleet: Fleet) -> None:
    with pytest.raises(VirtualError, match="make demo-stop"):
        fleet.up(1, suite="bookworm")


def test_an_address_in_use_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    other = Fleet(tmp_path / "state", address=ADDRESS)
    with pytest.raises(VirtualError, match="--address"):
        other.up(1)
    other.down()
    assert boot_of(fleet)


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--fleet", "0"],
        ["up", "--fleet", "many"],
        ["up", "--suite", "sid"],
        ["up", "--publish", "2222"],
        ["up", "--publish", "web"],
        ["up", "--address", "10.0.0.0"],
        ["up", "--delay-ms", "-1"],
        ["kill", "pi-77"],
        ["fly"],
        [],
    ],
)
def test_bad_input_is_refused_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "state")] if arguments and arguments != ["fly"] else []
    done = subprocess.run([*COMMAND, *arguments, *state], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "state").exists()


def test_the_inotify_limit_is_raised_for_many_pis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = tmp_path / "max_user_instances"
    allowed.write_text("128\n")
    ensure_watches(8, allowed)
    assert allowed.read_text() == "128\n"
    assert capsys.readouterr().out == ""
    ensure_watches(30, allowed)
    assert int(allowed.read_text()) >= 480
    assert "instead of 128" in capsys.readouterr().out

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(VirtualError, match="set it with `sysctl"):
        ensure_watches(100, allowed)


def test_the_proxy_adds_the_given_delay_and_loses_nothing() -> None:
    with socket.create_server(("127.77.9.200", 7001)) as server:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

        threading.Thread(target=echo, daemon=True).start()
        proxy = subprocess.Popen(
            [*COMMAND[:2], "tests.virtual.delay", "127.77.9.200", "7000", "7001", "50"], cwd=PROJECT
        )
        try:
            client = connect_patiently("127.77.9.200", 7000)
            trips = []
            for _ in range(10):
                start = time.monotonic()
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                trips.append(time.monotonic() - start)
            # The first also waited for the proxy's connection to the target.
            assert 0.050 <= min(trips[1:]) <= sorted(trips[1:])[4] < 0.065
            sent = os.urandom(4_000_000)

            def send() -> None:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)

            threading.Thread(target=send, daemon=True).start()
            received = b"".join(iter(lambda: client.recv(65536), b""))
            assert received == sent
        finally:
            proxy.terminate()
            proxy.wait()


def connect_patiently(address: str, port: int) -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection((address, port), timeout=20)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens at {address}:{port}")


@dataclass(frozen=True)
class Traces:
    """What the kernel knows about a fleet."""

    processes: set[int]
    networks: set[str]
    groups: set[str]
    mounts: list[str]


def traces(fleet: Fleet) -> Traces:
    """Find a fleet's processes by its state folder's name, and their namespaces, groups and mounts."""
    folder = str(fleet.state.folder)
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line]
    words = {folder, *(word for line in mounts for word in line.split() if word.startswith("mynn-"))}
    groups = {
        str(path)
        for word in words
        if word.startswith("mynn-")
        for path in Path("/sys/fs/cgroup").rglob(word.rpartition("-pi-")[0])
    }
    processes, networks = set(), set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text(errors="replace")
            group = (process / "cgroup").read_text()
            network = str((process / "ns/net").readlink())
        except OSError:  # the process has ended
            continue
        if any(word in line for word in words) or any(Path(path).name in group for path in groups):
            processes.add(int(process.name))
            networks.add(network)
    host = str(Path("/proc/self/ns/net").readlink())
    return Traces(processes, networks - {host}, groups, mounts)


def assert_gone(before: Traces, fleet: Fleet) -> None:
    after = traces(fleet)
    assert not after.processes
    assert not after.mounts
    assert not [group for group in before.groups if Path(group).exists()]
    assert not before.networks & living_networks()
    pinned = {line.split()[3] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " nsfs " in line}
    assert not before.networks & pinned
    names = {Path(group).name for group in before.groups}
    assert not [
        path
        for folder in ("/run/systemd/nspawn", "/run/user", "/run/netns")
        for path in Path(folder).rglob("mynn-*")
        if any(path.name.startswith(name) for name in names)
    ]
    assert not fleet.state.folder.exists()


def living_networks() -> set[str]:
    networks = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            networks.add(str(path.readlink()))
        except OSError:  # the process has ended
            continue
    return networks


def program(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.mark.parametrize(
    "victims",
    [
        ("tests.virtual.supervise",),
        ("systemd-nspawn",),
        ("pasta",),
        ("tests.virtual.supervise", "systemd-nspawn", "pasta"),
    ],
)
def test_down_after_a_crash_leaves_nothing(own_fleet: Fleet, victims: tuple[str, ...]) -> None:
    own_fleet.up(1)
    before = traces(own_fleet)
    assert before.processes and before.networks and before.groups and before.mounts
    killed = [pid for pid in before.processes if any(victim in program(pid) for victim in victims)]
    assert len(killed) == len(victims)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    own_fleet.down()
    assert_gone(before, own_fleet)


def test_up_after_a_crash_keeps_the_disk(own_fleet: Fleet) -> None:
    own_fleet.up(1)
    output_of(own_fleet, "touch kept; sync")
    for pid in traces(own_fleet).processes:
        if "tests.virtual.supervise" in program(pid):
            os.kill(pid, signal.SIGKILL)
    own_fleet.up(1)
    output_of(own_fleet, "test -e kept")


@pytest.mark.parametrize("seconds", [0.15, 0.25, 0.4, 0.8])
def test_down_after_a_killed_up_leaves_nothing(own_fleet: Fleet, seconds: float) -> None:
    up = subprocess.Popen(
        [*COMMAND, "up", "--fleet", "3", "--address", own_fleet.address, "--state", str(own_fleet.state.folder)],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    before = traces(own_fleet)
    up.kill()
    up.wait()
    own_fleet.down()
    assert_gone(before, own_fleet)


def test_down_touches_no_other_fleet(fleet: Fleet, own_fleet: Fleet) -> None:
    boot = boot_of(fleet)
    own_fleet.up(1)
    own_fleet.down()
    assert boot_of(fleet) == boot
    assert fleet.status("pi-01") == "running"
