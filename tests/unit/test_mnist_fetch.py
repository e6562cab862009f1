"""The control node's side of MNIST: mirrors of all kinds, good and bad, against a MNIST of 130 digits."""

import gzip
import hashlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

FETCH = Path(__file__).resolve().parents[2] / "roles/mnist/library/mnist_fetch.py"


def load(path: Path) -> Any:
    """Import a module of a role, as Ansible's own modules are: by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


mnist_fetch = load(FETCH)
FULL = ("mnist_train.csv", "mnist_test.csv")
IDX = tuple(name for names in mnist_fetch.MADE_FROM.values() for name in names)


def make_mnist() -> dict[str, bytes]:
    """A small MNIST in the real formats: 110 digits to train with, 20 to test; mostly background, as the real one."""
    chance = random.Random(7)
    files: dict[str, bytes] = {}
    for part, csv, count in (("train", "mnist_train", 110), ("t10k", "mnist_test", 20)):
        labels = [chance.randrange(10) for _ in range(count)]
        images = [[chance.choice((0, 0, 0, chance.randrange(256))) for _ in range(784)] for _ in range(count)]
        sides = (28).to_bytes(4) * 2
        pixels = b"".join(map(bytes, images))
        files[f"{part}-images-idx3-ubyte"] = b"\0\0\x08\x03" + count.to_bytes(4) + sides + pixels
        files[f"{part}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + count.to_bytes(4) + bytes(labels)
        lines = [",".join(map(str, [label, *image])) for label, image in zip(labels, images, strict=True)]
        small = 100 if part == "train" else 10
        files[f"{csv}.csv"] = ("\n".join(lines) + "\n").encode()
        files[f"{csv}_{small}.csv"] = ("\n".join(lines[:small]) + "\n").encode()
    return files


MNIST = make_mnist()
MNIST |= {name: b"".join(mnist_fetch.digits_as_bytes(MNIST[csv])) for name, csv in mnist_fetch.CACHES.items()}
CONTENTS = {
    name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in MNIST.items()
}
CSVS = {name: content for name, content in MNIST.items() if name.endswith(".csv")}
ON_A_PI = {name: content for name, content in MNIST.items() if name.endswith((".csv", ".cache"))}
FORMS: dict[str, dict[str, bytes]] = {
    "IDX, gzipped": {f"{name}.gz": gzip.compress(MNIST[name]) for name in IDX},
    "IDX": {name: MNIST[name] for name in IDX},
    "CSV, gzipped": {f"{name}.gz": gzip.compress(MNIST[name]) for name in FULL},
    "CSV": {name: MNIST[name] for name in FULL},
}
ARCHIVES = FORMS["IDX, gzipped"]
IMAGES = "train-images-idx3-ubyte.gz"


@dataclass
class Mirror:
    """A web server on this machine. It counts what it was asked for and what it sent."""

    files: dict[str, bytes]
    ranges: bool = True
    break_after: int | None = None  # bytes of an answer, after which the connection breaks
    pause: float = 0  # seconds before every 4 kB
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, range
    sent: int = 0
    address: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name, wanted = handler.path.rpartition("/")[2], handler.headers.get("Range")
        self.asked.append((name, wanted))
        if name not in self.files:
            handler.send_error(404)
            return
        content, start = self.files[name], 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        body = content[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for at in range(0, len(body[: self.break_after]), 4096):
            time.sleep(self.pause)
            self.sent += handler.wfile.write(body[: self.break_after][at : at + 4096])


@pytest.fixture
def serve() -> Iterator[Callable[..., Mirror]]:
    """Start a mirror with these files and habits."""
    servers = []

    def start(files: dict[str, bytes], **habits: Any) -> Mirror:
        mirror = Mirror(files, **habits)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
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


def put(files: dict[str, bytes], folder: Path) -> str:
    """Make a mirror that is a folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    return mnist_fetch.Cache(tmp_path / "cache" / "mnist", CONTENTS, lambda line: None)


def fetch(cache: Any, *mirrors: str) -> list[str]:
    """Fetch the CSVs and see that they are right. Returns the complaints."""
    with cache.locked():
        complaints: list[str] = cache.ensure_csvs(list(mirrors))
    assert {path.name: path.read_bytes() for path in cache.folder.iterdir() if path.name[0] != "."} == CSVS
    return complaints


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["http", "folder", "file"])
def test_every_form_is_taken_from_every_kind_of_mirror(
    form: str, kind: str, cache: Any, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    if kind == "http":
        mirror = serve(FORMS[form]).address + "/"
    else:
        mirror = ("file://" if kind == "file" else "") + put(FORMS[form], tmp_path / "mirror")
    assert fetch(cache, mirror) == []
    assert fetch(cache) == [], "a filled cache needs no mirror"


def test_a_bad_file_is_named_with_both_sums_and_the_next_mirror_is_used(
    cache: Any, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    other = b"other contents"
    bad = put(ARCHIVES | {IMAGES: gzip.compress(other)}, tmp_path / "bad")
    good = serve(ARCHIVES).address
    (complaint,) = fetch(cache, bad, good)
    assert complaint.startswith(f"{bad}: {IMAGES} ")
    assert f"expected {CONTENTS[IMAGES[:-3]]['sha256']}" in complaint
    assert f"found {hashlib.sha256(other).hexdigest()}" in complaint


def test_a_cut_off_archive_is_bad(cache: Any, tmp_path: Path) -> None:
    bad = put(ARCHIVES | {IMAGES: ARCHIVES[IMAGES][:-20]}, tmp_path / "bad")
    (complaint,) = fetch(cache, bad, put(ARCHIVES, tmp_path / "good"))
    assert "damaged gzip file" in complaint
    assert str(CONTENTS[IMAGES[:-3]]["sha256"]) in complaint


def test_what_one_mirror_lacks_comes_from_the_next(cache: Any, tmp_path: Path) -> None:
    first = put({name: content for name, content in ARCHIVES.items() if "t10k" not in name}, tmp_path / "first")
    second = put({"mnist_test.csv": MNIST["mnist_test.csv"]}, tmp_path / "second")
    (complaint,) = fetch(cache, first, second)
    assert complaint.startswith(f"{first}: it has neither t10k-images-idx3-ubyte and")


def test_when_no_mirror_works_each_is_listed_with_its_reason(
    cache: Any, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    login = serve(dict.fromkeys(ARCHIVES, b"<!DOCTYPE html><title>Welcome to our Wi-Fi</title>")).address
    mirrors: dict[str, str] = {
        "http://127.0.0.1:1/m": "Connection refused",
        str(tmp_path / "nothing"): "there is no such folder",
        put({}, tmp_path / "empty"): "it has neither",
        "a/relative/folder": "neither an address",
        "ftp://example.org/mnist": "neither an address",
        login: "it is a web page",
    }
    with pytest.raises(mnist_fetch.FetchError) as error, cache.locked():
        cache.ensure_csvs(list(mirrors))
    lines = str(error.value).splitlines()
    assert len(lines) == 1 + len(mirrors) + 1
    for line, (mirror, reason) in zip(lines[1:-1], mirrors.items(), strict=True):
        assert line.startswith(f"- {mirror}: ")
        assert reason in line
    assert "MNIST_MIRRORS" in lines[-1]


def test_a_broken_download_goes_on_where_it_ended(cache: Any, serve: Callable[..., Mirror]) -> None:
    mirror = serve(ARCHIVES, break_after=10_000)
    assert fetch(cache, mirror.address) == []
    assert mirror.sent == sum(map(len, ARCHIVES.values())), "no byte was sent twice"
    assert (IMAGES, "bytes=10000-") in mirror.asked


def test_a_mirror_that_breaks_without_ranges_is_given_up(
    cache: Any, tmp_path: Path, serve: Callable[..., Mirror]
) -> None:
    mirror = serve(ARCHIVES, ranges=False, break_after=10_000)
    (complaint,) = fetch(cache, mirror.address, put(ARCHIVES, tmp_path / "good"))
    assert "closed too early" in complaint
    assert len(mirror.asked) == 2


def part_of(cache: Any, mirror: Mirror, content: bytes) -> Path:
    """Lay down what an earlier run got of the training images."""
    url = hashlib.sha256(f"{mirror.address}/{IMAGES}".encode()).hexdigest()[:8]
    part: Path = cache.folder / f"{IMAGES[:-3]}.{url}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return part


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    "left",
    [ARCHIVES[IMAGES][:5000], b"of another version", ARCHIVES[IMAGES], ARCHIVES[IMAGES] + b"and more"],
    ids=["its start", "another start", "all of it", "too much"],
)
def test_what_an_earlier_run_left_is_used_or_discarded(
    left: bytes, ranges: bool, cache: Any, serve: Callable[..., Mirror]
) -> None:
    mirror = serve(ARCHIVES, ranges=ranges)
    part = part_of(cache, mirror, left)
    assert fetch(cache, mirror.address) == []
    assert not part.exists()
    if ranges and ARCHIVES[IMAGES].startswith(left):
        assert mirror.sent == sum(map(len, ARCHIVES.values())) - len(left)


def test_an_endless_file_is_cut_off(cache: Any, tmp_path: Path, serve: Callable[..., Mirror]) -> None:
    mirror = serve(ARCHIVES | {IMAGES: bytes(50_000_000)})
    (complaint,) = fetch(cache, mirror.address, put(ARCHIVES, tmp_path / "good"))
    assert "too long" in complaint
    bomb = put(ARCHIVES | {IMAGES: gzip.compress(bytes(50_000_000))}, tmp_path / "bomb")
    (cache.folder / "mnist_train.csv").unlink()
    (complaint,) = fetch(cache, bomb, str(tmp_path / "good"))
    assert "the rest was not read" in complaint


@pytest.mark.parametrize("name", CSVS)
def test_a_damaged_cache_is_made_anew(name: str, cache: Any, tmp_path: Path) -> None:
    good = put(ARCHIVES, tmp_path / "good")
    fetch(cache, good)
    content = bytearray(CSVS[name])
    content[500] ^= 1
    (cache.folder / name).write_bytes(content)
    fetch(cache, good)


def test_the_archive_is_the_same_whenever_it_is_made(cache: Any, tmp_path: Path) -> None:
    good = put(ARCHIVES, tmp_path / "good")
    archives = []
    for _ in range(2):
        with cache.locked():
            cache.ensure_archive([good])
        assert cache.archive_is_good()
        archives.append(cache.archive.read_bytes())
        cache.archive.write_bytes(archives[0][:-9])
        assert not cache.archive_is_good()
        time.sleep(1.1)  # gzip and tar would count whole seconds
    assert archives[0] == archives[1]


def test_a_full_or_forbidden_cache_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = mnist_fetch.Cache(tmp_path / "file" / "mnist", CONTENTS, lambda line: None)
    with (
        pytest.raises(mnist_fetch.FetchError, match=r"file/mnist cannot be used \(Not a directory\): make room"),
        cache.locked(),
    ):
        pass


RUN = """
import sys; sys.path.insert(0, {library!r})
from pathlib import Path; import mnist_fetch
cache = mnist_fetch.Cache(Path({folder!r}), {contents!r}, print)
with cache.locked():
    cache.ensure_archive([{mirror!r}])
"""


def start_run(cache: Any, mirror: Mirror) -> "subprocess.Popen[bytes]":
    """Start another process that fills the cache."""
    values = {"library": str(FETCH.parent), "folder": str(cache.folder), "contents": CONTENTS}
    return subprocess.Popen([sys.executable, "-c", RUN.format(mirror=mirror.address, **values)])


def test_two_runs_at_once_fetch_once(cache: Any, serve: Callable[..., Mirror]) -> None:
    mirror = serve(ARCHIVES, pause=0.01)
    runs = [start_run(cache, mirror) for _ in range(2)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0]
    assert sorted(name for name, _ in mirror.asked) == sorted(ARCHIVES)
    assert cache.archive_is_good()


def test_a_killed_run_is_carried_on(cache: Any, serve: Callable[..., Mirror]) -> None:
    mirror = serve(ARCHIVES, pause=0.05)
    run = start_run(cache, mirror)
    while mirror.sent < 12_000:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    (part,) = cache.folder.glob("*.part")
    had = part.stat().st_size
    mirror.pause = 0
    fetch(cache, mirror.address)
    assert (IMAGES, f"bytes={had}-") in mirror.asked


def test_the_command_prints_the_folder_of_the_real_mnist(mnist: Path) -> None:
    assert (mnist / "mnist_train.csv").stat().st_size == 109_575_994


def test_the_command_says_why_it_failed(tmp_path: Path) -> None:
    environment = os.environ | {"MNIST_MIRRORS": f"{tmp_path}/one {tmp_path}/two"}
    command = [sys.executable, str(FETCH), "--cache", f"{tmp_path}/cache", f"{tmp_path}/three"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stdout == ""
    places = [
        run.stderr.rindex(f"- {tmp_path}/{mirror}: there is no such folder") for mirror in ("one", "two", "three")
    ]
    assert places == sorted(places), "the environment's mirrors come first, in their order"
    assert "Traceback" not in run.stderr
