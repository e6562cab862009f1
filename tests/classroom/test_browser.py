"""What a student does, in a real browser: sign in, read the start page, and train a network that learns to read."""

import pytest
from playwright.sync_api import expect

from tests.support.browser import (
    READING,
    TURNING,
    copied_lesson,
    learn_to_read,
    open_browser,
    sign_in,
    signed_in,
    take_screenshot,
    url_of,
)
from tests.support.classroom import Classroom


@pytest.mark.quick
def test_a_network_learns_to_read(classroom: Classroom) -> None:
    url = url_of(classroom)
    with copied_lesson(classroom) as folder, open_browser() as browser:
        page = browser.pages[0]
        sign_in(page, url, "open sesame")
        expect(page.get_by_text("That is not the password of")).to_be_visible()
        page.goto(f"{url}/notebooks/{READING}")
        expect(page.locator("input[name=password]")).to_be_visible()

        page = signed_in(browser, classroom)
        for lesson in (READING, TURNING):
            expect(page.locator(f".lesson a[href$='/{lesson}']")).to_be_visible()
        expect(page.locator("#memory-words")).to_contain_text("MB free")
        take_screenshot(page, "start")
        learn_to_read(page, classroom, folder, "reading")
