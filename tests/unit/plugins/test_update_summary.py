"""update.yml: how it changes apt's sources, and its summary."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.mynn.pi.plugins.callback.update_summary import CallbackModule, line
from tests.support.programs import ROOT

UPDATE: dict[str, Any] = {
    "before": {"release": "12.15", "python": "3.11", "package_count": 260},
    "after": {"release": "13.8", "python": "3.13", "package_count": 301},
    "renewed": "212",
    "seconds": "270.4",
    "smoke": ["0.83", "0.831"],
    "kept": ["/etc/rpc.dpkg-dist"],
}
SOURCES = [  # Debian's and Raspberry Pi OS's, in both of apt's formats, and lines that only look alike
    ("deb http://deb.debian.org/debian bookworm main", "deb http://deb.debian.org/debian trixie main"),
    ("deb [arch=armhf] http://x/ bookworm-security main", "deb [arch=armhf] http://x/ trixie-security main"),
    ("deb\thttp://x/debian\tbookworm\tmain", "deb\thttp://x/debian\ttrixie\tmain"),
    (
        "deb http://archive.raspberrypi.com/debian/ bookworm main",
        "deb http://archive.raspberrypi.com/debian/ trixie main",
    ),
    ("Suites: bookworm bookworm-updates", "Suites: trixie trixie-updates"),
    ("URIs: http://x/bookworm\nSuites: bookworm\nTypes: deb", "URIs: http://x/bookworm\nSuites: trixie\nTypes: deb"),
    ("deb http://x/bookworm-mirror stable main", "deb http://x/bookworm-mirror stable main"),
]


@pytest.mark.parametrize(("before", "after"), SOURCES)
def test_sources_are_changed_to_the_new_release(before: str, after: str) -> None:
    variables = yaml.safe_load((ROOT / "roles/update/vars/main.yml").read_text(encoding="utf-8"))
    pattern = variables["__update_suites"][0].replace("{{ __system_pi.suite }}", "bookworm")
    assert re.sub(pattern, "trixie", before) == after
    assert re.sub(pattern, "trixie", after) == after  # an interrupted run may have changed it already


def test_a_line_shows_old_and_new_versions() -> None:
    assert line("pi-01", UPDATE) == (
        "pi-01: Debian 12.15 -> 13.8, Python 3.11 -> 3.13, 260 -> 301 packages (212 upgraded), smoke accuracy "
        "83.0% -> 83.1%, 4 min 30 s, kept because they were edited: /etc/rpc (the new ones end in .dpkg-dist)"
    )


def test_an_unchanged_version_is_shown_once_and_an_unknown_accuracy_is_named() -> None:
    summary = line("pi-01", {**UPDATE, "after": UPDATE["before"], "smoke": ["", "0.83"], "kept": [], "renewed": "0"})
    assert summary == (
        "pi-01: Debian 12.15, Python 3.11, 260 packages (0 upgraded), smoke accuracy unknown -> 83.0%, 4 min 30 s"
    )


@pytest.mark.parametrize("role", ["update", "system"])
def test_each_pi_has_a_line(role: str) -> None:
    roles = [SimpleNamespace(get_name=lambda name=name: name) for name in ("apt_cache", role)]
    callback = CallbackModule()
    shown: list[str] = []
    callback._display = SimpleNamespace(banner=shown.append, display=shown.append)
    variables = SimpleNamespace(get_vars=lambda **_: {"ansible_play_hosts_all": ["pi-01", "pi-02", "pi-03"]})
    callback.v2_playbook_on_play_start(SimpleNamespace(get_variable_manager=lambda: variables, roles=roles))
    callback.v2_playbook_on_stats(
        SimpleNamespace(custom={"pi-01": {"update": UPDATE}}, processed={"pi-01": 1, "pi-02": 1})
    )
    if role == "system":
        assert shown == []
    else:
        assert shown[1].startswith("pi-01: Debian 12.15 -> 13.8")
        assert shown[2:] == ["pi-02: not finished", "pi-03: not touched"]


@pytest.mark.parametrize(
    "change", [{"smoke": ["good", ""]}, {"seconds": []}, {"before": "13"}, {"kept": 5}, {"smoke": [None, None]}]
)
def test_an_unreadable_summary_does_not_suppress_the_others(change: dict[str, Any]) -> None:
    callback = CallbackModule()
    shown: list[str] = []
    callback._display = SimpleNamespace(banner=shown.append, display=shown.append)
    callback.expected = ["pi-01", "pi-02"]
    stats = {"pi-01": {"update": UPDATE | change}, "pi-02": {"update": UPDATE | {"kept": [5, "/etc/\x1b.dpkg-dist"]}}}
    callback.v2_playbook_on_stats(SimpleNamespace(custom=stats, processed=stats))
    assert shown[1] == "pi-01: finished, but its summary cannot be read"
    assert "kept because they were edited: 5, /etc/\\x1b (" in shown[2]
