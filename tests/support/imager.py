"""What Raspberry Pi Imager does with a release up to the card: it reads the list, downloads, checks and unpacks."""

import hashlib
import json
import lzma
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import jsonschema


def _of(optional: str, **required: Any) -> dict[str, Any]:
    """Return the schema of an object: the types of its required keys, and the names of optional texts."""
    properties = {**required, **dict.fromkeys(optional.split(), TEXT)}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


# What Imager's schema asks of a list (raspberrypi/rpi-imager, doc/json-schema/os-list-schema.json at 72ad1179ff46), and
# that nothing else is in ours.
TEXT, SIZE, TAGS = {"type": "string"}, {"type": "integer"}, {"type": "array", "items": {"type": "string"}}
DEVICE = _of("icon", name=TEXT, description=TEXT, tags=TAGS)
FILES = {"extract_size": SIZE, "extract_sha256": TEXT, "image_download_size": SIZE, "image_download_sha256": TEXT}
FILES |= {"init_format": {"const": "rpi-preseed"}}  # otherwise it has no settings for the card
ENTRY = _of("website", name=TEXT, description=TEXT, icon=TEXT, url=TEXT, release_date=TEXT, devices=TAGS, **FILES)
LIST = _of("", imager=_of("", devices={"type": "array", "items": DEVICE}), os_list={"type": "array", "items": ENTRY})


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def downloaded(manifest: str, folder: Path) -> dict[str, Path]:
    """Download all images of a list, and check and unpack them. Return them by the device for which each is offered."""
    with urlopen(manifest, timeout=60) as answer:
        told = json.load(answer)
    jsonschema.validate(told, LIST)
    images = {}
    for device in told["imager"]["devices"]:
        for entry in told["os_list"]:
            if set(device["tags"]) & set(entry["devices"]):
                with urlopen(entry["icon"], timeout=60) as icon:
                    assert icon.headers["Content-Type"] == "image/svg+xml"
                images[device["name"]] = unpacked(entry, folder / entry["name"])
    assert len(images) == len(told["os_list"])
    return images


def unpacked(entry: dict[str, Any], image: Path) -> Path:
    """Download an image, and check and unpack it."""
    packed = image.with_suffix(".xz")
    packed.parent.mkdir(parents=True, exist_ok=True)
    with urlopen(entry["url"], timeout=60) as answer, packed.open("wb") as file:
        shutil.copyfileobj(answer, file)
    with lzma.open(packed) as content, image.open("wb") as file:
        shutil.copyfileobj(content, file)
    for path, kind in ((packed, "image_download"), (image, "extract")):
        with path.open("rb") as file:
            found = path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
        assert found == (entry[f"{kind}_size"], entry[f"{kind}_sha256"])
    return image
