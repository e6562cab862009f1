#!/usr/bin/env python3
"""Make a release of a card's image: the files that a teacher needs.

    release.py IMAGE.img DIST --name mynn-pi-zero --version 0.1 --epoch SECONDS --pis "Raspberry Pi Zero, Zero W or 1"
               --device pi1-32bit [--device ...] --tried "Pi Zero" [--url ADDRESS] [--preset 1]

DIST/NAME-VERSION.cdx.json must exist: manifest.py makes it. These files are written beside it, all named NAME-VERSION:

    .img.xz              the image, packed
    .img.xz.sha256       its sum, for `sha256sum -c`
    .img.bmap            which blocks are in use, for bmaptool
    .rpi-imager-manifest for Raspberry Pi Imager: a repository of this image, which Imager 2 opens with a double click
                         (or App Options, Content Repository, Use custom file), older ones with --repo FILE. It is in
                         there twice, with Imager's settings and without
    .svg                 its icon there
    .md                  release notes

The image's address in the repository is that of DIST on this computer, or --url, the address of the folder in which all
this will be published.

The same image, list and address give the same bytes. The files appear whole, the repository last.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import string
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packing import PackingError, add_image_arguments, exit_on_error, scratch_folder

MIB = 1 << 20
PACKAGES = {"bmaptool": "bmap-tools", "xz": "xz-utils"}
HERE = Path(__file__).parent
# How Imager passes on its settings, by the name that it shows. Since 2.0.2 it hides an entry with a format that it does
# not know; rpi-preseed came with 2.0.11.
FORMATS = {
    "A classroom for neural networks": "rpi-preseed",
    "The same, for Imager before 2.0.11, without its settings": "none",
}
# Blocks of a fixed size, so that the result does not depend on the number of cores.
BLOCKS = "--block-size=16MiB"
# How an image was tested.
TRIED = "It has been started on an emulated {} only, which has no Wi-Fi, USB network or HDMI."
# The packages whose versions the release notes show.
SHOWN = {
    "Debian": r"debian|raspbian",
    "Linux": r"linux-image-\d.*",
    "Python": "python3",
    "numpy": "python3-numpy",
    "scipy": "python3-scipy",
    "matplotlib": "python3-matplotlib",
    "mynn": "mynn",
    "Notebook": "notebook",
    "JupyterLab": "jupyterlab",
    "Jupyter Server": "jupyter-server|jupyter_server",
}


def pack(image: Path, packed: Path, preset: int) -> None:
    """Compress the image with xz."""
    cores = os.cpu_count() or 1
    # With one thread, xz would write a single block. Its filter for ARM programs would save 5 %, but Raspberry Pi
    # Imager 2.0's own xz lacks it.
    command = ["xz", "--compress", "--stdout", f"-{preset}", f"--threads={max(2, cores)}", BLOCKS]
    environment = {key: value for key, value in os.environ.items() if key not in ("XZ_DEFAULTS", "XZ_OPT")}
    # Mitogen reserves one processor for itself, which it does not need meanwhile.
    os.sched_setaffinity(0, range(cores))
    with image.open("rb") as source, packed.open("wb") as target:
        done = subprocess.run(
            command, env=environment, stdin=source, stdout=target, stderr=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        raise PackingError(f"xz could not pack {image}: {done.stderr.strip()}")


def sha256(path: Path) -> str:
    """Return a file's SHA256 sum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_bmap(image: Path, bmap: Path) -> int:
    """Let bmaptool write which blocks are in use. Returns their size in bytes."""
    done = subprocess.run(["bmaptool", "create", image, "-o", bmap], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackingError(f"bmaptool could not read {image}: {done.stderr.strip()}")
    text = bmap.read_text(encoding="utf-8")
    [size], [count] = (re.findall(rf"<{tag}> (\d+) ", text) for tag in ("BlockSize", "MappedBlocksCount"))
    return int(size) * int(count)


def versions(components: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the versions for the release notes, without Debian's additions."""
    found = {}
    for name, pattern in SHOWN.items():
        matches = [component["version"] for component in components if re.fullmatch(pattern, component["name"])]
        if matches:
            found[name] = ", ".join(dict.fromkeys(re.sub(r"^\d+:|[-+].*", "", match) for match in matches))
    return found


def repository(
    stem: str, facts: dict[str, Any], address: str, devices: Sequence[str], date: str
) -> dict[str, list[dict[str, Any]]]:
    """Return what Raspberry Pi Imager needs to know about the image, by its published schema."""
    image = {
        "description": "Children train their own neural network, in a browser and without Internet: "
        "Debian, Jupyter, the lessons and all digits of MNIST",
        "icon": f"{address}{stem}.svg",
        "url": f"{address}{stem}.img.xz",
        "extract_size": facts["raw_size"],
        "extract_sha256": facts["raw_sha256"],
        "image_download_size": facts["packed_size"],
        "image_download_sha256": facts["packed_sha256"],
        "release_date": date,
        "devices": list(devices),
    }
    return {"os_list": [{"name": f"{name} ({stem})", **image, "init_format": kind} for name, kind in FORMATS.items()]}


def release(
    image: Path,
    dist: Path,
    name: str,
    version: str,
    epoch: int,
    *,
    pis: str,
    devices: Sequence[str],
    tried: str,
    url: str,
    preset: int,
) -> str:
    """Make all files. Returns a sentence about them."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing:
        raise PackingError(f"programs are missing: apt install {' '.join(missing)}")
    stem = f"{name}-{version}"
    listed = dist / f"{stem}.cdx.json"
    if not listed.is_file():
        raise PackingError(f"{listed} is missing: let manifest.py make it first")
    components = json.loads(listed.read_text(encoding="utf-8"))["components"]
    components = [component for component in components if "arch=source" not in component.get("purl", "")]
    with scratch_folder(dist / stem) as parts:
        packed = parts / f"{stem}.img.xz"
        pack(image, packed, preset)
        facts: dict[str, Any] = {
            "raw_size": image.stat().st_size,
            "raw_sha256": sha256(image),
            "packed_size": packed.stat().st_size,
            "packed_sha256": sha256(packed),
        }
        used = make_bmap(image, parts / f"{stem}.img.bmap")
        (parts / f"{packed.name}.sha256").write_text(f"{facts['packed_sha256']}  {packed.name}\n", encoding="utf-8")
        shutil.copyfile(HERE / "icon.svg", parts / f"{stem}.svg")
        date = datetime.datetime.fromtimestamp(epoch, datetime.UTC).date().isoformat()
        address = url.rstrip("/") + "/" if url else f"{dist.resolve().as_uri()}/"
        listing = json.dumps(repository(stem, facts, address, devices, date), indent=2)
        (parts / f"{stem}.rpi-imager-manifest").write_text(listing + "\n", encoding="utf-8")
        notes = string.Template((HERE / "notes.md").read_text(encoding="utf-8")).substitute(
            facts,
            name=name,
            version=version,
            date=date,
            pis=pis,
            tried=TRIED.format(tried),
            versions="\n".join(f"| {title} | {of} |" for title, of in versions(components).items()),
            packages=len(components) - 1,  # the system itself is in the list too
            manifest=listed.name,
            image=packed.name,
            sum=f"{packed.name}.sha256",
            bmap=f"{stem}.img.bmap",
            repository=f"{stem}.rpi-imager-manifest",
            url=address,
            used=used // MIB,
            size=facts["raw_size"] // MIB,
        )
        (parts / f"{stem}.md").write_text(notes, encoding="utf-8")
        for path in sorted(parts.iterdir(), key=lambda path: path.suffix == ".rpi-imager-manifest"):
            path.replace(dist / path.name)
    return f"{dist / packed.name}: {facts['packed_size'] / 1e6:.0f} MB, unpacked {facts['raw_size'] / 1e6:.0f} MB."


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, help="the image")
    parser.add_argument("dist", type=Path, help="the folder for all files")
    add_image_arguments(parser)
    parser.add_argument("--url", default="", help="address of the folder where the image is published (DIST's own)")
    parser.add_argument("--pis", required=True, help="the Pis that it is for, in words")
    parser.add_argument("--device", action="append", required=True, help="Imager's name of such Pis (pi1-32bit)")
    parser.add_argument("--tried", required=True, help="the Pi that it was started on, in words")
    parser.add_argument("--preset", type=int, default=1, choices=range(10), help="xz's: 0 is fastest, 9 smallest (1)")
    arguments = parser.parse_args()
    with exit_on_error("release.py"):
        print(
            release(
                arguments.image,
                arguments.dist,
                arguments.name,
                arguments.version,
                arguments.epoch,
                pis=arguments.pis,
                devices=arguments.device,
                tried=arguments.tried,
                url=arguments.url,
                preset=arguments.preset,
            )
        )


if __name__ == "__main__":
    main()
