"""`make fetch`: a Pi's facts and lists of packages decide what is fetched, and can do nothing else here."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mynn_control import apt_fetch, wheelhouse
from mynn_control.apt_mirrors import mirror, source_lines
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT
from tests.unit.plugins.test_untrusted import FACTS, PLATFORMS

MIRRORS = [mirror("deb.debian.org"), mirror("archive.raspberrypi.com"), mirror("mirror.school:8080")]
SOURCE = ["http://deb.debian.org", "/debian", "trixie", "main"]


@pytest.mark.parametrize("text", ["", "a b", "http://a", "a:", "u@a", "a\nProxy: b", "a\n", "a..b", "[::1]"])
def test_a_mirror_is_a_host_and_a_port(text: str) -> None:
    assert mirror("Deb.Debian.org:80") == "deb.debian.org"
    with pytest.raises(ValueError, match="not a mirror"):
        mirror(text)


def test_sources_of_the_mirrors_are_kept() -> None:
    lines = [
        "http://archive.raspberrypi.com/debian trixie main",
        "http://deb.debian.org/debian trixie-updates main",
        "http://deb.debian.org/debian-security bookworm/updates non-free-firmware",
        "http://mirror.school:8080/debian/ trixie main",
    ]
    assert source_lines("\n".join([*lines, lines[0], ""]), MIRRORS) == (
        [f"deb [trusted=yes] {line}" for line in lines],
        0,
    )


@pytest.mark.parametrize(
    ("part", "attacks"),
    [
        (0, ["file:", "copy:", "ssh://-oProxyCommand=touch", "mirror+file:", "tor+http:", "https://deb.debian.org"]),
        (0, ["http://127.0.0.1", "http://mirror.school", "http://deb.debian.org:8080", "http://u:p@deb.debian.org"]),
        (0, ["http://deb.debian.org@192.168.1.1", "[trusted=yes] http://deb.debian.org"]),
        (1, ["/../../etc", '/";', "/debian?x"]),
        (2, ["../../x", "/x"]),
        (3, ['main";', "-o", "\x1b[31m"]),
    ],
)
def test_other_sources_are_left_out(part: int, attacks: list[str]) -> None:
    for attack in attacks:
        site, path, suite, component = (attack if at == part else word for at, word in enumerate(SOURCE))
        assert source_lines(f"{site}{path} {suite} {component}\n", MIRRORS) == ([], 1), attack


@given(st.text(alphabet=st.sampled_from("http://deb.debian.org/debian trixie main-~.@:[]\"';\n\t\x1b%?#\\")))
@example("http://deb.debian.org/debian trixie main\r")
@settings(deadline=None)
def test_apt_reads_nothing_but_words(text: str) -> None:
    for line in source_lines(f"http://deb.debian.org/debian trixie main\n{text}", MIRRORS)[0]:
        kind, option, site, suite, component = line.split(" ")
        assert (kind, option, site[:21]) == ("deb", "[trusted=yes]", "http://deb.debian.org")
        assert not {suite[0], component[0]} & set("-./") and ".." not in line
        assert line.isprintable() and not set("\"'\\;[]@?#%") & set(site + suite + component)


def test_one_pis_unreadable_list_of_packages_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = tmp_path / "trixie-amd64-x86_64"
    platform.mkdir()
    for name in ("pi-01", "pi-02", "pi-03"):
        (platform / f"{name}.status").touch()
        (platform / f"{name}.sources").write_text("http://deb.debian.org/debian trixie main\n", encoding="ascii")
    simulated: list[str] = []
    failure = "E: Unable to parse package file \x1b[31m"

    def run(command: list[str], settings: Path) -> None:
        [status] = [line for line in settings.read_text("utf-8").splitlines() if line.startswith("Dir::State::status")]
        simulated.append(Path(status.split('"')[1]).stem)
        if simulated[-1] == "pi-02":
            raise apt_fetch.AptError(failure)

    monkeypatch.setattr(apt_fetch, "run", run)
    apt_fetch.download(tmp_path, 3143, platform.name, ["deb.debian.org"], [])
    assert simulated == ["fresh"] * 3 + ["pi-01"] * 2 + ["pi-02"] + ["pi-03"] * 2
    assert capsys.readouterr().out.startswith("pi-02: apt cannot read its list of packages")
    failure = "E: Failed to fetch http://deb.debian.org/debian"  # this does, because packages are missing then
    with pytest.raises(apt_fetch.AptError):
        apt_fetch.download(tmp_path, 3143, platform.name, ["deb.debian.org"], [])


def test_there_are_wheels_for_each_platform() -> None:
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
AnsibleModule({{}}).exit_json(changed=False, pi={facts!r})
"""


@pytest.mark.skipif(not Path("/var/lib/dpkg/status").exists(), reason="this computer, the Pi here, has no dpkg")
def test_a_pis_sources_and_packages_are_stored_but_not_of_an_unknown_platform(tmp_path: Path) -> None:
    """Both are this computer. The platform of the second is not among those that it may have."""
    shutil.copytree(ROOT / "roles/apt_cache", tmp_path / "roles/apt_cache")
    (tmp_path / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    (tmp_path / "roles/apt_cache/library").mkdir()
    module = tmp_path / "roles/apt_cache/library/pi_facts.py"  # a role's own comes before the project's
    module.write_text(FAKE_FACTS.format(facts=FACTS | {"platform": "trixie-amd64-x86_64"}), encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    (tmp_path / "inventory.ini").write_text("pi-01\npi-02 platforms=[]\n", encoding="utf-8")
    folder = tmp_path / "apt"
    command = [ANSIBLE_PLAYBOOK, "-i", "inventory.ini", "-c", "local", "-e", f"apt_cache_folder={folder}", "play.yml"]
    own = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(tmp_path / "roles")}
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, check=False)
    assert "pi-02 is on none of these platforms, so nothing is fetched for it" in " ".join(done.stdout.split())
    stored = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(stored) == {f"trixie-amd64-x86_64/pi-01.{kind}" for kind in ("sources", "status")}, done.stdout
    assert stored["trixie-amd64-x86_64/pi-01.status"] == Path("/var/lib/dpkg/status").read_bytes()
    assert b"http" in stored["trixie-amd64-x86_64/pi-01.sources"]
