"""`make cards`: gather the files for each Pi's card, and write the cards one after the other.

python -m mynn_control.cards COMMAND...

COMMAND runs playbooks/cards.yml, which writes the job as JSON (roles/cards/tasks/main.yml). With `cards_files`, each Pi
gets an image file instead. Finished cards are recorded in done.txt, so that the next run continues there.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import tomli_w

from ansible_collections.mynn.pi.plugins.module_utils.preseed import NAME, Preseed, wifi_key
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn.files import locked
from mynn_control.card_disks import GB, Disk, disks
from mynn_control.card_image import CardError, bmap_of, newest_image, personalize, unpack, write

STOPPED = 130  # the exit code after Ctrl-C
# The keys of a Wi-Fi network that needs only a password.
PLAIN = {"ssid", "password", "hidden"}
Settings = dict[str, Any]


@dataclass(frozen=True)
class Pi:
    """A Pi whose card is to be written.

    name: in the inventory. host: its name on the network. model: such as "Pi 4"; "" if unknown. files: contents by
    name, for the card besides the image: settings and certificates.
    """

    name: str
    host: str
    model: str
    image: Path
    bmap: Path
    files: Mapping[str, bytes]


class Record:
    """Record of finished cards: each Pi's hash of the image and settings that were written. kind: cards or files."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.done = dict(line.rpartition(" ")[::2] for line in lines)  # each Pi's last line counts

    def has(self, pi: Pi) -> bool:
        """Return whether this Pi's card was written with this image and these settings."""
        there = self.kind == "cards" or (self.path.parent / f"{pi.host}.img").exists()
        return there and self.done.get(f"{self.kind} {pi.name}") == self._fingerprint(pi)

    def add(self, pi: Pi) -> None:
        """Record that a Pi's card is done."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{self.kind} {pi.name} {self._fingerprint(pi)}\n")

    def _fingerprint(self, pi: Pi) -> str:
        return sha256(b"".join([pi.bmap.read_bytes(), *pi.files.values()])).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# The job


def gather(command: Sequence[str]) -> Settings:
    """Run the playbook and return the job. SystemExit: it failed. CardError: the inventory has no Pi."""
    with tempfile.TemporaryDirectory(prefix="mynn-cards-") as private:
        answer = Path(private, "job.json")
        extra = json.dumps({"__cards_answer": str(answer)})
        code = subprocess.run([*command, "--extra-vars", extra], check=False).returncode
        if code:
            sys.exit(code)
        if not answer.exists():
            raise CardError("there is no Pi below [pis] in the inventory: write one line for each card into it")
        job: Settings = json.loads(answer.read_bytes())
        return job


def few(names: Sequence[str]) -> str:
    """Return names on one line, shortened if there are more than four."""
    return printable(", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]}, … {names[-1]}")


def pis_of(job: Settings) -> list[Pi]:
    """Return the Pis. CardError: images or settings are wrong; the message has a sentence for each mistake."""
    pis, wrong, hosts = [], dict[str, list[str]](), dict[str, str]()
    for entry in job["pis"]:
        name, settings = entry["name"], entry["settings"]
        if isinstance(networks := settings["mynn"]["wlan"], list):
            settings["mynn"]["wlan"] = [with_key(network) for network in networks]
        host = settings["system"]["hostname"]
        files, sentences = files_of(name, settings, Path(job["certificates"]))
        try:
            image = newest_image(job["image"], entry["board"], job["boards"])
            pis.append(Pi(name, host, job["boards"].get(entry["board"], ""), image, bmap_of(image), files))
        except CardError as error:
            sentences.append(f"{error}.")
        if not host:
            sentences.append("an address is no name for a Pi. Write `NAME ansible_host=ADDRESS` into the inventory.")
        elif host in hosts:
            sentences.append(f"{hosts[host]} would be called {host}, too: give each Pi a name of its own.")
        hosts[host] = name
        for sentence in sentences:
            wrong.setdefault(sentence, []).append(name)
    if wrong:
        lines = [f"  {few(whose)}: {printable(sentence, 1000)}" for sentence, whose in wrong.items()]
        raise CardError("\n".join(["nothing was written, because of this:", *lines]))
    return pis


def files_of(name: str, settings: Settings, certificates: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return a Pi's files (settings and certificates), and a sentence for each setting that the Pi would refuse."""
    given = {
        table: {key: value for key, value in values.items() if value not in ("", [], {}, None)}
        for table, values in settings.items()
    }
    text = f"# Written by `make cards` for {name}. The Pi applies it once.\n\n{tomli_w.dumps(given)}"
    content = text.replace("\n", "\r\n").encode()  # line ends for Notepad
    preseed = Preseed(content, certificates, students=settings["mynn"].get("passwords", ()))
    return {NAME: content, **preseed.files}, preseed.mistakes + preseed.notes


def with_key(network: Any) -> Any:
    """Return a Wi-Fi network with a key in place of its password, so that no card has the school's password.

    WPA3's SAE and networks with user names need the password itself, so a network with further settings keeps it. A
    malformed network is returned as it is: Preseed reports it.
    """
    if not isinstance(network, dict) or not isinstance(network.get("ssid"), str) or set(network) - PLAIN:
        return network
    password = network.get("password")
    if password is None:
        password = ask_password(network["ssid"])
    if isinstance(password, str) and 8 <= len(password.encode()) <= 63:
        password = wifi_key(network["ssid"].encode(), password)
    return network | {"password": password}


@cache
def ask_password(network: str) -> str:
    """Ask for a Wi-Fi password, once for all Pis. It is typed twice: a typing error would be on all cards."""
    if not sys.stdin.isatty():
        raise CardError(
            f"the Wi-Fi {printable(network)} has no password: give it one in the setting cards_wifi, "
            "or run this in a terminal, which asks for it"
        )
    password = getpass.getpass(f"\nPassword of the Wi-Fi {printable(network)} (not shown): ")
    if password != getpass.getpass("The same again: "):
        raise CardError("the two passwords differ: run this again")
    return password


def show_job(job: Settings, pis: Sequence[Pi], ready: Sequence[Pi]) -> None:
    """Print what the cards will contain."""
    settings = [entry["settings"] for entry in job["pis"]]
    lines = {
        "Image files" if job["files"] else "Cards": [f"{len(pis)}: {few([pi.host for pi in pis])}"] if pis else [],
        "Done already": [f"{len(ready)}: {few([pi.host for pi in ready])}"] if ready else [],
        "Wi-Fi": [network["ssid"] for one in settings for network in one["mynn"]["wlan"]]
        or ["none; see the setting cards_wifi"],
        "SSH keys": [key.split(maxsplit=2)[-1] for one in settings for key in one["ssh"]["authorized_keys"]]
        or ["none: SSH accepts the account's password. `ssh-keygen` makes a key"],
    }
    print()
    for title, values in lines.items():
        if values:
            print(f"{title + ':':14}{printable(', '.join(dict.fromkeys(values)), 1000)}")
    print(flush=True)


# ---------------------------------------------------------------------------------------------------------------------
# Writing


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for unfinished files, and delete it afterwards: they contain passwords."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    parts = folder / ".parts"
    with locked(folder, 0):
        shutil.rmtree(parts, ignore_errors=True)  # left by a killed run
        parts.mkdir()
        try:
            yield parts
        finally:
            shutil.rmtree(parts)


class Reader:
    """The card reader. A card that is in it already must be taken out and put in again before it is written."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.seen = set(disks(largest))

    def card_for(self, pi: Pi) -> Disk:
        """Wait for a card that may be written to, and for Enter. It does not count as the next Pi's card."""
        print(f"Put in the card for {pi.host}" + (f", a {pi.model}." if pi.model else "."), flush=True)
        while True:
            found = self._wait()
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # ignore earlier key presses
            input(f"Press Enter to write {pi.host} onto {found.path} ({found.title}). ")
            disk = disks(self.largest).get(found.path)  # a desktop may have mounted it by now
            if disk and (disk.title, disk.problem) == (found.title, ""):
                self.seen.add(disk.path)
                return disk
            print("It was taken out.")

    def _wait(self) -> Disk:
        """Wait until exactly one new disk can be used, and print why others cannot."""
        told: list[str] = []
        while True:
            now = disks(self.largest)
            self.seen &= set(now)
            new = [disk for path, disk in now.items() if path not in self.seen]
            good = [disk for disk in new if not disk.problem]
            if len(good) == 1:
                return good[0]
            states = [f"{disk.path} ({disk.title}) is not used: {disk.problem}." for disk in new if disk.problem]
            states += [f"Several cards are new: {', '.join(disk.path for disk in good)}. Leave one."] if good else []
            if states and states != told:
                print("\n".join(states), flush=True)
            told = states
            time.sleep(0.5)


def write_card(disk: Disk, pi: Pi, image: Path, personal: Callable[[], Path]) -> bool:
    """Write a card. Returns whether it succeeded; if not, the reason was printed."""
    print(f"Writing {pi.host}", flush=True)
    try:
        write(disk, image, personal())
    except CardError as error:
        print(f"{pi.host}'s card was not written: {error}.")
        print("Try again, with another card if this one fails twice.")
        return False
    except KeyboardInterrupt:
        print(f"\n{pi.host}'s card is not finished.")
        raise
    return True


def make(job: Settings) -> int:
    """Write the job's cards or files. Returns the exit code."""
    folder = Path(job["folder"])
    everyone = pis_of(job)
    with workshop(folder) as parts:
        record = Record(folder / "done.txt", "files" if job["files"] else "cards")
        ready = [] if job["again"] else [pi for pi in everyone if record.has(pi)]
        pis = [pi for pi in everyone if pi not in ready]
        show_job(job, pis, ready)
        if not pis:
            print(f"All are done. To write one again: make cards PI={ready[0].name} AGAIN=yes")
            return 0
        if not (job["files"] or sys.stdin.isatty()):
            raise CardError("cards are asked for one after the other: run this in a terminal (FILES=yes needs none)")
        return write_all(job, pis, record, parts)


def write_all(job: Settings, pis: Sequence[Pi], record: Record, parts: Path) -> int:
    """Write an image file or a card for each Pi, until all are done or Ctrl-C. Returns the exit code."""
    commons: dict[Path, tuple[Path, int]] = {}
    for image in dict.fromkeys(pi.image for pi in pis):
        print(f"Unpacking {image.name} and checking it", flush=True)
        common = parts / f"common-{len(commons)}"
        commons[image] = common, unpack(image, common)
    folder, reader = record.path.parent, None
    if not job["files"]:
        reader = Reader(job["largest_gb"] * GB)
        print(
            "Everything on each card will be erased. Ctrl-C stops; then the next run continues.\n"
            "A card that is in already: take it out, and put it in again.\n"
        )
    own, done, code = parts / "own.img", list[str](), 0
    try:
        for pi in pis:
            personal = partial(personalize, *commons[pi.image], own, pi.files)
            if reader:
                while not write_card(reader.card_for(pi), pi, own, personal):
                    pass
            else:
                personal().replace(folder / f"{pi.host}.img.bmap")
                own.replace(folder / f"{pi.host}.img")
            record.add(pi)  # at once: Ctrl-C may follow at any moment
            done.append(pi.host)
            print(f"{pi.host} is done ({len(done)} of {len(pis)})." + " Take its card out." * bool(reader), flush=True)
    except (KeyboardInterrupt, EOFError):
        code = STOPPED
    except CardError as error:
        print(f"{pis[len(done)].host} was not written: {error}.", file=sys.stderr)
        code = 1
    if len(done) < len(pis):
        print(f"\nStopped. Done: {printable(', '.join(done)) or 'none'}.")
        print(f"Run the same command again: it continues with {pis[len(done)].host}.")
    else:
        print("\nAll are done." + ("" if reader else f" The files are in {folder}."))
    return code


def main(command: Sequence[str]) -> int:
    """Run the playbook and make the cards. Returns the exit code."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # like Ctrl-C: nothing half-done is left
    try:
        job = gather(command)
        os.umask(0o077)  # all files from here on have passwords
        return make(job)
    except CardError as error:
        print(f"make cards: {str(error).rstrip('.')}.", file=sys.stderr)
    except TimeoutError:
        print("make cards: it is running already, in another terminal.", file=sys.stderr)
    except KeyboardInterrupt:
        return STOPPED
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
