"""What the desk's card gets of the project of whoever makes it."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support.programs import ROOT

LONG = f"charset_normalizer-3.5.2-cp313-cp313-{'.'.join(f'manylinux_2_{n}_x86_64' for n in range(17, 29))}.whl"


def test_nothing_of_its_makers_own_is_on_the_card_and_it_is_the_same_each_time(tmp_path: Path) -> None:
    project, wheels = tmp_path / "project", tmp_path / "wheels.tar"
    settings = project / "playbooks/group_vars/all/settings.yml"
    settings.parent.mkdir(parents=True)
    (project / ".gitignore").write_text("settings.yml\nclassroom.ini\n")
    for path in (project / "inventory.ini", project / "ansible.cfg", project / "LICENSE"):
        path.write_text("# nothing is set\n")
    (project / "locale/de").mkdir(parents=True)
    (project / "locale/de/desk.po").touch()
    (project / "tests/unit").mkdir(parents=True)
    (project / "tests/unit/test.py").write_text("")
    commit = ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "Begin"]
    for command in (["init", "-q"], ["add", "."], commit):
        subprocess.run(["git", "-C", project, *command], check=True)
    settings.write_text("cards_wifi: {networks: [{password: secret}]}\n")
    (project / "classroom.ini").write_text("secret\n")
    (project / "host_vars").mkdir()
    (project / "host_vars/pi01.yml").write_text("ansible_become_password: secret\n")
    (project / "ansible.cfg").write_text("# changed\n")
    made = {"mynn_control/catalogs/de.mo", "mynn_server/page/de/try/index.html", "notebooks/de/part2.ipynb"}
    for name in made:
        (project / name).parent.mkdir(parents=True)
        (project / name).touch()
    with tarfile.open(wheels, "w") as tar:
        for name in ("requirements.txt", LONG):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    about = {"project": str(project), "wheels": str(wheels), "archive": str(tmp_path / "build/desk.tar")}
    built = dict.fromkeys(("plain", "server"), str(project / "LICENSE"))
    keep = {"cache/a": str(project / "LICENSE")}
    command = [sys.executable, "-m", "mynn_control.desk_card"]
    given = json.dumps({**about, "built": {**built, "wheels": {"armel": str(project / "LICENSE")}}, "keep": keep})
    sums = {subprocess.check_output([*command, given], cwd=ROOT) for _ in range(2)}
    assert len(sums) == 1 and len(sums.pop()) == 12
    with tarfile.open(about["archive"]) as tar:
        found = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
        assert {(one.uid, one.uname, one.mtime) for one in tar} == {(0, "", 1_000_000_000)}
    ours = {name: content for name, content in found.items() if "/ansible_collections/" not in name}
    assert not [name for name, content in ours.items() if b"secret" in content]
    assert found["project/ansible.cfg"] == b"# changed\n"
    assert {
        "wheels/requirements.txt",
        f"wheels/{LONG}",
        "kept/cache/a",
        "kept/build/wheel/armel/LICENSE",
    } <= found.keys()
    assert found.keys().isdisjoint({"project/tests/unit/test.py", "project/locale/de/desk.po"})
    assert {f"project/{path}" for path in made} <= found.keys()
    assert "project/collections/ansible_collections/ansible/posix/plugins/modules/authorized_key.py" in found
