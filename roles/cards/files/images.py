"""Which image is for which Pi: the names of images have the boards that they are for."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from glob import glob
from itertools import takewhile
from pathlib import Path

from card_image import CardError


class Images:
    """The images of a path or a pattern. boards: what people call each board, such as "Pi Zero" for zero."""

    def __init__(self, pattern: str, boards: dict[str, str]) -> None:
        self.pattern = pattern
        self.boards = boards
        path = os.path.expanduser(pattern)  # noqa: PTH111
        self.named = os.path.isfile(path)  # noqa: PTH113
        found = [path] if self.named else glob(path)  # noqa: PTH207
        self.paths = sorted(map(Path, found), key=lambda path: path.stat().st_mtime)

    def newest_for(self, board: str) -> Path:
        """Return the newest image for a board, or for a Pi whose board is not known. CardError: there is none."""
        if board:
            fitting = [path for path in self.paths if board in self._of(path) or (self.named and not self._of(path))]
        else:
            fitting = self.paths
            newest = {self._of(path): path.name for path in fitting}
            if len(newest) > 1:
                raise CardError(
                    f"there are images for several kinds of Pi ({', '.join(newest.values())}). Say in the inventory "
                    "which kind this is, as in `pi03.local board=4`, or name one image (IMAGE=...)"
                )
        if not fitting:
            raise CardError(self._missing(board))
        return fitting[-1]

    def _of(self, path: Path) -> Sequence[str]:
        return boards_of(path.name, self.boards)

    def _missing(self, board: str) -> str:
        if self.named:
            return f"{self.paths[0].name} is not for a {self.boards[board]}. Without IMAGE, each Pi gets the right one"
        if not board:
            return f"there is no image {self.pattern}: run `make image`, or name one (IMAGE=...)"
        whose = f"an image for a {self.boards[board]}"
        return f"no name at {self.pattern} is that of {whose}: run `make image BOARD={board}`, or name one (IMAGE=...)"


def boards_of(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the boards that an image is for, as in mynn-pi-3-zero2w-4-0.1.img.xz; none if its name does not tell."""
    prefix = "mynn-pi-"
    *words, _version = name.removeprefix(prefix).split("-")
    return tuple(takewhile(known.__contains__, words)) if name.startswith(prefix) else ()
