"""The list of Pis on the desk: found, added, named and removed, in a file beside the one that a person edits."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mynn_control.desk import inventory
from mynn_control.desk.database import OWN_FILES, VERSIONS
from mynn_control.desk.inventory import Inventory, add, remove
from mynn_control.find import Found
from mynn_control.own_files import RefusedError, desk_file, load_inventory, read
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
    return path


def added(path: Path) -> object:
    """Return what the desk has written beside an inventory."""
    return read(desk_file(path)).get("pis", {}).get("hosts")


def test_pis_are_added_and_removed_in_the_desks_own_file(path: Path) -> None:
    add(path, {"pi05.local": "", "pi06": "192.168.1.52"})
    assert Inventory(path, lambda: None).names() == [*(f"pi0{number}.local" for number in range(1, 6)), "pi06"]
    listed = load_inventory(path)
    assert listed.get_host("pi06").vars["ansible_host"] == "192.168.1.52"
    assert listed.groups["pis"].get_vars()["ansible_user"] == "pi"
    remove(path, "pi05.local")
    assert added(path) == {"pi06": {"ansible_host": "192.168.1.52"}} and path.read_text() == TEXT


@pytest.mark.parametrize(("name", "line"), [("pi01.local", 4), ("pi03.local", 5), ("pi09", 9)])
def test_the_desk_says_where_a_person_has_to_remove_a_pi(path: Path, name: str, line: int) -> None:
    with pytest.raises(RefusedError, match=f"{name} is listed in inventory.ini, line {line}: remove it there by hand."):
        remove(path, name)
    with pytest.raises(RefusedError, match="pi77 is not in it"):
        remove(path, "pi77")


@pytest.mark.parametrize(("text", "where"), [("pis:\n  hosts: [\n", ", line 3"), ("pis: {}\n", "")])
def test_a_file_of_the_desks_that_somebody_changed_is_left_alone(path: Path, text: str, where: str) -> None:
    desk_file(path).write_text(text)
    with pytest.raises(RefusedError, match=f"inventory.desk.yml{where} cannot be read: repair it by hand."):
        add(path, {"pi07": ""})
    assert desk_file(path).read_text() == text


def test_what_an_earlier_desk_wrote_is_taken_over_at_the_first_start(path: Path, tmp_path: Path) -> None:
    """A person's lines stay: those with more, a range, and another group's."""
    after = f"{TEXT}[pis:children]\nroom\n[room]\npi11\n"
    before = after.replace("[02:04].local\n", "[02:04].local\npi05.local\npi06 ansible_host=192.168.1.52\n")
    path.write_text(before)
    with closing(sqlite3.connect(tmp_path / "memory.sqlite")) as database, database:
        for script in (*VERSIONS[: OWN_FILES - 1], f"PRAGMA user_version = {OWN_FILES - 1}"):
            database.execute(script)
    said = "The desk’s changes to inventory.ini are now in inventory.desk.yml, a file of its own."
    for told in (1, 0):
        with served(tmp_path, path, tmp_path / "settings.yml") as desk:
            assert desk.ask("/pis").text.count(said) == told
        assert added(path) == {"pi05.local": {}, "pi06": {"ansible_host": "192.168.1.52"}}
        assert (path.read_text(), (tmp_path / "inventory.ini.old").read_text()) == (after, before)


# Each is refused: a name or address that is none, or a name that means something else here.
NAMES = ["", "all", "pis", "lab", "localhost", "10.0.0.7", "-x", "pi 07", "pi07\n[all:vars]"]
NAMES += ["pi[07:09]", "{{ x }}", "pi07;x"]
ADDRESSES = ["127.0.0.1", "0.0.0.0", "10.0.0", "fe80::1%x y", "10.0.0.7 ansible_connection=local", "{{ x }}", "pi07"]


@pytest.mark.parametrize(
    ("name", "address"),
    [*((name, "") for name in NAMES), *(("pi07", address) for address in ADDRESSES), ("PI04", ""), ("pi09.local", "")],
)
def test_what_is_no_pi_is_refused(path: Path, name: str, address: str) -> None:
    with pytest.raises(RefusedError):
        add(path, {name: address})
    assert not desk_file(path).exists()


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


@pytest.mark.slow
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
        until(lambda: added(path) == {"pi07": {"ansible_host": "10.0.0.7"}})
        page.get_by_label("Name", exact=True).fill("pi08.local")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_label("The Pi").locator("option")).to_have_count(7)
        expect(page.get_by_label("Name", exact=True)).to_have_value("")
        page.get_by_label("The Pi").select_option("pi08.local")
        page.get_by_role("button", name="Remove from the list").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_label("The Pi").locator("option")).to_have_count(6)
        assert added(path) == {"pi07": {"ansible_host": "10.0.0.7"}}
    assert path.read_text() == TEXT


def test_only_what_was_found_is_added(path: Path, tmp_path: Path, network: None) -> None:
    with served(tmp_path, path) as desk:
        assert desk.ask("/pis/add", "add.raspberrypi=yes").text == "Choose the Pis to add."
        assert desk.ask("/pis/find", "").status_code == 200
        assert desk.ask("/pis/add", "add.other=yes&as.other=pi07").text == "Choose the Pis to add."
    assert not desk_file(path).exists()


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
            expect(page.locator("article")).to_have_count(2 if name == "pi08" else 1)
        path.write_text(path.read_text().replace("[pis]", "[pis]\npi09"))  # by a person
        expect(page.locator("article")).to_have_count(3)
        expect(page.get_by_role("status")).to_be_hidden()
