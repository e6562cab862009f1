"""The tab Settings: what is shown of the teacher's file and the desk's beside it, and what is saved into the desk's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from mynn import __version__
from mynn.translation import LANGUAGES
from mynn_control.desk.connections import class_language
from mynn_control.desk.runs import Fleet
from mynn_control.desk.settings import Settings, migrate_settings, value_of
from mynn_control.own_files import desk_file, read
from mynn_control.settings import sections
from tests.support.browser import assert_accessible
from tests.support.desk import ServedDesk, served

TEXT = """\
# The settings of my class.
jupyter_ca: "{{ playbook_dir }}/ca"
cards_account_password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
"""
OWN = """\
jupyter_port: 9000
students:
- morning
- afternoon
cards_wifi:
  country: GB
  networks:
  - ssid: Guests
    password: ''
  - ssid: Our School
    password: open sesame
jupyter_password: tell nobody
"""
SECRETS = ("open sesame", "tell nobody")
KNOWN = {one.name: one for _, _, own in sections() for one in own}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yml"
    path.write_text(TEXT)
    desk_file(path).write_text(OWN)
    return path


@pytest.fixture
def desk(tmp_path: Path, path: Path) -> Iterator[ServedDesk]:
    with served(tmp_path, settings=path) as desk:
        yield desk


def test_settings_are_changed_and_put_back_in_the_desks_file(path: Path, desk: ServedDesk, browser_page: Page) -> None:
    page, before = browser_page, read(desk_file(path))
    page.goto(f"{desk.url}/settings")
    assert not any(secret in page.content() for secret in SECRETS)
    assert_accessible(page)
    page.get_by_label("jupyter_https").check()
    page.get_by_text("Shared by several roles").click()
    page.get_by_label("jupyter_port").fill("9001")
    page.locator("#students").fill("- ada\n- bo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. Set up the Pis to apply it.")).to_be_visible()
    after = before | {"jupyter_port": 9001, "students": ["ada", "bo"]}
    assert read(desk_file(path)) == after | {"jupyter_https": True}
    https_setting = page.locator(".setting", has_text="jupyter_https")
    https_setting.get_by_role("button", name="Put back").click()
    expect(page.get_by_label("jupyter_https")).not_to_be_checked()
    expect(https_setting.get_by_role("button")).to_have_count(0)
    assert (read(desk_file(path)), path.read_text()) == (after, TEXT)
    assert desk_file(path).stat().st_mode & 0o777 == 0o600
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_label("Language of the lessons").locator("option")).to_have_text(list(LANGUAGES.values()))
    page.get_by_label("Port of the first student").fill("80")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("jupyter_port is 80, and must be a whole number from 1024 to")
    expect(page.get_by_label("jupyter_port")).to_have_value("80")
    page.get_by_role("button", name="Save").click(trial=True)  # the sentence does not cover it
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("link", name="Class").click()  # the browser asks first
    expect(page.get_by_label("jupyter_port")).to_have_value("80")


def test_every_setting_is_on_the_page_with_its_reason(desk: ServedDesk) -> None:
    page = desk.ask("/settings").text
    assert f"This desk is mynn-pi {__version__}." in page
    assert re.findall('<label for="(.+)">', page)[:3] == ["language", "jupyter_https", "jupyter_cull_seconds"]
    assert sorted(re.findall('<label for="(.+)">', page)) == sorted(KNOWN)
    assert "{{" not in page and "<strong>The notebook server, a systemd service" in page
    assert "A notebook&#39;s program that has not been used for this long (in seconds) is ended" in page
    for line in (2, 3):
        assert page.count(f"It is set in settings.yml, line {line}: change it there.") == 1


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        ("jupyter_cull_seconds", "soon", "jupyter_cull_seconds is 'soon', and must be a whole number"),
        ("apt_cache_port", "32768", "must be a whole number from 1024 to 32767"),
        ("jupyter_port", "1e3", "must be a whole number from 1024 to 65535"),
        ("jupyter_https", "perhaps", "must be true or false"),
        ("board", "6", "must be one of"),
        ("students", "[ada, root]", "Names of system accounts"),
        ("students", "ada, bo", "must be a list"),
        ("students", "[ada", "students is not YAML"),
        ("students", "[&a ada, *a]", "put quotes around the text"),
        ("students", "[2026-02-30]", "a value makes no sense"),
        ("students", "[" * 5000, "students is not YAML"),
        ("cards_wifi", "GB", "must be a table"),
        (
            "system_ssh_keys",
            r'["ssh-ed25519 AAAA\nssh-rsa BBBB"]',
            "must be a list of public SSH keys, each in one line",
        ),
        ("system_ssh_keys", "[ada]", "must be a list of public SSH keys, each in one line"),
        ("system_hostname", "{{ lookup('pipe', 'x') }}", "a template can only be written"),
        ("students", "['{% if x %}']", "a template can only be written"),
        ("students", r'["\x7b{ x }}"]', "a template can only be written"),
        ("system_hostname", "pi07\nansible_user: root", "must be text, of characters that can be printed"),
        ("jupyter_ca", "/ca", "jupyter_ca is set in settings.yml, line 2: change it there."),
        ("ansible_user", "root", "There is no setting ansible_user"),
    ],
)
def test_what_is_refused_says_why_and_nothing_is_written(path: Path, name: str, answer: str, reason: str) -> None:
    desk = Settings(path)
    assert reason in desk.save({"version": desk.version, "cards_largest_gb": "64", name: answer})
    assert "load this page again" in desk.save({"version": "0", "jupyter_port": "9001"})
    assert desk_file(path).read_text() == OWN and not desk.saved


def test_public_ssh_keys_may_have_options_and_a_comment(path: Path) -> None:
    desk, keys = Settings(path), ["ssh-ed25519 AAAAC3Nz ada@möbius 1", 'from="10.0.0.*" ecdsa-sha2-nistp256 AAAA/+==']
    assert desk.save({"version": desk.version, "system_ssh_keys": yaml.safe_dump(keys)}) == ""
    assert read(desk_file(path))["system_ssh_keys"] == keys


def test_a_table_with_secrets_is_kept_or_written_anew(path: Path) -> None:
    desk = Settings(path)
    assert desk.draw().count('placeholder="••••"') == 2
    new = "networks:\n- {ssid: New, password: new one}\n"
    assert desk.save({"version": desk.version, "cards_wifi": new}) == ""
    assert read(desk_file(path)) == yaml.safe_load(OWN) | {"cards_wifi": yaml.safe_load(new)}
    assert "new one" not in desk.draw()


@pytest.mark.parametrize("name", ["settings.yml", "settings.desk.yml"])
@pytest.mark.parametrize(
    ("text", "where"), [("\n\na: [", ", line 3"), ("- a\n", ""), ("a: *x\n", ", line 1"), ("\0", "")]
)
def test_a_file_that_cannot_be_read_is_named_and_left_alone(path: Path, name: str, text: str, where: str) -> None:
    path.with_name(name).write_text(text)
    said = f"{name}{where} cannot be read: repair it by hand."
    desk = Settings(path)
    assert said in desk.draw()
    assert desk.save({"version": desk.version, "jupyter_port": "9001"}) == f"Nothing was saved. {said}"
    assert path.with_name(name).read_text() == text


@pytest.mark.parametrize(
    "more", ["", "jupyter_ca: '{{ playbook_dir }}/ca'\n", "cards_account_password: !vault x\n", "- a\n"]
)
def test_plain_settings_are_taken_over_with_a_copy(tmp_path: Path, more: str) -> None:
    """What is more than plain stays; Ansible reads either file, and where both have a setting, the teacher's counts."""
    path, inventory = tmp_path / "group_vars/all/settings.yml", tmp_path / "inventory.ini"
    path.parent.mkdir(parents=True)
    inventory.write_text("[pis]\npi01\n")
    before = f"# My class\nlanguage: de\n{OWN}{more}"
    path.write_text(before)
    said = migrate_settings(path)
    if more:
        assert (said, path.read_text(), desk_file(path).exists()) == ("", before, False)
        return
    assert "are now in settings.desk.yml, a file of its own. settings.yml.old is a copy" in said
    assert (path.read_text(), path.with_name("settings.yml.old").read_text()) == ("", before)
    assert read(desk_file(path)) == {"language": "de", **yaml.safe_load(OWN)}
    assert class_language(Fleet(inventory), tmp_path) == "de"
    path.write_text("language: es\n")
    assert class_language(Fleet(inventory), tmp_path) == "es"


@given(answer=st.text())
def test_any_answer_becomes_data_or_is_refused(answer: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.yml"
    for name in ("system_hostname", "jupyter_ca_permitted", "cards_wifi"):
        desk = Settings(path)
        if not desk.save({"version": desk.version, name: answer}):
            assert "{{" not in desk_file(path).read_text()
            assert read(desk_file(path))[name] == value_of(KNOWN[name], answer)
