"""The list of Pis on the desk: found, added, named and removed, in a file that a person edits, too."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from mynn_control.desk import inventory
from mynn_control.desk.inventory import Inventory, RefusedError, add, remove
from mynn_control.find import Found
from tests.support.browser import assert_accessible
from tests.support.classroom import until
from tests.support.desk import open_desk, served

TEXT = """\
# My class
[pis]
# The window side
pi01.local   board=4   # the new one
pi[02:04].local

; the door side
[lab]
pi09 ansible_host=10.0.0.9
[school:children]
pis
lab

[pis:vars]
ansible_user=pi
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.ini"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_lines_are_added_below_the_last_pi_and_all_else_stays(path: Path) -> None:
    add(path, {"pi05.local": "", "pi06": "192.168.1.52"})
    here = "pi[02:04].local\n"
    assert path.read_text() == TEXT.replace(here, f"{here}pi05.local\npi06 ansible_host=192.168.1.52\n")
    assert Inventory(path, lambda: None).names() == [*(f"pi0{number}.local" for number in range(1, 6)), "pi06"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_pi_is_removed_also_from_a_range_and_from_another_group(path: Path) -> None:
    for name in ("pi03.local", "pi01.local", "pi09"):
        remove(path, name)
    left = TEXT.replace("pi01.local   board=4   # the new one\n", "").replace("pi09 ansible_host=10.0.0.9\n", "")
    assert path.read_text() == left.replace("pi[02:04].local", "pi02.local\npi04.local")


# Each is refused: a name or address that is none, or a name that means something else here.
NAMES = [
    "",
    "all",
    "pis",
    "lab",
    "localhost",
    "10.0.0.7",
    "-x",
    "pi 07",
    "pi07\n[all:vars]",
    "pi[07:09]",
    "{{ x }}",
    "pi07;x",
]
ADDRESSES = ["127.0.0.1", "0.0.0.0", "10.0.0", "fe80::1%x y", "10.0.0.7 ansible_connection=local", "{{ x }}", "pi07"]


@pytest.mark.parametrize(
    ("name", "address"),
    [*((name, "") for name in NAMES), *(("pi07", address) for address in ADDRESSES), ("PI04", ""), ("pi09.local", "")],
)
def test_what_is_no_pi_is_refused(path: Path, name: str, address: str) -> None:
    with pytest.raises(RefusedError):
        add(path, {name: address})
    assert path.read_text() == TEXT


@given(name=st.text(), address=st.text())
def test_only_a_pis_own_line_is_ever_added(name: str, address: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("inventory") / "inventory.ini"
    path.write_text("[pis]\n")
    try:
        add(path, {name: address})
    except RefusedError:
        assert path.read_text() == "[pis]\n"
    else:
        assert path.read_text() == f"[pis]\n{name}{f' ansible_host={address}' if address else ''}\n"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("inventory.yml", "pis: {hosts: {pi01.local: {}}}\n", "not an INI file"),
        ("inventory", "#!/bin/sh\necho '{}'\n", "not an INI file"),
        ("inventory.ini", "pi01.local\n[lab:children]\n", r"has no line \[pis\]"),
        ("inventory.ini", "[pis]\npi01:2222\n", "a way that the desk does not know"),
    ],
)
def test_what_the_desk_does_not_know_is_left_to_a_person(tmp_path: Path, name: str, text: str, reason: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RefusedError, match=f"{reason}.* by hand"):
        remove(path, "pi01") if "2222" in text else add(path, {"pi07": ""})
    assert path.read_text() == text and sorted(tmp_path.iterdir()) == [path]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with a Pi that has Imager's own name, a printer, and a Pi that is in the list."""
    there = {
        "raspberrypi": Found({"10.0.0.7"}, True),
        "printer": Found({"10.0.0.8"}),
        "pi01": Found({"10.0.0.1"}, True),
    }
    monkeypatch.setattr(inventory, "search", lambda: there)


def test_without_an_inventory_the_desk_says_which_is_missing(tmp_path: Path) -> None:
    with served(tmp_path, tmp_path / "none.ini") as desk:
        for path, given in (("add_named", "name=pi07"), ("remove", "pi=pi07")):
            assert f"No such file or directory: '{tmp_path}/none.ini'" in desk.ask(f"/pis/{path}", given).text


def test_a_pi_is_found_named_added_and_removed(path: Path, tmp_path: Path, network: None, browser_page: Page) -> None:
    page = browser_page
    with served(tmp_path, path) as desk:
        page.goto(f"{desk.url}/pis")
        page.get_by_text("The list: find, add and remove Pis").click()
        page.get_by_role("button", name="Find Pis").click()
        rows = page.locator(".found li")
        expect(rows).to_have_count(3)
        expect(page.get_by_label("Add printer")).not_to_be_checked()
        expect(page.get_by_label("Add pi01")).to_be_disabled()
        expect(page.get_by_label("The name of raspberrypi")).to_have_value("pi05")
        assert_accessible(page)
        page.get_by_label("The name of raspberrypi").fill("pi04")
        page.get_by_role("button", name="Add to the list").click()
        expect(page.get_by_role("alert")).to_contain_text("A Pi is called pi04 already")
        page.get_by_label("The name of raspberrypi").fill("pi07")
        page.get_by_role("button", name="Add to the list").click()
        expect(rows).to_have_count(2)
        until(lambda: "\npi07 ansible_host=10.0.0.7\n" in path.read_text())
        page.get_by_label("Name", exact=True).fill("pi08.local")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_label("The Pi").locator("option")).to_have_count(7)
        expect(page.get_by_label("Name", exact=True)).to_have_value("")
        page.get_by_label("The Pi").select_option("pi08.local")
        page.get_by_role("button", name="Remove from the list").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_label("The Pi").locator("option")).to_have_count(6)
        assert path.read_text() == TEXT.replace("[02:04].local\n", "[02:04].local\npi07 ansible_host=10.0.0.7\n")


def test_only_what_was_found_is_added(path: Path, tmp_path: Path, network: None) -> None:
    with served(tmp_path, path) as desk:
        assert desk.ask("/pis/add", "add.raspberrypi=yes").text == "Choose the Pis to add."
        assert desk.ask("/pis/find", "").status_code == 200
        assert desk.ask("/pis/add", "add.other=yes&as.other=pi07").text == "Choose the Pis to add."
    assert path.read_text() == TEXT


@pytest.mark.slow
def test_a_desk_without_pis_opens_and_asks_those_that_are_added(tmp_path: Path, browser_page: Page) -> None:
    path, page = tmp_path / "inventory.ini", browser_page
    path.write_text("[pis]\n\n[pis:vars]\nansible_port=1\nansible_become=false\n")
    with open_desk(path, tmp_path / "desk") as (url, _):
        page.goto(url)
        expect(page.get_by_role("status")).to_contain_text("There is no Pi in the list yet")
        page.get_by_role("link", name="Pis").click()
        for name in ("pi07", "pi08"):
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_label("Address").fill("10.255.255.1" if name == "pi08" else "")
            page.get_by_role("button", name="Add", exact=True).click()
            expect(page.locator(".states tbody tr")).to_have_count(2 if name == "pi08" else 1)
        path.write_text(path.read_text().replace("pi07\n", ""))  # by a person
        expect(page.locator(".states tbody tr")).to_have_count(1)
        expect(page.get_by_role("status")).to_be_hidden()
