"""The page /try/ as a Pi sends it whose notebook server is still starting."""

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from mynn_server import serve
from mynn_server.try_files import FILES
from tests.support.browser import assert_accessible
from tests.support.jupyter_server import PASSWORD
from tests.support.pupil import press

RECORD = 785  # bytes of a digit


@contextmanager
def serving() -> Iterator[str]:
    """Send the page's files, and let all other requests wait; yield the page's address."""
    starting = serve.Starting(serve.listen(0))
    try:
        yield f"http://127.0.0.1:{starting.listening.getsockname()[1]}/try/"
    finally:
        starting.end().close()
        for connection in starting.waiting:
            connection.close()


def fewer_digits(networks: Path, folder: Path) -> dict[str, Path]:
    """Return the page's data, by name: its network, but only 2,000 digits to train on and 500 to test with."""
    ready = {name: networks / "try" / FILES[name].name for name in ("network.bin", "digits.bin", "test.bin")}
    for name, count in (("digits.bin", 2000), ("test.bin", 500)):
        small = folder / ready[name].name
        small.write_bytes(gzip.compress(gzip.decompress(ready[name].read_bytes())[: RECORD * count], 1))
        ready[name] = small
    return ready


def keep_and_sign_in(page: Page, way: str) -> Page:
    """Keep something as somebody who has not signed in; sign in in the tab that opens for this, and return it."""
    press(page.get_by_role("button", name="Keep on the Pi"), way)
    expect(page.locator("#kept")).to_have_text(re.compile("Sign in to this Pi first"))
    assert_accessible(page)
    with page.expect_popup() as tab:
        press(page.get_by_role("link", name="Sign in"), way)
    tab.value.locator("input[name=password]").fill(PASSWORD)
    tab.value.keyboard.press("Enter")
    return tab.value
