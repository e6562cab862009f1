"""What a lesson's page loads, and how long that takes, in a browser that has never opened one; and the second time.

    python -m tests.benchmarks.lesson_page URL PASSWORD [--megabits 0.33]

Asks a Pi, or any other notebook server. `--megabits` a second are all that the browser gets: 0.33 are the share of one
of thirty pupils in 10.
"""

import argparse
import re
import time

from playwright.sync_api import BrowserContext, expect

from tests.support.browser import MOVED, open_browser, sign_in

LESSON = "part2_mnist_data_set.ipynb"
LATENCY = 20  # milliseconds


def main() -> None:
    """Print the requests, the bytes and the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("password")
    parser.add_argument("--megabits", type=float, default=0, help="a second; 0: as many as there are")
    options = parser.parse_args()
    with open_browser() as browser:
        sign_in(browser.pages[0], options.url, options.password)
        expect(browser.pages[0]).to_have_url(re.compile("/start/"))
        for visit in ("first", "second"):
            measure(browser, f"{options.url}/notebooks/{LESSON}", visit, options.megabits * 1e6 / 8)


def measure(browser: BrowserContext, address: str, visit: str, speed: float) -> None:
    """Open a lesson and print what that took. ``speed``: bytes a second."""
    page = browser.new_page()
    limits = {"offline": False, "latency": LATENCY, "downloadThroughput": speed, "uploadThroughput": speed}
    if speed:
        browser.new_cdp_session(page).send("Network.emulateNetworkConditions", limits)
    began = time.monotonic()
    page.goto(address, wait_until="commit")
    expect(page.locator(".jp-Cell").first).to_be_visible()
    shown = time.monotonic() - began
    expect(page.locator(".mynn-bar[data-state=idle]")).to_be_visible()
    names, size = page.evaluate(MOVED)
    idle = time.monotonic() - began
    print(f"{visit}: {len(names)} requests, {size} bytes; a cell after {shown:.1f} s, ready after {idle:.1f} s")
    page.close()


if __name__ == "__main__":
    main()
