"""How many bytes a browser fetches for the pages of a notebook server: what a classroom's Wi-Fi must carry.

    python -m tests.benchmarks.page_bytes URL PASSWORD [--lesson NAME.ipynb]

Opens the start page and a lesson in a browser that has never been there, and both again. Bytes are those of HTTP bodies
and headers, and of the messages with the program that runs the cells, which it does not run.
"""

from __future__ import annotations

import argparse
from typing import Any

from playwright.sync_api import CDPSession, Page, expect

from tests.support.browser import MINUTES, READING, open_browser, sign_in


class Meter:
    """Count the bytes that a page fetches and sends."""

    def __init__(self, session: CDPSession) -> None:
        self.fetched = self.messages = self.requests = 0
        session.send("Network.enable")
        session.on("Network.loadingFinished", self.finished)
        for event in ("Network.webSocketFrameReceived", "Network.webSocketFrameSent"):
            session.on(event, self.message)

    def finished(self, event: dict[str, Any]) -> None:
        """Count an answer."""
        self.fetched += int(event["encodedDataLength"])
        self.requests += event["encodedDataLength"] > 0

    def message(self, event: dict[str, Any]) -> None:
        """Count a message of a cell's program."""
        self.messages += len(event["response"]["payloadData"])

    def say(self, page: Page, what: str) -> None:
        """Print what was counted since the last time."""
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(3000)
        print(f"{what:28} {self.requests:4} answers {self.fetched:10,} bytes, messages {self.messages:9,}", flush=True)
        self.fetched = self.messages = self.requests = 0


def main() -> None:
    """Print the bytes of each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("password")
    parser.add_argument("--lesson", default=READING, metavar="NAME.ipynb")
    options = parser.parse_args()
    with open_browser(3 * MINUTES) as browser:
        page = browser.pages[0]
        meter = Meter(browser.new_cdp_session(page))
        sign_in(page, options.url, options.password)
        expect(page.locator("#memory-words")).to_contain_text("MB free")
        meter.say(page, "signing in, start page")
        for again in "", " again":
            page.goto(f"{options.url}/notebooks/{options.lesson}")
            expect(page.locator(".jp-CodeCell").first).to_be_visible()
            meter.say(page, f"lesson{again}")
            page.goto(f"{options.url}/start/")
            expect(page.locator("#memory-words")).to_contain_text("MB free")
            meter.say(page, "start page again")


if __name__ == "__main__":
    main()
