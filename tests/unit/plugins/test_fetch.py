"""`make fetch`: a Pi's facts and lists of packages decide what is fetched, and can do nothing else here."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mynn_control.apt_mirrors import mirror, source_lines
from tests.support.conditions import holds
from tests.support.programs import ROOT
from tests.unit.plugins.test_untrusted import PLATFORMS

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
def test_apt_reads_nothing_but_words(text: str) -> None:
    for line in source_lines(f"http://deb.debian.org/debian trixie main\n{text}", MIRRORS)[0]:
        kind, option, site, suite, component = line.split(" ")
        assert (kind, option, site[:21]) == ("deb", "[trusted=yes]", "http://deb.debian.org")
        assert not {suite[0], component[0]} & set("-./") and ".." not in line
        assert line.isprintable() and not set("\"'\\;[]@?#%") & set(site + suite + component)


def test_nothing_is_stored_of_a_pi_of_an_unknown_platform() -> None:
    """The platform becomes the name of a folder here."""
    tasks = yaml.safe_load((ROOT / "roles/apt_cache/tasks/facts.yml").read_text(encoding="utf-8"))
    [refused] = [task["ansible.builtin.assert"]["that"] for task in tasks[:2] if "ansible.builtin.assert" in task]
    for platform in (PLATFORMS[0], ""):  # what a forged one becomes
        assert holds(refused, {"__apt_cache_pi": {"platform": platform}}) == bool(platform)
