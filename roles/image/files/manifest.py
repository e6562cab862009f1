#!/usr/bin/env python3
"""List the packages in a root file system, apt's and pip's, with their versions: a CycloneDX file in JSON.

    manifest.py ROOT OUT.cdx.json --name mynn-pi-zero --version 0.1 --epoch SECONDS [--venv opt/mynn/venv]

Apt's packages are those that dpkg lists as installed; pip's are those of the virtual environment. Each has its package
URL (such as pkg:deb/debian/python3-numpy@1:2.2.4+ds-1?arch=armel&distro=debian-13), by which vulnerability scanners
find it. Debian's security tracker knows source packages only. So these are there too (?arch=source), and each of apt's
packages depends on those that it was built from, which is the form that debsbom's sec-scan reads.

The same packages, name, version and epoch (seconds since 1970) give the same bytes. OUT appears whole or not at all.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import uuid
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from debian.deb822 import Deb822
from packageurl import PackageURL
from packing import PackingError, add_image_arguments, exit_on_error, scratch_folder

SPACE = uuid.UUID("6d796e6e-7069-4a2d-9c1b-5a65726f0003")  # of our lists' serial numbers


def os_release(root: Path) -> dict[str, str]:
    """Return the root's os-release, such as ID and VERSION_ID."""
    lines = (root / "usr/lib/os-release").read_text(encoding="utf-8").splitlines()
    return {key: value.strip('"') for key, found, value in (line.partition("=") for line in lines) if found}


def debs(root: Path) -> Iterator[Deb822]:
    """Yield each package that is installed."""
    packages = Deb822.iter_paragraphs((root / "var/lib/dpkg/status").read_text(encoding="utf-8"), use_apt_pkg=False)
    yield from (package for package in packages if package["Status"].endswith(" ok installed"))


def sources(package: Deb822) -> Iterator[tuple[str, str]]:
    """Yield name and version of the source packages that a package was built from. A signed kernel has two."""
    name, _, version = package.get("Source", "").partition(" ")
    yield name or package["Package"], version.strip("()") or package["Version"]
    yield from re.findall(r"(\S+) \(= ([^)]+)\)", package.get("Built-Using", ""))


def library(url: PackageURL) -> Component:
    """Return the list's entry for a package."""
    name = str(url)
    return Component(type=ComponentType.LIBRARY, name=url.name, version=url.version, purl=url, bom_ref=name)


def components(root: Path, venv: Path) -> tuple[list[Component], dict[Component, list[Component]]]:
    """Return the list's entries, and the source packages of apt's.

    The entries are the system, apt's packages, pip's packages, and source packages.
    """
    system = os_release(root)
    name, version = system["ID"], system["VERSION_ID"]
    # The point release, such as 13.2: os-release has only 13.
    point = (root / "etc/debian_version").read_text(encoding="utf-8").strip()
    found = [Component(type=ComponentType.OPERATING_SYSTEM, name=name, version=point, bom_ref="os")]
    built_from: dict[Component, list[Component]] = {}
    source_packages: dict[tuple[str, str], Component] = {}
    for package in debs(root):
        qualifiers = {"arch": package["Architecture"], "distro": f"{name}-{version}"}
        binary = library(PackageURL("deb", name, package["Package"], package["Version"], qualifiers))
        found.append(binary)
        built_from[binary] = [
            source_packages.setdefault(source, library(PackageURL("deb", name, *source, {"arch": "source"})))
            for source in sources(package)
        ]
    folders = sorted((root / venv).glob("lib/python3*/site-packages"))
    if not folders:
        raise PackingError(f"{root / venv} is not a virtual environment: give its path with --venv")
    for item, of in sorted({(each.name, each.version) for each in distributions(path=[str(path) for path in folders])}):
        found.append(library(PackageURL("pypi", None, item, of)))
    return [*found, *source_packages.values()], built_from


def manifest(root: Path, venv: Path, name: str, version: str, epoch: int) -> str:
    """Return the list as JSON."""
    found, built_from = components(root, venv)
    image = Component(type=ComponentType.OPERATING_SYSTEM, name=name, version=version, bom_ref="image")
    date = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    bom = Bom(components=found, metadata=BomMetaData(component=image, timestamp=date))
    bom.register_dependency(image, found)
    for binary, packages in built_from.items():
        bom.register_dependency(binary, packages)
    contents = json.dumps([name, version, epoch, sorted(f"{item.bom_ref.value} {item.version}" for item in found)])
    bom.serial_number = uuid.uuid5(SPACE, contents)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the root file system")
    parser.add_argument("out", type=Path, help="the list to write")
    add_image_arguments(parser)
    parser.add_argument("--venv", type=Path, default=Path("opt/mynn/venv"), help="pip's packages (opt/mynn/venv)")
    arguments = parser.parse_args()
    with exit_on_error("manifest.py"):
        text = manifest(arguments.root, arguments.venv, arguments.name, arguments.version, arguments.epoch)
        with scratch_folder(arguments.out) as parts:
            (parts / "list").write_text(text, encoding="utf-8")
            (parts / "list").replace(arguments.out)


if __name__ == "__main__":
    main()
