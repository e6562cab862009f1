"""The wall: what students show is read on the Pi, fetched again and again, and shown until it is taken off."""

from __future__ import annotations

import base64
import io
import json
import os
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

from ansible_collections.mynn.pi.plugins.action import poll_students as action
from ansible_collections.mynn.pi.plugins.module_utils.live_page import Server
from ansible_collections.mynn.pi.plugins.modules import wall as module
from mynn import Examples, NeuralNetwork, read_csv
from mynn.wall import FILE, LARGEST, Shown, _pictures, _text
from tests.support.programs import ROOT
from tests.support.student import STUDENT, as_root, give_to_student


def digits(count: int = 10, seed: int = 1) -> Examples:
    """Return pictures of noise, labelled from the highest label to 0."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8)[::-1].copy()
    return Examples(labels, random.integers(0, 256, (count, 784), dtype=np.uint8))


def text(name: str = "Ada", **more: Any) -> str:
    """Return the text of a student's file for the wall."""
    return _text(Shown(name, **({"score": 0.953} | more)))


def card(name: str = "Ada", place: str = "pi-01/student", **more: Any) -> Card:
    """Return a student's card on the wall."""
    shown = Shown(name, **({"score": 0.953} | more))
    return Card(place, sha256(_text(shown).encode()).hexdigest(), shown)


# On a Pi


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A student's folder."""
    give_to_student(open_folder)
    return open_folder


def look(home: Path, known: str | None = None, patience: float = 0.0) -> dict[str, str]:
    """Look for files as the module does. known: the text that the control node has."""
    sums = {} if known is None else {"ada": sha256(known.encode()).hexdigest()}
    return module.look({"ada": (STUDENT, home / FILE)}, sums, patience, 0.02)


def test_the_module_and_the_package_agree_on_file_name_and_limit() -> None:
    assert (module.FILE, module.LARGEST, action.LARGEST) == (FILE, LARGEST, LARGEST)


def test_it_answers_as_soon_as_a_student_shows_something_else(home: Path) -> None:
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


def test_it_answers_after_a_while_even_without_a_change(home: Path) -> None:
    (home / FILE).write_text("first")
    began = time.monotonic()
    assert look(home, "first", patience=0.3) == {"ada": "first"}
    assert 0.3 < time.monotonic() - began < 5


def test_a_new_modification_time_alone_is_not_a_change(home: Path) -> None:
    (home / FILE).write_text("first")
    threading.Timer(0.1, lambda: os.utime(home / FILE, (1, 1))).start()
    began = time.monotonic()
    assert look(home, "first", patience=0.5) == {"ada": "first"}
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "large", "sparse", "bytes", "unreadable", "loop"])
def test_only_a_small_readable_text_file_is_shown(home: Path, kind: str) -> None:
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
    elif kind == "unreadable":
        if os.geteuid() != 0:
            pytest.skip("only root can have a file that the student cannot read")
        path.write_text("secret")
        path.chmod(0o600)  # it belongs to root
    else:
        path.symlink_to(path)
    assert look(home) == {}


@as_root
def test_a_link_in_place_of_the_folder_cannot_show_files_of_root(home: Path) -> None:
    """The student's folder may be a link to a folder of root's."""
    roots = home / "roots"
    roots.mkdir(mode=0o700)
    (roots / FILE).write_text("secret")
    (home / "notebooks").symlink_to(roots)
    assert module.look({"ada": (STUDENT, home / "notebooks" / FILE)}, {}, 0.0, 0.02) == {}


# On the control node, for each Pi


class ActionRun:
    """A run of the action against a Pi that gives these answers, one after another. After the last, the run ends."""

    def __init__(self, answers: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[dict[str, Any]] = []
        self.slept: list[float] = []
        self.closed = 0
        parents = [1] + [1] * len(answers) + [2]  # the parent process changes when the run has ended
        monkeypatch.setattr(action.os, "getppid", lambda: parents.pop(0))
        monkeypatch.setattr(action.time, "sleep", self.slept.append)
        task: Any = object.__new__(action.ActionModule)
        arguments = {"module": "wall", "students": {"ada": {}, "bo": {}}, "answers": str(folder), "interval": 2}
        task._task = SimpleNamespace(args=arguments, async_val=0)
        task._connection = SimpleNamespace(close=self.close)
        answered = iter(answers)

        def execute(name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
            assert name == "wall"
            self.requests.append(module_args)
            answer = next(answered)
            if isinstance(answer, Exception):
                raise answer
            return answer

        task._execute_module = execute
        monkeypatch.setattr(action.ActionBase, "run", lambda *_: {})
        self.result = task.run(None, {"inventory_hostname": "pi-01"})
        self.written = json.loads(path.read_text()) if (path := folder / "pi-01.json").exists() else None

    def close(self) -> None:
        self.closed += 1


def test_each_request_says_what_is_known_from_the_last_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([{"shown": {"ada": "first"}}, {"shown": {"bo": "x"}}], tmp_path, monkeypatch)
    assert [request["known"] for request in run.requests] == [{}, {"ada": sha256(b"first").hexdigest()}]
    assert run.written == {"shown": {"bo": "x"}, "lost": ""}
    assert (run.closed, run.slept) == (0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["pi-01.json"]


@pytest.mark.parametrize(
    "failure",
    [
        AnsibleConnectionFailure("connect to host pi-01 port 22:\nno route\x1b[2J"),
        {"failed": True, "msg": "no route\x1b[2J"},
        {"unreachable": True, "msg": "no route\x1b[2J"},
    ],
)
def test_the_cards_of_a_pi_that_is_off_stay_and_it_is_asked_again(
    failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ActionRun([{"shown": {"ada": "first"}}, failure], tmp_path, monkeypatch)
    assert run.written == {"shown": {"ada": "first"}, "lost": r"no route\x1b[2J"}
    assert (run.closed, run.slept) == (1, [action.PAUSE])
    run = ActionRun([failure, {"shown": {}}, {"shown": {}}], tmp_path, monkeypatch)
    assert [request["patience"] for request in run.requests] == [0, 0, action.PATIENCE]
    assert run.written == {"shown": {}, "lost": ""}


@pytest.mark.parametrize(
    "shown",
    [[], "x", None, {"eve": "x"}, {"../ada": "x"}, {"ada": 5}, {"ada": "x" * (LARGEST + 1)}, {"ada": {"x": "y"}}],
)
def test_an_invalid_answer_is_not_shown(shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ActionRun([{"shown": {"ada": "first"}}, {"shown": shown}], tmp_path, monkeypatch)
    assert run.written and run.written["shown"] == {"ada": "first"}
    assert run.written["lost"].startswith("its answer is invalid")


@pytest.mark.parametrize("as_error", [True, False])
def test_a_missing_sudo_password_ends_the_task(as_error: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "sudo password is required"
    answer = AnsibleConnectionFailure(message) if as_error else {"failed": True, "msg": message}
    run = ActionRun([answer], tmp_path, monkeypatch)
    assert run.result["failed"] and run.result["msg"] == message
    assert run.written is None


# The page


def test_pictures_are_encoded_as_dark_on_white_png() -> None:
    pixels = digits(1).pixels[0]
    address = wall_page.picture(pixels)
    image = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
    assert (image.mode, image.size) == ("L", (28, 28))
    np.testing.assert_array_equal(255 - np.asarray(image).ravel(), pixels)


def test_the_page_loads_nothing_and_runs_only_our_script() -> None:
    page = wall_page.page([card(backquery=digits().pixels, digits=digits())], lost=["<pi>"])
    assert set(re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([a-z]+:)", page)) == {"data:"}
    [script] = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_names_are_escaped() -> None:
    """Whatever names the check on reading might let through one day."""
    page = wall_page.page([card("<script>alert(1)</script>", place='"><b>/x')])
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert '"><b>' not in page


def test_the_best_score_and_all_who_reached_it_are_found() -> None:
    assert wall_page.best([card(score=None, digits=digits())]) is None
    cards = [card("Ada", score=0.9), card("Bo", score=0.95), card("Cy", score=0.95)]
    assert wall_page.best(cards) == (["Bo", "Cy"], 0.95)


def test_the_test_set_that_the_class_drew_has_mnists_format(tmp_path: Path) -> None:
    tiles = wall_page.mosaic([card("Ada", digits=digits(3)), card("Bo"), card("Cy", digits=digits(4, seed=2))])
    (tmp_path / "class.csv").write_text(wall_page.test_set(tiles))
    read = read_csv(tmp_path / "class.csv")
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(read.pixels[-1], digits(4, seed=2).pixels[0])


# The server


class RunningWall:
    """The wall's server, and the Pis' answers that it shows."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.answers = tmp_path / "wall", tmp_path / "answers"
        for made in (self.folder, self.answers):
            made.mkdir()
        self.start()

    def start(self) -> None:
        """Start the server, or start it again after it was stopped."""
        self.state = Wall(self.folder, self.answers)
        self.state.look()
        self.server = Server(self.state, 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, pi: str, *shown: str, lost: str = "") -> None:
        """Write a Pi's answer: what its students ada and bo show, in this order."""
        path = self.answers / f"{pi}.json"
        path.write_text(json.dumps({"shown": dict(zip(("ada", "bo"), shown, strict=False)), "lost": lost}))
        os.utime(path, ns=(time.time_ns(),) * 2)
        self.state.look()

    def ask(self, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """Send a request, by POST if it has a body. Return the status and the page."""
        data = None if body is None else body.encode()
        request = urllib.request.Request(self.server.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    def names(self) -> list[str]:
        """Return the names on the cards. Check that the page in the folder is the one that is served."""
        page = (self.folder / "index.html").read_text(encoding="utf-8")
        assert self.ask("/") == (200, page)
        return re.findall(r"<h2><bdi>(.*?)</bdi>", page)


@pytest.fixture
def wall(tmp_path: Path) -> Iterator[RunningWall]:
    wall = RunningWall(tmp_path)
    yield wall
    wall.stop()


def test_each_students_latest_card_is_shown(wall: RunningWall) -> None:
    assert wall.names() == []
    assert "The wall is empty" in wall.ask("/")[1]
    wall.answer("pi-01", text("Ada"), text("Bo"))
    wall.answer("pi-02", text("Zoë"))
    assert wall.names() == ["Ada", "Bo", "Zoë"]
    wall.answer("pi-01", text("Lovelace"))
    assert wall.names() == ["Lovelace", "Zoë"]
    wall.answer("pi-02", text("Zoë"), lost="no route")
    assert wall.names() == ["Lovelace", "Zoë"]
    assert "1 of 2 Pis answer" in wall.ask("/")[1]


def test_an_unreadable_card_is_left_out_and_the_others_are_shown(
    wall: RunningWall, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        wall.answer("pi-01", "[" * 30_000, text("Bo"))
        wall.answer("pi-01", "{}", text("Bo"))
    assert wall.names() == ["Bo"]
    assert capsys.readouterr().out.count("pi-01/ada is left out.") == 2


def test_a_student_who_was_taken_off_stays_off(wall: RunningWall) -> None:
    """Whatever the student shows next, under any name, and after a restart, until the teacher puts it back."""
    wall.answer("pi-01", text("Ada", digits=digits()), text("Bo"))
    digits_file = wall.folder / "test_set/class_digits.csv"
    assert len(read_csv(digits_file)) == 10
    assert wall.ask("/take-off", "pi-01/ada", **{"X-Button": "1"})[0] == 204
    assert wall.names() == ["Bo"]
    assert not digits_file.exists()
    wall.answer("pi-01", text("Somebody else"), text("Bo"))
    assert wall.names() == ["Bo"]
    wall.stop()
    wall.start()
    assert wall.names() == ["Bo"]
    assert wall.ask("/put-back", "", **{"X-Button": "1"})[0] == 204
    assert wall.names() == ["Bo", "Somebody else"]


def test_only_the_teachers_own_page_can_use_the_server(wall: RunningWall) -> None:
    """Another site's page in the teacher's browser cannot, even under a host name that leads to this computer."""
    wall.answer("pi-01", text("Ada"))
    assert wall.ask("/take-off", "pi-01/ada")[0] == 403
    assert wall.ask("/take-off", "pi-01/ada", **{"X-Button": "1", "Host": "evil.example"})[0] == 403
    assert wall.ask("/", Host="evil.example")[0] == 403
    assert wall.ask("/take-off", "pi-01/eve", **{"X-Button": "1"})[0] == 404
    assert wall.ask("/../taken_off.json")[0] == 404
    assert wall.names() == ["Ada"]
    assert wall.server.server_address[0] == "127.0.0.1"


def test_a_damaged_list_of_students_taken_off_is_ignored(wall: RunningWall) -> None:
    for damaged in ("{", "5", "[5]", '{"a": 1}'):
        (wall.folder / "taken_off.json").write_text(damaged)
        assert Wall(wall.folder, wall.answers).taken_off == []


def test_the_page_updates_itself_and_one_click_takes_a_card_off(wall: RunningWall, browser_page: Page) -> None:
    page = browser_page
    page.goto(wall.server.url)
    expect(page.locator("h1")).to_have_text("The wall is empty")
    wall.answer("pi-01", text("Ada", backquery=digits().pixels, digits=digits()), text("Bo"))
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator("article.new")).to_have_count(2)
    expect(page.locator(".tiles img")).to_have_count(10)
    expect(page.locator(".best")).to_contain_text("95.3")
    page.locator("article", has_text="Ada").click()
    expect(page.locator("article.large bdi")).to_have_text("Ada")
    wall.answer("pi-02", text("Zoë"))
    expect(page.locator("article")).to_have_count(3)
    expect(page.locator("article.large bdi")).to_have_text("Ada")
    page.keyboard.press("Escape")
    expect(page.locator("article.large")).to_have_count(0)
    page.get_by_role("button", name="Take Ada off the wall").click()
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator(".tiles")).to_have_count(0)
    page.get_by_role("button", name="put the last one back").click()
    expect(page.locator("article bdi")).to_have_text(["Ada", "Bo", "Zoë"])
    wall.stop()
    expect(page.get_by_text("The wall has ended. This is what it last showed.")).to_be_visible()
    expect(page.locator(".take-off").first).to_be_hidden()


def test_the_page_works_as_a_file_too_without_the_buttons(wall: RunningWall, browser_page: Page) -> None:
    wall.answer("pi-01", text("Ada"))
    browser_page.goto(f"file://{wall.folder}/index.html")
    expect(browser_page.locator("article bdi")).to_have_text("Ada")
    expect(browser_page.locator(".take-off")).to_be_hidden()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 8, 15, 24, 30])
def test_all_cards_fit_on_a_projectors_screen(count: int, browser_page: Page, tmp_path: Path) -> None:
    """With everything that a card can show, and names of ordinary length."""
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


def test_picture_of_a_class_of_thirty(mnist: Path, browser_page: Page, tmp_path: Path) -> None:
    """For the manual: digits from MNIST, as if the class had drawn them, and the backqueries of three networks."""
    examples = read_csv(mnist / "mnist_test.csv", 5000)
    networks = [NeuralNetwork(784, 60, 10, 0.1, seed=seed) for seed in range(3)]
    for network in networks:
        network.fit(examples)
    random = np.random.default_rng(7)
    cards = []
    for number, name in enumerate(NAMES):
        one_of_each = [random.choice(np.flatnonzero(examples.labels == label)) for label in range(10)]
        chosen: dict[str, Any] = {"score": round(random.uniform(0.9, 0.975), 3) if number % 7 else None}
        if number % 5:
            chosen["backquery"] = _pictures(networks[number % 3])
        if number % 4 or not number % 5:
            chosen["digits"] = examples[np.array(one_of_each)]
        cards.append(card(name, f"pi-{number}/student", **chosen))
    (tmp_path / "index.html").write_text(wall_page.page(cards, answering=30), encoding="utf-8")
    browser_page.set_viewport_size({"width": 1920, "height": 1080})
    browser_page.goto(f"file://{tmp_path}/index.html")
    assert browser_page.locator("article").count() == 30
    browser_page.screenshot(path=ROOT / "dist/screenshots/wall.png")
    browser_page.locator("article", has_text="Grace").click()
    expect(browser_page.locator("article.large .strip.backquery img")).to_have_count(10)


# The whole program, with a playbook that only writes an answer, and Ctrl-C


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
    """Ctrl-C reaches each process in the terminal; other signals only reach ours, which then ends the playbook."""
    command = [sys.executable, str(ROOT / "roles/wall/files/wall_server.py"), str(tmp_path / "wall")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}
    command += [sys.executable, "-c", PLAYBOOK, text("Ada")]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 30
        page = tmp_path / "wall/index.html"
        while not (page.exists() and "<bdi>Ada</bdi>" in page.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert second.returncode == 1 and "already on, in another terminal" in second.stderr
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)  # an impatient teacher presses Ctrl-C again
        output, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    assert output.count("interrupted") == 1
    assert re.search(r"^The wall: http://127\.0\.0\.1:\d+ ", output, re.M)
    assert "The wall has ended." in output
    assert "<bdi>Ada</bdi>" in page.read_text()
