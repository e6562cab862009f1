import subprocess
import sys
from pathlib import Path

TEXT = """# Small, as no message of a
# kernel's, or of Ansible's and mitogen's messages, if there is none.
# So whoever asks gets a number: what is here is probably none. {% if x is none %}
x = 1  # Nor by what it was
y = "Seats for who is signed in with "
    "what was given"
"""


def test_a_stumbling_turn_is_named_with_its_place_and_a_better_one(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    subprocess.run("git init -q . && git add .", shell=True, check=True, cwd=tmp_path)
    prose = Path(__file__).parents[1] / "prose.py"
    ran = subprocess.run([sys.executable, prose], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "a.py:1: “of a kernel's”; better: a noun",
        "a.py:3: “is probably none”; better: is not one; is missing",
        "a.py:3: “whoever”; better: somebody who; the first Pi that",
        "a.py:4: “Nor”; better: a whole sentence",
        "a.py:4: “by what it”; better: a noun: with the answer",
        "a.py:5: “for who is”; better: those who; a noun: users",
        "a.py:5: “with what was”; better: a noun: with the answer",
    ]
