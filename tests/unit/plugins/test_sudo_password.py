"""The sudo password: when the teacher is asked for it, how often, and on which Pis it is tried."""

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
both_connections = pytest.mark.parametrize("connection", MISSING)


class Strategy(classroom.StrategyModule):
    """The strategy, whose tasks run at once in this thread. Each Pi has a password; the teacher gives the answers."""

    def __init__(self, pis: dict[str, str], answers: list[str], connection: str) -> None:
        self.pis, self.answers, self.connection = pis, answers, connection
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
        """Run the task at once, and queue its result."""
        key = (host.name, task._uuid)
        self._queued_task_cache[key] = {"host": host, "task": task, "task_vars": task_vars, "play_context": None}
        given = task_vars.get("ansible_become_password", "")
        accepted = given == self.pis[host.name]
        message = "" if accepted else (INCORRECT if given else MISSING)[self.connection]
        self._results.append(SimpleNamespace(host=host, task=task, utr=SimpleNamespace(msg=message, loop_results=None)))
        self._pending_results += 1

    def task(self, **given: str) -> None:
        """Run a task on each Pi as Ansible's linear strategy does. given: passwords in the inventory, by Pi."""
        task = SimpleNamespace(_uuid="task", action="ping", delegate_to=None)
        for name in self.pis:
            password = self.known.get(name) or given.get(name)
            settings = {"ansible_user": "teacher"} | ({"ansible_become_password": password} if password else {})
            self._queue_task(SimpleNamespace(name=name), task, settings, None)
        while self._pending_results:
            self._process_pending_results(None)


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace Ansible's own part by one that takes the next result as final."""

    def process(self: Strategy, iterator: Any, one_pass: bool = False, max_passes: int | None = None) -> list[Any]:
        result = self._results.popleft()
        self._pending_results -= 1
        if result.utr.msg:
            self.failed[result.host.name] = result.utr.msg
        return [result]

    monkeypatch.setattr(classroom.StrategyModule.__base__, "_process_pending_results", process)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A function that sets whether the program runs in a terminal; at first, it does."""

    def set_terminal(is_terminal: bool) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: is_terminal))

    set_terminal(True)
    return set_terminal


@both_connections
def test_the_teacher_is_asked_once_for_all_pis(connection: str) -> None:
    strategy = Strategy(dict.fromkeys(("pi-01", "pi-02", "pi-03"), "right"), ["right"], connection)
    strategy.task()
    strategy.task()
    assert not strategy.failed
    assert len(strategy.shown) == 1
    assert "sudo on pi-01 wants the password of teacher" in strategy.shown[0]


@both_connections
def test_for_a_pi_with_another_password_the_teacher_is_asked_again(connection: str) -> None:
    strategy = Strategy({"pi-01": "right", "pi-02": "other"}, ["right", "other"], connection)
    strategy.task()
    strategy.task()
    assert not strategy.failed
    assert [text.strip() for text in strategy.shown[1:]] == ["sudo on pi-02 does not accept that password."]


@both_connections
def test_after_three_wrong_passwords_the_pi_fails(connection: str) -> None:
    strategy = Strategy({"pi-01": "right"}, ["a", "b", "c", "right"], connection)
    strategy.task()
    assert strategy.failed == {"pi-01": INCORRECT[connection]}
    assert strategy.answers == ["right"]


@both_connections
def test_an_empty_answer_gives_up(connection: str) -> None:
    strategy = Strategy({"pi-01": "right"}, [""], connection)
    strategy.task()
    assert strategy.failed == {"pi-01": MISSING[connection]}


@both_connections
def test_nobody_is_asked_without_a_terminal(connection: str, terminal: Callable[[bool], None]) -> None:
    terminal(False)
    strategy = Strategy({"pi-01": "right"}, ["right"], connection)
    strategy.task()
    assert strategy.failed == {"pi-01": MISSING[connection]}
    assert not strategy.shown


@both_connections
def test_a_wrong_password_in_the_inventory_is_not_asked_for(connection: str) -> None:
    """It would be wrong in the next run too; the summary says so."""
    strategy = Strategy({"pi-01": "right", "pi-02": "other"}, ["right"], connection)
    strategy.task(**{"pi-01": "wrong", "pi-02": "other"})
    assert strategy.failed == {"pi-01": INCORRECT[connection]}
    assert not strategy.shown


def test_other_failures_do_not_count_as_a_missing_password() -> None:
    for message in ("", "apt said: sudo password is required for this\nand more", "Missing sudo password file"):
        assert not classroom.MISSING.search(message)
