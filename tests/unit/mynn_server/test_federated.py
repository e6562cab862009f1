"""One network of the whole class: what the Pi averages, whom it lets in, and what a browser may send."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import expect

from mynn import read_csv
from mynn_server.federated import MOST, MOST_OF_ONE, NUMBERS, ROUNDS, SIZE, Average, Session
from mynn_server.rate_limit import PAUSE
from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import assert_accessible, open_browser
from tests.support.federated import Browser, learnt, sent, share, together, untrained
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.pupil import SCREENS

CLASS = 30
FEW = 5  # rounds


@pytest.fixture(scope="module")
def server(venv: Path, mnist: Path, networks: Path) -> Iterator[Server]:
    """A server that has all that a Pi has."""
    with run_server(venv, environment={"MNIST_DIR": str(mnist), "NETWORKS_DIR": str(networks)}) as running:
        yield running


@pytest.fixture
def teacher(server: Server) -> NotebookServer:
    """Who has signed in, and begun a network."""
    teacher = server.student()
    assert teacher.ask("GET", "/try/keep").status_code == 204
    assert begin(teacher)["members"] == 0
    return teacher


@pytest.fixture
def member(server: Server, teacher: NotebookServer) -> Browser:
    """A pupil's browser, before the first round."""
    return Browser(server.client(), teacher.get("/try/together")["code"])


def begin(teacher: NotebookServer, weights: bytes = bytes(SIZE)) -> Any:
    """Begin a network; return what the Pi answers."""
    answer = teacher.ask("POST", "/try/together", data=weights)
    assert answer.status_code == 200, answer.text
    return answer.json()


@settings(max_examples=30)
@given(st.integers(1, MOST), st.integers(0, 2**32), st.sampled_from([0, 1, 65534, 65535]))
def test_the_average_is_that_of_each_weight_whatever_they_are(count: int, seed: int, extreme: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 65536, (count, NUMBERS), endpoint=False)
    weights[:, :9] = extreme
    average = Average()
    for row in weights:
        average.add(row.astype("<u2").tobytes())
    assert (np.frombuffer(average.mean(), "<u2") == (weights.sum(axis=0) + count // 2) // count).all()


@pytest.mark.slow
def test_thirty_browsers_teach_one_network_and_it_is_no_matter_who_is_first(
    server: Server, teacher: NotebookServer, mnist: Path
) -> None:
    """The network is the one that is reckoned without a server."""
    digits = read_csv(mnist / "mnist_train.csv", 10_000)
    shares = [share(digits, number) for number in range(CLASS)]
    code = begin(teacher, sent(untrained(1)))["code"]
    browsers = [Browser(server.client(), code, place) for place in range(CLASS)]
    assert [browser.number for browser in browsers] == list(range(CLASS))
    assert teacher.ask("POST", "/try/together/start").json()["started"]

    def take_part(browser: Browser) -> bytes:
        weights = browser.client.ask("GET", "/try/together/weights", headers=browser.headers).content
        for done in range(FEW):
            answer = browser.send(learnt(weights, shares[browser.number], done), f"round={done}&alone={browser.number}")
            weights = answer.content
            about = json.loads(answer.headers["Class-Network"])
            expected = {"started": True, "rounds": done + 1, "of": ROUNDS, "members": CLASS, "left_out": 0}
            assert about.pop("best") <= CLASS and about == expected
        return weights

    with ThreadPoolExecutor(CLASS) as pool:
        [weights] = set(pool.map(take_part, browsers))
    assert weights == sent(together(shares, 1, FEW))


def test_a_browser_that_falls_silent_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one that only asks, or joins again and again. What it sends later changes nothing."""
    monkeypatch.setattr("mynn_server.federated.SILENT", 0.1)

    async def trouble(session: Session, silent: str) -> None:
        while True:
            session.hear(silent)
            later = session.join("10.0.0.2")
            await asyncio.sleep(0.01)
            session.members.pop(later)

    async def rounds() -> None:
        session = Session(bytes(SIZE), two=False)
        ada, silent = session.join("10.0.0.1"), session.join("10.0.0.2")
        session.started = True
        session.begin_round()
        troubling = asyncio.create_task(trouble(session, silent))
        async with asyncio.timeout(60):
            await session.exchange(ada, 0, b"\1" * SIZE)
        troubling.cancel()
        assert (session.rounds, session.weights) == (1, b"\1" * SIZE) and silent not in session.members
        await session.exchange(silent, 0, b"\2" * SIZE)
        assert (session.rounds, session.weights) == (1, b"\1" * SIZE)
        assert session.join("10.0.0.2") in session.members

    asyncio.run(rounds())


@pytest.mark.parametrize("bad", [b"\xff\xff", b"\0\0", b"\0\x85"], ids=["huge", "hugely negative", "a little too far"])
def test_one_who_sends_rubbish_is_left_out_and_the_others_go_on(bad: bytes) -> None:
    start, honest = (8 << 12).to_bytes(2, "little") * NUMBERS, [b"\x64\x80" * NUMBERS, b"\xc8\x80" * NUMBERS]

    async def one_round() -> Session:
        session = Session(start, two=False)
        names = [session.join(f"10.0.0.{number}") for number in range(3)]
        session.started = True
        session.begin_round()
        sent = [bad * NUMBERS, *honest]
        await asyncio.gather(*(session.exchange(name, 0, weights) for name, weights in zip(names, sent, strict=True)))
        return session

    session = asyncio.run(one_round())
    assert session.weights == b"\x96\x80" * NUMBERS and session.about()["left_out"] == 1
    assert len(session.members) == 3


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=99) | st.sampled_from([bytes(SIZE - 1), bytes(SIZE)]),
    st.text(max_size=5) | st.integers(-5, 9999).map(str),
    st.text(max_size=5) | st.integers(-5, 9999).map(str),
)
def test_what_a_browser_sends_is_weights_and_figures_or_it_is_refused(
    member: Browser, body: bytes, began: str, alone: str
) -> None:
    whole = all(re.fullmatch("[0-9]{1,4}", text) for text in (began, alone))
    usable = len(body) == SIZE and whole and int(began) <= ROUNDS and int(alone) <= 1000
    answer = member.send(body, urlencode({"round": began, "alone": alone}))
    assert answer.status_code == (200 if usable else 400), answer.text
    assert member.send(bytes(SIZE + 1)).status_code == 413


def test_only_who_knows_the_code_takes_part_and_only_who_has_signed_in_begins(
    server: Server, teacher: NotebookServer
) -> None:
    stranger = server.client()
    code = teacher.get("/try/together")["code"]
    assert "code" not in stranger.ask("GET", "/try/together").json()
    for path in ("", "/start"):
        assert stranger.ask("POST", f"/try/together{path}", data=b"").status_code == 403
        assert teacher.ask("POST", f"/try/together{path}", headers={"X-XSRFToken": "none"}).status_code == 403
    wrong, before = f"{(int(code) + 1) % 10**6:06}", time.monotonic()
    answers = [stranger.ask("POST", "/try/together/join", data=body) for body in (wrong, "", "ä")]
    assert {answer.status_code for answer in answers} == {403} and time.monotonic() - before > 3 * PAUSE
    assert stranger.ask("POST", "/try/together/weights?round=0&alone=0", data=b"").status_code == 403
    assert stranger.ask("POST", "/try/together/weights?round=0&alone=0", data=bytes(SIZE)).status_code == 413


def test_there_is_room_for_forty_and_for_four_of_a_computer(server: Server, teacher: NotebookServer) -> None:
    code = teacher.get("/try/together")["code"]
    for place in range(MOST):
        Browser(server.client(), code, place // MOST_OF_ONE)
    for computer, says in ((0, "4 pages of this computer"), (MOST, "40 take part already")):
        headers = {"X-Forwarded-For": f"10.0.0.{computer}"}
        answer = server.client().ask("POST", "/try/together/join", data=code, headers=headers)
        assert answer.status_code == 409 and answer.json()["message"].startswith(says)


@pytest.mark.slow
def test_two_pupils_join_and_the_projector_shows_what_all_recognise(server: Server, chromium: None) -> None:
    """The pupils have no password. On a busy computer, a round takes a second."""
    with open_browser(offline=True) as browser:
        teacher, *pupils = [browser.new_page() for _ in range(3)]
        teacher.goto(f"{server.url}/try/")
        teacher.get_by_text("For the teacher").click()
        teacher.get_by_role("button", name="Begin one").click()
        with browser.expect_page() as tab:
            teacher.get_by_role("link", name="Sign in first").click()
        tab.value.locator("input[name=password]").fill(PASSWORD)
        tab.value.locator("button[type=submit]").click()  # it closes itself
        expect(teacher.locator("#class-code")).to_have_text(re.compile("[0-9]{3} [0-9]{3}"))
        code = teacher.locator("#class-code").inner_text()
        for count, pupil in enumerate(pupils, 1):
            pupil.set_viewport_size(SCREENS["phone"])
            pupil.goto(f"http://127.0.0.1:{server.port}/try/")  # to which the teacher's cookie is not sent
            pupil.get_by_label("Code").fill(code)
            pupil.get_by_role("button", name="Join").click()
            expect(pupil.locator("#together-says")).to_have_text("It begins when your teacher starts it.")
            expect(teacher.locator("#members")).to_have_text(f"{count}")
        assert_accessible(pupils[0], "#together")
        browser.route("**/together/weights?round=1*", lambda route: route.abort(), times=1)
        teacher.get_by_role("button", name="Start").click()
        for page in (*pupils, teacher):
            expect(page.locator("#rounds")).to_have_text(re.compile("^([3-9]|[1-3][0-9]) of 30"))
            shown = {name: float(page.locator(f"#{name}-score").inner_text().rstrip("%")) for name in ("class", "best")}
            assert 65 < shown["class"] < 96 and 65 < shown["best"] < 96
        expect(teacher.locator("#members")).to_have_text("2")  # who was interrupted is back, and one
        own = [float(pupil.locator("#own-score").inner_text().rstrip("%")) for pupil in pupils]
        assert all(60 < one < 92 for one in own)
        assert pupils[0].evaluate("document.documentElement.scrollWidth") <= SCREENS["phone"]["width"]
        assert_accessible(teacher, "#together")
        teacher.get_by_label("The pad asks the class’s network").check()
        teacher.get_by_role("button", name="Keep on the Pi").click()
        expect(teacher.locator("#kept")).to_contain_text("Kept in my_network.npz")
