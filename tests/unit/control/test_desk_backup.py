"""The desk's backup: a round trip through a desk that is served as on its card, and what is no backup."""

import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from argon2 import PasswordHasher

from mynn_control.desk import backup, runs
from mynn_control.desk.backup import BackupError, check
from mynn_control.desk.database import Database
from tests.support.programs import ROOT

PASSWORD = "sunflower7"


class Card:
    """The folder that a desk's card keeps, and its desk while that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dist = folder, folder / "dist"
        (folder / ".ssh").mkdir(parents=True)
        self.dist.mkdir()
        self.write("inventory.ini", "[pis]\n# ours\n")
        hashed = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        self.write("password", f"argon2:{hashed}\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    @contextmanager
    def opened(self) -> Iterator[tuple[str, requests.Session, subprocess.Popen[bytes]]]:
        """Run the desk at a socket of systemd's, and sign in."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            desk: list[str | Path] = [sys.executable, "-m", "mynn_control.desk", self.dist / "desk"]
            process = subprocess.Popen(
                [*desk, self.folder / "inventory.ini", "--serve", self.folder / "password"],
                cwd=ROOT,
                env=os.environ | {"LISTEN_FDS": "1", "HOME": str(self.folder)},
                close_fds=False,
                preexec_fn=lambda: os.dup2(listening.fileno(), 3),
                start_new_session=True,
            )
            session = requests.Session()
            session.headers["Origin"] = url
            try:
                assert session.post(f"{url}/sign-in", {"password": PASSWORD}, timeout=600).status_code == 200
                yield url, session, process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                assert process.wait(30) == 0


@pytest.mark.slow
def test_a_new_card_becomes_the_old_one_and_loses_nothing(tmp_path: Path) -> None:
    old, new = Card(tmp_path / "old"), Card(tmp_path / "new")
    old.write("inventory.ini", "[pis]\n# the old card's\n")
    old.write("inventory.desk.yml", "pis: {hosts: {}}\n")
    old.write(".ssh/id_ed25519", "the key")
    old.write("dist/work/2026-11-25_10-00-00/pi-01/student/mine.ipynb", "{}")
    old.write("handout/2026-12-01/Aufgabe (1).pdf", "a sheet")
    (old.dist / "work/2026-11-25_10-00-00/pi-01/student/link").symlink_to("/etc/passwd")
    new.write("dist/work/2026-11-27_10-00-00/pi-01/student/new.ipynb", "{}")
    settings = ROOT / backup.SETTINGS
    before = settings.exists() and settings.read_bytes()
    with old.opened() as (url, session, _):
        Database(old.dist / "desk/memory.sqlite").take_off("pi-01/ada")
        saved = session.get(f"{url}/backup/now").content
    assert sorted(path.name for path in old.dist.iterdir()) == ["desk", "work"]
    with new.opened() as (url, session, process):
        wrong = session.post(f"{url}/restore", b"no backup").text
        assert wrong == "This file is damaged, or is not a backup of a desk."
        assert session.post(f"{url}/restore", saved[: len(saved) // 2]).status_code == 409
        assert session.post(f"{url}/restore", saved).text == ""
        assert process.wait(30) == 0  # systemd starts it again
    with new.opened() as (url, session, _):
        assert "pi-01/ada" in Database(new.dist / "desk/memory.sqlite").taken_off()
    assert (new.folder / "inventory.ini").read_text() == "[pis]\n# the old card's\n"
    assert (new.folder / "inventory.desk.yml").read_text() == "pis: {hosts: {}}\n"
    assert (new.folder / ".ssh/id_ed25519").read_text() == "the key"
    assert (new.folder / "handout/2026-12-01/Aufgabe (1).pdf").read_text() == "a sheet"
    assert [path.name for path in new.dist.glob("work/*/pi-01/student/*")] == ["mine.ipynb"]
    assert [path.name for path in new.dist.glob("before-*/dist/work/*/pi-01/student/*")] == ["new.ipynb"]
    assert (settings.exists() and settings.read_bytes()) == before
    assert sorted(path.name for path in new.dist.iterdir() if not path.name.startswith("before-")) == ["desk", "work"]


def test_what_was_there_comes_back_if_the_desk_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next start, after which the backup is tried no more; if it did start, the backup stays."""
    monkeypatch.setattr(runs, "SETTINGS", tmp_path / "settings.yml")
    files = backup.BackupFiles(tmp_path / "inventory.ini", tmp_path / "dist/desk")
    files.desk.mkdir(parents=True)
    for starts, text in [(False, "mine"), (True, "")]:
        files.inventory.write_text("mine")
        files.uploaded.write_bytes(archive(*LEAST).getvalue())
        assert backup.restore(files) == "" and files.inventory.read_text() == ""
        if starts:
            backup.confirm_restore(files)
        assert ("could not start" in backup.restore(files)) != starts
        assert backup.restore(files) == "" and files.inventory.read_text() == text


def archive(*members: tarfile.TarInfo, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", **options) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    file.seek(0)
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, target
    return made


LEAST = [member("inventory.ini"), member(backup.DATABASE)]
NOT_KEPT = ["/etc/passwd", "dist/work/../../x", "dist/../x", "../x", "dist/other/x", "dist/workshop", "mynn/x.py"]
NOT_KEPT += ["playbooks/site.yml", "ssh/config", "ssh/authorized_keys", "dist/desk/./x", "inventory.ini/x", ""]


@pytest.mark.parametrize(
    "wrong",
    [
        *map(member, NOT_KEPT),
        member("dist/work/link", tarfile.SYMTYPE, target="/etc/passwd"),
        member("dist/work/link", tarfile.LNKTYPE, target="inventory.ini"),
        *(member("dist/desk/it", kind) for kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)),
    ],
    ids=lambda wrong: f"{wrong.name} {wrong.type!r}",
)
def test_what_is_no_backup_is_refused_before_anything_is_written(wrong: tarfile.TarInfo) -> None:
    check(archive(*LEAST))
    with pytest.raises(BackupError):
        check(archive(*LEAST, wrong))
    with pytest.raises(BackupError, match="lacks the list of Pis"):
        check(archive(*LEAST[1:]))


def test_a_backup_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "LARGEST", 3000)
    monkeypatch.setattr(backup, "MOST", 3)
    check(archive(*LEAST, member("dist/work/0", size=999)))
    for members in ([member("dist/work/1", size=3001)], [member(f"dist/work/{n}") for n in range(4)]):
        with pytest.raises(BackupError, match="too large"):
            check(archive(*members))


def test_what_tells_of_files_is_no_longer_than_we_write_it() -> None:
    """Python reads long names and headers whole, keeps those of all files, and one may follow another."""
    check(archive(*LEAST, member(f"dist/work/{'ö' * 2000}")))
    long = "x" * (2 << 20)
    commented, large = member("dist/work/a"), member(f"dist/work/{long}")
    commented.pax_headers = {"comment": long}
    nested = [member("././@LongLink", tarfile.GNUTYPE_LONGNAME) for _ in range(2000)]
    for wrong in (
        archive(*LEAST, large, format=tarfile.GNU_FORMAT),
        archive(*LEAST, commented),
        archive(*LEAST, *nested),
        archive(*LEAST, pax_headers={"comment": "of all files"}),
        archive(*LEAST, member("dist/work/sparse", tarfile.GNUTYPE_SPARSE)),
    ):
        with pytest.raises(BackupError):
            check(wrong)
