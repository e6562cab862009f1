"""A board: QEMU's Raspberry Pi Zero, 2 or 3, which boots an SD card image.

The kernel on the card decides which.

`python3 -m tests.virtual board up --image IMAGE` starts one, and `down` removes it.

`Board.kill` is a power cut: it kills QEMU. Data in the board's memory is lost, and a multi-block write may stop after
any block. Acknowledged writes survive: neither such cards nor QEMU's model have a write cache, and by then QEMU has
handed the data to the host's kernel. Some real cards lose acknowledged writes; this one does not. A board that records
tells what any power cut would have left (writes.py).
"""

import ctypes
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from .card import Card
from .emulated import Emulated, forwarding
from .host import PROJECT, PYTHON
from .shell import VirtualError, run, say, spawn, stage
from .state import SSH_PORT, State

FOLDER = PROJECT / "build/board"
ADDRESS = "127.77.90.1"
NOTEBOOKS, WORKER, DESK = 8888, 8785, 8080
REBOOT = '"guest-reset"'  # QEMU's reason for exiting when the guest reboots
BOOT_TIMEOUT = 600  # seconds; enough for a first boot on a busy host
# Kernel arguments that only QEMU's boards need.
_ARGUMENTS = (
    # QEMU emulates no power domains.
    "initcall_blacklist=bcm2835_power_driver_init",
    # Two drivers claim its network adapter; it does not work with this one.
    "modprobe.blacklist=cdc_subset",
    # QEMU's card trims by writing 512 bytes at a time and blocks all other I/O for minutes whenever the clock jumps a
    # week ahead. A real card needs seconds.
    "systemd.mask=fstrim.timer",
)


@dataclass(frozen=True)
class Machine:
    """A Pi of QEMU's: its program and name there, its device tree, and what Raspberry Pi OS calls that.

    ``serial`` are QEMU's options for the serial ports, and ``console`` is the one that Linux uses.
    """

    program: str
    name: str
    tree: str
    vendor_tree: str
    console: str = "ttyAMA0"
    serial: tuple[str, ...] = ("-serial", "chardev:console")
    acceleration: str = "tcg"
    # Its clock advances by two nanoseconds per instruction instead of following the host's.
    counts: bool = False
    # It reads and writes its card by DMA.
    dma: bool = True


# The driver of its card crashes when QEMU is late with the end of a transfer by DMA.
_PI_2 = Machine("qemu-system-arm", "raspi2b", "bcm2836-rpi-2-b.dtb", "bcm2709-rpi-2-b.dtb", dma=False)
# Its ttyAMA0 is for Bluetooth. With a thread for each processor, on a busy host, it once stopped for good. (With one
# thread, a Pi 2's kernel does not start.)
_PI_3 = Machine(
    "qemu-system-aarch64",
    "raspi3b",
    "bcm2837-rpi-3-b.dtb",
    "bcm2710-rpi-3-b.dtb",
    console="ttyS1",
    serial=("-serial", "null", "-serial", "chardev:console"),
    acceleration="tcg,thread=single",
)
# By the host's clock, a busy host often sets a timer of a few microseconds too late; QEMU takes it for one 71 minutes
# ahead, and the board hangs. Later Pis have another timer. Two nanoseconds are near to what an ARM1176 needs. The USB
# adapter interrupts by the board's clock, so this also halves the time of a boot.
_ZERO = Machine("qemu-system-arm", "raspi0", "bcm2835-rpi-zero.dtb", "bcm2708-rpi-zero.dtb", counts=True)
# By the last word in the name of Debian's kernel, or the name of Raspberry Pi OS's.
MACHINES = {"rpi": _ZERO, "armmp": _PI_2, "kernel7.img": _PI_2, "arm64": _PI_3}


@dataclass(frozen=True)
class Settings:
    """The settings of a board.

    ``image`` is the image its card was made from; empty if there is no board yet. ``name`` is its host name; empty
    until it is known. ``records`` says whether it records what it writes to its card.
    """

    image: str
    address: str
    name: str = ""
    records: bool = False


class Board(Emulated):
    """A board and its card, in a state folder.

    The host reaches SSH at port 2222, the notebooks at port 8888, the cluster's worker at port 8785, and a desk at port
    8080. One that records keeps its card as it was when QEMU started, and a log of all that was written since.
    """

    def __init__(self, folder: Path = FOLDER, *, address: str = ADDRESS, records: bool = False) -> None:
        self.state, self._fresh = State(folder), Settings(image="", address=address, records=records)
        self.folder = self.state.folder
        self.card = Card(self.folder / "card.img")
        self.before, self.writes = self.folder / "card.before", self.folder / "card.writes"
        self.log = self.folder / "log"
        # Unique to each board; the firmware writes it into the device tree.
        self.serial = self.state.prefix.removeprefix("mynn-").rjust(16, "0")
        self._use(self.state.load("board", Settings) or self._fresh)

    def facts(self) -> dict[str, str]:
        """Return the contents of this-pi.txt, which the Pi writes for its teacher, by lower-case label.

        A running board is asked over SSH if possible, since the file on its card may be incomplete.
        """
        done = self.ssh("sudo cat /boot/firmware/this-pi.txt") if self.status() == "running" else None
        text = done.stdout if done and done.returncode == 0 else ""
        with suppress(FileNotFoundError, VirtualError):
            text = text or self.card.read("this-pi.txt").decode()
        pairs = (line.partition(": ") for line in text.splitlines() if ": " in line)
        return {label.lower(): value.strip() for label, _, value in pairs}

    def insert(self, image: Path, lines: str = "") -> None:
        """Make the board's card from the image, unless it has one. The board stays off.

        ``lines`` are added to a new card's rpi-preseed.toml, after the SSH key.
        """
        image = image.absolute()
        if not image.is_file():
            raise VirtualError(f"There is no image {image}; `make image` makes one.")
        if self.settings.image:
            if self.settings.image != str(image):
                raise VirtualError(
                    f"The board in {self.state.folder} has a card of {self.settings.image}, not of {image}; "
                    "run `make demo-stop` first."
                )
            return
        with stage(f"Copying {image.name} onto a card"):
            self.card.write_image(image)
        self.state.ensure_key()
        key = self.state.key.with_suffix(".pub").read_text().strip()
        settings = self.card.read("rpi-preseed.toml").decode()
        if "\nauthorized_keys" not in settings:  # a card of `make cards` has its keys
            settings += f'\n[ssh]\nauthorized_keys = ["{key}"]\n'
        self.card.write("rpi-preseed.toml", f"{settings}{lines}\n".encode())
        self._save(replace(self._fresh, image=str(image)))

    def start(self) -> None:
        """Switch the board on, wait for SSH, learn the Pi's host name, and write the inventory."""
        self.switch_on()
        with stage(f"Waiting for SSH on the board at {self.address}"):
            self.wait_for_ssh(BOOT_TIMEOUT)
        # The host key is generated at first boot, so the first login trusts it, as a teacher's does. Later ones verify.
        self._save(replace(self.settings, name=self.ssh("hostname").stdout.strip()))
        self.state.write_inventory({self.name: self.address})

    def switch_on(self) -> None:
        """Start booting, unless it is running already."""
        if self.status() == "running":
            return
        command: list[str | Path] = [PYTHON, "-m", "tests.virtual", "board", "operate", "--state", self.folder]
        spawn([*command, self.title], log=self.log, cwd=PROJECT)

    def operate(self) -> None:
        """Run the board until it powers off. A reboot starts QEMU again, since the kernel may have changed."""
        events = REBOOT
        while REBOOT in events:
            say("starting")
            words = ["setpriv", "--pdeathsig", "KILL", *self.load(), "-name", self.title, "-qmp", "stdio", "-no-reboot"]
            events = ""
            with (
                suppress(BrokenPipeError),  # QEMU has exited already
                subprocess.Popen(
                    words, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                ) as qemu,
            ):
                assert qemu.stdin and qemu.stdout
                qemu.stdin.write('{"execute": "qmp_capabilities"}\n')
                qemu.stdin.flush()
                events = qemu.stdout.read()  # until it exits
            say(f"QEMU exited: {events}")

    def stop(self) -> None:
        """Shut the Pi down cleanly."""
        self.power_off(patience=240)

    def down(self) -> None:
        """Remove the board: its processes, card, key and settings."""
        self.kill()
        boot_files = ["kernel", "initramfs", "device-tree"]
        card_files = ["card.img", "card.partial", self.before.name, self.writes.name]
        self.state.remove("board.json", *card_files, "log", "console", *boot_files)
        self._use(self._fresh)

    def _use(self, settings: Settings) -> None:
        self.settings, self.name, self.address = settings, settings.name or "the board", settings.address

    def _save(self, settings: Settings) -> None:
        self.state.save("board", settings)
        self._use(settings)

    def load(self) -> list[str]:
        """Load the kernel from the card as the firmware does, and return the QEMU command line."""
        kernel, initramfs, tree = (self.folder / name for name in ("kernel", "initramfs", "device-tree"))
        try:
            config = self.card.config()
            machine = MACHINES.get(config["kernel"].rpartition("-")[2], _ZERO)
            its_tree = machine.tree if config.get("upstream_kernel") == "1" else machine.vendor_tree
            arguments = self.card.read(config.get("cmdline", "cmdline.txt")).decode().split("\n")[0].strip()
            kernel.write_bytes(self.card.read(config["kernel"]))
            initramfs.write_bytes(self.card.read(config.get("initramfs", "initramfs")))
            tree.write_bytes(self.card.read(config.get("device_tree", its_tree)))
        except FileNotFoundError as error:
            raise VirtualError(f"The firmware needs {error}, which is not on the FAT partition of the card.") from None
        # The network adapter is on USB, so the port must be a host; a Zero's device tree lets the cable decide.
        run(["fdtput", "-t", "s", tree, "/soc/usb@7e980000", "dr_mode", "host"], doing="Changing the device tree")
        run(["fdtput", "-t", "s", tree, "/", "serial-number", self.serial], doing="Changing the device tree")
        if not machine.dma:
            run(["fdtput", "-d", tree, "/soc/mmc@7e202000", "dmas", "dma-names"], doing="Changing the device tree")
        network = forwarding(self.address, {SSH_PORT: 22, NOTEBOOKS: NOTEBOOKS, WORKER: WORKER, DESK: 80})
        return [
            *[machine.program, "-machine", machine.name, "-nodefaults", "-display", "none"],
            *["-accel", machine.acceleration],
            *["-kernel", str(kernel), "-initrd", str(initramfs), "-dtb", str(tree)],
            *["-append", " ".join([arguments, f"console={machine.console},115200", *_ARGUMENTS])],
            *["-drive", f"if=sd,{self._drive()}"],
            # Directly at the port, as on a Zero. QEMU's default hub causes 1,700 interrupts a second, with or without
            # network: 88 s from power-on to a notebook page instead of 80 to 83.
            *["-netdev", f"user,id=usb{network}", "-device", "usb-net,netdev=usb,bus=usb-bus.0,port=1"],
            *["-chardev", f"file,id=console,path={self.folder}/console,append=on", *machine.serial],
            *(["-icount", "shift=1"] if machine.counts else []),
        ]

    def _drive(self) -> str:
        """Return QEMU's options for the card; a recording begins anew."""
        if not self.settings.records:
            return f"file={self.card.path},format=raw,aio={_aio()}"
        run(["cp", "--sparse=always", "--reflink=auto", self.card.path, self.before], doing="Copying the card")
        self.writes.write_bytes(b"")  # QEMU does not shorten a longer one
        card = f"file.driver=file,file.filename={self.card.path},file.aio={_aio()}"
        return f"driver=blklogwrites,{card},log.driver=file,log.filename={self.writes}"


def _aio() -> str:
    """Return QEMU's I/O backend for the card: io_uring where the host allows it, else threads.

    QEMU reads the card in chunks of 512 bytes and wakes a thread for each: 1.4 MB/s, or 2.3 MB/s with io_uring.
    """
    ring = ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120))  # io_uring_setup, on any architecture
    if ring < 0:
        return "threads"
    os.close(ring)
    return "io_uring"
