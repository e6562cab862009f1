"""The commands: ``python3 -m tests.virtual up|down``, and ``board up|down`` for an emulated Pi."""

import argparse
import shlex
import sys
from pathlib import Path

from .board import FOLDER, Board
from .fleet import Fleet
from .host import PROJECT, cache_folder
from .podman import LABEL
from .root import ACCOUNTS, SUITES
from .shell import SUDO, VirtualError, say


def ports(text: str) -> list[int]:
    """Return the ports in a text such as ``8888,443``."""
    return [int(word) for word in text.split(",") if word]


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    main = argparse.ArgumentParser(
        prog="python3 -m tests.virtual", description="Run virtual Pis and reach them over SSH."
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--state", type=Path, default=PROJECT / "build/virtual", help="the fleet's folder")
    up = commands.add_parser("up", parents=[every], help="start a fleet, or resume the existing one")
    up.add_argument("--fleet", type=int, default=1, metavar="N", help="how many Pis (default: 1)")
    up.add_argument(
        "--kind",
        choices=["container", "vm", "auto"],
        default="container",
        help="container (the default), vm, or auto: vm if there must be",
    )
    up.add_argument("--suite", choices=SUITES, default="trixie", help="trixie (Debian 13, the default) or bookworm")
    up.add_argument(
        "--os",
        choices=ACCOUNTS,
        default="debian",
        help="debian (the default) or raspios, as Raspberry Pi Imager writes it",
    )
    up.add_argument("--students", type=int, default=1, metavar="N", help="how many share each Pi, of 4 GB (default: 1)")
    up.add_argument("--publish", type=ports, default="8888", help="ports to publish at each Pi's address")
    commands.add_parser("down", parents=[every], help="remove the fleet")
    board = commands.add_parser("board", help="an emulated Pi that boots an SD card image")
    actions = board.add_subparsers(dest="action", required=True, metavar="ACTION")
    card = argparse.ArgumentParser(add_help=False)
    card.add_argument("--state", type=Path, default=FOLDER, help="where its card is (default: build/board)")
    insert = actions.add_parser("up", parents=[card], help="boot a card made from an image, or the existing one")
    insert.add_argument("--image", type=Path, required=True, help="an .img or .img.xz; it is not modified")
    actions.add_parser("down", parents=[card], help="remove the board, its card and its key")
    operate = actions.add_parser("operate", parents=[card], help="run it until it powers off (`up` does this)")
    operate.add_argument("title", help="by which its processes are found")
    return main


def do_board(options: argparse.Namespace) -> None:
    """Run a ``board`` command."""
    board = Board(options.state)
    if options.action != "up":
        getattr(board, options.action)()
        return
    board.insert(options.image)
    board.start()
    password = board.facts().get("password", "not known yet")
    say(f"{board.name}: open http://{board.address}:8888, password: {password}")


def do_fleet(options: argparse.Namespace) -> None:
    """Run a command of the fleet."""
    if options.command == "up":
        fleet = Fleet(options.state)
        choices = {"suite": options.suite, "system": options.os, "kind": options.kind, "students": options.students}
        fleet.up(options.fleet, publish=options.publish, **choices)
    else:
        Fleet(options.state).down()
        prune = shlex.join([*SUDO, "podman", "image", "prune", "--all", f"--filter=label={LABEL}.root"])
        say("What was downloaded and made for it is kept for the next one. To delete that too:")
        say(f"rm -r {shlex.quote(str(cache_folder()))}; {prune}")


if __name__ == "__main__":
    options = parser().parse_args()
    try:
        do_board(options) if options.command == "board" else do_fleet(options)
    except VirtualError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted. The next `up` continues, and `down` removes what was started.")
