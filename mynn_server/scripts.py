"""The scripts of Jupyter's pages. `python -m mynn_server.scripts` compresses them once, when they are installed."""

from __future__ import annotations

import gzip
import mimetypes
import sys
from pathlib import Path

import notebook
from jupyter_core.paths import jupyter_path
from jupyter_server.base.handlers import FileFindHandler

COPIES = Path(sys.prefix, "compressed")  # beneath it, each copy has its address
FOLDERS = {
    "/static/notebook": [str(Path(notebook.__file__).with_name("static"))],
    "/lab/extensions": jupyter_path("labextensions"),
}
# What a lesson's page loads of each package, as the test of a first visit to a lesson lists it. The compressed copy
# of the script that would ask for these pieces one by one has them in it. Each registers itself, asked for or not (in
# rspackChunk_JUPYTERLAB_CORE_OUTPUT).
PIECES = {
    "notebook": (
        "notebook_core 114 137 256 273 290 490 723 824 945 953 1459 1495 1682 1773 1774 2320 2343 2368 2436 2762 "
        "2780 3003 3429 3594 3653 3703 3732 3776 3805 3826 3896 4117 4121 4164 4228 4275 4286 4858 5244 5353 5538 "
        "5593 5655 5699 5876 5927 5938 6136 6338 6656 6757 6920 7006 7676 7766 8037 8070 8084 8150 8179 8198 8470 "
        "8522 8985 9128 9432 9713 9784 9855 9924"
    ),
    "jupyterlab-manager": "7 32 84 160 170 452 704 967",
    "anywidget": "2 528",
    "jupyterlab_pygments": "568 747",
}


class Scripts(FileFindHandler):
    """Handler for static files that sends the compressed copy of a file, if there is one."""

    def parse_url_path(self, url_path: str) -> str:
        """Return the path of the file to send, within its folder."""
        path = super().parse_url_path(url_path)
        copy = f"{path}.gz"
        if "gzip" not in self.request.headers.get("Accept-Encoding", "") or not self.get_absolute_path(self.root, copy):
            return path
        self.set_header("Content-Encoding", "gzip")
        self.set_header("Vary", "Accept-Encoding")
        return copy

    def get_content_type(self) -> str:
        """Return the type of the file itself."""
        return mimetypes.guess_type(str(self.absolute_path).removesuffix(".gz"))[0] or "application/octet-stream"


HANDLERS = [
    (f"{address}/(.*)", Scripts, {"path": [*folders, f"{COPIES}{address}"]}) for address, folders in FOLDERS.items()
]


def with_pieces(script: Path) -> str:
    """Return a script with its pieces before it, each a function of its own: some are in strict mode."""
    pieces = PIECES.get(script.parents[1].name, "") if script.name.startswith(("main.", "remoteEntry.")) else ""
    found = [path for piece in pieces.split() for path in script.parent.glob(f"{piece}.*.js")]
    return "".join(f"(() => {{{path.read_text('utf-8')}\n}})();\n" for path in found) + script.read_text("utf-8")


def compress() -> None:
    """Write the compressed copies."""
    for address, folders in FOLDERS.items():
        for folder in map(Path, folders):
            for script in folder.rglob("*.js"):
                copy = Path(f"{COPIES}{address}", f"{script.relative_to(folder)}.gz")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(gzip.compress(with_pieces(script).encode(), mtime=0))


if __name__ == "__main__":
    compress()
