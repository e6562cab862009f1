"""The desk's card: its role in a virtual Pi, and its image on an emulated one."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from argon2 import PasswordHasher

from tests.benchmarks.board_measure import first_answer
from tests.support.classroom import ROOT, BoardClassroom, Classroom, root, until
from tests.support.image import faults, unpack
from tests.support.image_build import build_for
from tests.support.programs import run_playbook
from tests.virtual import Board, Fleet
from tests.virtual.board import DESK
from tests.virtual.host import cache_folder

PASSWORD = "sunflower7"
PLAY = """
- name: Make a Pi the desk
  hosts: pis
  become: true
  gather_facts: false
  roles: [system, desk]
"""
# The settings that every play in playbooks/ has.
OURS = ["defaults", "folders", "platforms", "students"]
MOST_MEMORY = 150  # MiB of the desk's processes when idle
# The memory of the desk's processes, in kB: what several share counts once.
MEMORY = """
for process in $(pgrep -u mynn-desk); do sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$process/smaps_rollup; done |
    awk '{ sum += $1 } END { print sum }'
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    """Make a virtual Pi a desk; its first boot, which a container has not, would write the password's hash."""
    fleet = Fleet(ROOT / "build/virtual-desk", address="127.77.13.0")
    fleet.down()
    try:
        fleet.up(1, publish=(80,))
        classroom = Classroom(fleet)
        hashed = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
        root(classroom, 'umask 077; mkdir -m 755 /etc/mynn-desk; echo "argon2:$1" >/etc/mynn-desk/password', hashed)
        play = tmp_path_factory.mktemp("play") / "desk.yml"
        play.write_text(PLAY)
        ours = [f"-e@{ROOT}/playbooks/group_vars/all/{name}.yml" for name in OURS]
        ours.append(f"-eansible_ssh_executable={ROOT}/playbooks/files/ssh")
        for changes in ("changed=[1-9]", "changed=0"):
            done = run_playbook("-i", fleet.state.inventory, *ours, play)
            assert done.returncode == 0 and re.search(changes, done.stdout)
        yield classroom
    finally:
        fleet.down()


class Browser(requests.Session):
    """A teacher's, which finds the desk by a name. url: where it is in truth, behind a forwarded port."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self.url = url
        # The desk ends a connection on which nothing comes for a while.
        self.headers.update({"Host": f"{name}.local", "Origin": f"http://{name}.local", "Connection": "close"})

    def ask(self, path: str, body: dict[str, str] | None = None) -> requests.Response:
        """Ask for a page, or press a button."""
        method = "GET" if body is None else "POST"
        return self.request(method, self.url + path, data=body, timeout=60, allow_redirects=False)

    def sign_in(self, password: str) -> None:
        """Sign in, and say what time it is."""
        answer = self.ask("/sign-in", {"password": password, "now": str(int(time.time()))})
        assert answer.status_code == 303, answer.text
        self.headers["Cookie"] = answer.headers["Set-Cookie"].split(";")[0]

    def press(self, button: str) -> str:
        """Press a button on the tab Pis, wait for the end of what it starts, and return the report."""
        assert self.ask(f"/run/{button}", {}).status_code == 200
        until(lambda: "Close" in self.report(), 3600)
        return self.report()

    def report(self) -> str:
        """Return what the tab Pis says of a run, as text."""
        html = self.ask("/pis").text.partition(' role="status">')[2].partition("</section>")[0]
        return " ".join(re.sub("<[^>]*>", " ", html).split())


@pytest.fixture
def browser(desk: Classroom) -> Browser:
    return Browser(f"http://{desk.address}:80", desk.host)


def test_a_teacher_signs_in_and_verifies_a_pi(desk: Classroom, browser: Browser) -> None:
    """It has what the playbooks need, and a Pi's own tests. In a container's little memory, the Pi must not answer."""
    assert browser.ask("/").status_code == 401
    root(desk, "touch /var/lib/apt/periodic/update-success-stamp")
    pi = "pi-02 ansible_host=127.0.0.1 ansible_port=1 ansible_user=pi"
    root(desk, 'echo "[pis]\n$1" >/var/lib/mynn-desk/inventory.ini; systemctl restart mynn-desk', pi)
    browser.sign_in(PASSWORD)
    until(lambda: "pi-02" in browser.ask("/").text)
    assert browser.ask("/run/verify", {}).status_code == 200
    until(lambda: "pi-02 cannot be reached over SSH" in browser.ask("/pis").text)
    assert "It last checked for Debian’s updates on" in browser.ask("/settings").text
    assert "ssh-ed25519 " in browser.ask("/backup").text
    assert browser.ask("/backup/now").content.startswith(b"\x1f\x8b")


def test_its_account_can_do_nothing_else(desk: Classroom) -> None:
    for denied in ("test -w /opt/mynn/desk", "test -r /etc/mynn-desk/password", "test -r /etc/shadow", "sudo -n true"):
        assert desk.ssh(f"sudo runuser -u mynn-desk -- {denied}").returncode != 0, denied
    assert desk.ssh("sudo runuser -u mynn-desk -- test -w /var/lib/mynn-desk").returncode == 0
    assert root(desk, "stat -c %a /var/lib/mynn-desk") == "700"


def test_it_comes_back(desk: Classroom, browser: Browser) -> None:
    root(desk, "pkill -KILL -u mynn-desk")
    until(lambda: browser.ask("/").status_code == 401)


@pytest.fixture
def fresh() -> Iterator[Fleet]:
    """A virtual Pi that was not set up yet, at 127.0.0.1, which is 10.0.2.2 to an emulated Pi."""
    fleet = Fleet(ROOT / "build/virtual-fresh", address="127.0.0.0")
    fleet.down()
    fleet.up(1)
    yield fleet
    fleet.down()


def give_wheels(desk: BoardClassroom) -> None:
    """Give a desk the wheels for a virtual Pi: it has a Pi Zero's only, and an emulated Pi may have no Internet."""
    wheels = max((cache_folder() / "wheels").glob("trixie-amd64-*.tar"), key=lambda path: path.stat().st_mtime)
    copied = f"src={wheels} dest=/var/lib/mynn-desk/cache/wheels/ owner=mynn-desk"
    ansible = [str(Path(sys.executable).with_name("ansible")), "all", "--inventory", str(desk.inventory), "--become"]
    subprocess.run([*ansible, "-m", "copy", "-a", copied], cwd=ROOT, check=True)


@pytest.mark.long
def test_the_image_boots_to_its_page_and_sets_up_a_pi(fresh: Fleet) -> None:
    disk = build_for("3", desk=True)
    assert faults(unpack(disk)) == []
    board = Board(ROOT / "build/board-desk", address="127.77.93.1")
    browser = Browser(f"http://{board.address}:{DESK}", "desk")
    board.down()
    try:
        board.insert(disk)
        began = time.monotonic()
        board.switch_on()
        seconds = first_answer(browser.url, {401}, Host="desk.local") - began
        print(f"The first boot to the sign-in page took {seconds:.0f} s.")
        board.start()
        facts = board.facts()
        assert (facts["name"], facts["the desk"]) == ("desk", "http://desk.local")
        browser.sign_in(facts["password"])
        assert "Asking the Pis" in browser.ask("/").text
        used = int(board.ssh(f"sudo sh -c {shlex.quote(MEMORY)}").stdout) / 1024
        print(f"The desk's processes take {used:.0f} MiB.")
        assert used < MOST_MEMORY
        until(lambda: abs(int(board.ssh("date +%s").stdout) - time.time()) < 60)
        until(lambda: "ssh-ed25519 " in browser.ask("/backup").text)
        key = re.findall(r"ssh-ed25519 [\w+/=]+", browser.ask("/backup").text)[0]
        fresh.member("pi-01").ssh(f"echo '{key}' >>~/.ssh/authorized_keys")
        give_wheels(BoardClassroom(board))
        pi = "pi-01 ansible_host=10.0.2.2 ansible_port=2222 ansible_user=pi"
        board.ssh(f"printf '[pis]\\n{pi}\\n' | sudo tee /var/lib/mynn-desk/inventory.ini")
        until(lambda: "pi-01" in browser.ask("/").text)
        for button in ("site", "verify"):
            began = time.monotonic()
            assert "Finished." in browser.press(button)
            print(f"{button}: {time.monotonic() - began:.0f} s")
        assert "The Pis: 1 of 1 ready" in browser.ask("/pis").text
    finally:
        board.down()
