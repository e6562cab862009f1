"""`make fetch`: a Pi's facts and lists of packages decide what is fetched, and can do nothing else here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import download
import pytest
from mirrors import mirror, source_lines

from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT, load
from tests.unit.plugins.test_untrusted import FACTS, PLATFORMS

MIRRORS = [mirror("deb.debian.org"), mirror("archive.raspberrypi.com"), mirror("mirror.school:8080")]

DEB822 = """# Debian
Types: deb deb-src
URIs: http://deb.debian.org/debian
Suites: trixie
  trixie-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
URIs: http://mirror.school:8080/flat
Suites: ./

Types: deb-src
URIs: http://deb.debian.org/sources
Suites: trixie
Components: main

Enabled: no
Types: deb
URIs: http://deb.debian.org/off
Suites: trixie
Components: main
"""


def test_sources_are_rewritten() -> None:
    lists = {
        "debian.sources": DEB822,
        "raspi.list": "# deb http://deb.debian.org/no x main\n"
        "deb [arch=armhf signed-by=/x] http://archive.raspberrypi.com/debian/ trixie main  # firmware\n"
        "deb-src http://archive.raspberrypi.com/debian/ trixie main\n",
    }
    lines, left_out = source_lines(lists, MIRRORS)
    assert left_out == 0
    assert lines == [
        "deb [trusted=yes] http://archive.raspberrypi.com/debian/ trixie main",
        "deb [trusted=yes] http://deb.debian.org/debian trixie main contrib",
        "deb [trusted=yes] http://deb.debian.org/debian trixie-updates main contrib",
        "deb [trusted=yes] http://mirror.school:8080/flat ./",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "deb file:/etc trixie main",
        "deb copy:/root x main",
        "deb ssh://-oProxyCommand=touch/debian trixie main",
        "deb rsh://deb.debian.org/debian trixie main",
        "deb mirror+file:/etc/apt/mirrors.list trixie main",
        "deb tor+http://deb.debian.org/debian trixie main",
        "deb https://deb.debian.org/debian trixie main",
        "deb http://127.0.0.1/debian trixie main",
        "deb http://mirror.school/debian trixie main",
        "deb http://deb.debian.org:8080/debian trixie main",
        "deb http://deb.debian.org@192.168.1.1/debian trixie main",
        "deb http://u:p@deb.debian.org/debian trixie main",
        "deb http://deb.debian.org/../../etc trixie main",
        'deb http://deb.debian.org/"; trixie main',
        "deb http://deb.debian.org/debian?x trixie main",
        "deb http://deb.debian.org/debian ../../x main",
        "deb http://deb.debian.org/debian /x main",
        'deb http://deb.debian.org/debian trixie main";',
        "deb http://deb.debian.org/debian trixie -o",
        "deb http://deb.debian.org/debian trixie \x1b[31m",
    ],
)
def test_sources_other_than_the_mirrors_are_left_out(line: str) -> None:
    assert source_lines({"a.list": line + "\n"}, MIRRORS) == ([], 1)
    words = line.split()
    deb822 = f"Types: deb\nURIs: {words[1]}\nSuites: {words[2]}\nComponents: {words[3]}\n"
    assert source_lines({"a.sources": deb822}, MIRRORS) == ([], 1)


@pytest.mark.parametrize("text", ["", "deb", "deb [", "Types: deb", "\0\xff", "deb [x] [y] z", ":", "\n\n:\n \n x"])
def test_a_malformed_source_list_is_ignored(text: str) -> None:
    assert source_lines({"a.list": text, "a.sources": text}, MIRRORS)[0] == []


@pytest.mark.parametrize("value", ['a"; APT::Update::Pre-Invoke {"touch /tmp/x";}; b "', "a\nb", "a\x1b", "a\\"])
def test_a_value_cannot_inject_settings_of_apt(value: str) -> None:
    with pytest.raises(SystemExit, match="cannot hold"):
        download.quoted(value)
    assert download.quoted("/home/a teacher/apt") == '"/home/a teacher/apt"'


@pytest.mark.parametrize(
    "platform", ['trixie-amd64-x86_64"; x', "../x-y-z", "trixie-amd64", "trixie-amd64-x86_64\n", ""]
)
def test_a_malformed_platform_is_refused(tmp_path: Path, platform: str) -> None:
    with pytest.raises(SystemExit, match="not a platform"):
        download.download(tmp_path, 1, platform, [])


def test_one_pis_unreadable_list_of_packages_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mirror that fails does stop the run, because packages are missing then."""
    platform = tmp_path / "trixie-amd64-x86_64"
    (platform / "sources").mkdir(parents=True)
    (platform / "sources/a.list").write_text("deb http://deb.debian.org/debian trixie main\n", encoding="ascii")
    (tmp_path / "state").write_text('{"mirrors": ["deb.debian.org"]}', encoding="ascii")
    for name in ("pi-01", "pi-02", "pi-03"):
        (platform / f"{name}.status").touch()
    simulated: list[str] = []
    failure = "E: Unable to parse package file \x1b[31m"

    def run(command: list[str], settings: Path) -> str:
        [status] = [line for line in settings.read_text("utf-8").splitlines() if line.startswith("Dir::State::status")]
        simulated.append(Path(status.split('"')[1]).stem)
        if simulated[-1] == "pi-02":
            raise download.AptError(failure)
        return ""

    monkeypatch.setattr(download, "run", run)
    download.download(tmp_path, 3143, platform.name, [])
    assert simulated == ["fresh"] * 3 + ["pi-01"] * 2 + ["pi-02"] + ["pi-03"] * 2
    assert capsys.readouterr().out.startswith("pi-02: apt cannot read its list of packages")
    failure = "E: Failed to fetch http://deb.debian.org/debian"
    with pytest.raises(download.AptError):
        download.download(tmp_path, 3143, platform.name, [])


def test_there_are_wheels_for_each_platform() -> None:
    wheelhouse: Any = load(ROOT / "roles/python/files/wheelhouse.py")
    made = {f"{suite}-{processor}" for suite, processor in product(wheelhouse.PYTHONS, wheelhouse.PLATFORMS)}
    assert set(PLATFORMS) == made - {"bookworm-armel-armv6l"}


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: { name: apt_cache, tasks_from: facts }
"""
# In place of the module that gathers a Pi's facts.
FAKE_FACTS = """#!/usr/bin/python3
from ansible.module_utils.basic import AnsibleModule
names = ("account", "packages", "settings", "proxy_port", "proxied")
module = AnsibleModule({{name: {{"type": "raw"}} for name in names}})
module.exit_json(changed=False, pi={facts!r})
"""


def gather(folder: Path, platform: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Gather facts from this computer as if it were a Pi that reports this platform."""
    shutil.copytree(ROOT / "roles/apt_cache", folder / "roles/apt_cache")
    (folder / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    (folder / "roles/apt_cache/library").mkdir()
    module = folder / "roles/apt_cache/library/pi_facts.py"  # a role's own comes before the project's
    module.write_text(FAKE_FACTS.format(facts=FACTS | {"platform": platform}), encoding="utf-8")
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    settings = {"apt_cache_folder": str(folder / "apt"), **settings}
    command = [ANSIBLE_PLAYBOOK, "-i", "pi-01,", "-c", "local"]
    return subprocess.run(
        [*command, "-e", json.dumps(settings), str(folder / "play.yml")],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(folder / "roles"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("platform", "why"),
    [
        ('trixie-amd64-x"; APT::Update::Pre-Invoke {"touch /x";}; "', "pi-01 reported invalid facts"),
        ("../../../outside", "pi-01 reported invalid facts"),
        ("forky-amd64-x86_64", "pi-01 is on none of these platforms, so nothing is fetched for it"),
    ],
)
def test_a_pi_of_an_unknown_platform_is_refused(tmp_path: Path, platform: str, why: str) -> None:
    done = gather(tmp_path, platform)
    assert done.returncode != 0
    assert why in " ".join(done.stdout.split())
    assert not (tmp_path / "apt").exists()
    assert not list(tmp_path.parent.glob("outside*"))


@pytest.mark.skipif(
    not Path("/var/lib/dpkg/status").exists(), reason="this computer, which is the Pi here, has no dpkg"
)
def test_only_source_lists_that_apt_would_read_are_copied(tmp_path: Path) -> None:
    names = [
        'a"; b.list',
        "../../../x.list",
        ".hidden.list",
        "a b.sources",
        "a.list\n",
        "a.txt",
        "-a.list",
        "a.list.save",
    ]
    paths = [f"/etc/apt/sources.list.d/{name}" for name in names] + ["/etc/shadow", "/etc/apt/../shadow.list"]
    done = gather(tmp_path, "trixie-amd64-x86_64", __apt_cache_sources={"files": [{"path": path} for path in paths]})
    assert done.returncode == 0, done.stdout
    copied = {str(path.relative_to(tmp_path / "apt")) for path in (tmp_path / "apt").rglob("*") if path.is_file()}
    assert copied == {"trixie-amd64-x86_64/pi-01.status"}
