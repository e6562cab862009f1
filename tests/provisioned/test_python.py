"""Python."""

import json
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.provisioned.pi import Pi, Result, Results, project

# Use each package a little, and print those that fail.
SCIENCE = """
import io, logging
logging.disable(logging.WARNING)  # on a Pi Zero, matplotlib warns that building its font cache takes a moment
def numpy():
    import numpy
    assert numpy.allclose(numpy.linalg.solve([[2, 1], [1, 3]], [3, 5]), [0.8, 1.4])
def scipy():
    import scipy.ndimage, scipy.special
    assert scipy.special.expit(0) == 0.5 and scipy.ndimage.rotate([[1, 0], [0, 1]], 90).shape == (2, 2)
def matplotlib():
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot
    matplotlib.pyplot.imshow([[0, 1], [1, 0]])
    matplotlib.pyplot.savefig(picture)
def pillow():
    import PIL.Image
    assert PIL.Image.open(picture).size > (100, 100)
def imageio():
    import imageio.v3
    assert imageio.v3.imread(picture.getvalue(), mode="F").ndim == 2
def notebook():
    import notebook.app
picture = io.BytesIO()
for try_it in numpy, scipy, matplotlib, pillow, imageio, notebook:
    try:
        try_it()
    except Exception as error:
        print(f"{try_it.__name__} ({type(error).__name__}: {error})")
"""
# Print the folders of packages of which a file is not as pip installed it.
DAMAGED = """
import base64, csv, hashlib, pathlib
def is_whole(record):
    entries = list(csv.reader(record.read_text().splitlines()))
    sums = {name: sum_ for name, sum_, size in entries if sum_}
    return bool(sums) and all("sha256=" + sum_of(record.parents[1] / name) == sum_ for name, sum_ in sums.items())
def sum_of(path):
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
for folder in sorted(pathlib.Path("%s").glob("lib/python3*/site-packages/*.dist-info")):
    try:
        whole = is_whole(folder / "RECORD")
    except Exception:
        whole = False
    if not whole:
        print(folder.name)
"""


@pytest.fixture(scope="module")
def results(pi: Pi) -> Results:
    venv = pi.settings.venv
    return pi.run(
        {
            "science": pi.as_student_python(SCIENCE),
            "damaged": pi.as_student_python(DAMAGED % venv),
            "versions": pi.as_student(f"{venv}/bin/python -m pip list --format=json 2>/dev/null"),
            "check": pi.as_student(f"{venv}/bin/python -m pip --disable-pip-version-check check"),
            "debian": pi.as_student("cd /usr/lib/python3/dist-packages && ls -d *-info"),
            "ours": pi.as_student(f"cd {venv}/lib/python3*/site-packages && ls -d *-info"),
            "writable": pi.as_student("find /opt/mynn /srv/mynn ! -type l -writable -print -quit"),
        }
    )


def test_science_works(results: Results) -> None:
    """numpy, scipy, matplotlib, Pillow, imageio and Notebook work."""
    assert results["science"].status == 0, f"The environment's Python does not start: {results['science'].text}"
    assert results["science"].text == "", f"These do not work: {'; '.join(results['science'].lines)}"


def test_packages_are_undamaged(results: Results) -> None:
    """All files of its Python packages are as they were installed."""
    # The role python reads that this failed, and makes the environment anew.
    damaged = results["damaged"].lines
    assert not damaged, f"Files of these packages are damaged: {', '.join(damaged)}. `make site` installs all anew."


def test_jupyter_has_no_known_vulnerabilities(results: Results) -> None:
    """Jupyter has no known vulnerabilities."""
    content = tomllib.loads((project() / "pyproject.toml").read_text(encoding="utf-8"))
    floors = [need for need in map(Requirement, content["dependency-groups"]["pi"]) if ">=" in str(need.specifier)]
    assert results["versions"].status == 0, f"pip does not work: {results['versions'].text}"
    versions = {canonicalize_name(one["name"]): one["version"] for one in json.loads(results["versions"].text)}
    old = [
        f"{need} is {versions.get(canonicalize_name(need.name))}"
        for need in floors
        if versions.get(canonicalize_name(need.name), "0") not in need.specifier
    ]
    assert not old, f"Too old and vulnerable: {', '.join(old)}."


def test_packages_fit_together(results: Results) -> None:
    """All Python packages are compatible."""
    # pip judges all packages that the environment sees. Debian's own may ask for what has no metadata for pip, as
    # Raspberry Pi OS's apt-listchanges asks for debconf; apt sees to those.
    debians, lines = packages(results["debian"]) - packages(results["ours"]), results["check"].lines
    ours = [line for line in lines if canonicalize_name(line.partition(" ")[0]) not in debians]
    only_debians = lines and not ours  # no line at all: pip itself does not work
    assert results["check"].status == 0 or only_debians, f"Python packages are incompatible: {'; '.join(ours)}"


def packages(folders: Result) -> set[str]:
    """Return the names of packages whose folders or files of metadata were listed."""
    return {canonicalize_name(line.partition("-")[0].removesuffix(".egg")) for line in folders.lines}


def test_students_cannot_change_it(results: Results) -> None:
    """Students cannot change the shared programs and digits."""
    assert results["writable"].status == 0, f"The student cannot search the shared folders: {results['writable'].text}"
    assert results["writable"].text == "", f"The student can write to {results['writable'].text}."
