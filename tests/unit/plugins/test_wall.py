"""What students show: fetched from a Pi with care, asked for without an end, and shown until it is taken off."""

from __future__ import annotations

import base64
import io
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wall_page
from ansible.errors import AnsibleConnectionFailure
from PIL import Image
from playwright.sync_api import Page, expect
from wall_page import Card
from wall_server import Wall

from ansible_collections.mynn.pi.plugins.action import keep_asking as action
from ansible_collections.mynn.pi.plugins.module_utils.live_page import Server
from ansible_collections.mynn.pi.plugins.modules import wall as module
from mynn import Examples, NeuralNetwork, read_csv
from mynn.wall import FILE, LARGEST, Shown, _pictures, _text

ROOT = Path(__file__).resolve().parents[3]
STUDENT = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def digits(count: int = 10, seed: int = 1) -> Examples:
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8)[::-1].copy()
    return Examples(labels, random.integers(0, 256, (count, 784), dtype=np.uint8))


def text(name: str = "Ada", **more: Any) -> str:
    return _text(Shown(name, **({"score": 0.953} | more)))


def card(name: str = "Ada", place: str = "pi-01/student", **more: Any) -> Card:
    shown = Shown(name, **({"score": 0.953} | more))
    return Card(place, sha256(_text(shown).encode()).hexdigest(), shown)


# On a Pi


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A student's folder."""
    os.chown(open_folder, STUDENT.pw_uid, STUDENT.pw_gid)
    return open_folder


def look(home: Path, known: str | None = None, patience: float = 0.0) -> dict[str, str]:
    """Look as the module does. known: a text."""
    sums = {} if known is None else {"ada": sha256(known.encode()).hexdigest()}
    return module.look({"ada": (STUDENT, home / FILE)}, sums, patience, 0.02)


def test_the_module_has_the_packages_name_and_limit() -> None:
    assert (module.FILE, module.LARGEST, action.LARGEST) == (FILE, LARGEST, LARGEST)


def test_it_answers_as_soon_as_something_else_is_shown(home: Path) -> None:
    steps: list[tuple[Callable[[], Any], dict[str, str]]] = [
        (lambda: (home / FILE).write_text("first"), {"ada": "first"}),
        (lambda: (home / FILE).write_text("other"), {"ada": "other"}),
        ((home / FILE).unlink, {}),
    ]
    known = None
    for change, shown in steps:
        timer = threading.Timer(0.2, change)
        began = time.monotonic()
        timer.start()
        assert look(home, known, patience=30) == shown
        assert 0.1 < time.monotonic() - began < 5
        known = shown.get("ada")


def test_it_answers_when_patience_ends(home: Path) -> None:
    (home / FILE).write_text("first")
    began = time.monotonic()
    assert look(home, "first", patience=0.3) == {"ada": "first"}
    assert 0.3 < time.monotonic() - began < 5


def test_a_file_that_is_only_touched_is_no_news(home: Path) -> None:
    (home / FILE).write_text("first")
    threading.Timer(0.1, lambda: os.utime(home / FILE, (1, 1))).start()
    began = time.monotonic()
    assert look(home, "first", patience=0.5) == {"ada": "first"}
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "large", "sparse", "bytes", "closed", "loop"])
def test_what_is_no_file_of_ours_is_not_shown(home: Path, kind: str) -> None:
    path, secret = home / FILE, home / "secret"
    secret.write_text("secret")
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_text("x" * (LARGEST + 1))
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe")
    elif kind == "closed":
        if os.geteuid() != 0:
            pytest.skip("only root has files that a student cannot read")
        path.write_text("secret")
        path.chmod(0o600)  # it is root's
    else:
        path.symlink_to(path)
    assert look(home) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes the student")
def test_a_folder_that_leads_elsewhere_leads_only_where_the_student_can_read(home: Path) -> None:
    """The student's folder may be a link to root's."""
    roots = home / "roots"
    roots.mkdir(mode=0o700)
    (roots / FILE).write_text("secret")
    (home / "notebooks").symlink_to(roots)
    assert module.look({"ada": (STUDENT, home / "notebooks" / FILE)}, {}, 0.0, 0.02) == {}


# On the control node, for each Pi


class Asked:
    """A Pi that answers as told, one answer after another; then the run ends."""

    def __init__(self, answers: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[dict[str, Any]] = []
        self.slept: list[float] = []
        self.closed = 0
        runs = [1] + [1] * len(answers) + [2]  # the process of the run, until it is another
        monkeypatch.setattr(action.os, "getppid", lambda: runs.pop(0))
        monkeypatch.setattr(action.time, "sleep", self.slept.append)
        task: Any = object.__new__(action.ActionModule)
        arguments = {"module": "wall", "students": {"ada": {}, "bo": {}}, "answers": str(folder), "interval": 2}
        task._task = SimpleNamespace(args=arguments, async_val=0)
        task._connection = SimpleNamespace(close=self.close)
        answered = iter(answers)

        def execute(name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
            assert name == "wall"
            self.given.append(module_args)
            answer = next(answered)
            if isinstance(answer, Exception):
                raise answer
            return answer

        task._execute_module = execute
        monkeypatch.setattr(action.ActionBase, "run", lambda *_: {})
        self.done = task.run(None, {"inventory_hostname": "pi-01"})
        self.wrote = json.loads(path.read_text()) if (path := folder / "pi-01.json").exists() else None

    def close(self) -> None:
        self.closed += 1


def test_each_answer_is_what_the_next_question_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked([{"shown": {"ada": "first"}}, {"shown": {"bo": "x"}}], tmp_path, monkeypatch)
    assert [given["known"] for given in asked.given] == [{}, {"ada": sha256(b"first").hexdigest()}]
    assert asked.wrote == {"shown": {"bo": "x"}, "lost": ""}
    assert (asked.closed, asked.slept) == (0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["pi-01.json"]


@pytest.mark.parametrize(
    "failure",
    [
        AnsibleConnectionFailure("connect to host pi-01 port 22:\nno route\x1b[2J"),
        {"failed": True, "msg": "no route\x1b[2J"},
        {"unreachable": True, "msg": "no route\x1b[2J"},
    ],
)
def test_a_pi_that_is_off_keeps_its_place_and_is_asked_again(
    failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked([{"shown": {"ada": "first"}}, failure], tmp_path, monkeypatch)
    assert asked.wrote == {"shown": {"ada": "first"}, "lost": r"no route\x1b[2J"}
    assert (asked.closed, asked.slept) == (1, [action.PAUSE])
    asked = Asked([failure, {"shown": {}}, {"shown": {}}], tmp_path, monkeypatch)
    assert [given["patience"] for given in asked.given] == [0, 0, action.PATIENCE]
    assert asked.wrote == {"shown": {}, "lost": ""}


@pytest.mark.parametrize(
    "lie",
    [[], "x", None, {"eve": "x"}, {"../ada": "x"}, {"ada": 5}, {"ada": "x" * (LARGEST + 1)}, {"ada": {"x": "y"}}],
)
def test_a_pi_that_lies_is_not_shown(lie: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked([{"shown": {"ada": "first"}}, {"shown": lie}], tmp_path, monkeypatch)
    assert asked.wrote and asked.wrote["shown"] == {"ada": "first"}
    assert asked.wrote["lost"].startswith("it shows what no Pi shows")


@pytest.mark.parametrize("as_error", [True, False])
def test_sudos_question_for_a_password_is_passed_on(
    as_error: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "sudo password is required"
    asked = Asked(
        [AnsibleConnectionFailure(said) if as_error else {"failed": True, "msg": said}], tmp_path, monkeypatch
    )
    assert asked.done["failed"] and asked.done["msg"] == said
    assert asked.wrote is None


# The page


def test_pictures_are_drawn_anew_and_dark_where_there_is_ink() -> None:
    pixels = digits(1).pixels[0]
    address = wall_page.picture(pixels)
    image = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
    assert (image.mode, image.size) == ("L", (28, 28))
    np.testing.assert_array_equal(255 - np.asarray(image).ravel(), pixels)


def test_the_page_asks_nobody_for_anything_and_runs_only_our_script() -> None:
    page = wall_page.page([card(backquery=digits().pixels, digits=digits())], lost=["<pi>"])
    assert set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:)", page)) == {"data:"}
    [script] = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_names_are_text() -> None:
    """Whatever `read` should ever let through."""
    page = wall_page.page([card("<script>alert(1)</script>", place='"><b>/x')])
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert '"><b>' not in page


def test_the_best_score_and_whose_it_is() -> None:
    assert wall_page.best([card(score=None, digits=digits())]) is None
    cards = [card("Ada", score=0.9), card("Bo", score=0.95), card("Cy", score=0.95)]
    assert wall_page.best(cards) == (["Bo", "Cy"], 0.95)


def test_the_classes_own_test_set_is_read_as_mnist_is(tmp_path: Path) -> None:
    tiles = wall_page.mosaic([card("Ada", digits=digits(3)), card("Bo"), card("Cy", digits=digits(4, seed=2))])
    (tmp_path / "class.csv").write_text(wall_page.test_set(tiles))
    read = read_csv(tmp_path / "class.csv")
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(read.pixels[-1], digits(4, seed=2).pixels[0])


# The server


class Room:
    """The wall, served, and the Pis' answers."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.answers = tmp_path / "wall", tmp_path / "answers"
        for made in (self.folder, self.answers):
            made.mkdir()
        self.begin()

    def begin(self) -> None:
        """Begin, or begin again."""
        self.wall = Wall(self.folder, self.answers)
        self.wall.look()
        self.server = Server(self.wall, 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, pi: str, *shown: str, lost: str = "") -> None:
        """Let a Pi answer with what its students show, in order: ada, bo."""
        path = self.answers / f"{pi}.json"
        path.write_text(json.dumps({"shown": dict(zip(("ada", "bo"), shown, strict=False)), "lost": lost}))
        os.utime(path, ns=(time.time_ns(),) * 2)
        self.wall.look()

    def ask(self, path: str, what: str | None = None, **headers: str) -> tuple[int, str]:
        """Ask the server. what: to be sent by POST."""
        data = None if what is None else what.encode()
        request = urllib.request.Request(self.server.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    def names(self) -> list[str]:
        """Return whose cards are on the page, as it is in the folder and as it is served."""
        page = (self.folder / "index.html").read_text(encoding="utf-8")
        assert self.ask("/") == (200, page)
        return re.findall(r"<h2><bdi>(.*?)</bdi>", page)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.server.shutdown()
    room.server.server_close()


def test_everyones_latest_is_shown(room: Room) -> None:
    assert room.names() == []
    assert "The wall is empty" in room.ask("/")[1]
    room.answer("pi-01", text("Ada"), text("Bo"))
    room.answer("pi-02", text("Zoë"))
    assert room.names() == ["Ada", "Bo", "Zoë"]
    room.answer("pi-01", text("Lovelace"))
    assert room.names() == ["Lovelace", "Zoë"]
    room.answer("pi-02", text("Zoë"), lost="no route")
    assert room.names() == ["Lovelace", "Zoë"]
    assert "1 of 2 Pis answer" in room.ask("/")[1]


def test_what_cannot_be_read_costs_only_itself(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        room.answer("pi-01", "[" * 30_000, text("Bo"))
        room.answer("pi-01", "{}", text("Bo"))
    assert room.names() == ["Bo"]
    assert capsys.readouterr().out.count("pi-01/ada shows something that is left out.") == 2


def test_whom_the_teacher_took_off_stays_off(room: Room) -> None:
    """Whatever is shown next, under any name, and when the wall is begun again; until it is put back."""
    room.answer("pi-01", text("Ada", digits=digits()), text("Bo"))
    digits_file = room.folder / "test_set/class_digits.csv"
    assert len(read_csv(digits_file)) == 10
    assert room.ask("/take-off", "pi-01/ada", **{"X-Button": "1"})[0] == 204
    assert room.names() == ["Bo"]
    assert not digits_file.exists()
    room.answer("pi-01", text("Somebody else"), text("Bo"))
    assert room.names() == ["Bo"]
    room.server.shutdown()
    room.server.server_close()
    room.begin()
    assert room.names() == ["Bo"]
    assert room.ask("/put-back", "", **{"X-Button": "1"})[0] == 204
    assert room.names() == ["Bo", "Somebody else"]


def test_nobody_else_takes_anybody_off_or_looks(room: Room) -> None:
    """Not another site's page in the teacher's browser, and not another name for this computer."""
    room.answer("pi-01", text("Ada"))
    assert room.ask("/take-off", "pi-01/ada")[0] == 403
    assert room.ask("/take-off", "pi-01/ada", **{"X-Button": "1", "Host": "evil.example"})[0] == 403
    assert room.ask("/", Host="evil.example")[0] == 403
    assert room.ask("/take-off", "pi-01/eve", **{"X-Button": "1"})[0] == 404
    assert room.ask("/../taken_off.json")[0] == 404
    assert room.names() == ["Ada"]
    assert room.server.server_address[0] == "127.0.0.1"


def test_a_damaged_memory_of_whom_was_taken_off_is_forgotten(room: Room) -> None:
    for damaged in ("{", "5", "[5]", '{"a": 1}'):
        (room.folder / "taken_off.json").write_text(damaged)
        assert Wall(room.folder, room.answers).taken_off == []


def test_the_page_follows_by_itself_and_one_click_takes_off(room: Room, browser_page: Page) -> None:
    page = browser_page
    page.goto(room.server.url)
    expect(page.locator("h1")).to_have_text("The wall is empty")
    room.answer("pi-01", text("Ada", backquery=digits().pixels, digits=digits()), text("Bo"))
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator("article.new")).to_have_count(2)
    expect(page.locator(".tiles img")).to_have_count(10)
    expect(page.locator(".best")).to_contain_text("95.3")
    page.locator("article", has_text="Ada").click()
    expect(page.locator("article.large bdi")).to_have_text("Ada")
    room.answer("pi-02", text("Zoë"))
    expect(page.locator("article")).to_have_count(3)
    expect(page.locator("article.large bdi")).to_have_text("Ada")
    page.keyboard.press("Escape")
    expect(page.locator("article.large")).to_have_count(0)
    page.get_by_role("button", name="Take Ada off the wall").click()
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator(".tiles")).to_have_count(0)
    page.get_by_role("button", name="put the last one back").click()
    expect(page.locator("article bdi")).to_have_text(["Ada", "Bo", "Zoë"])
    room.server.shutdown()
    room.server.server_close()
    expect(page.get_by_text("The wall has ended: this was shown last.")).to_be_visible()
    expect(page.locator(".take-off").first).to_be_hidden()


def test_the_page_is_the_same_as_a_file_but_for_the_buttons(room: Room, browser_page: Page) -> None:
    room.answer("pi-01", text("Ada"))
    browser_page.goto(f"file://{room.folder}/index.html")
    expect(browser_page.locator("article bdi")).to_have_text("Ada")
    expect(browser_page.locator(".take-off")).to_be_hidden()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 8, 15, 24, 30])
def test_all_fits_a_projectors_screen(count: int, browser_page: Page, tmp_path: Path) -> None:
    """With everything that everybody can show, and names of usual lengths."""
    names = ["Ada", "Grace", "Emmy", "Sofia", "Alexander", "Kwame", "Anne-Marie"]
    full = {"backquery": digits().pixels, "digits": digits()}
    cards = [card(names[number % 7], f"pi-{number}/student", **full) for number in range(count)]
    (tmp_path / "index.html").write_text(wall_page.page(cards, answering=count), encoding="utf-8")
    for width, height in ((1920, 1080), (1280, 720), (3840, 2160)):
        browser_page.set_viewport_size({"width": width, "height": height})
        browser_page.goto(f"file://{tmp_path}/index.html")
        size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert browser_page.evaluate(size) == [width, height]


NAMES = [
    "Ada",
    "Anne-Marie",
    "Bo",
    "Dina",
    "Élodie",
    "Emil",
    "Emmy",
    "Finn",
    "Grace",
    "Hugo",
    "Ivy",
    "José",
    "Juno",
    "Kwame",
    "Lena",
    "Leyla",
    "Lou",
    "Max",
    "Mia",
    "Nia",
    "Noah",
    "Olena",
    "Oscar",
    "Pim",
    "Sofía",
    "Tariq",
    "Theo",
    "Yuki",
    "Zoë",
    "Ömer",
]


def test_a_class_of_thirty_is_pictured(mnist: Path, browser_page: Page, tmp_path: Path) -> None:
    """For the manual: with digits of MNIST, as if the class had drawn them, and what three networks take for digits."""
    examples = read_csv(mnist / "mnist_test.csv", 5000)
    networks = [NeuralNetwork(784, 60, 10, 0.1, seed=seed) for seed in range(3)]
    for network in networks:
        network.fit(examples)
    random = np.random.default_rng(7)
    cards = []
    for number, name in enumerate(NAMES):
        of_each = [random.choice(np.flatnonzero(examples.labels == label)) for label in range(10)]
        chosen: dict[str, Any] = {"score": round(random.uniform(0.9, 0.975), 3) if number % 7 else None}
        if number % 5:
            chosen["backquery"] = _pictures(networks[number % 3])
        if number % 4 or not number % 5:
            chosen["digits"] = examples[np.array(of_each)]
        cards.append(card(name, f"pi-{number}/student", **chosen))
    (tmp_path / "index.html").write_text(wall_page.page(cards, answering=30), encoding="utf-8")
    browser_page.set_viewport_size({"width": 1920, "height": 1080})
    browser_page.goto(f"file://{tmp_path}/index.html")
    assert browser_page.locator("article").count() == 30
    browser_page.screenshot(path=ROOT / "dist/screenshots/wall.png")
    browser_page.locator("article", has_text="Grace").click()
    expect(browser_page.locator("article.large .strip.backquery img")).to_have_count(10)


# The whole: a playbook that only answers, and Ctrl-C


PLAYBOOK = """
import json, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # as Ansible does
extra = json.loads(sys.argv[sys.argv.index("--extra-vars") + 1])
answers = pathlib.Path(extra["__live_page_answers"])
(answers / "pi-01.json").write_text(json.dumps({"shown": {"ada": sys.argv[1]}, "lost": ""}))
try:
    time.sleep(60)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("interrupted", flush=True)
    time.sleep(1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_cleanly(number: int, tmp_path: Path) -> None:
    """Ctrl-C reaches all processes in the terminal; the others only ours, which ends the playbook."""
    command = [sys.executable, str(ROOT / "roles/wall/files/wall_server.py"), str(tmp_path / "wall")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}
    asked = [*command, sys.executable, "-c", PLAYBOOK, text("Ada")]
    process = subprocess.Popen(
        asked, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 30
        page = tmp_path / "wall/index.html"
        while not (page.exists() and "<bdi>Ada</bdi>" in page.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=30)
        assert second.returncode == 1 and "already on, in another terminal" in second.stderr
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)  # somebody is impatient
        said, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert said.count("interrupted") == 1
    assert re.search(r"^The wall: http://127\.0\.0\.1:\d+ ", said, re.M)
    assert "The wall has ended." in said
    assert "<bdi>Ada</bdi>" in page.read_text()
