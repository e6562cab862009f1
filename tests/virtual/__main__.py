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

ACTIONS = {
    "start": "switch a Pi on, with the disk it has",
    "stop": "shut a Pi down cleanly",
    "kill": "cut a Pi's power; it stays in the inventory",
    "reset": "start a Pi with a fresh disk",
    "freeze": "make a Pi hang: it accepts connections, but does not answer",
    "thaw": "let a frozen Pi continue",
    "unplug": "unplug a Pi's network cable",
    "plug": "plug it back in",
}
BOARD_ACTIONS = {
    "start": "switch it on, with the card it has",
    "stop": "shut it down cleanly",
    "kill": "cut its power",
    "show": "show its status",
    "down": "remove it, its card and its key",
}


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one sentence."""

    def error(self, message: str) -> NoReturn:
        warn(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")
        sys.exit(2)


def parser() -> Parser:
    """Return the command-line parser."""
    main = Parser(
        prog="python3 -m tests.virtual",
        description="Run virtual Pis and reach them over SSH.",
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
    up = commands.add_parser("up", parents=[every], help="start a fleet, or resume the existing one")
    up.add_argument("--fleet", type=int, default=1, metavar="N", help="how many Pis (default: 1)")
    up.add_argument(
        "--kind",
        default="container",
        help="container (the default), vm (a virtual machine, which needs no root), or auto: vm where containers "
        "cannot run",
    )
    up.add_argument("--suite", default="trixie", help="trixie (Debian 13, the default) or bookworm (Debian 12)")
    up.add_argument("--os", default="debian", help="debian (the default) or raspios, as Raspberry Pi Imager writes it")
    up.add_argument(
        "--publish",
        default="8888",
        metavar="PORTS",
        help="comma-separated ports to publish at each Pi's address (default: 8888)",
    )
    up.add_argument("--delay-ms", type=float, default=0, metavar="MS", help="delay added to each SSH round trip")
    up.add_argument("--base", default="", metavar="FOLDER", help="containers only: a saved disk to start from")
    up.add_argument("--accel", default="auto", help="vm only: kvm, tcg (plain emulation), or auto (the default)")
    up.add_argument("--clock", default="", metavar="DATE", help="vm only: what the clock shows at power-on")
    up.add_argument(
        "--address", default="127.77.0.0", help="address block; pi-01 is at the next address (default: 127.77.0.0)"
    )
    up.add_argument(
        "--cache",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="where root file systems are kept (default: virtual/ in MYNN_CACHE or ~/.cache/mynn-pi)",
    )
    down = commands.add_parser("down", parents=[every], help="remove the fleet")
    down.add_argument("--wait", action="store_true", help="wait until its disks are deleted")
    listing = commands.add_parser("list", parents=[every], help="show each Pi's status")
    listing.add_argument("--json", action="store_true", help="as JSON")
    for action, text in ACTIONS.items():
        one = commands.add_parser(action, parents=[every], help=text)
        one.add_argument("name", help="such as pi-01")
    save = commands.add_parser("save", parents=[every], help="save the disk of a stopped Pi, for others to start from")
    save.add_argument("name", help="such as pi-01")
    save.add_argument("folder", type=Path, help="where to save it; must not exist yet")
    board = commands.add_parser("board", help="an emulated Pi Zero that boots an SD card image")
    _add_board(board.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser))
    return main


def _add_board(actions: "argparse._SubParsersAction[Parser]") -> None:
    every = Parser(add_help=False)
    every.add_argument(
        "--state", type=Path, default=FOLDER, metavar="FOLDER", help="where its card is (default: build/board)"
    )
    up = actions.add_parser("up", parents=[every], help="boot a card made from an image, or resume the existing one")
    up.add_argument("--image", type=Path, required=True, help="an .img or .img.xz; it is not modified")
    up.add_argument("--address", default=ADDRESS, help="where the host reaches it (default: %(default)s)")
    for action, text in BOARD_ACTIONS.items():
        actions.add_parser(action, parents=[every], help=text)


def do_board(options: argparse.Namespace) -> None:
    """Run a ``board`` command. It needs no root."""
    board = Board(options.state, address=getattr(options, "address", ADDRESS))
    if options.action == "up":
        board.up(options.image)
    elif options.action == "start":
        board.start()
    elif options.action in ("stop", "kill", "down"):
        getattr(board, options.action)()
    if options.action in ("up", "show") and board.status() == "running":
        password = board.facts().get("password", "not known yet")
        say(f"{board.name}: open http://{board.address}:8888, password: {password}")
    else:
        say(f"{board.name}: {board.status()}.")


def ports(text: str) -> tuple[int, ...]:
    """Return the ports in a text such as ``8888,443``."""
    try:
        return tuple(int(word) for word in text.split(",") if word)
    except ValueError:
        raise VirtualError(f"--publish {text!r} is not a list of ports; give one such as 8888,443.") from None


def make_folders(*folders: Path) -> None:
    """Create folders as the calling user."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VirtualError(f"The folder {folder} cannot be created: {error.strerror}.") from None


def do(arguments: list[str]) -> None:
    """Run the command that the command line names."""
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
    """Start a fleet, as root unless it is one of virtual machines."""
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
    make_folders(state.folder, cache)  # before becoming root, or the caller could not write to build/
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
