"""The page /try/ as a Pi sends it whose notebook server is still starting."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mynn_server import serve
from mynn_server.try_files import FILES

RECORD = 785  # bytes of a digit


@contextmanager
def serving() -> Iterator[str]:
    """Send the page's files, and let all other requests wait; yield the page's address."""
    starting = serve.Starting(serve.listen(0))
    try:
        yield f"http://127.0.0.1:{starting.listening.getsockname()[1]}/try/"
    finally:
        starting.end().close()
        for connection in starting.waiting:
            connection.close()


def fewer_digits(networks: Path, folder: Path) -> dict[str, Path]:
    """Return the page's data, by name: its network, but only 2,000 digits to train on and 500 to test with."""
    ready = {name: networks / "try" / FILES[name].name for name in ("network.npz", "digits.bin", "test.bin")}
    for name, count in (("digits.bin", 2000), ("test.bin", 500)):
        small = folder / ready[name].name
        small.write_bytes(gzip.compress(gzip.decompress(ready[name].read_bytes())[: RECORD * count], 1))
        ready[name] = small
    return ready
