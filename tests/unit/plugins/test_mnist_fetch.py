"""MNIST on the control node: mirrors of every kind, good and bad, with the small MNIST."""

import gzip
import hashlib
import lzma
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.mynn.pi.plugins.modules import mnist_fetch
from tests.support.programs import ROOT
from tests.support.small_mnist import ARCHIVES, FILES, FORMS, IDX, IMAGES, ON_A_PI, make_mirror

ROLE = ROOT / "roles/mnist"


@dataclass
class Mirror:
    """A web server on this computer. It records which files it was asked for and how much it sent."""

    files: dict[str, bytes]
    missing: int = 404  # the status for a file that it does not have
    break_after: int | None = None  # how many bytes of each answer it sends before it drops the connection
    pause: float = 0  # seconds before each 4 kB
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    address: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.rpartition("/")[2]
        if name not in self.files:
            handler.send_error(self.missing)
            return
        self.asked.append(name)
        body = self.files[name]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for at in range(0, len(body[: self.break_after]), 4096):
            time.sleep(self.pause)
            self.sent += handler.wfile.write(body[: self.break_after][at : at + 4096])


@pytest.fixture
def serve() -> Iterator[Callable[..., Mirror]]:
    """A function that starts a mirror with these files and options."""
    servers = []

    def start(files: dict[str, bytes], **options: Any) -> Mirror:
        mirror = Mirror(files, **options)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with suppress(ConnectionError):  # the client gave up
                    mirror.answer(self)

            def log_message(self, *words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        mirror.address = f"http://127.0.0.1:{server.server_port}/mnist"
        return mirror

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "mnist" / "mnist.tar.gz"


def make(archive: Path, *mirrors: str) -> list[str]:
    """Make the archive and check it. Return the complaints about the mirrors."""
    complaints: list[str] = mnist_fetch.ensure_archive(archive, list(mirrors), IDX, FILES)
    with tarfile.open(archive) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        assert {name: file.read() for name, file in files.items() if file} == ON_A_PI
    assert sorted(path.name for path in archive.parent.iterdir()) == [".lock", archive.name]
    return complaints


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["http", "folder", "file"])
def test_files_in_any_form_are_fetched_from_every_kind_of_mirror(
    form: str, kind: str, archive: Path, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    if kind == "http":
        mirror = serve(FORMS[form]).address + "/"
    else:
        mirror = ("file://" if kind == "file" else "") + make_mirror(tmp_path / "a mirror", FORMS[form])
    assert make(archive, mirror) == []
    assert make(archive) == [], "a good archive needs no mirror"


def test_a_wrong_file_is_named_with_both_checksums_and_the_next_mirror_is_used(
    archive: Path, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    other = b"other contents"
    bad = make_mirror(tmp_path / "bad", ARCHIVES | {f"{IMAGES}.xz": lzma.compress(other)})
    good = serve(ARCHIVES)
    (complaint,) = make(archive, bad, good.address)
    assert complaint.startswith(f"{bad}: {IMAGES}.xz ")
    assert f"expected {IDX[IMAGES]['sha256']}" in complaint
    assert f"found {hashlib.sha256(other).hexdigest()}" in complaint
    assert f"{IMAGES}.xz" in good.asked


def flip(content: bytes) -> bytes:
    """Flip one bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [flip, lambda content: content[:-20_000], lambda content: b""])
@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_named_and_the_next_mirror_is_used(
    form: str, damage: Callable[[bytes], bytes], archive: Path, tmp_path: Path
) -> None:
    (name,) = (name for name in FORMS[form] if name.startswith(IMAGES))
    bad = make_mirror(tmp_path / "bad", FORMS[form] | {name: damage(FORMS[form][name])})
    (complaint,) = make(archive, bad, make_mirror(tmp_path / "good"))
    assert re.match(f"{bad}: {name} (cannot be read|has other contents)", complaint)


def test_files_that_a_mirror_lacks_come_from_the_next(
    archive: Path, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    files = {name: content for name, content in ARCHIVES.items() if "t10k" not in name}
    first = make_mirror(tmp_path / "first", files)
    second = serve(ARCHIVES)
    (complaint,) = make(archive, first, second.address)
    assert complaint.startswith(f"{first}: it has no t10k-images-idx3-ubyte,")
    assert sorted(second.asked) == ["t10k-images-idx3-ubyte.xz", "t10k-labels-idx1-ubyte.xz"]


def test_when_no_mirror_works_each_is_listed_with_its_reason(
    archive: Path, tmp_path: Path, serve: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_fetch, "TIMEOUT", 0.3)
    login = dict.fromkeys(FORMS["gz"], b"<!DOCTYPE html><title>Welcome to our Wi-Fi</title>")
    mirrors: dict[str, str] = {
        "http://127.0.0.1:1/m": "Connection refused",
        str(tmp_path / "nothing"): "nor the absolute path of a readable folder",
        make_mirror(tmp_path / "empty", {}): "it has no",
        "a/relative/folder": "neither an address",
        "ftp://example.org/mnist": "neither an address",
        "http://127.0.0.1/with spaces": "URL can't contain control characters",
        serve(login).address: "has other contents",
        serve({}, missing=503).address: "503",
        serve({}, missing=403).address: "it has no",
        serve(FORMS["gz"], pause=5).address: "timed out",
    }
    with pytest.raises(mnist_fetch.FetchError) as error:
        mnist_fetch.ensure_archive(archive, list(mirrors), IDX, FILES)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 + len(mirrors) + 1
    for line, (mirror, reason) in zip(lines[1:-1], mirrors.items(), strict=True):
        assert line.startswith(f"- {mirror}: ")
        assert reason in line
    assert "git checkout roles/mnist/files" in lines[-1]
    assert not archive.exists()


def test_after_a_broken_download_the_next_mirror_is_used(
    archive: Path, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    mirror = serve(ARCHIVES, break_after=10_000)
    (complaint,) = make(archive, mirror.address, make_mirror(tmp_path / "good"))
    assert complaint.startswith(f"{mirror.address}: {IMAGES}.xz ")


def test_an_endless_file_is_not_downloaded_completely(
    archive: Path, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    mirror = serve({f"{IMAGES}.gz": bytes(500_000_000)})
    (complaint,) = make(archive, mirror.address, make_mirror(tmp_path / "good"))
    assert f"({IDX[IMAGES]['size'] + 1} bytes)" in complaint
    assert mirror.sent < 50_000_000


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_compression_bomb_is_not_unpacked_completely(
    compress: Callable[[bytes], bytes], archive: Path, tmp_path: Path
) -> None:
    bomb = make_mirror(tmp_path / "bomb", {IMAGES: compress(bytes(50_000_000))})
    (complaint,) = make(archive, bomb, make_mirror(tmp_path / "good"))
    assert f"({IDX[IMAGES]['size'] + 1} bytes)" in complaint


def test_a_file_that_needs_too_much_memory_to_unpack_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_fetch, "MEMORY", 1 << 20)
    (complaint,) = make(archive, make_mirror(tmp_path / "xz"), make_mirror(tmp_path / "gz", FORMS["gz"]))
    assert "Memory usage limit exceeded" in complaint


def test_the_archive_does_not_depend_on_when_it_is_made(archive: Path, tmp_path: Path) -> None:
    good = make_mirror(tmp_path / "good")
    make(archive, good)
    first = archive.read_bytes()
    time.sleep(1.1)  # gzip and tar store times in whole seconds
    archive.unlink()
    make(archive, good)
    assert archive.read_bytes() == first


@pytest.mark.parametrize("damage", [flip, lambda content: content[:-9], lambda content: b""])
def test_a_damaged_archive_is_made_again(damage: Callable[[bytes], bytes], archive: Path, tmp_path: Path) -> None:
    good = make_mirror(tmp_path / "good")
    make(archive, good)
    archive.write_bytes(damage(archive.read_bytes()))
    assert not mnist_fetch.is_good(archive, FILES)
    make(archive, good)


RUN = """
import sys; sys.path.insert(0, {collections!r})
from pathlib import Path
from ansible_collections.mynn.pi.plugins.modules import mnist_fetch
mnist_fetch.ensure_archive(Path({archive!r}), [{mirror!r}], {idx!r}, {files!r})
"""


def start_run(archive: Path, mirror: Mirror) -> "subprocess.Popen[bytes]":
    """Start a process that makes the archive."""
    values = {"collections": str(ROOT / "collections"), "archive": str(archive), "idx": IDX, "files": FILES}
    return subprocess.Popen([sys.executable, "-c", RUN.format(mirror=mirror.address, **values)])


def test_two_runs_at_the_same_time_fetch_each_file_once(archive: Path, serve: Callable[..., Mirror]) -> None:
    mirror = serve(ARCHIVES, pause=0.01)
    runs = [start_run(archive, mirror) for _ in range(2)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0]
    assert sorted(mirror.asked) == sorted(ARCHIVES)
    assert mnist_fetch.is_good(archive, FILES)


def test_the_next_run_completes_a_killed_one(archive: Path, serve: Callable[..., Mirror]) -> None:
    mirror = serve(ARCHIVES, pause=0.05)
    run = start_run(archive, mirror)
    while mirror.sent < 12_000:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    archive.with_name(".mnist.tar.gz.x1y2.new").write_bytes(b"half an archive")
    mirror.pause = 0
    assert make(archive, mirror.address) == []


def test_the_files_in_the_repository_give_the_real_mnist() -> None:
    known = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    idx, complaints = mnist_fetch.fetch_all([str(ROLE / "files")], known["__mnist_idx"])
    assert complaints == []
    for name, content in mnist_fetch.made_from(idx):
        assert known["__mnist_files"].pop(name) == {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    assert known["__mnist_files"] == {}
