"""Make a release of a card's image: the files that a teacher needs.

python -m mynn_control.image_release IMAGE.img ROOT DIST --name mynn-pi-zero --version 0.1 --epoch SECONDS
    --pis "Raspberry Pi Zero, Zero W or 1" --device pi1-32bit [--device ...] --tried "Pi Zero"

These files are written, all named NAME-VERSION:

    .cdx.json            all packages in ROOT, apt's (by debsbom) and pip's, as CycloneDX
    .img.xz              the image, packed
    .img.xz.sha256       its sum, for `sha256sum -c`
    .img.bmap            which blocks are in use, for bmaptool
    .rpi-imager-manifest for Raspberry Pi Imager: a repository of this image, which Imager 2 opens with a double click
                         (or App Options, Content Repository, Use custom file)
    .svg                 its icon there
    .md                  release notes

The same image and root give the same bytes. The files appear whole, the repository last.
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
import sys
import uuid
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MIB = 1 << 20
SPACE = uuid.UUID("6d796e6e-7069-4a2d-9c1b-5a65726f0003")  # of our lists' serial numbers
# The packages whose versions the release notes show.
SHOWN = {
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
# Since 2.0.2, Imager hides an entry with a format that it does not know; this one came with 2.0.11.
FORMAT = "rpi-preseed"


def run(*command: str | Path, **options: Any) -> None:
    """Run a program. SystemExit: it is missing, or failed, with its own words."""
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False, **options)
    except FileNotFoundError:
        sys.exit(f"image_release: {command[0]} is missing: `make card-tools` installs it.")
    if done.returncode:
        sys.exit(f"image_release: {command[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")


def list_packages(root: Path, out: Path, name: str, version: str, date: datetime.datetime) -> list[dict[str, Any]]:
    """Write the list of packages; return its entries, without the source packages that Debian's tracker needs."""
    architecture = (root / "var/lib/dpkg/arch").read_text(encoding="ascii").split()[0]
    about = ("--distro-name", name, "--distro-version", version, "--distro-arch", architecture)
    form = ("--sbom-type=cdx", "--cdx-schema-version=1.6", "--no-recommends-deps", f"--timestamp={date.isoformat()}")
    debsbom = Path(sys.executable).with_name("debsbom")
    run(debsbom, "generate", "--root", root, *about, *form, f"--cdx-serialnumber={SPACE}", "--out", out)
    listed = json.loads(out.read_bytes())
    site = [str(path) for path in root.glob("opt/mynn/venv/lib/python3*/site-packages")]
    for package, of in sorted({(each.name, each.version) for each in distributions(path=site)}):
        purl = f"pkg:pypi/{package.lower().replace('_', '-')}@{of}"
        listed["components"] += [{"type": "library", "name": package, "version": of, "purl": purl, "bom-ref": purl}]
    listed["serialNumber"] = uuid.uuid5(SPACE, json.dumps(listed)).urn
    out.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return [entry for entry in listed["components"] if "arch=source" not in entry["purl"]]


def versions(root: Path, packages: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the versions for the release notes, without Debian's additions."""
    found = {"Debian": (root / "etc/debian_version").read_text(encoding="utf-8").strip()}
    for name, pattern in SHOWN.items():
        matches = [package["version"] for package in packages if re.fullmatch(pattern, package["name"])]
        if matches:
            found[name] = ", ".join(dict.fromkeys(re.sub(r"^\d+:|[-+].*", "", match) for match in matches))
    return found


def pack(image: Path, packed: Path) -> None:
    """Compress the image with xz, in blocks of a fixed size: the result does not depend on the number of cores."""
    cores = os.cpu_count() or 1
    # With one thread, xz would write a single block. Its filter for ARM programs would save 5 %, but Raspberry Pi
    # Imager 2.0's own xz lacks it.
    command = ("xz", "--compress", "--stdout", "-1", f"--threads={max(2, cores)}", "--block-size=16MiB")
    environment = {key: value for key, value in os.environ.items() if key not in ("XZ_DEFAULTS", "XZ_OPT")}
    # Mitogen reserves one processor for itself, which it does not need meanwhile.
    os.sched_setaffinity(0, range(cores))
    with image.open("rb") as source, packed.open("wb") as target:
        run(*command, stdin=source, stdout=target, env=environment)


def used_bytes(bmap: Path) -> int:
    """Return how much of an image is in use, by bmaptool's file."""
    text = bmap.read_text(encoding="utf-8")
    [size], [count] = (re.findall(rf"<{tag}> (\d+) ", text) for tag in ("BlockSize", "MappedBlocksCount"))
    return int(size) * int(count)


def sha256(path: Path) -> str:
    """Return a file's SHA256 sum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def release(arguments: argparse.Namespace, parts: Path) -> str:
    """Make all files in a folder. Returns a sentence about them."""
    image, root = arguments.image, arguments.root
    stem = f"{arguments.name}-{arguments.version}"
    date = datetime.datetime.fromtimestamp(arguments.epoch, datetime.UTC)
    address = f"{arguments.dist.resolve().as_uri()}/"
    packages = list_packages(root, parts / f"{stem}.cdx.json", arguments.name, arguments.version, date)
    packed, bmap = parts / f"{stem}.img.xz", parts / f"{stem}.img.bmap"
    pack(image, packed)
    run("bmaptool", "create", image, "-o", bmap, stdout=subprocess.DEVNULL)
    sums = {"raw_sha256": sha256(image), "packed_sha256": sha256(packed)}
    sizes = {"raw_size": image.stat().st_size, "packed_size": packed.stat().st_size}
    (parts / f"{packed.name}.sha256").write_text(f"{sums['packed_sha256']}  {packed.name}\n", encoding="utf-8")
    shutil.copyfile(HERE / "image_icon.svg", parts / f"{stem}.svg")
    # By Imager's published schema.
    entry = {
        "name": f"A classroom for neural networks ({stem})",
        "description": "Children train their own neural network, in a browser and without Internet: "
        "Debian, Jupyter, the lessons and all digits of MNIST",
        "icon": f"{address}{stem}.svg",
        "url": f"{address}{packed.name}",
        "extract_size": sizes["raw_size"],
        "extract_sha256": sums["raw_sha256"],
        "image_download_size": sizes["packed_size"],
        "image_download_sha256": sums["packed_sha256"],
        "release_date": date.date().isoformat(),
        "devices": arguments.device,
        "init_format": FORMAT,
    }
    listing = json.dumps({"os_list": [entry]}, indent=2)
    (parts / f"{stem}.rpi-imager-manifest").write_text(listing + "\n", encoding="utf-8")
    notes = string.Template((HERE / "image_notes.md").read_text(encoding="utf-8")).substitute(
        sums | sizes,
        stem=stem,
        title=f"{arguments.name} {arguments.version}",
        date=entry["release_date"],
        pis=arguments.pis,
        tried=arguments.tried,
        versions="\n".join(f"| {title} | {of} |" for title, of in versions(root, packages).items()),
        packages=len(packages),
        url=address,
        used=used_bytes(bmap) // MIB,
        size=sizes["raw_size"] // MIB,
    )
    (parts / f"{stem}.md").write_text(notes, encoding="utf-8")
    return f"{packed.name}: {sizes['packed_size'] / 1e6:.0f} MB, unpacked {sizes['raw_size'] / 1e6:.0f} MB."


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, help="the image")
    parser.add_argument("root", type=Path, help="the root file system that it was made from")
    parser.add_argument("dist", type=Path, help="the folder for all files")
    parser.add_argument("--name", required=True, help="the image's name")
    parser.add_argument("--version", required=True, help="the image's version")
    parser.add_argument("--epoch", type=int, required=True, help="its date (seconds since 1970)")
    parser.add_argument("--pis", required=True, help="the Pis that it is for, in words")
    parser.add_argument("--device", action="append", required=True, help="Imager's name of such Pis (pi1-32bit)")
    parser.add_argument("--tried", required=True, help="the Pi that it was started on, in words")
    arguments = parser.parse_args()
    parts = arguments.dist / f".{arguments.name}.parts"
    shutil.rmtree(parts, ignore_errors=True)  # a killed run left it
    parts.mkdir(parents=True)
    try:
        print(release(arguments, parts))
        for path in sorted(parts.iterdir(), key=lambda path: path.suffix == ".rpi-imager-manifest"):
            path.replace(arguments.dist / path.name)
    finally:
        shutil.rmtree(parts)


if __name__ == "__main__":
    main()
