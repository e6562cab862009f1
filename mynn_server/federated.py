"""Federated averaging on the page `/try/`: a class's browsers train one network, and this Pi averages their weights.

See McMahan et al. 2017, https://arxiv.org/abs/1602.05629. In each round all browsers start from the same weights, each
trains on a thousand digits of its own share, and the average of their weights starts the next round. So fast devices
have no advantage, and all count the same.

A signed-in user starts a session and reads out its code. Everybody with the code can join, without this Pi's password.
Members whose weights move farther than FARTHEST times as far as those of the middle one are left out of that round: so
one who sends rubbish, or a broken browser, cannot spoil the network. Bounding each step's norm is from Sun et al. 2019,
https://arxiv.org/abs/1911.07963. The median of each weight (Yin et al. 2018, https://arxiv.org/abs/1803.01498) was
worse where each has two labels: docs/teach/together.md.

Sessions are held in memory only. Addresses are relative to the page:

    POST together           start a session with these weights, replacing the last one. `?two=1`: each share has mostly
                            two labels. Signed in, and with X-XSRFToken (try_page.py); answers as GET does
    POST together/start     start the first round; as above, without a body
    GET together            the progress: `started`, ended `rounds`, `of` how many, `members`, how many of them were
                            `left_out` of the last round, `best`, which is the most of 1000 digits that a member's own
                            network recognises; if signed in, also the `code`
    POST together/join      the body is the code; answers with `member`, a name, and its share: `number` and `two`
    GET together/weights    the current weights; the header Class-Network has the progress, without the code
    POST together/weights   send a member's weights; answers as GET does, once all have sent theirs.
                            `?round=3&alone=813`: `rounds` at its start, and how many of 1000 digits its own network
                            recognises

A member sends its name as the header X-Member. After SILENT seconds without a request it is forgotten, and answered 403
or 413; it may join again. In a round, only sending weights counts as a request. The round does not wait for members who
joined after its start, so it ends in time. Weights: 784 inputs, 50 hidden nodes, 10 outputs, row by row, each as 16
bits, little endian: 32768 + 4096 * weight. So any SIZE bytes are finite weights between -8 and 8.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import time
from array import array
from contextlib import suppress
from dataclasses import dataclass
from statistics import median_low
from typing import Any, ClassVar

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, authenticated

from mynn.translation import _
from mynn_server.rate_limit import PAUSE, TooManyError, rate_limited

NUMBERS = (784 + 10) * 50
SIZE = 2 * NUMBERS  # bytes
ROUNDS = 30
MOST, MOST_OF_ONE = 40, 4  # members, and members per address
FARTHEST = 2  # times the middle member's step; in 16 sessions of 2 to 30, no honest one was farther than 1.6 times
SILENT = 20  # seconds until a member is forgotten; with thirty members, a round should take a Pi Zero five
TESTED = 1000  # digits that a browser tests with; of fewer, the result is converted to this number
# Bit mask that leaves every fourth of the 16-bit weights in a long number, so that each has room for a sum.
SPREAD = int.from_bytes(b"\xff\xff\0\0\0\0\0\0" * (NUMBERS // 4), "little")


class Average:
    """Average of several members' weights.

    All weights are added as one long number, since a list would take thirty times as long.
    """

    def __init__(self) -> None:
        self.count, self.sums = 0, [0] * 4

    def add(self, weights: bytes) -> None:
        """Add one member's weights."""
        number = int.from_bytes(weights, "little")
        self.sums = [total + (number >> 16 * place & SPREAD) for place, total in enumerate(self.sums)]
        self.count += 1

    def mean(self) -> bytes:
        """Return the average, rounded. One multiplication and one shift divide all sums at once."""
        half, part = SPREAD // 0xFFFF * (self.count // 2), 2**40 // self.count + 1
        means = [(total + half) * part >> 40 & SPREAD for total in self.sums]
        return sum(mean << 16 * place for place, mean in enumerate(means)).to_bytes(SIZE, "little")


def near(start: bytes, sent: list[bytes]) -> list[bytes]:
    """Return those weights that are not too far from the start of the round."""
    steps = [math.dist(array("H", weights), array("H", start)) for weights in sent]
    most = FARTHEST * median_low(steps)
    return [weights for weights, step in zip(sent, steps, strict=True) if step <= most]


@dataclass
class Member:
    """A browser. number: its share of the digits. alone: how many of 1000 digits its own network recognises."""

    number: int
    address: str
    seen: float
    alone: int = 0


class Session:
    """A session: the class's network, and its members."""

    def __init__(self, weights: bytes, two: bool) -> None:
        self.weights, self.two = weights, two
        self.code = f"{secrets.randbelow(10**6):06}"
        self.started, self.rounds, self.left_out = False, 0, 0
        self.members: dict[str, Member] = {}
        self.begin_round()

    def begin_round(self) -> None:
        """Start a round: clear what was sent, and await all current members."""
        self.forget()
        self.sent, self.ended = dict[str, bytes](), asyncio.Event()
        self.awaited = set(self.members)
        for member in self.members.values():
            member.seen = time.monotonic()

    def hear(self, name: str) -> Member | None:
        """Return the member with this name, if any. Before the first round, a request shows that it is there."""
        member = self.members.get(name)
        if member and not self.started:
            member.seen = time.monotonic()
        return member

    def about(self) -> dict[str, Any]:
        """Return the progress."""
        best = max((member.alone for member in self.members.values()), default=0)
        so_far = {"started": self.started, "rounds": self.rounds, "of": ROUNDS}
        return {**so_far, "members": len(self.members), "left_out": self.left_out, "best": best}

    def join(self, address: str) -> str:
        """Add a member; return its name."""
        self.forget()
        if [member.address for member in self.members.values()].count(address) >= MOST_OF_ONE:
            wrong = _("{count} pages of this computer take part already. Close one, and join again in half a minute.")
            raise HTTPError(409, wrong.format(count=MOST_OF_ONE))
        free = set(range(MOST)) - {member.number for member in self.members.values()}
        if not free:
            raise HTTPError(409, _("{count} take part already, and there is no room for more.").format(count=MOST))
        name = secrets.token_hex(16)
        self.members[name] = Member(min(free), address, time.monotonic())
        return name

    def forget(self) -> None:
        """Forget silent members, but not those who have sent weights and wait for the others."""
        since = time.monotonic() - SILENT
        self.members = {
            name: member for name, member in self.members.items() if name in self.sent or member.seen > since
        }

    async def exchange(self, name: str, began: int, weights: bytes) -> None:
        """Add a member's weights to this round, and wait until the round has ended.

        Late weights are left out, and the member goes on from the others' average.
        """
        if began != self.rounds or not self.started or self.rounds == ROUNDS:
            return
        self.sent.setdefault(name, weights)
        ended = self.ended
        while not ended.is_set():
            self.forget()
            if self.awaited & self.members.keys() <= self.sent.keys():
                self.end_round()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 1)

    def end_round(self) -> None:
        """Average the weights that were sent, without those that are too far, and begin the next round."""
        average, kept = Average(), near(self.weights, [*self.sent.values()])
        for weights in kept:
            average.add(weights)
        self.weights, self.left_out = average.mean(), len(self.sent) - len(kept)
        self.rounds += 1
        self.ended.set()
        self.begin_round()


class SessionHandler(APIHandler):
    """Base class of the handlers, with the current session."""

    current: ClassVar[Session | None] = None

    def current_session(self) -> Session:
        """Return the current session; answer 404 without one."""
        if not SessionHandler.current:
            raise HTTPError(404, _("Nobody has started a network of the class on this Pi."))
        return SessionHandler.current

    def sent(self) -> bytes:
        """Return the weights in the request's body."""
        if len(self.request.body) != SIZE:
            raise HTTPError(400, _("These are not the weights of a network with 50 hidden nodes."))
        return self.request.body

    def finish_about(self) -> None:
        """Answer with the progress."""
        session = self.current_session()
        self.set_header("Cache-Control", "no-store")
        self.finish(session.about() | ({"code": session.code} if self.current_user else {}))

    def finish_weights(self) -> None:
        """Answer with the weights and the progress."""
        session = self.current_session()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Class-Network", json.dumps(session.about()))
        self.finish(session.weights, set_content_type="application/octet-stream")


class About(SessionHandler):
    """Handler that starts a session, and reports the progress."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Report the progress."""
        self.current_session().hear(self.request.headers.get("X-Member", ""))
        self.finish_about()

    @authenticated
    async def post(self) -> None:
        """Start a session."""
        SessionHandler.current = Session(self.sent(), self.get_query_argument("two", "") == "1")
        self.finish_about()


class Start(SessionHandler):
    """Handler that starts the first round."""

    @authenticated
    async def post(self) -> None:
        """Start the first round."""
        session = self.current_session()
        if not session.started:
            session.started = True
            session.begin_round()
        self.finish_about()


class ByCode(SessionHandler):
    """Base class for requests that the code allows. Cookies allow nothing here, so no other site can exploit one."""

    def check_xsrf_cookie(self) -> None:
        """Require no cookie."""


class Join(ByCode):
    """Handler that adds members."""

    @allow_unauthenticated
    async def post(self) -> None:
        """Add a member who knows the code; delay the answer to a wrong one, as for passwords."""
        session = self.current_session()
        try:
            async with rate_limited(str(self.request.remote_ip)):
                if not secrets.compare_digest(self.request.body, session.code.encode()):
                    await asyncio.sleep(PAUSE)
                    raise HTTPError(403, _("That is not the code of this Pi’s network."))
        except TooManyError as error:
            raise HTTPError(429, str(error)) from None
        session.members.pop(self.request.headers.get("X-Member", ""), None)  # after an interruption
        name = session.join(str(self.request.remote_ip))
        self.finish({"member": name, "number": session.members[name].number, "two": session.two})


class Exchange(ByCode):
    """Handler that takes members' weights, and answers with the average."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Send the current weights."""
        self.finish_weights()

    @allow_unauthenticated
    async def post(self) -> None:
        """Take a member's weights, and answer once the round has ended."""
        session, name = self.current_session(), self.request.headers.get("X-Member", "")
        if not (member := session.hear(name)):
            raise HTTPError(403, _("You were away for too long: join again."))
        weights, began, member.alone = self.sent(), self.figure("round", ROUNDS), self.figure("alone", TESTED)
        await session.exchange(name, began, weights)
        self.finish_weights()

    def figure(self, name: str, most: int) -> int:
        """Return a number from the query, at most `most`."""
        text = self.get_query_argument(name, strip=False)
        if not re.fullmatch("[0-9]{1,4}", text) or int(text) > most:
            raise HTTPError(400, f"{name} is a number from 0 to {most}.")
        return int(text)


def largest(request: HTTPServerRequest) -> int:
    """Return how many bytes a member may send: weights exceed the limit for strangers. 0 for all others."""
    now = SessionHandler.current
    return SIZE if now and request.headers.get("X-Member") in now.members else 0


HANDLERS = [
    (r"/try/together", About),
    (r"/try/together/start", Start),
    (r"/try/together/join", Join),
    (r"/try/together/weights", Exchange),
]
