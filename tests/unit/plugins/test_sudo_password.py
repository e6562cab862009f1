"""Where sudo wants a password: when it is asked for, how often, and on which Pis it is tried."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.strategy import classroom

MISSING = {
    "mitogen": "Task failed: error occurred on host raspberrypi: sudo password is required",
    "stock Ansible": "Task failed: Missing sudo password",
}
INCORRECT = {
    "mitogen": "Task failed: error occurred on host raspberrypi: sudo password is incorrect",
    "stock Ansible": "Task failed: Incorrect sudo password",
}
WAYS = pytest.mark.parametrize("way", MISSING)


class Strategy(classroom.StrategyModule):
    """One whose Pis are asked in the same thread: each has a password, or none."""

    def __init__(self, pis: dict[str, str], answers: list[str], way: str) -> None:
        self.pis, self.answers, self.way = pis, answers, way
        Strategy.typed, Strategy.tried, Strategy.asked = [], Counter(), Counter()
        self.known: dict[str, str] = {}
        self.shown: list[str] = []
        self.failed: dict[str, str] = {}
        self._results: deque[Any] = deque()
        self._queued_task_cache: dict[tuple[str, str], dict[str, Any]] = {}
        self._pending_results = 0
        self._display = SimpleNamespace(display=self.shown.append, prompt=lambda *_, **__: self.answers.pop(0))
        self._variable_manager = SimpleNamespace(
            set_nonpersistent_facts=lambda name, facts: self.known.update({name: facts["ansible_become_password"]})
        )

    def _process_rpc_queue(self) -> None:
        pass

    def _queue_task(self, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
        """Do the task at once; what it says waits to be processed."""
        key = (host.name, task._uuid)
        self._queued_task_cache[key] = {"host": host, "task": task, "task_vars": task_vars, "play_context": None}
        given = task_vars.get("ansible_become_password", "")
        taken = given == self.pis[host.name]
        message = "" if taken else (INCORRECT if given else MISSING)[self.way]
        self._results.append(SimpleNamespace(host=host, task=task, utr=SimpleNamespace(msg=message, loop_results=None)))
        self._pending_results += 1

    def task(self, **given: str) -> None:
        """Do a task on each Pi as Ansible's linear strategy does; `given` are passwords of the inventory."""
        task = SimpleNamespace(_uuid="task", action="ping", delegate_to=None)
        for name in self.pis:
            password = self.known.get(name) or given.get(name)
            settings = {"ansible_user": "teacher"} | ({"ansible_become_password": password} if password else {})
            self._queue_task(SimpleNamespace(name=name), task, settings, None)
        while self._pending_results:
            self._process_pending_results(None)


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible's own part: takes the next result for good."""

    def process(self: Strategy, iterator: Any, one_pass: bool = False, max_passes: int | None = None) -> list[Any]:
        result = self._results.popleft()
        self._pending_results -= 1
        if result.utr.msg:
            self.failed[result.host.name] = result.utr.msg
        return [result]

    monkeypatch.setattr(classroom.StrategyModule.__base__, "_process_pending_results", process)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Tell whether somebody sits at a terminal: at first, somebody does."""

    def there_is(one: bool) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: one))

    there_is(True)
    return there_is


@WAYS
def test_asked_once_for_all(way: str) -> None:
    strategy = Strategy(dict.fromkeys(("pi-01", "pi-02", "pi-03"), "right"), ["right"], way)
    strategy.task()
    strategy.task()
    assert not strategy.failed
    assert len(strategy.shown) == 1
    assert "sudo on pi-01 wants the password of teacher" in strategy.shown[0]


@WAYS
def test_a_pi_with_another_password_is_asked_for_by_name(way: str) -> None:
    strategy = Strategy({"pi-01": "right", "pi-02": "other"}, ["right", "other"], way)
    strategy.task()
    strategy.task()
    assert not strategy.failed
    assert [text.strip() for text in strategy.shown[1:]] == ["sudo on pi-02 does not accept that password."]


@WAYS
def test_three_tries(way: str) -> None:
    strategy = Strategy({"pi-01": "right"}, ["a", "b", "c", "right"], way)
    strategy.task()
    assert strategy.failed == {"pi-01": INCORRECT[way]}
    assert strategy.answers == ["right"]


@WAYS
def test_nothing_typed_gives_up(way: str) -> None:
    strategy = Strategy({"pi-01": "right"}, [""], way)
    strategy.task()
    assert strategy.failed == {"pi-01": MISSING[way]}


@WAYS
def test_nobody_is_asked_without_a_terminal(way: str, terminal: Callable[[bool], None]) -> None:
    terminal(False)
    strategy = Strategy({"pi-01": "right"}, ["right"], way)
    strategy.task()
    assert strategy.failed == {"pi-01": MISSING[way]}
    assert not strategy.shown


@WAYS
def test_a_wrong_one_in_the_inventory_is_not_asked_for(way: str) -> None:
    """It is wrong at the next run too: the summary says so."""
    strategy = Strategy({"pi-01": "right", "pi-02": "other"}, ["right"], way)
    strategy.task(**{"pi-01": "wrong", "pi-02": "other"})
    assert strategy.failed == {"pi-01": INCORRECT[way]}
    assert not strategy.shown


def test_what_else_fails_is_nothing_to_ask_about() -> None:
    for message in ("", "apt said: sudo password is required for this\nand more", "Missing sudo password file"):
        assert not classroom.MISSING.search(message)
