"""The sudo password: when the teacher is asked for it, how often, and on which Pis it is tried."""

from collections import Counter, deque
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.strategy import classroom

MISSING, INCORRECT = "Task failed: Missing sudo password", "Task failed: Incorrect sudo password"


class Strategy(classroom.StrategyModule):
    """The strategy, whose tasks run at once in this thread. Each Pi has a password; the teacher gives the answers."""

    def __init__(self, pis: dict[str, str], answers: list[str]) -> None:
        self.pis, self.answers = pis, answers
        Strategy.typed, Strategy.tried, Strategy.asked = [], Counter(), Counter()
        self.known: dict[str, str] = {}
        self.shown: list[str] = []
        self.failed: dict[str, str] = {}
        self._results: deque[Any] = deque()
        self._queued_task_cache: dict[tuple[str, str], dict[str, Any]] = {}
        self._pending_results = 0
        self._display = SimpleNamespace(
            display=self.shown.append, prompt=lambda *_, **__: self.answers.pop(0), _lock=nullcontext()
        )
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
        message = "" if accepted else (INCORRECT if given else MISSING)
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


# By what happens: the Pis' passwords, the teacher's answers, the inventory's passwords, why each Pi fails, the answers
# that are not wanted, and what is said. Without an answer to give, the run is not in a terminal.
Case = tuple[dict[str, str], list[str], dict[str, str], dict[str, str], list[str], list[str]]
WANTS = "sudo on pi-01 wants the password of teacher"
REFUSED = "sudo on pi-01 does not accept that password."
ONE = {"pi-01": "right"}
MIXED = ONE | {"pi-02": "other"}
CASES: dict[str, Case] = {
    "asked once for all Pis": (dict.fromkeys(("pi-01", "pi-02"), "right"), ["right"], {}, {}, [], [WANTS]),
    "another password": (MIXED, ["right", "other"], {}, {}, [], [WANTS, REFUSED.replace("01", "02")]),
    "three wrong ones": (ONE, [*"abc", "right"], {}, {"pi-01": INCORRECT}, ["right"], [WANTS, REFUSED, REFUSED]),
    "no terminal": (ONE, [], {}, {"pi-01": MISSING}, [], []),
    "a wrong one in the inventory": (ONE, ["right"], {"pi-01": "wrong"}, {"pi-01": INCORRECT}, ["right"], []),
}


@pytest.mark.parametrize("case", CASES)
def test_the_teacher_is_asked(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pis, answers, given, failed, left, shown = CASES[case]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: bool(answers)))
    strategy = Strategy(pis, list(answers))
    strategy.task(**given)
    if not failed:
        strategy.task()
    assert strategy.failed == failed
    assert strategy.answers == left
    assert [text.strip()[: len(begin)] for text, begin in zip(strategy.shown, shown, strict=True)] == shown


def test_a_refused_password_is_recognised_and_other_failures_are_not() -> None:
    mitogens = "Task failed: error occurred on host raspberrypi: sudo password is "
    assert classroom.MISSING.search(f"{mitogens}required") and classroom.INCORRECT.search(f"{mitogens}incorrect")
    for message in ("", "apt said: sudo password is required for this\nand more", "Missing sudo password file"):
        assert not classroom.MISSING.search(message)
