"""Model serialization: a network as a validated .npz file, or as the bytes that browsers exchange."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from mynn import checks
from mynn.arrays import Floats
from mynn.errors import NetworkFileError, os_errors_as
from mynn.files import check_place, replacing
from mynn.rows import LABELS, PIXELS
from mynn.translation import N_, _

FORMAT = "mynn network"  # stored in each file, so that `load` refuses the .npz of another program
VERSION = 2  # the file format's; raise it with each change

FIELDS = ("wih", "who", "learning_rate", "rule")
NOT_HERE = N_("the network cannot be saved here ({reason}); choose another file")

Fields = dict[str, Any]


def save(path: str | os.PathLike[str], network: Fields) -> None:
    """Write a network's fields under exactly this name, whole or not at all. Raise NetworkFileError if that fails."""
    path = Path(path)
    _check_old(path)
    try:
        checks.weights(network["wih"], network["who"])
    except ValueError as error:
        raise NetworkFileError(f"{path}: " + _("the network is not saved: {error}").format(error=error)) from None
    arrays: Fields = {name: np.asarray(network[name]) for name in FIELDS}
    arrays |= {"format": np.asarray(FORMAT), "version": np.asarray(VERSION)}
    if isinstance(seed := network.get("seed"), Integral):
        arrays["seed"] = np.asarray(str(seed))  # text, since a seed may be of any size
    with os_errors_as(NOT_HERE, path=path, kind=NetworkFileError), replacing(path) as file:
        np.savez_compressed(file, **arrays)


def check(path: str | os.PathLike[str]) -> None:
    """Raise NetworkFileError if `save` cannot write this path, or a file there is not a network."""
    path = Path(path)
    with os_errors_as(NOT_HERE, path=path, kind=NetworkFileError):
        check_place(path)
    _check_old(path)


def _check_old(path: Path) -> None:
    """Raise NetworkFileError if the file exists and is not a network, such as a lesson. An empty file is fine."""
    with os_errors_as(NOT_HERE, path=path, kind=NetworkFileError):  # such as a name that is too long
        if not path.is_file() or not path.stat().st_size:
            return
    try:
        ours = str(_arrays(path, "format")["format"]) == FORMAT
    except Exception:  # not an .npz, or a damaged one
        ours = False
    if not ours:
        sentence = _("this file exists and is not a network; choose another file, or remove it")
        raise NetworkFileError(f"{path}: {sentence}")


def _arrays(path: str | os.PathLike[str], *names: str) -> Fields:
    """Return the named arrays that the file has. Nothing else is unpacked, as a guard against zip bombs."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in names:
            with suppress(KeyError):
                about = archive.getinfo(f"{name}.npy")
                if about.file_size > checks.LARGEST + 4096:  # with the .npy header
                    raise ValueError(f"{name} is too large")
                with archive.open(about) as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def load(path: str | os.PathLike[str]) -> Fields:
    """Return the fields that `save` wrote. Raise NetworkFileError for other files."""
    try:
        saved = _arrays(path, "format", "version", "seed", *FIELDS)
    except FileNotFoundError:
        raise NetworkFileError(f"{path}: " + _("there is no such file; save a network there first")) from None
    except Exception as error:  # a damaged zip raises any of a dozen kinds of error
        raise _refused(path, _("it is damaged, or not an .npz file")) from error

    if str(saved.get("format")) != FORMAT:
        raise _refused(path, _("it was not written by mynn"))
    version = str(saved.get("version"))
    if version != str(VERSION):
        wrong = _("it has version {version}, but this mynn reads version {ours}").format(version=version, ours=VERSION)
        raise _refused(path, wrong, N_("train it again, or use the mynn that wrote it"))
    wih, who = (saved.get(name, np.empty(0)) for name in ("wih", "who"))
    try:
        checks.weights(wih, who)
        rate = checks.learning_rate(saved["learning_rate"][()])
        seed = int(str(saved["seed"])) if "seed" in saved else None  # not in an old file
        rule = checks.rule(str(saved.get("rule")))
        return {"wih": wih, "who": who, "learning_rate": rate, "rule": rule, "seed": seed}
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(path, str(error)) from None


def for_browser(wih: Floats, who: Floats) -> bytes:
    """Return the weights of a network for digits in the format of network.js: wih, then who, row by row, as float32."""
    return b"".join(array.astype("<f4").tobytes() for array in (wih, who))


def from_browser(sent: bytes) -> tuple[Floats, Floats]:
    """Return wih and who from the bytes that network.js sent. Raise ValueError if they are not of a digit network."""
    hidden, rest = divmod(len(sent), 4 * (PIXELS + LABELS))
    if rest or not hidden:
        raise ValueError(_("these are not the weights of a network for digits"))
    numbers = np.frombuffer(sent, "<f4").astype(np.float32)
    wih, who = numbers[: hidden * PIXELS].reshape(hidden, PIXELS), numbers[hidden * PIXELS :].reshape(LABELS, hidden)
    checks.weights(wih, who)
    return wih, who


def _refused(path: str | os.PathLike[str], reason: str, advice: str = N_("save it again")) -> NetworkFileError:
    sentence = _("no network can be read from this file: {reason}; {advice}")
    return NetworkFileError(f"{path}: " + sentence.format(reason=reason, advice=_(advice)))
