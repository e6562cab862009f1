"""Answers of a hostile Pi: they are checked before use, replace no setting and cannot control the terminal."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.action import pi_facts as action
from ansible_collections.mynn.pi.plugins.module_utils.schema import LARGEST
from ansible_collections.mynn.pi.plugins.module_utils.text import printable, printable_lines
from tests.support.conditions import holds
from tests.support.programs import ROOT, run_playbook

PLATFORMS = yaml.safe_load((ROOT / "playbooks/group_vars/all/platforms.yml").read_text("utf-8"))["platforms"]
FORGER = """#!/usr/bin/python3
import sys
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"answer": {"type": "str"}})
print(module.params["answer"])
sys.exit(0)
"""
FACTS: dict[str, Any] = {
    "os": "debian",
    "name": "Debian GNU/Linux 13 (trixie)",
    "version": "13",
    "release": "13.8",
    "suite": "trixie",
    "architecture": "armel",
    "platform": "trixie-armel-armv6l",
    "python": "3.13",
    "epoch": 1795737600.5,
    "clock_set": True,
    "booted": True,
    "lists_time": 0,
    "free_mb": 4900,
    "installed": ["python3-apt", "libstdc++6"],
    "package_count": 301,
    "cloud_init": False,
    "dpkg_faults": ["dpkg was interrupted"],
    "reboot_required": False,
    "account": "pi",
    "key_login": True,
    "host_names": ["", "pi-01"],
    "files": {
        "/etc/jupyter": "0755 folder",
        "/etc/jupyter/password-ada": "0600 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "/opt/mynn/venv/installed-3.13-0a": "link",
    },
    "running": ["jupyter@a_b-c.service"],
    "enabled": ["jupyter-8888@ada.socket"],
    "masked": ["unattended-upgrades.service"],
    "stale": ["dev-zram0.swap"],
    "apt_proxy": "http://127.0.0.1:3143",
    "nft": True,
    "apt_direct": "deb.example.org,[::1]",
}
SETTINGS = dict.fromkeys(
    ["apt_cache_folder", "__system_pi", "ansible_ssh_common_args", "ansible_python_interpreter", "ansible_host"],
    "/forged",
)
EVIL = "a\x1b[2Jb\x1b]0;title\x07c\x9bd\u202ee\rf\x1b[31mg"
OUTSIDE = "../../../../etc/cron.d"
FORGED: list[tuple[str, Any]] = [
    ("suite", f"trixie/{OUTSIDE}"),
    ("suite", "trixie\n"),
    ("platform", f"trixie-armel-{OUTSIDE}"),
    ("python", "3.13; id"),
    ("name", "Debian, so nothing was changed on it: run `id`"),
    ("epoch", float("nan")),
    ("installed", ["python3-apt $(id)"]),
    ("installed", ["a"] * LARGEST),
    ("dpkg_faults", ["x"] * 11),
    ("account", "-oProxyCommand=id"),
    ("host_names", ["pi 01"]),
    ("files", {"/etc/jupyter/password\n": "link"}),
    ("files", {"/etc/jupyter/password": "0600 da39a3ee; id"}),
    ("files", {"nothing was changed on it": "x"}),
    ("running", ["jupyter@$(id).service"]),
    ("apt_proxy", "http://192.168.1.66:3143"),
    ("apt_direct", "a b"),
]


def test_printable_text_is_one_line_and_printable_lines_keep_only_line_breaks() -> None:
    assert printable("Zoë’s ✔ 数字.ipynb") == "Zoë’s ✔ 数字.ipynb"
    evil = "\x1b]0;t\x07\x9b2J\r\t\u2028\u202e\u2066\u200b\udcff\x00"
    assert printable(f"{evil}\n") == r"\x1b]0;t\x07\x9b2J\r\t\u2028\u202e\u2066\u200b\udcff\x00\n"
    assert printable("\x1b" * 10**6, 12) == r"\x1b\x1b\x1b …"
    assert printable_lines("a\r\n\tb\x1b[31mc\x1b[0m\rd\u2029e\x1b[2J\n") == "a\n\tbc" + r"\rd\u2029e\x1b[2J" + "\n"


def test_valid_facts_are_accepted_and_an_unknown_platform_becomes_empty() -> None:
    assert action.checked({**FACTS, "ansible_port": 22, "other": []}, PLATFORMS) == (FACTS, "")
    for platform in ("noble-amd64-x86_64", "trixie-amd64-x86_64-", "..-..-.."):
        assert action.checked({**FACTS, "platform": platform}, PLATFORMS)[0]["platform"] == ""


@pytest.mark.parametrize(("key", "value"), FORGED)
def test_forged_facts_are_refused(key: str, value: Any) -> None:
    facts, wrong = action.checked({**FACTS, key: value}, PLATFORMS)
    assert facts == {}
    assert wrong
    assert wrong in (key, f"{key} 0", "malformed", "too long")


def words(value: Any) -> list[str]:
    """Return all texts in a value."""
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [word for one in inner for word in words(one)]


@given(st.sampled_from(sorted(FACTS)), st.text() | st.integers() | st.none() | st.lists(st.text(), max_size=3))
def test_no_answer_carries_control_characters_past_the_check(key: str, value: Any) -> None:
    facts, wrong = action.checked({**FACTS, key: value}, PLATFORMS)
    assert bool(facts) != bool(wrong)
    assert all(map(str.isprintable, words(facts)))


def test_incomplete_facts_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    incomplete = {key: FACTS[key] for key in FACTS if key != "platform"}
    answers: list[Any] = [None, [], {**FACTS, "installed": deep}, incomplete]
    assert [action.checked(answer, PLATFORMS)[0] for answer in answers] == [{}] * len(answers)


def test_the_task_returns_only_known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    task = object.__new__(action.ActionModule)
    task._task = SimpleNamespace(args={"platforms": PLATFORMS})
    monkeypatch.setattr(action.ActionBase, "run", lambda *_: {})

    def run(**answer: Any) -> Any:
        task._execute_module = lambda *_, **__: {"changed": True, "ansible_facts": {"a": 1}, "pi": FACTS, **answer}
        return task.run(None, {"inventory_hostname": "pi-01"})

    assert run(msg="x") == {"changed": False, **FACTS}
    assert run(failed=True, msg="no dpkg") == {"failed": True, "msg": "pi-01 says: no dpkg", "exception": None}
    refused = run(pi={**FACTS, "suite": OUTSIDE})
    assert refused["failed"]
    assert refused["msg"].startswith("pi-01 reported invalid facts (suite), and nothing was changed on it: ")


@pytest.mark.parametrize("strategy", ["classroom", "linear"])  # our strategy, with mitogen, and stock Ansible's
def test_a_forged_answer_replaces_no_setting_and_controls_no_terminal(strategy: str, tmp_path: Path) -> None:
    """In a run with the project's ansible.cfg, in colour, in which one of two Pis forges its answers."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library/forge.py").write_text(FORGER)
    settings = "{{ " + " ~ ".join(f"{name} | default('-') | string" for name in SETTINGS) + " }}"
    answers = [
        {"changed": False, "ansible_facts": SETTINGS, **SETTINGS},
        {
            **{"failed": True, "msg": EVIL, "stdout": EVIL, "exception": EVIL, "warnings": [EVIL], EVIL: EVIL},
            **{"deprecations": [{"msg": EVIL}], "diff": {"before": EVIL, "after": "", "before_header": EVIL}},
        },
    ]
    tasks: list[dict[str, Any]] = [
        {"forge": {"answer": json.dumps(answer)}, "when": "inventory_hostname == 'pi-01'"} for answer in answers
    ]
    tasks.insert(1, {"debug": {"msg": f"as set: {settings}"}})
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    environment = {"ANSIBLE_STRATEGY": strategy, "ANSIBLE_FORCE_COLOR": "1"}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "progress" if strategy == "classroom" else "default"
    done = run_playbook(f"{tmp_path}/play.yml", "-i", "pi-01,pi-02,", "-c", "local", "--diff", env=environment)
    output = done.stdout + done.stderr
    assert output.count("as set: ") == 2
    assert "/forged" not in output
    assert r"a\x1b[2Jb\x1b]0;title\x07c\x9bd\u202ee\rf" in output
    rest = re.sub(r"\x1b\[(0|0;3[12356]|1;3[15])m", "", output)  # Ansible's own colours
    assert not {letter for letter in rest if not letter.isprintable()} - {"\n", "\t"}


def test_a_pi_with_an_incomplete_answer_fails_alone() -> None:
    """The task that then runs once for all Pis goes on without it."""
    task = yaml.safe_load((ROOT / "roles/mnist/tasks/main.yml").read_text(encoding="utf-8"))[1]
    answers: dict[str, Any] = {"pi-01": {}, "pi-02": {"wanted": []}, "pi-03": {"wanted": ["mnist_test.csv"]}}
    hostvars = {name: {"__mnist_here": answer} for name, answer in answers.items()}
    for names, is_packed in ((["pi-01", "pi-02"], False), (["pi-01", "pi-03"], True)):
        assert holds(task["when"], {**task["vars"], "ansible_play_batch": names, "hostvars": hostvars}) == is_packed
