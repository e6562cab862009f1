"""A virtual Pi that is a board: QEMU's Raspberry Pi Zero (ARM1176, 512 MB), booting the image of an SD card.

    python3 -m tests.virtual board up --image IMAGE
    python3 -m tests.virtual board start|stop|kill|show|down

What a power cut is here: `kill` ends QEMU at once. What the board's Linux still had in its memory is lost; a write of
several blocks that was under way ends at any of them. What the card had taken stays: a card of these has no cache that
could be flushed (nor has QEMU's model of one), so Linux holds for written what the card has acknowledged, and QEMU has
then handed it to the host's kernel, which goes on. Cards that lose what they acknowledged exist; this is none of them.
"""

import ctypes
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .card import Card
from .emulated import Emulated, forwarding
from .fleet import locked
from .host import PROJECT
from .shell import VirtualError, run, stage
from .state import SSH_PORT, State

FOLDER = PROJECT / "build/board"
ADDRESS = "127.77.90.1"
NOTEBOOKS = 8888
BOOTS = 600  # the seconds that a boot may take at most, the first one on a busy machine included
# What only QEMU's board needs.
_ARGUMENTS = (
    "console=ttyAMA0,115200",
    # It has no power domains.
    "initcall_blacklist=bcm2835_power_driver_init",
    # Two drivers want its network adapter, and with this one it does not work.
    "modprobe.blacklist=cdc_subset",
    # Its card erases by writing, 512 bytes at a time, and all else waits meanwhile: minutes, whenever the clock jumps a
    # week ahead. A card of one's own needs seconds.
    "systemd.mask=fstrim.timer",
)


@dataclass(frozen=True)
class Settings:
    """What a board was asked to be.

    ``image`` is what its card was made from; empty: there is no board yet. With ``icount`` its clock counts
    instructions, a nanosecond each, instead of keeping near the host's. ``name`` is the host name that it was found to
    have; empty until then.
    """

    image: str
    address: str
    icount: bool = False
    name: str = ""


class Board(Emulated):
    """A board, with its card, in a state folder; the host reaches its SSH at port 2222, its notebooks at 8888."""

    kind = "board"

    def __init__(self, folder: Path = FOLDER, *, address: str = ADDRESS) -> None:
        self.state, self._fresh = State(folder), Settings(image="", address=address)
        self.folder = self.state.folder
        self.settings_file = self.folder / "board.json"
        self.card = Card(self.folder / "card.img")
        self.log = self.folder / "log"
        self.console = self.folder / "console"
        # As the firmware writes it into the device tree; each board has its own.
        self.serial = self.state.prefix.removeprefix("mynn-").rjust(16, "0")
        self._take(self._stored())

    # -- what is there ---------------------------------------------------------------------------------

    @property
    def inventory(self) -> Path:
        """Ansible's inventory of this board, with the group ``pis``."""
        return self.state.inventory

    def facts(self) -> dict[str, str]:
        """Return what the Pi wrote onto the card for its teacher: this-pi.txt, by label in lower case.

        A running board is asked, where it lets us in, since what it has written may be on its card in part only.
        """
        asked = self.ssh("sudo cat /boot/firmware/this-pi.txt") if self.status() == "running" else None
        if asked and asked.returncode == 0:
            text = asked.stdout
        else:
            try:
                text = self.card.read("this-pi.txt").decode()
            except (FileNotFoundError, VirtualError):
                return {}
        pairs = (line.partition(": ") for line in text.splitlines() if ": " in line)
        return {label.lower(): value.strip() for label, _, value in pairs}

    # -- start and end ---------------------------------------------------------------------------------

    def up(self, image: Path, lines: str = "") -> None:
        """Have the board running and reached over SSH, with the card that it has or a fresh one of that image.

        ``lines`` are what a teacher writes into a fresh card's classroom.yml, besides an SSH key.
        """
        self.insert(image, lines)
        self.start()

    def insert(self, image: Path, lines: str = "") -> None:
        """Have a card of that image in the board, which is not switched on."""
        image = image.absolute()
        if not image.is_file():
            raise VirtualError(f"There is no image {image}; `make image` makes one.")
        with locked(self.state):
            if self.settings.image:
                if self.settings.image != str(image):
                    raise VirtualError(
                        f"The board in {self.state.folder} has a card of {self.settings.image}, not of {image}; "
                        "run `make board-stop` first."
                    )
                return
            with stage(f"Copying {image.name} onto a card"):
                self.card.write_image(image)
            self.state.ensure_key()
            key = self.state.key.with_suffix(".pub").read_text().strip()
            settings = self.card.read("classroom.yml").decode() + f"\nssh_keys: [{key}]\n{lines}\n"
            self.card.write("classroom.yml", settings.encode())
            self._save(replace(self._fresh, image=str(image)))

    def start(self, *, icount: bool = False, patience: float = BOOTS) -> None:
        """Switch the board on, with the card that it has, and return when somebody can log in."""
        self.switch_on(icount=icount)
        with stage(f"Waiting for SSH on the board at {self.address}"):
            self.wait_for_ssh(patience)
        self.meet()

    def switch_on(self, *, icount: bool = False) -> None:
        """Start to boot, unless it runs already."""
        with locked(self.state):
            if self.status() == "running":
                return
            if not self.settings.image:
                raise VirtualError(f"There is no board in {self.state.folder}; `up` makes one.")
            self._save(replace(self.settings, icount=icount))
            self.power_on()

    def meet(self) -> None:
        """Learn the host key and the name that the Pi gave itself, and write the inventory."""
        # Its key came to be at its first boot, so the first login believes it, as a teacher's does. Later ones do not.
        asked = self.ssh("hostname")
        if asked.returncode != 0:
            raise VirtualError(f"The board at {self.address} did not return its name: {asked.stderr.strip()}")
        self._save(replace(self.settings, name=asked.stdout.strip()))
        self.state.write_inventory({self.name: self.address})

    def stop(self, patience: float = 240) -> None:
        """Shut the Pi down in order."""
        self.power_off(patience)

    def down(self) -> None:
        """Leave nothing of the board: no process, no card, no key."""
        with locked(self.state):
            self.kill()
            state = self.state
            kept = [state.key, state.key.with_suffix(".pub"), state.known_hosts, state.inventory, self.settings_file]
            kept += [self.card.path, self.card.path.with_suffix(".partial"), self.log, self.console]
            for file in [*kept, *self._boot_files()]:
                file.unlink(missing_ok=True)
            if not any(state.folder.iterdir()):
                state.folder.rmdir()
            self._take(self._stored())

    # -- steps -----------------------------------------------------------------------------------------

    def _stored(self) -> Settings:
        try:
            return Settings(**json.loads(self.settings_file.read_text()))
        except FileNotFoundError:
            return self._fresh
        except (ValueError, TypeError):
            raise VirtualError(f"{self.settings_file} is damaged; run `down`, then `up`.") from None

    def _take(self, settings: Settings) -> None:
        self.settings, self.name, self.address = settings, settings.name or "the board", settings.address

    def _save(self, settings: Settings) -> None:
        partial = self.settings_file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        partial.replace(self.settings_file)
        self._take(settings)

    def _boot_files(self) -> tuple[Path, Path, Path]:
        folder = self.state.folder
        return folder / "kernel", folder / "initramfs", folder / "device-tree"

    def load(self) -> list[str]:
        """Do what the firmware does at each start; return the words that run the board until it is switched off."""
        boot, settings = self.card.boot(), self.settings
        kernel, initramfs, tree = self._boot_files()
        for name, copy in ((boot.kernel, kernel), (boot.initramfs, initramfs), (boot.device_tree, tree)):
            try:
                copy.write_bytes(self.card.read(name))
            except FileNotFoundError:
                raise VirtualError(f"config.txt names {name}, which is not on the FAT partition.") from None
        # The board's only network is on its USB, which a Zero's device tree leaves to the cable: it must be the host.
        run(["fdtput", "-t", "s", tree, "/soc/usb@7e980000", "dr_mode", "host"], doing="Changing the device tree")
        run(["fdtput", "-t", "s", tree, "/", "serial-number", self.serial], doing="Changing the device tree")
        network = forwarding(settings.address, {SSH_PORT: 22, NOTEBOOKS: NOTEBOOKS})
        return [
            *["qemu-system-arm", "-machine", "raspi0", "-nodefaults", "-display", "none"],
            *["-kernel", str(kernel), "-initrd", str(initramfs), "-dtb", str(tree)],
            *["-append", " ".join([boot.arguments, *_ARGUMENTS])],
            *["-drive", f"file={self.card.path},if=sd,format=raw,aio={_aio()}"],
            # At the port itself, as a Zero's adapter is. The hub that QEMU puts there by itself interrupts the board
            # 1,700 times a second, whether the network is up or not: 88 s from power to a page instead of 80 to 83.
            *["-netdev", f"user,id=usb{network}", "-device", "usb-net,netdev=usb,bus=usb-bus.0,port=1"],
            *["-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"],
            # In both cases only instructions make time pass. Otherwise an alarm of a few microseconds is often set too
            # late on a busy host, and to QEMU's timer that is one 71 minutes ahead: the board stands still.
            *["-icount", "shift=0" if settings.icount else "shift=auto"],
        ]


def _aio() -> str:
    """Return how QEMU shall read the card, which it does in chunks of 512 bytes.

    A thread of its own that is woken for each makes the card slow: 1.4 MB/s were seen, and 2.3 with io_uring, which not
    every Linux lets a program use.
    """
    ring = ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120))  # io_uring_setup, its number everywhere
    if ring < 0:
        return "threads"
    os.close(ring)
    return "io_uring"
