"""The commands: ``python3 -m tests.virtual up|down|list|start|stop|kill|reset|freeze|thaw|unplug|plug|board``."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from .board import ADDRESS, FOLDER, Board
from .fleet import Fleet
from .host import PROJECT
from .shell import VirtualError, say, warn

BOARD_ACTIONS = {
    "start": "switch it on, with the card it has",
    "stop": "shut it down cleanly",
    "kill": "cut its power",
    "show": "show its status",
    "down": "remove it, its card and its key",
    "operate": "run it until it powers off (`start` does this in the background)",
}
ACTIONS = ("start", "stop", "kill", "reset", "freeze", "thaw", "unplug", "plug")


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one sentence."""

    def error(self, message: str) -> NoReturn:
        warn(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")
        sys.exit(2)


def ports(text: str) -> tuple[int, ...]:
    """Return the ports in a text such as ``8888,443``."""
    return tuple(int(word) for word in text.split(",") if word)


def parser() -> Parser:
    """Return the command-line parser."""
    main = Parser(prog="python3 -m tests.virtual", description="Run virtual Pis and reach them over SSH.")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    every = Parser(add_help=False)
    every.add_argument("--state", type=Path, default=PROJECT / "build/virtual", help="the fleet's folder")
    up = commands.add_parser("up", parents=[every], help="start a fleet, or resume the existing one")
    up.add_argument("--fleet", type=int, default=1, metavar="N", help="how many Pis (default: 1)")
    up.add_argument("--kind", default="container", help="container (the default), vm, or auto: vm if there must be")
    up.add_argument("--suite", default="trixie", help="trixie (Debian 13, the default) or bookworm (Debian 12)")
    up.add_argument("--os", default="debian", help="debian (the default) or raspios, as Raspberry Pi Imager writes it")
    up.add_argument("--publish", type=ports, default="8888", help="ports to publish at each Pi's address")
    up.add_argument(
        "--address", default="127.77.0.0", help="address block; pi-01 is at the next (default: %(default)s)"
    )
    commands.add_parser("down", parents=[every], help="remove the fleet")
    commands.add_parser("list", parents=[every], help="show each Pi's status")
    for action in ACTIONS:
        one = commands.add_parser(action, parents=[every], help=getattr(Fleet, action).__doc__)
        one.add_argument("name", help="such as pi-01")
    board = commands.add_parser("board", help="an emulated Pi that boots an SD card image")
    actions = board.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    card = Parser(add_help=False)
    card.add_argument("--state", type=Path, default=FOLDER, help="where its card is (default: build/board)")
    insert = actions.add_parser("up", parents=[card], help="boot a card made from an image, or the existing one")
    insert.add_argument("--image", type=Path, required=True, help="an .img or .img.xz; it is not modified")
    insert.add_argument("--address", default=ADDRESS, help="where the host reaches it (default: %(default)s)")
    for action, text in BOARD_ACTIONS.items():
        one = actions.add_parser(action, parents=[card], help=text)
        one.add_argument("title", nargs="?", help=argparse.SUPPRESS)  # by which its processes are found
    return main


def do_board(options: argparse.Namespace) -> None:
    """Run a ``board`` command."""
    board = Board(options.state, address=getattr(options, "address", ADDRESS))
    if options.action == "up":
        board.up(options.image)
    elif options.action != "show":
        getattr(board, options.action)()
    if options.action in ("up", "show") and board.status() == "running":
        password = board.facts().get("password", "not known yet")
        say(f"{board.name}: open http://{board.address}:8888, password: {password}")
    else:
        say(f"{board.name}: {board.status()}.")


def do(options: argparse.Namespace) -> None:
    """Run a command."""
    if options.command == "board":
        do_board(options)
        return
    fleet = Fleet(options.state, address=getattr(options, "address", "127.77.0.0"))
    if options.command == "up":
        fleet.up(options.fleet, suite=options.suite, publish=options.publish, system=options.os, kind=options.kind)
    elif options.command == "down":
        fleet.down()
    elif options.command == "list":
        for pi in fleet.list():
            say("{name}  {status:8}  {address}:{ssh_port}  {kind}, {os} {suite}".format(**pi))
    else:
        getattr(fleet, options.command)(options.name)
        say(f"{options.name}: {options.command} done, now {fleet.status(options.name)}.")


if __name__ == "__main__":
    try:
        do(parser().parse_args())
    except VirtualError as error:
        warn(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        warn("Interrupted. The next `up` continues, and `down` removes what was started.")
        sys.exit(130)
