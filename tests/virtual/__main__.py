"""The commands: ``python3 -m tests.virtual up|down|list|save|start|stop|kill|reset|freeze|thaw|unplug|plug|board``."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from . import fleet
from .board import ADDRESS, FOLDER, Board
from .host import PROJECT, become_root, cache_folder
from .privileges import choose_kind
from .shell import VirtualError, say, warn
from .state import Settings, State

DEEDS = {
    "start": "switch a Pi on, with the disk it has",
    "stop": "shut a Pi down cleanly",
    "kill": "end a Pi at once, as if its plug were pulled; it stays in the inventory",
    "reset": "start a Pi with a fresh disk",
    "freeze": "make a Pi hang: it accepts connections, but does not answer",
    "thaw": "let a frozen Pi continue",
    "unplug": "unplug a Pi's network cable",
    "plug": "plug it in again",
}
BOARD_DEEDS = {
    "start": "switch it on, with the card it has",
    "stop": "shut it down cleanly",
    "kill": "cut its power",
    "show": "show its status",
    "down": "remove it, its card and its key",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        warn(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")
        sys.exit(2)


def parser() -> Parser:
    """Return the parser of the command line."""
    main = Parser(
        prog="python3 -m tests.virtual",
        description="Run virtual Pis that are reached over SSH.",
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    every = Parser(add_help=False)
    every.add_argument(
        "--state",
        type=Path,
        default=PROJECT / "build/virtual",
        metavar="FOLDER",
        help="where the fleet's disks and inventory are (default: build/virtual)",
    )
    up = commands.add_parser("up", parents=[every], help="start a fleet, or continue with the present one")
    up.add_argument("--fleet", type=int, default=1, metavar="N", help="how many Pis (default: 1)")
    up.add_argument(
        "--kind",
        default="container",
        help="container (the default), vm (a virtual machine, without privileges), or auto: vm if containers are not "
        "possible",
    )
    up.add_argument("--suite", default="trixie", help="trixie (Debian 13, the default) or bookworm (Debian 12)")
    up.add_argument(
        "--os", default="debian", help="debian (the default) or raspios, as on a card from Raspberry Pi Imager"
    )
    up.add_argument(
        "--publish",
        default="8888",
        metavar="PORTS",
        help="ports of a Pi that are reached at its address, separated by commas (default: 8888)",
    )
    up.add_argument("--delay-ms", type=float, default=0, metavar="MS", help="delay of each SSH round trip")
    up.add_argument("--base", default="", metavar="FOLDER", help="of containers: a saved disk to start from")
    up.add_argument("--accel", default="auto", help="of a vm: kvm, tcg (plain emulation), or auto (the default)")
    up.add_argument("--clock", default="", metavar="DATE", help="a vm's clock when it is switched on")
    up.add_argument(
        "--address", default="127.77.0.0", help="pi-01 is at the first address after this (default: 127.77.0.0)"
    )
    up.add_argument(
        "--cache",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="where root file systems are kept (default: virtual/ in MYNN_CACHE or ~/.cache/mynn-pi)",
    )
    down = commands.add_parser("down", parents=[every], help="remove the fleet and its leftovers")
    down.add_argument("--wait", action="store_true", help="wait until its disks are deleted")
    listing = commands.add_parser("list", parents=[every], help="show each Pi's status")
    listing.add_argument("--json", action="store_true", help="as JSON")
    for deed, text in DEEDS.items():
        one = commands.add_parser(deed, parents=[every], help=text)
        one.add_argument("name", help="such as pi-01")
    save = commands.add_parser(
        "save", parents=[every], help="save the disk of a Pi that is off, for others to start from"
    )
    save.add_argument("name", help="such as pi-01")
    save.add_argument("folder", type=Path, help="the folder for it, which must not exist yet")
    board = commands.add_parser("board", help="an emulated Pi Zero that boots an SD card's image")
    _add_board(board.add_subparsers(dest="deed", required=True, metavar="DEED", parser_class=Parser))
    return main


def _add_board(deeds: "argparse._SubParsersAction[Parser]") -> None:
    every = Parser(add_help=False)
    every.add_argument(
        "--state", type=Path, default=FOLDER, metavar="FOLDER", help="where its card is (default: build/board)"
    )
    up = deeds.add_parser(
        "up", parents=[every], help="boot a card made from an image, or continue with the present one"
    )
    up.add_argument("--image", type=Path, required=True, help="an .img or .img.xz, which is not changed")
    up.add_argument("--address", default=ADDRESS, help="where the host reaches it (default: %(default)s)")
    for deed, text in BOARD_DEEDS.items():
        deeds.add_parser(deed, parents=[every], help=text)


def do_board(options: argparse.Namespace) -> None:
    """Do what the command line asks of a board; for that nobody needs to be root."""
    board = Board(options.state, address=getattr(options, "address", ADDRESS))
    if options.deed == "up":
        board.up(options.image)
    elif options.deed == "start":
        board.start()
    elif options.deed in ("stop", "kill", "down"):
        getattr(board, options.deed)()
    if options.deed in ("up", "show") and board.status() == "running":
        password = board.facts().get("password", "not known yet")
        say(f"{board.name}: browse to http://{board.address}:8888, password: {password}")
    else:
        say(f"{board.name}: {board.status()}.")


def ports(text: str) -> tuple[int, ...]:
    """Return the ports in a text such as ``8888,443``."""
    try:
        return tuple(int(word) for word in text.split(",") if word)
    except ValueError:
        raise VirtualError(f"--publish {text!r} is not a list of ports; give one such as 8888,443.") from None


def make_folders(*folders: Path) -> None:
    """Make folders that belong to the person who calls, or raise a sentence."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VirtualError(f"The folder {folder} cannot be created: {error.strerror}.") from None


def do(arguments: list[str]) -> None:
    """Do what the command line asks for."""
    options = parser().parse_args(arguments)
    if options.command == "board":
        do_board(options)
        return
    state = State(options.state)
    if options.command == "up":
        do_up(options, state, arguments)
        return
    if state.needs_root():
        become_root([*arguments, "--state", str(state.folder)])
    if options.command == "down":
        fleet.down(state, options.wait)
    elif options.command == "list":
        fleet.show(state, options.json)
    elif options.command == "save":
        fleet.save(state, options.name, options.folder.resolve())
    else:
        fleet.act(state, options.command, options.name)


def do_up(options: argparse.Namespace, state: State, arguments: list[str]) -> None:
    """Start a fleet; virtual machines need no root for that."""
    auto = options.kind == "auto"
    settings = Settings(
        suite=options.suite,
        address=options.address,
        publish=ports(options.publish),
        delay_ms=options.delay_ms,
        os=options.os,
        base=str(Path(options.base).resolve()) if options.base else "",
        kind="container" if auto else options.kind,
        accel=options.accel,
        clock=options.clock,
    ).check()
    cache = (options.cache or cache_folder() / "virtual").resolve()
    fleet.check_size(options.fleet)
    make_folders(state.folder, cache)  # by the caller: made by root, build/ would be closed to them
    kind = choose_kind(state) if auto else settings.kind
    if kind != "vm" or state.needs_root():
        become_root([*arguments, "--state", str(state.folder), "--cache", str(cache), "--kind", kind])
    fleet.up(state, replace(settings, kind=kind), options.fleet, cache)


if __name__ == "__main__":
    try:
        do(sys.argv[1:])
    except VirtualError as error:
        warn(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        warn("Interrupted. The next `up` continues, and `down` removes what was started.")
        sys.exit(130)
