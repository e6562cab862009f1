"""`make release`, with stand-ins for images, wheels and manual: its tree, its refusals, and the check of a reader."""

import hashlib
import json
import lzma
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import sources as manual_sources
from mynn_control import release
from mynn_control.image_release import sources
from tests.support.programs import ROOT

URL = "https://example.org/mynn"
FILES = {
    "mynn/__init__.py": '__version__ = "0.2.0"\n',
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-24\n\n- Faster.\n\n## [0.1.0]\n\n- New.\n",
    ".gitignore": "dist/\nmade/\nplaybooks/group_vars/all/settings.yml\n",
    "Makefile": "image:\n\tmkdir -p dist\n\tcp made/$(if $(DESK),desk,$(BOARD))/* dist/\n",
}


def git(project: Path, *words: str) -> None:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", project, *settings, *words], check=True, stdout=subprocess.DEVNULL)


def write_image(folder: Path, stem: str, made_of: str) -> None:
    """Write the files that `make image` makes, for an image of some bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    image = f"the image {stem}".encode()
    packed = lzma.compress(image)
    entry: dict[str, Any] = {"name": stem, "description": "", "icon": f"{stem}.svg", "url": f"{stem}.img.xz"}
    entry |= {"extract_size": len(image), "extract_sha256": hashlib.sha256(image).hexdigest()}
    entry |= {"image_download_size": len(packed), "image_download_sha256": hashlib.sha256(packed).hexdigest()}
    entry |= {"release_date": "2026-12-24", "devices": [f"{stem}-tag"], "init_format": "rpi-preseed"}
    (folder / f"{stem}.img.xz").write_bytes(packed)
    for suffix in ("cdx.json", "img.bmap", "img.xz.sha256", "md", "svg"):
        (folder / f"{stem}.{suffix}").write_text(suffix)
    record = {"sources": made_of, "pis": f"The Pis of {stem}", "entry": entry}
    (folder / f"{stem}.json").write_text(json.dumps(record))


def write_manual(_project: Path, version: str, folder: Path) -> None:
    """Write the pages that index.html leads to."""
    page = (ROOT / "mynn_control/release.html").read_text()
    for link, heading in re.findall(r'"(manual/[^"#]+)#?([^"]*)"', page):
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        with (folder / link).open("a") as file:
            file.write(f'<h2 id="{heading}">')
    (folder / f"mynn-manual-{version}.zip").touch()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tagged project that can make images of a Zero and of the desk, and a key beside it."""
    monkeypatch.setattr(release, "write_manual", write_manual)
    monkeypatch.setattr("mynn_control.wheels.distribute", lambda _project, to: (to / "mynn_pi-0.2.0-linux.whl").touch())
    path = tmp_path / "project"
    for name, text in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    subprocess.run(["git", "init", "-q", path], check=True)
    git(path, "add", ".")
    git(path, "commit", "-qm", "Release 0.2.0")
    git(path, "tag", "v0.2.0")
    write_image(path / "made/zero", "mynn-pi-zero-0.2.0", sources(path))
    write_image(path / "made/desk", "mynn-desk-3-zero2w-4-0.2.0", sources(path))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return path


def make(project: Path, *boards: str, address: str = URL, key: str = "key") -> Path:
    return release.make(project, boards, address, project.with_name(key))


def test_a_release_is_whole_and_leads_to_all_its_files(project: Path) -> None:
    """An image of another commit is made anew; one of this commit is not."""
    write_image(project / "dist", "mynn-pi-zero-0.2.0", "an earlier commit")
    write_image(project / "dist", "mynn-desk-3-zero2w-4-0.2.0", sources(project))
    shutil.rmtree(project / "made/desk")
    folder = make(project, "zero", "desk")
    assert folder == project / "dist/release/0.2.0"
    assert [path.name for path in folder.parent.iterdir()] == ["0.2.0"]
    suffixes = ("cdx.json", "img.bmap", "img.xz", "img.xz.sha256", "json", "md", "svg")
    images = {f"{stem}-0.2.0.{end}" for stem in ("mynn-pi-zero", "mynn-desk-3-zero2w-4") for end in suffixes}
    others = {"SHA256SUMS", "SHA256SUMS.sig", "allowed_signers", "index.html", "manual", "mynn-manual-0.2.0.zip"}
    others |= {"mynn-0.2.0.rpi-imager-manifest", "mynn_pi-0.2.0-linux.whl", "release-notes.md"}
    assert {path.name for path in folder.iterdir()} == images | others
    assert (folder / "release-notes.md").read_text() == "# mynn-pi 0.2.0\n\n- Faster.\n"

    told = json.loads((folder / "mynn-0.2.0.rpi-imager-manifest").read_text())
    tags = [device["tags"] for device in told["imager"]["devices"]]
    assert tags == [entry["devices"] for entry in told["os_list"]]
    assert len(tags) == 2
    for entry in told["os_list"]:
        for address in (entry["url"], entry["icon"]):
            assert (folder / address.removeprefix(f"{URL}/")).is_file()

    page = (folder / "index.html").read_text()
    assert "<script" not in page
    links = set(re.findall(r'(?:href|src)="([^"]+)"', page))
    # Imager's own pattern of an address (raspberrypi/rpi-imager, isValidRepoUrl in src/imagewriter.cpp).
    [deep] = [link.partition("?repo=")[2] for link in links if link.startswith("rpi-imager://open?repo=")]
    assert re.fullmatch(r"https?://[^ \t\r\n?#]+\.(json|rpi-imager-manifest)([?#][^ \t\r\n]*)?", deep)
    assert {f"{URL}/{name}" for name in ("SHA256SUMS", "mynn-pi-zero-0.2.0.img.xz")} | {deep} <= links


def test_without_an_address_the_release_is_for_a_school_without_the_internet(project: Path) -> None:
    folder = make(project, "zero", address="")
    told = json.loads((folder / "mynn-0.2.0.rpi-imager-manifest").read_text())
    assert told["os_list"][0]["url"] == (folder / "mynn-pi-zero-0.2.0.img.xz").as_uri()
    page = (folder / "index.html").read_text()
    assert "rpi-imager://" not in page
    assert 'href="mynn-0.2.0.rpi-imager-manifest"' in page


def test_the_check_of_the_manual_finds_a_changed_byte_in_each_file(project: Path) -> None:
    page = (ROOT / "docs/manage/signatures.md").read_text(encoding="utf-8")
    [commands] = re.findall(r"```bash\n(.+?)```", page, re.S)
    folder = make(project, "zero")

    def checked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", commands], cwd=folder, capture_output=True, text=True, check=False)

    done = checked()
    assert (done.returncode, 'Good "file" signature for mynn-pi' in done.stdout) == (0, True), done.stderr
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if whole else b"x")
        assert checked().returncode != 0, path.name
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("echo >>CHANGELOG.md", "This folder has changes: commit or remove CHANGELOG.md"),
        ("touch new.py", "commit or remove new.py"),
        ("mkdir -p playbooks/group_vars/all && touch $_/settings.yml", "settings of a school"),
        ("git tag -d v0.2.0", "says 0.2.0, but this commit has no tag"),
        ("git tag v0.3.0 && git tag -d v0.2.0", "says 0.2.0, but this commit has the tag v0.3.0"),
        ("sed -i 's/0.2.0/0.2.1/' CHANGELOG.md && COMMIT", "CHANGELOG.md begins with [0.2.1]"),
        ("sed -i '/Unrel/a - More.' CHANGELOG.md && COMMIT", "CHANGELOG.md begins with [Unreleased]"),
        ("rm made/zero/*", "`make image BOARD=zero` failed"),
        ("mkdir dist && echo >>made/zero/mynn-pi-zero-0.2.0.img.xz", "mynn-pi-zero-0.2.0.img.xz is damaged"),
        ("rm ../key", "There is no key"),
    ],
)
def test_no_release_is_made_and_a_sentence_says_why(project: Path, command: str, sentence: str) -> None:
    commit = "git -c user.name=A -c user.email=a@example.org commit -qam x && git tag -f v0.2.0"
    subprocess.run(["bash", "-ec", command.replace("COMMIT", commit)], cwd=project, check=True)
    with pytest.raises(release.ReleaseError, match=re.escape(sentence)):
        make(project, "zero")
    assert not (project / "dist/release/0.2.0").exists()


def test_the_command_names_the_files_or_says_what_cannot_be_made(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mynn_control.project.ROOT", project)

    def command(boards: str, address: str) -> str:
        monkeypatch.setattr("sys.argv", ["release", boards, address, str(project.with_name("key"))])
        release.main()
        return capsys.readouterr().out

    printed = command("zero,desk", URL)
    assert "MB  mynn-pi-zero-0.2.0.img.xz" in printed and "MB  mynn-desk-3-zero2w-4-0.2.0.img.xz" in printed
    with pytest.raises(SystemExit, match=r"There is no image of zero2\. BOARDS can be zero, 2, 3, 5, desk"):
        command("zero2", URL)
    with pytest.raises(SystemExit, match="is not an address"):
        command("zero", "javascript:alert(1)")
    with pytest.raises(SystemExit, match="`make image BOARD=2` failed"):
        command("", URL)  # all boards


def test_the_forge_makes_the_same_release_with_the_same_commands() -> None:
    """Its actions are pinned, its jobs make all images, and `make` knows what they call."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").iterdir()}
    for text in texts.values():
        for action in re.findall(r"uses: (.+)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}   # v[\d.]+", action)
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in [*re.findall(r"run: make ([\w./]+)", text), "demo", "test"]:
            assert re.search(rf"^{re.escape(target)}\b.*:", makefile, re.M), target
    images = yaml.safe_load(texts["release"])["jobs"]["image"]["strategy"]["matrix"]["image"]
    made = {image["name"]: [f"BOARD={image['board']}"] + ["DESK=yes"] * (image["desk"] == "yes") for image in images}
    assert made == release.BOARDS


def test_the_manual_names_the_projects_address_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mynn_control.project.address", lambda _page="": "https://forge.example/mynn-pi")
    for name in ("develop/security-policy", "start/demo", "start/without-linux", "manage/computer"):
        page = [(ROOT / f"docs/{name}.md").read_text(encoding="utf-8")]
        manual_sources.fill_in(None, name, page)
        assert "https://forge.example/mynn-pi" in page[0]
        assert manual_sources.UNKNOWN not in page[0]
    for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md"):  # which a forge shows as they are
        assert manual_sources.UNKNOWN not in (ROOT / name).read_text(encoding="utf-8")


def test_the_page_leads_to_headings_of_the_manual() -> None:
    page = (ROOT / "mynn_control/release.html").read_text(encoding="utf-8")
    for link, heading in re.findall(r'"manual/([^"#]+)\.html#?([^"]*)"', page):
        text = (ROOT / f"docs/{link}.md").read_text(encoding="utf-8")
        slugs = {re.sub(r"[^a-z]+", "-", line.lower()).strip("-") for line in re.findall(r"^#+ (.+)$", text, re.M)}
        assert heading in slugs | {""}, link
    for name in re.findall(r"manual/_images/([^\"]+)", page):
        assert (ROOT / "docs/images" / name).is_file()
