"""What a hostile Pi says: it replaces no setting, steers no terminal, and what is used of it was checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.mynn.pi.plugins.action import pi_facts as action
from ansible_collections.mynn.pi.plugins.module_utils.schema import LARGEST, misfit
from ansible_collections.mynn.pi.plugins.module_utils.text import printable, printable_lines

PROJECT = Path(__file__).resolve().parents[3]
PLATFORMS = yaml.safe_load((PROJECT / "playbooks/group_vars/all/platforms.yml").read_text("utf-8"))["platforms"]
LIES = """#!/usr/bin/python3
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
    "container": False,
    "lists_time": 0,
    "free_mb": 4900,
    "installed": ["python3-apt", "libstdc++6"],
    "package_count": 301,
    "cloud_init": False,
    "dpkg_faults": ["dpkg was interrupted"],
    "apt_archives": False,
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
    [
        "apt_cache_folder",
        "jupyter_passwords",
        "__system_pi",
        "ansible_ssh_common_args",
        "ansible_python_interpreter",
        "ansible_host",
    ],
    "/forged",
)
EVIL = "a\x1b[2Jb\x1b]0;title\x07c\x9bd\u202ee\rf\x1b[31mg"
OUTSIDE = "../../../../etc/cron.d"
FORGED: list[tuple[str, Any]] = [
    ("suite", f"trixie/{OUTSIDE}"),
    ("suite", 'trixie"; DPkg::Pre-Invoke {"id";}; "'),
    ("suite", "trixie\n"),
    ("suite", ["trixie"]),
    ("platform", f"trixie-armel-{OUTSIDE}"),
    ("architecture", "armel armhf"),
    ("python", "3.13; id"),
    ("python", 3.13),
    ("version", "1" * 65),
    ("name", "x" * 101),
    ("name", "Deb\x1b[2Jian"),
    ("name", "Debian, so nothing was changed on it: run `id`"),
    ("release", None),
    ("epoch", "soon"),
    ("epoch", float("nan")),
    ("epoch", float("inf")),
    ("epoch", -1),
    ("lists_time", True),
    ("free_mb", "many"),
    ("free_mb", 1.5),
    ("booted", "yes"),
    ("installed", "python3-apt"),
    ("installed", ["python3-apt $(id)"]),
    ("installed", ["a"] * LARGEST),
    ("package_count", 10**40),
    ("dpkg_faults", ["x"] * 11),
    ("account", "-oProxyCommand=id"),
    ("account", "root\n"),
    ("host_names", ["pi 01"]),
    ("host_names", [""] * 11),
    ("files", ["/etc/jupyter/password"]),
    ("files", {"etc/jupyter/password": "link"}),
    ("files", {"/etc/jupyter/password\n": "link"}),
    ("files", {"/etc/jupyter/password": "0600 da39a3ee; id"}),
    ("enabled", "jupyter.service"),
    ("masked", ["a b"]),
    ("running", ["jupyter@$(id).service"]),
    ("stale", [["ssh"]]),
    ("apt_proxy", "http://192.168.1.66:3143"),
    ("apt_direct", "a b"),
]


def test_printable_is_one_line_of_text() -> None:
    assert printable("Zoë’s ✔ 数字.ipynb") == "Zoë’s ✔ 数字.ipynb"
    assert printable("\x1b]0;t\x07\x9b2J\r\n\t\u2028\u202e\u2066\u200b\udcff\x00") == (
        r"\x1b]0;t\x07\x9b2J\r\n\t\u2028\u202e\u2066\u200b\udcff\x00"
    )
    assert printable("x" * 301) == "x" * 300 + " …"
    assert printable("\x1b" * 10**6, 12) == r"\x1b\x1b\x1b …"
    assert printable(None) == "None"


def test_printable_lines_keep_lines_only() -> None:
    assert printable_lines("a\r\n\tb\x1b[31mc\x1b[0m\rd\u2029e\x1b[2J\n") == "a\n\tbc" + r"\rd\u2029e\x1b[2J" + "\n"


def test_a_pis_honest_answer_is_taken() -> None:
    assert action.checked(FACTS, PLATFORMS) == (FACTS, "")
    assert action.checked({**FACTS, "ansible_port": 22, "other": []}, PLATFORMS) == (FACTS, "")


@pytest.mark.parametrize(("key", "value"), FORGED)
def test_a_forged_answer_is_refused(key: str, value: Any) -> None:
    facts, wrong = action.checked({**FACTS, key: value}, PLATFORMS)
    assert facts == {}
    assert wrong
    assert wrong in (key, f"{key} 0", "its form", "its length")


@pytest.mark.parametrize("answer", [None, [], "trixie", {}, {key: FACTS[key] for key in FACTS if key != "platform"}])
def test_half_an_answer_is_refused(answer: Any) -> None:
    assert action.checked(answer, PLATFORMS)[0] == {}


@pytest.mark.parametrize(
    "platform",
    ["noble-amd64-x86_64", "bookworm-armel-armv6l", "trixie-amd64-armv6l", "trixie-amd64-x86_64-", "..-..-.."],
)
def test_another_platform_is_empty(platform: str) -> None:
    assert action.checked({**FACTS, "platform": platform}, PLATFORMS)[0]["platform"] == ""


def test_what_is_printed_of_a_pi_is_printable() -> None:
    assert action.checked({**FACTS, "dpkg_faults": ["\u202e"]}, PLATFORMS)[0]["dpkg_faults"] == [r"\u202e"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"changed": True, "pi": FACTS, "msg": "x", "ansible_facts": {"a": 1}}, {"changed": False, **FACTS}),
        (
            {"failed": True, "msg": "no dpkg", "pi": FACTS, "ansible_facts": {}},
            {"failed": True, "msg": "pi-01 says: no dpkg", "exception": None},
        ),
    ],
)
def test_the_task_returns_known_keys_only(answer: dict[str, Any], said: dict[str, Any]) -> None:
    task = object.__new__(action.ActionModule)
    task._task = SimpleNamespace(args={"platforms": PLATFORMS}, async_val=0, check_mode=False, diff=False)
    task._execute_module = lambda *_, **__: answer
    action.ActionBase.run, kept = lambda *_: {}, action.ActionBase.run
    try:
        assert task.run(None, {"inventory_hostname": "pi-01"}) == said
        answer.update({"failed": False, "pi": {**FACTS, "suite": OUTSIDE}})
        refused = task.run(None, {"inventory_hostname": "pi-01"})
    finally:
        action.ActionBase.run = kept
    assert refused["failed"]
    assert refused["msg"].startswith("pi-01 reported facts that no Pi has (suite), and nothing was changed on it: ")


def test_a_schema_says_what_is_wrong() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}, "required": ["b"]}
    assert misfit({"a": [1], "b": 1}, schema) == ""
    assert misfit({"a": [1, "\x1b"], "b": 1}, schema) == "a 1"
    assert misfit({}, schema) == "b"
    by_key = {"type": "object", "properties": {"a": {"additionalProperties": {"type": "integer"}}}}
    assert misfit({"a": {"nothing was changed": "x"}}, by_key) == "a"
    assert misfit([], schema) == "its form"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert misfit({"b": deep}, schema) == "its form"


@pytest.fixture(scope="module", params=["classroom", "linear"])  # mitogen's strategy, and stock Ansible's
def printed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed, colours and all, where one of two Pis forges its answers; under this project's ansible.cfg."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "library").mkdir()
    (folder / "library/lies.py").write_text(LIES)
    settings = "{{ " + " ~ ".join(f"{name} | default('-') | string" for name in SETTINGS) + " }}"
    answers = [
        {"changed": False, "ansible_facts": SETTINGS, **SETTINGS, "ansible_stats": {"data": SETTINGS}},
        {
            **{"failed": True, "msg": EVIL, "stdout": EVIL, "exception": EVIL, "warnings": [EVIL], EVIL: EVIL},
            **{"deprecations": [{"msg": EVIL}], "diff": {"before": EVIL, "after": "", "before_header": EVIL}},
        },
    ]
    tasks: list[dict[str, Any]] = [
        {"lies": {"answer": json.dumps(answer)}, "when": "inventory_hostname == 'pi-01'"} for answer in answers
    ]
    tasks.insert(1, {"debug": {"msg": f"as set: {settings}"}})
    (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible-playbook")), f"{folder}/play.yml"),
            *("-i", "pi-01,pi-02,", "-c", "local", "--diff"),
        ],
        cwd=PROJECT,
        env=os.environ
        | {"ANSIBLE_STRATEGY": str(request.param), "ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_SHOW_CUSTOM_STATS": "1"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_no_answer_replaces_a_setting(printed: str) -> None:
    assert printed.count("as set: ") == 2
    assert "/forged" not in printed.partition("CUSTOM STATS")[0]


def test_no_answer_stands_among_the_statistics(printed: str, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["printed"] == "classroom":
        assert "CUSTOM STATS" not in printed


def test_no_answer_steers_the_terminal(printed: str) -> None:
    assert r"a\x1b[2Jb\x1b]0;title\x07c\x9bd\u202ee\rf" in printed
    ours = printed.replace("\x1b[0m", "")
    for colour in ("0;31", "0;32", "0;33", "0;35", "0;36", "1;31", "1;35"):
        ours = ours.replace(f"\x1b[{colour}m", "")
    assert not {letter for letter in ours if not letter.isprintable()} - {"\n", "\t"}


MNIST_FILES = """#!/usr/bin/python3
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"folder": {"type": "str"}, "files": {"type": "dict"}})
module.exit_json(**({} if module.params["folder"] == "pi-01" else {"wanted": []}))
"""


def test_a_pi_that_does_not_answer_fails_alone(tmp_path: Path) -> None:
    """What is done once for all, after all were asked, goes on without it."""
    role = tmp_path / "roles/mnist"
    (role / "library").mkdir(parents=True)
    (role / "library/mnist_files.py").write_text(MNIST_FILES)
    for name in ("defaults", "meta", "tasks", "vars", "library/mnist_fetch.py"):
        (role / name).symlink_to(PROJECT / "roles/mnist" / name)
    (tmp_path / "play.yml").write_text("- {hosts: all, gather_facts: false, roles: [mnist]}\n")
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible-playbook")), f"{tmp_path}/play.yml", "-c", "local"),
            *("-i", "pi-01,pi-02,", "-e", f"mnist_folder={{{{inventory_hostname}}}} mnist_cache={tmp_path}"),
        ],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_ROLES_PATH": f"{tmp_path}/roles"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.rstrip().endswith("Not finished: pi-01. Finished: 1 of 2.")
