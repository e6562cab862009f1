"""Live pages that are served to a test, with the answers of Pis that do not exist."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from mynn_control.live_page import LivePage, Server


class Served:
    """A live page while it is served."""

    def __init__(self, page: LivePage, server: Server) -> None:
        self.page, self.server = page, server

    def answer(self, pi: str, *shown: str | None, lost: str | None = "", place: int = 0) -> None:
        """Write a Pi's answer: what its students ada and bo show, in this order."""
        students = ["ada", "bo"][: max(1, len(shown))]
        texts = {name: text for name, text in zip(students, shown, strict=False) if text is not None}
        path = self.page.answers / f"{pi}.json"
        path.write_text(json.dumps({"place": place, "students": students, "shown": texts, "lost": lost}))
        os.utime(path, ns=(time.time_ns(),) * 2)
        self.page.update()

    def ask(self, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """Send a request, by POST if it has a body. Return the status and the page."""
        data = None if body is None else body.encode()
        request = urllib.request.Request(self.server.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""


@contextmanager
def served(page: LivePage) -> Iterator[Served]:
    """Serve a page."""
    page.answers.mkdir(exist_ok=True)
    page.update()
    with Server(page, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Served(page, server)
        server.shutdown()
