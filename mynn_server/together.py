"""One network of the whole class, on the page `/try/`: browsers train it, and this Pi averages what they have learnt.

This is federated averaging (McMahan et al. 2017, https://arxiv.org/abs/1602.05629). In each round all browsers begin
with the same weights, each learns from a thousand digits of its own share, and all begin the next round with the
average of what came of it. So it is no matter who is quickest, and all count the same.

Whoever has signed in to the Pi begins one, and reads out its code. Whoever knows the code may take part, without this
Pi's password. All of it is in memory only. Addresses are as the page has them:

    POST together           begin one, in place of one before, with these weights, and if `?two=1`, with mostly two
                            labels in each share. Signed in, and with X-XSRFToken (try_page.py); answers as GET does
    POST together/start     begin the first round; as above, without a body
    GET together            how far it is: `started`, `rounds` that have ended, `of` so many, `members`, `best` of
                            those who learn alone (of 1000 digits), and the `code`, for who is signed in
    POST together/join      the body is the code; answers with `member`, a name, and its share: `number` and `two`
    GET together/weights    the weights now; the header Class-Network has what `GET together` says
    POST together/weights   send a member's weights; answers as GET does, once all have sent theirs.
                            `?round=3&alone=813`: `rounds` when it began, and how many of 1000 digits it knows alone

A member sends its name as the header X-Member. One that is silent for too long is forgotten, and answered 403 or 413
from then on; it may join again. In a round, only sending counts, and nobody waits for who has joined since it began: so
it ends in time. Weights are those of 784 inputs, 50 hidden nodes and 10 outputs, row by row, each a number of 16 bits,
little endian: 32768 + 4096 * weight. So whatever bytes a browser sends, if there are SIZE of them, they are finite
weights between -8 and 8.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, authenticated

from mynn.words import _
from mynn_server.sign_in import turn
from mynn_server.turns import PAUSE

NUMBERS = (784 + 10) * 50
SIZE = 2 * NUMBERS  # bytes
ROUNDS = 30
MOST, MOST_OF_ONE = 40, 4  # members, and those of one address
SILENT = 20  # seconds until a member is forgotten; a round should take a Pi Zero five, for thirty
TESTED = 1000  # digits, or thousandths of those that a browser has
# What leaves every fourth of the 16-bit numbers that a long number consists of: so each has room for a sum.
SPREAD = int.from_bytes(b"\xff\xff\0\0\0\0\0\0" * (NUMBERS // 4), "little")


class Average:
    """The average of some weights.

    They are added up as one long number, and not as a list, which would take thirty times as long.
    """

    def __init__(self) -> None:
        self.count, self.sums = 0, [0] * 4

    def add(self, weights: bytes) -> None:
        """Take one more."""
        number = int.from_bytes(weights, "little")
        self.sums = [total + (number >> 16 * place & SPREAD) for place, total in enumerate(self.sums)]
        self.count += 1

    def mean(self) -> bytes:
        """Return the average, rounded. A product and a shift divide all of the sums at once."""
        half, part = SPREAD // 0xFFFF * (self.count // 2), 2**40 // self.count + 1
        means = [(total + half) * part >> 40 & SPREAD for total in self.sums]
        return sum(mean << 16 * place for place, mean in enumerate(means)).to_bytes(SIZE, "little")


@dataclass
class Member:
    """A browser. number: whose share of the digits it has. alone: how many of 1000 digits it knows alone."""

    number: int
    address: str
    seen: float
    alone: int = 0


class ClassNetwork:
    """A class's network, and who takes part."""

    def __init__(self, weights: bytes, two: bool) -> None:
        self.weights, self.two = weights, two
        self.code = f"{secrets.randbelow(10**6):06}"
        self.started, self.rounds = False, 0
        self.members: dict[str, Member] = {}
        self.begin_round()

    def begin_round(self) -> None:
        """Forget what was sent in the round before, and wait for all who take part now."""
        self.forget()
        self.average, self.sent, self.ended = Average(), set[str](), asyncio.Event()
        self.awaited = set(self.members)
        for member in self.members.values():
            member.seen = time.monotonic()

    def hear(self, name: str) -> Member | None:
        """Return who asks. Before the first round, whoever asks is not silent."""
        member = self.members.get(name)
        if member and not self.started:
            member.seen = time.monotonic()
        return member

    def about(self) -> dict[str, Any]:
        """Return how far it is."""
        best = max((member.alone for member in self.members.values()), default=0)
        so_far = {"started": self.started, "rounds": self.rounds, "of": ROUNDS}
        return {**so_far, "members": len(self.members), "best": best}

    def join(self, address: str) -> str:
        """Take a new member; return its name."""
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
        """Forget members who are silent; those who wait for the others are not."""
        since = time.monotonic() - SILENT
        self.members = {
            name: member for name, member in self.members.items() if name in self.sent or member.seen > since
        }

    async def exchange(self, name: str, began: int, weights: bytes) -> None:
        """Take what a member has learnt in this round, and wait until the round has ended.

        Who is late only goes on from what the others have made.
        """
        if began != self.rounds or not self.started or self.rounds == ROUNDS:
            return
        if name not in self.sent:
            self.sent.add(name)
            self.average.add(weights)
        ended = self.ended
        while not ended.is_set():
            self.forget()
            if self.awaited & self.members.keys() <= self.sent:
                self.end_round()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 1)

    def end_round(self) -> None:
        """Make the average what all go on from."""
        self.weights = self.average.mean()
        self.rounds += 1
        self.ended.set()
        self.begin_round()


class Together(APIHandler):
    """What is common to all addresses."""

    current: ClassVar[ClassNetwork | None] = None

    def network(self) -> ClassNetwork:
        """Return the class's network."""
        if not Together.current:
            raise HTTPError(404, _("Nobody has begun a network of the class on this Pi."))
        return Together.current

    def sent(self) -> bytes:
        """Return the weights that were sent."""
        if len(self.request.body) != SIZE:
            raise HTTPError(400, _("These are not the weights of a network with 50 hidden nodes."))
        return self.request.body

    def finish_about(self) -> None:
        """Answer how far it is."""
        network = self.network()
        self.set_header("Cache-Control", "no-store")
        self.finish(network.about() | ({"code": network.code} if self.current_user else {}))

    def finish_weights(self) -> None:
        """Answer with the weights."""
        network = self.network()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Class-Network", json.dumps(network.about()))
        self.finish(network.weights, set_content_type="application/octet-stream")


class About(Together):
    """Begins one, and says how far it is."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Answer how far it is."""
        self.network().hear(self.request.headers.get("X-Member", ""))
        self.finish_about()

    @authenticated
    async def post(self) -> None:
        """Begin one."""
        Together.current = ClassNetwork(self.sent(), self.get_query_argument("two", "") == "1")
        self.finish_about()


class Start(Together):
    """Begins the first round."""

    @authenticated
    async def post(self) -> None:
        """Begin it."""
        network = self.network()
        if not network.started:
            network.started = True
            network.begin_round()
        self.finish_about()


class ByCode(Together):
    """What the code lets somebody do. No cookie does, so that no other site's page can make use of one."""

    def check_xsrf_cookie(self) -> None:
        """Need none."""


class Join(ByCode):
    """Takes new members."""

    @allow_unauthenticated
    async def post(self) -> None:
        """Take whoever knows the code; be as slow with wrong ones as with passwords."""
        network = self.network()
        async with turn(self):
            if not secrets.compare_digest(self.request.body, network.code.encode()):
                await asyncio.sleep(PAUSE)
                raise HTTPError(403, _("That is not the code of this Pi’s network."))
        network.members.pop(self.request.headers.get("X-Member", ""), None)  # who was interrupted, and joins again
        name = network.join(str(self.request.remote_ip))
        self.finish({"member": name, "number": network.members[name].number, "two": network.two})


class Exchange(ByCode):
    """Takes members' weights, and gives the average."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Give the weights as they are now."""
        self.finish_weights()

    @allow_unauthenticated
    async def post(self) -> None:
        """Take a member's."""
        network, name = self.network(), self.request.headers.get("X-Member", "")
        if not (member := network.hear(name)):
            raise HTTPError(403, _("You were away for too long: join again."))
        weights, began, member.alone = self.sent(), self.figure("round", ROUNDS), self.figure("alone", TESTED)
        await network.exchange(name, began, weights)
        self.finish_weights()

    def figure(self, name: str, most: int) -> int:
        """Return a number of the query."""
        text = self.get_query_argument(name, strip=False)
        if not re.fullmatch("[0-9]{1,4}", text) or int(text) > most:
            raise HTTPError(400, f"{name} is a number from 0 to {most}.")
        return int(text)


def largest(request: HTTPServerRequest) -> int:
    """Return how many bytes a member may send, for weights, which are larger than what strangers may; 0 for others."""
    now = Together.current
    return SIZE if now and request.headers.get("X-Member") in now.members else 0


HANDLERS = [
    (r"/try/together", About),
    (r"/try/together/start", Start),
    (r"/try/together/join", Join),
    (r"/try/together/weights", Exchange),
]
