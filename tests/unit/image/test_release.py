"""`make release`, with stand-ins for images, wheels and manual: its tree, its refusals, and who uses it."""

import hashlib
import json
import lzma
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from docs import sources as manual_sources
from mynn_control import release
from mynn_control.image_release import repository, sources
from tests.support.imager import downloaded, serving
from tests.support.programs import ROOT

ZERO, DESK, MANIFEST = "mynn-pi-zero-0.2.0", "mynn-desk-3-zero2w-4-0.2.0", "mynn-0.2.0.rpi-imager-manifest"
SUFFIXES = ("cdx.json", "img.bmap", "img.xz", "img.xz.sha256", "json", "md", "svg")
FILES = {
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-24\n\n- Faster.\n\n## [0.1.0]\n\n- New.\n",
    ".gitignore": "dist/\nmade/\nplaybooks/group_vars/all/settings.yml\n",
    "Makefile": "image:\n\tmkdir -p dist\n\tcp made/$(if $(DESK),desk,$(BOARD))/* dist/\n",
}


def write_image(folder: Path, stem: str, made_of: str) -> None:
    """Write the files that `make image` makes, for an image of some bytes."""
    folder.mkdir(parents=True)
    image = stem.encode()
    packed = lzma.compress(image)
    entry: dict[str, Any] = {"name": stem, "description": "", "icon": f"{stem}.svg", "url": f"{stem}.img.xz"}
    entry |= {"extract_size": len(image), "extract_sha256": hashlib.sha256(image).hexdigest()}
    entry |= {"image_download_size": len(packed), "image_download_sha256": hashlib.sha256(packed).hexdigest()}
    entry |= {"release_date": "2026-12-24", "devices": [f"{stem}-tag"], "init_format": "rpi-preseed"}
    contents = dict.fromkeys(SUFFIXES, b"...") | {"img.xz": packed}
    contents["img.xz.sha256"] = f"{entry['image_download_sha256']}  {stem}.img.xz\n".encode()
    contents["json"] = json.dumps({"sources": made_of, "pis": f"The Pis of {stem}", "entry": entry}).encode()
    for suffix, content in contents.items():
        (folder / f"{stem}.{suffix}").write_bytes(content)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tagged project that can make images of a Zero and of the desk, and a key beside it."""
    monkeypatch.setattr(release, "version", "0.2.0")
    monkeypatch.setattr(release, "write_manual", lambda _project, to: (to / "index.html").write_text("..."))
    monkeypatch.setattr(release, "write_packages", lambda _project, to: (to / "mynn_pi-1.whl").touch())
    (tmp_path / "gitconfig").write_text("[user]\nname = A\nemail = a@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    path = tmp_path / "project"
    path.mkdir()
    for name, text in FILES.items():
        (path / name).write_text(text)
    subprocess.run(
        "git init -q && git add . && git commit -qm 0.2.0 && git tag v0.2.0", shell=True, cwd=path, check=True
    )
    write_image(path / "made/zero", ZERO, sources(path))
    write_image(path / "made/desk", DESK, sources(path))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return path


def make(project: Path, *boards: str, address: str = "") -> Path:
    return release.make(project, boards, address, project.with_name("key"))


def links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the links of a release's first page to its files."""
    monkeypatch.setattr(manual_sources, "RELEASE", str(folder))
    page = [(ROOT / "docs/download.md").read_text(encoding="utf-8")]
    manual_sources.fill_in(None, "download", page)
    return re.findall(r'href="([^"]+)"', page[0])


def test_a_release_leads_imager_to_all_images(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of another commit is made anew, one of this commit is not."""
    write_image(project / "dist", ZERO, "an earlier commit")
    shutil.copytree(project / "made/desk", project / "dist", dirs_exist_ok=True)
    shutil.rmtree(project / "made/desk")
    with serving(project / "dist/release") as address:
        folder = make(project, "zero", "desk", address=f"{address}/0.2.0")
        deep, *others = links(folder, monkeypatch)
        scheme, _, manifest = deep.partition("?repo=")
        assert scheme == "rpi-imager://open"
        # Imager's own pattern (raspberrypi/rpi-imager, isValidRepoUrl in src/imagewriter.cpp).
        assert re.fullmatch(r"https?://[^ \t\r\n?#]+\.(json|rpi-imager-manifest)([?#][^ \t\r\n]*)?", manifest)
        missing = [link for link in others if not requests.get(link, timeout=60).ok]
        assert [link.rpartition("/")[2][:11] for link in missing] == ["mynn-manual"]  # left out of this test
        images = downloaded(manifest, tmp_path / "images")
    assert {name: path.read_text() for name, path in images.items()} == {f"The Pis of {n}": n for n in (ZERO, DESK)}
    assert {f"{stem}.{suffix}" for stem in (ZERO, DESK) for suffix in SUFFIXES} < {
        path.name for path in folder.iterdir()
    }
    (folder / f"{DESK}.img.xz").unlink()
    assert [entry["name"] for entry in json.loads(repository(folder, "0.2.0", ""))["os_list"]] == [ZERO]
    assert (folder / "release-notes.md").read_text() == "# mynn-pi 0.2.0\n\n- Faster.\n"


def test_without_an_address_it_is_a_folder_for_a_school(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(project, "zero")
    [entry] = json.loads((folder / MANIFEST).read_text())["os_list"]
    assert entry["url"] == (folder / f"{ZERO}.img.xz").as_uri()
    assert {f"../{ZERO}.img.xz", f"../{MANIFEST}"} <= set(links(folder, monkeypatch))


def test_the_check_of_the_manual_finds_a_changed_byte_in_each_file(project: Path) -> None:
    page = (ROOT / "docs/manage/signatures.md").read_text(encoding="utf-8")
    [commands] = re.findall(r"```bash\n(.+?)```", page, re.S)
    folder = make(project, "zero")

    def checked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", commands], cwd=folder, capture_output=True, text=True, check=False)

    done = checked()
    assert (done.returncode, 'Good "file" signature for mynn-pi' in done.stdout) == (0, True), done.stderr
    for path in folder.iterdir():
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if whole else b"x")
        assert checked().returncode != 0, path.name
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("touch new.py", "This folder has changes, or settings of a school"),
        ("mkdir -p playbooks/group_vars/all && touch $_/settings.yml", "settings of a school"),
        ("git tag v0.3.0 && git tag -d v0.2.0", "says 0.2.0, the tag of this commit is v0.3.0"),
        (
            "sed -i '/Unrel/a - More.' CHANGELOG.md && git commit -qam x && git tag -f v0.2.0",
            "begins with [Unreleased]",
        ),
        ("rm made/zero/*", "`make image BOARD=zero` failed"),
        (f"echo >>made/zero/{ZERO}.img.xz", f"--check {ZERO}.img.xz.sha256` failed"),
        ("rm ../key", "There is no key"),
    ],
)
def test_no_release_is_made_and_a_sentence_says_why(project: Path, command: str, sentence: str) -> None:
    subprocess.run(["bash", "-ec", command], cwd=project, check=True)
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        make(project, "zero")
    assert not (project / "dist/release/0.2.0").exists()


def test_the_manual_names_the_projects_address_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mynn_control.project.address", lambda _page="": "https://forge.example/mynn-pi")
    for name in ("develop/security-policy", "start/demo", "start/without-linux", "manage/computer"):
        page = [(ROOT / f"docs/{name}.md").read_text(encoding="utf-8")]
        manual_sources.fill_in(None, name, page)
        assert ("https://forge.example/mynn-pi" in page[0], manual_sources.UNKNOWN in page[0]) == (True, False), name
