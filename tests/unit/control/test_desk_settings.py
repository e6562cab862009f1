"""The tab Settings: what is shown of the teacher's file, what is saved into it, and what stays as it was."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from ansible_collections.mynn.pi.plugins.callback.checked_inventory import EXAMPLE
from mynn.words import LANGUAGES
from mynn_control.desk.inventory import RefusedError
from mynn_control.desk.settings import Settings, changed, value_of, written
from mynn_control.settings import sections
from tests.support.browser import assert_accessible
from tests.support.desk import ServedDesk, served

TEXT = """\
# The settings of my class.

# HTTPS
# jupyter_https: true
jupyter_port: 9000   # behind the proxy

students:
  - morning
  - afternoon

# Wi-Fi
# a long story
cards_wifi:
  country: GB
  networks:
    - ssid: Guests
      password: ""
    - {ssid: "Our School", password: "open sesame"}
# mine
jupyter_password: "tell nobody"
jupyter_ca: "{{ playbook_dir }}/ca"
cache_folder: >-
  /var
  # no comment
cards_account_password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
# The end.
"""
SECRETS = ("open sesame", "tell nobody")
KNOWN = {one.name: one for _, _, own in sections() for one in own}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def desk(tmp_path: Path, path: Path) -> Iterator[ServedDesk]:
    with served(tmp_path, settings=path) as desk:
        yield desk


def save(desk: ServedDesk, change: str) -> str:
    """Save as the page does; return what is refused."""
    version = re.findall('name="version" value="(.+)"', desk.ask("/settings").text)[0]
    return desk.ask("/settings/save", f"version={version}&{change}").text


def test_settings_are_changed_and_put_back_and_all_other_lines_stay(
    path: Path, desk: ServedDesk, browser_page: Page
) -> None:
    page = browser_page
    page.goto(f"{desk.url}/settings")
    assert not any(secret in page.content() for secret in SECRETS)
    assert_accessible(page)
    page.get_by_label("jupyter_https").check()
    page.get_by_label("jupyter_port").fill("9001")
    page.get_by_label("students").fill("- ada\n- bo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. Set up the Pis, so that it holds.")).to_be_visible()
    https = TEXT.replace("# jupyter_https: true\n", "# jupyter_https: true\njupyter_https: true\n")
    after = https.replace("9000 ", "9001 ").replace("  - morning\n  - afternoon\n", "- ada\n- bo\n")
    assert path.read_text() == after
    https_setting = page.locator(".setting", has_text="jupyter_https")
    https_setting.get_by_role("button", name="Put back").click()
    expect(page.get_by_label("jupyter_https")).not_to_be_checked()
    expect(https_setting.get_by_role("button")).to_have_count(0)
    assert path.read_text() == after.replace("\njupyter_https: true\n", "\n")
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
    assert re.findall('<label for="(.+)">', page)[:3] == ["language", "jupyter_https", "jupyter_port"]
    assert sorted(re.findall('<label for="(.+)">', page)) == sorted(KNOWN)
    assert "{{" not in page and "<strong>The notebook server, a systemd service" in page
    assert "A notebook&#39;s program that has not been used for this long is ended" in page
    assert page.count("It was written by hand") == 3  # a template, what is encrypted, and a text with a #


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
        ("cards_wifi", "password: ••••2", "stands for no password"),
        ("system_hostname", "{{ lookup('pipe', 'x') }}", "a template can only be written"),
        ("students", "['{% if x %}']", "a template can only be written"),
        ("students", r'["\x7b{ x }}"]', "a template can only be written"),
        ("system_hostname", "pi07\nansible_user: root", "must be on one line"),
        ("jupyter_ca", "/ca", "was written by hand"),
        ("ansible_user", "root", "There is no setting ansible_user"),
    ],
)
def test_what_is_refused_says_why_and_nothing_is_written(
    desk: ServedDesk, path: Path, name: str, answer: str, reason: str
) -> None:
    assert reason in save(desk, f"cards_largest_gb=64&{name}={quote(answer)}")
    assert path.read_text() == TEXT and not desk.desk.settings.saved


def test_a_page_of_an_older_file_is_refused(desk: ServedDesk) -> None:
    assert "load this page again" in desk.ask("/settings/save", "version=0&jupyter_port=9001").text


def test_secrets_stay_where_their_dots_are_moved() -> None:
    shown = "networks:\n- {ssid: Our School, password: ••••1}\n- {ssid: New, password: new one}\n"
    text = changed(TEXT, "cards_wifi", shown, KNOWN["cards_wifi"])
    assert yaml.safe_load(text.replace("!vault", ""))["cards_wifi"] == {
        "networks": [{"ssid": "Our School", "password": "open sesame"}, {"ssid": "New", "password": "new one"}]
    }
    assert "# mine\njupyter_password" in text


@pytest.mark.parametrize("name", [name for name, one in written(TEXT).items() if not one.by_hand])
def test_a_setting_that_is_put_back_leaves_all_comments(name: str) -> None:
    after = changed(TEXT, name, None, KNOWN[name])
    lines = TEXT.splitlines()
    assert [line for line in after.splitlines() if line in lines or line == "# behind the proxy"] == after.splitlines()
    assert set(re.findall(r"(?m)^#.*", TEXT)) <= set(after.splitlines())
    assert written(after).keys() == written(TEXT).keys() - {name}


@pytest.mark.parametrize("text", ["a: [", "- a\n", "{students: [a]}\n", "a: &x 1\nb: *x\n", "a: 1\na: 2\n", "\x00"])
def test_a_file_that_only_a_person_can_change_is_left_to_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yml"
    path.write_text(text)
    assert re.search("settings.yml: The file .* by hand", Settings(path).draw())
    with pytest.raises(RefusedError):
        changed(text, "jupyter_port", "9000", KNOWN["jupyter_port"])


def test_the_files_that_we_ship_and_an_empty_one_can_be_changed_and_put_back() -> None:
    for before in (EXAMPLE.read_text(), "", "---\n"):
        text = before
        for name, answer in (("students", "[ada]"), ("jupyter_https", "true"), ("cards_largest_gb", "64")):
            text = changed(text, name, answer, KNOWN[name])
        assert {name: one.value for name, one in written(text).items()} == {
            **{"students": ["ada"], "jupyter_https": True, "cards_largest_gb": 64}
        }
        for name in ("jupyter_https", "students", "cards_largest_gb"):
            text = changed(text, name, None, KNOWN[name])
        assert text == before


LINES = st.lists(st.sampled_from(["# a comment\n", "\n", "  # one more\n", "#jupyter_port: 1\n"]), max_size=3).map(
    "".join
)
VALUES: dict[str, Any] = {
    "jupyter_port": st.sampled_from(["9000", "9000  # why", "!vault |\n  6162", "'9000'"]),
    "students": st.sampled_from(["[a, b]  # two", "\n  - a\n  # of them\n  - b", "\n- a\n- |-\n  b\n  # c"]),
    "cards_wifi": st.sampled_from(["{}", "\n  country: GB\n  networks:\n    - ssid: |\n        x\n", "{a: {b: [1]}}"]),
    "my_own": st.sampled_from(["", "~", "'{{ x }}'", ">-\n  folded\n  text\n", '"a\n  b"', "x # y"]),
}
BLOCK = re.compile(r"[|>]-?\n(  .*\n)+\n*\Z")
FOLDED = [
    ("", "my_own", ">-\n  folded\n  text\n"),
    ("", "cards_wifi", "{}"),
    ("  # one more\n", "students", "[a]"),
    ("", "jupyter_port", "9000"),
]
FILES = st.permutations(list(VALUES)).flatmap(
    lambda names: st.tuples(*(st.tuples(LINES, st.just(name), VALUES[name]) for name in names))
)


@given(file=FILES, end=LINES, name=st.sampled_from(["jupyter_port", "students", "cards_wifi"]), gone=st.booleans())
@example(file=FOLDED, end="", name="cards_wifi", gone=True)
def test_in_any_file_only_that_setting_changes(file: Any, end: str, name: str, gone: bool) -> None:
    text = "".join(f"{lines}{key}: {value}\n" for lines, key, value in file) + end
    answer = {"jupyter_port": "9100", "students": "[c]", "cards_wifi": "country: FR"}[name]
    before = written(text)
    try:
        after = changed(text, name, None if gone else answer, KNOWN[name])
    except RefusedError:
        above, below = text[: before[name].start], text[before[name].end :]
        # Without the setting, a comment that is indented would belong to the text above.
        belongs = gone and BLOCK.search(above) and re.match(r"\n*  #", below)
        assert before[name].by_hand or belongs
        return
    new = {} if gone else {name: yaml.safe_load(answer)}
    assert {key: one.value for key, one in written(after).items() if key not in before or not one.by_hand} == {
        key: one.value for key, one in before.items() if key != name and not one.by_hand
    } | new
    kept = text[: before[name].start] + text[before[name].end :]
    assert re.findall("#.*", after) == re.findall("#.*", kept)


@given(answer=st.text())
def test_any_answer_becomes_data_or_is_refused(answer: str) -> None:
    for name in ("system_hostname", "jupyter_ca_permitted", "cards_wifi"):
        try:
            value = value_of(KNOWN[name], answer, None)
        except RefusedError:
            continue
        text = changed("", name, answer, KNOWN[name])
        assert yaml.safe_load(text) == {name: value} and "{{" not in text
