"""A widget in a notebook, and the sentence that stands in its place once its program has ended.

A page that is opened after that knows nothing of the widget. Where it trusts the notebook, Jupyter writes "Error
displaying widget: model not found"; elsewhere, as after a restart of the Pi, it shows the widget as plain text.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import anywidget
from IPython.display import display

from mynn.lesson.notebook import show_html
from mynn.words import browser_catalog

# Jupyter's sentence is text in the widget's place, which has no element in it. Ours is written by the style: where the
# notebook is not trusted, Jupyter takes that out, and an empty paragraph is left.
_BESIDE = """\
<style>
.jp-OutputArea-child:has(.mynn-gone) + * .jupyter-widgets:not(:has(*)) {{ display: none }}
.mynn-gone {{ display: none; margin: 4px 0; padding: 10px 12px; border-left: 4px solid #888 }}
.mynn-gone::before {{ content: attr(data-says) }}
.jp-OutputArea-child:has(+ * .jupyter-widgets):not(:has(+ * .jupyter-widgets *)) .mynn-gone {{ display: block }}
</style>
<p class="mynn-gone" data-says="{says}"></p>"""


_HERE = Path(__file__).parent
_IMPORT = re.compile(r"^import .*\n", re.MULTILINE)


def script(path: Path, *shared: str) -> str:
    """Return a widget's script with what all of them share, and more such files: a widget's module has no address."""
    modules = [*(_HERE / name for name in ("words.js", "live.js", *shared)), path]
    return "".join(_IMPORT.sub("", module.read_text(encoding="utf-8")) for module in modules)


class Live(anywidget.AnyWidget):
    """A widget that needs its program. `_script` is what runs in the browser, but for the words in the language.

    On a Pi, the process in which classes are made does not know the language yet.
    """

    _script: ClassVar[str]

    @property
    def _esm(self) -> str:
        return browser_catalog() + self._script

    def gone(self) -> str:
        """Return the sentence for when the program has ended."""
        raise NotImplementedError

    def _ipython_display_(self, **_how: Any) -> None:
        """Show the widget, and beside it, hidden, the sentence for later."""
        bundle = self._repr_mimebundle_()
        assert bundle
        data, metadata = bundle
        show_html(_BESIDE.format(says=escape(self.gone())), "")
        display({**data, "text/plain": self.gone()}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
