"""Make a release of an SD-card image: the compressed image, and the files that belong to it.

python -m mynn_control.image_release ABOUT

ABOUT is JSON from roles/image/tasks/pack.yml: `image`; `root`, the folder that it was made from; `dist`, the folder for
all files; `name`, `version` and `epoch` (seconds since 1970); `usual`, whether it is of our usual Debian; `devices`,
Imager's names of its Pis; and in words, its `title`, its `pis`, and the Pi that it was `tried` on. These files are
written, all named NAME-VERSION:

    .cdx.json            list of all packages in the root, apt's (by debsbom) and pip's, in CycloneDX format
    .img.xz              compressed image
    .img.xz.sha256       its SHA256 sum, for `sha256sum -c`
    .img.bmap            map of used blocks, for bmaptool
    .svg                 icon in Raspberry Pi Imager
    .md                  release notes
    .json                what Imager's repository says about it, and its `sources`

mynn-VERSION.rpi-imager-manifest is Imager's repository of all images of this version in `dist`. Imager 2 opens it with
a double click (or App Options, Content Repository, Use custom file).

The same image and root give the same bytes. The files appear whole, .json and the repository last.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import string
import subprocess
import sys
import uuid
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from mynn.files import write_text
from mynn_control import project
from mynn_control.card_image import CardError, run

HERE = Path(__file__).parent
SPACE = uuid.UUID("6d796e6e-7069-4a2d-9c1b-5a65726f0003")  # UUID namespace of the package lists' serial numbers
# Since 2.0.2, Imager hides entries in an unknown format; it knows this one since 2.0.11.
FORMAT = "rpi-preseed"
MANIFEST = "mynn-{}.rpi-imager-manifest"  # Imager's repository of a version


def list_packages(root: Path, out: Path, name: str, version: str, date: datetime.datetime) -> int:
    """Write the list of packages. Returns their number without source packages, which Debian's tracker needs."""
    architecture = (root / "var/lib/dpkg/arch").read_text(encoding="ascii").split()[0]
    about = ("--distro-name", name, "--distro-version", version, "--distro-arch", architecture)
    form = ("--sbom-type=cdx", "--cdx-schema-version=1.6", "--no-recommends-deps", f"--timestamp={date.isoformat()}")
    debsbom = Path(sys.executable).with_name("debsbom")
    run(debsbom, "generate", "--root", root, *about, *form, f"--cdx-serialnumber={SPACE}", "--out", out)
    listed = json.loads(out.read_bytes())
    venvs = ("opt/mynn/venv", "opt/mynn/desk/venv")
    site = [str(path) for venv in venvs for path in root.glob(f"{venv}/lib/python3*/site-packages")]
    for package, of in sorted({(each.name, each.version) for each in distributions(path=site)}):
        purl = f"pkg:pypi/{package.lower().replace('_', '-')}@{of}"
        listed["components"] += [{"type": "library", "name": package, "version": of, "purl": purl, "bom-ref": purl}]
    listed["serialNumber"] = uuid.uuid5(SPACE, json.dumps(listed)).urn
    out.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return sum("arch=source" not in entry["purl"] for entry in listed["components"])


def pack(image: Path) -> Path:
    """Compress an image, in blocks of fixed size, so that the result does not depend on the number of cores."""
    cores = os.cpu_count() or 1
    # Use the core, too, that Mitogen reserves for itself and does not need now.
    os.sched_setaffinity(0, range(cores))
    # With one thread, xz would write a single block. Its ARM filter would save 5 %, but the xz in Raspberry Pi Imager
    # 2.0 lacks it.
    run("xz", "--force", "--keep", "-1", f"--threads={max(2, cores)}", "--block-size=16MiB", image)
    return image.with_name(f"{image.name}.xz")


def sha256(path: Path) -> str:
    """Return a file's SHA256 sum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sources(folder: Path = HERE) -> str:
    """Return this project's commit and its time, with -changed if the folder has changes, or settings of a school."""
    git = ["git", "-C", str(folder)]
    status = [*git, "status", "--porcelain"]
    settings = [f":/{path}" for path in ("playbooks", "group_vars", "host_vars", "certificates")]  # git ignores them
    changed = subprocess.check_output(status) + subprocess.check_output([*status, "--ignored", *settings])
    commit = subprocess.check_output([*git, "log", "-1", "--format=%H %ct"], text=True).strip()
    return f"{commit}-changed" if changed else commit


def repository(folder: Path, version: str, address: str) -> str:
    """Return Imager's repository of all images of a version in a folder, as JSON.

    address: where Imager finds the folder's files, with a slash at the end
    """
    told = [json.loads(path.read_bytes()) for path in sorted(folder.glob(f"mynn-*-{version}.json"))]
    told = [one for one in told if (folder / one["entry"]["url"]).exists()]
    # Imager offers only the devices in the repository.
    devices = {one["pis"]: {"name": one["pis"], "description": "", "tags": one["entry"]["devices"]} for one in told}
    entries = [one["entry"] | {key: address + one["entry"][key] for key in ("icon", "url")} for one in told]
    if website := project.address():
        entries = [entry | {"website": website} for entry in entries]
    return json.dumps({"imager": {"devices": list(devices.values())}, "os_list": entries}, indent=2) + "\n"


def release(about: dict[str, Any], parts: Path) -> str:
    """Write an image's files into the folder `parts`. Returns a sentence about them."""
    stem = f"{about['name']}-{about['version']}"
    date = datetime.datetime.fromtimestamp(about["epoch"], datetime.UTC)
    dist = Path(about["dist"]).resolve()
    manifest = MANIFEST.format(about["version"])
    packages = list_packages(Path(about["root"]), parts / f"{stem}.cdx.json", about["name"], about["version"], date)
    image = parts / f"{stem}.img"
    image.symlink_to(Path(about["image"]).resolve())
    packed = pack(image)
    run("bmaptool", "create", image, "-o", parts / f"{stem}.img.bmap")
    sums = {"raw_sha256": sha256(image), "packed_sha256": sha256(packed)}
    sizes = {"raw_size": image.stat().st_size, "packed_size": packed.stat().st_size}
    image.unlink()
    (parts / f"{packed.name}.sha256").write_text(f"{sums['packed_sha256']}  {packed.name}\n", encoding="utf-8")
    shutil.copyfile(HERE / "image_icon.svg", parts / f"{stem}.svg")
    # Follows Imager's published schema; `repository` adds the address of the folder.
    entry = {
        "name": f"{about['title']} ({stem})",
        "description": "Children train their own neural network, in a browser and without Internet",
        "icon": f"{stem}.svg",
        "url": packed.name,
        "extract_size": sizes["raw_size"],
        "extract_sha256": sums["raw_sha256"],
        "image_download_size": sizes["packed_size"],
        "image_download_sha256": sums["packed_sha256"],
        "release_date": date.date().isoformat(),
        "devices": about["devices"],
        "init_format": FORMAT,
    }
    # An image of another Debian, or one during whose making the commit changed, belongs to no release.
    made_of = sources()
    belongs = about["usual"] and made_of.endswith(f" {about['epoch']}")
    record = {"sources": made_of if belongs else "unknown", "pis": about["pis"], "entry": entry}
    (parts / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    notes = string.Template((HERE / "image_notes.md").read_text(encoding="utf-8"))
    told = about | sums | sizes | {"stem": stem, "date": entry["release_date"], "packages": packages}
    told["manifest"] = manifest
    (parts / f"{stem}.md").write_text(notes.substitute(told), encoding="utf-8")
    megabytes = f"{sizes['packed_size'] / 1e6:.0f} MB, unpacked {sizes['raw_size'] / 1e6:.0f} MB"
    return f"The image is {dist / packed.name} ({megabytes}). Raspberry Pi Imager opens {manifest} beside it."


def main(about: dict[str, Any]) -> None:
    """Make a release. SystemExit: a program is missing, or failed."""
    dist = Path(about["dist"])
    parts = dist / f".{about['name']}.parts"
    shutil.rmtree(parts, ignore_errors=True)  # left by a killed run
    parts.mkdir(parents=True)
    try:
        print(release(about, parts))
        for path in sorted(parts.iterdir(), key=lambda path: path.suffix == ".json"):
            path.replace(dist / path.name)
        manifest = repository(dist, about["version"], f"{dist.resolve().as_uri()}/")
        write_text(dist / MANIFEST.format(about["version"]), manifest)
    except CardError as error:
        sys.exit(f"image_release: {error}")
    finally:
        shutil.rmtree(parts)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
