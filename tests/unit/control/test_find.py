"""The list of Pis, as a teacher writes it and as `make find` proposes it."""

import pytest

from mynn_control import find
from mynn_control.find import Found, lines


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pi01.local the only name that this computer can resolve."""
    monkeypatch.setattr(find, "is_resolved", lambda name: name == "pi01.local")


def test_a_name_that_this_computer_can_resolve_needs_no_address() -> None:
    found = {
        "pi01": Found({"10.0.0.1"}, True, True),
        "pi10": Found({"10.0.0.10"}, True),
        "pi2": Found({"10.0.0.2"}, True),
    }
    assert lines(found, []) == [
        "pi01.local   # 10.0.0.1: is a notebook server",
        "pi2 ansible_host=10.0.0.2   # 10.0.0.2: is not a notebook server yet",
        "pi10 ansible_host=10.0.0.10   # 10.0.0.10: is not a notebook server yet",
    ]


def test_a_pi_with_the_default_name_gets_an_unused_one_and_what_is_known_or_no_pi_becomes_a_comment() -> None:
    found = {"raspberrypi": Found({"10.0.0.9"}, True), "laptop": Found({"10.0.0.7"}), "pi02": Found({"10.0.0.2"}, True)}
    found["theirs"] = Found({"10.0.0.8"}, False, True, True)
    assert lines(found, ["pi01.local", "pi02.local"]) == [
        "# laptop ansible_host=10.0.0.7   # 10.0.0.7: may be another computer",
        "# pi02 ansible_host=10.0.0.2   # 10.0.0.2: is already in the inventory",
        "pi03 ansible_host=10.0.0.9   # 10.0.0.9: is called raspberrypi and gets this name",
        "# theirs ansible_host=10.0.0.8   # 10.0.0.8: is set up already, perhaps for another class",
    ]


# The last ones are host names, but Ansible treats them specially.
HOSTILE = ["pi09 ansible_ssh_common_args=-oProxyCommand=x #", "pi09\n", "pi09\x1b]0;title\x07", "pi09\u202e", "p\u0456"]
HOSTILE += ["[all:vars]", "pi[01:99]", "{{ 1 + 1 }}", "#pi09", "-oProxyCommand=x", "pi09-", "pi..09", "", "pi0\u0669"]
HOSTILE += ["p" * 64, ".".join(["p" * 60] * 5), "pi09:22", "LocalHost", "127.0.0.1", "10", "all", "pis"]


def test_an_invalid_host_name_is_never_shown() -> None:
    names = ["7up", "Lab-7", "p" * 63, "pi01.room2"]
    found = {name: Found({"10.0.0.9"}, False, True) for name in [*HOSTILE, *names]}
    *valid, left_out = lines(found, [])
    assert sorted(line.split()[0] for line in valid) == sorted(names)
    assert left_out == f"# Left out: {len(HOSTILE)} without a valid host name or address."


def test_this_computer_is_not_proposed() -> None:
    """A name that leads back to it would make the playbooks change the control node."""
    addresses = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "224.0.0.251", "255.255.255.255"]
    assert [address for address in addresses if find.is_reachable(address)] == []
    assert find.is_reachable("192.168.1.52")
    assert lines({"pi09": Found(set(), True, True)}, []) == ["# Left out: 1 without a valid host name or address."]


def test_an_announcement_with_an_invalid_name_is_ignored() -> None:
    for name in ("pi09._ssh._tcp.local.", "pi\n09._mynn-pi._tcp.local.", "p" * 300, ""):
        assert find.service_info(find.OURS, name) is None
    assert find.service_info(find.OURS, f"pi09.{find.OURS}") is not None
