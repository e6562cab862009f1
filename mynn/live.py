"""Base class of widgets (anywidget), with a sentence that replaces a widget once its program has ended.

A page opened later cannot show the widget. In a trusted notebook, Jupyter then writes "Error displaying widget: model
not found"; in an untrusted one, as after a restart of the Pi, it shows the widget's plain text. Below the sentence is
what was entered, so that it is in the notebook, and the teacher's desk can show it.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import anywidget
from IPython.display import display

from mynn.lesson.notebook import show_html
from mynn.translation import _, browser_catalog

# Jupyter's error message is bare text in the widget's place, which has no child element then: :has() detects that. CSS
# writes our sentence. In an untrusted notebook, Jupyter removes the style, and only an empty paragraph is left.
# (The paragraph is below the widget, since Firefox overlooks changes to what stands behind + in :has().)
_BELOW = """\
<style>
.jp-OutputArea:has(.mynn-gone) .jupyter-widgets:not(:has(*)) {{ display: none }}
.mynn-gone, .mynn-entered {{ display: none; margin: 4px 0; padding: 10px 12px; border-left: 4px solid #888 }}
.mynn-gone::before {{ content: attr(data-says) }}
.jp-OutputArea-child:has(.jupyter-widgets):not(:has(.jupyter-widgets *)) + * [class^="mynn-"] {{ display: block }}
</style>
<p class="mynn-gone" data-says="{says}"></p>
<div class="mynn-entered">{entered}</div>"""


_HERE = Path(__file__).parent
_IMPORT = re.compile(r"^import .*\n", re.MULTILINE)


PAPER = ("network.js", "frame.js", "doubt_weights.js", "doubt.js", "paper.js")  # shared by widgets to draw on


def script(path: Path, *shared: str) -> str:
    """Bundle a widget's script with the shared ones, without imports: its module has no URL to resolve them against."""
    modules = [*(_HERE / name for name in ("translation.js", "live.js", *shared)), path]
    return "".join(_IMPORT.sub("", module.read_text(encoding="utf-8")) for module in modules)


class Live(anywidget.AnyWidget):
    """Widget that needs its running program. `_script`: its JavaScript, without the catalog of translations.

    The catalog is added later, since on a Pi the process that defines the classes does not know the language yet.
    """

    _script: ClassVar[str]

    @property
    def _esm(self) -> str:
        return browser_catalog() + self._script

    def gone(self) -> str:
        """Return the sentence to show once the program has ended."""
        raise NotImplementedError

    def entered(self) -> str:
        """Return what was entered, as HTML."""
        return escape(_("What was done here is not kept."))

    def _below(self) -> str:
        return _BELOW.format(says=escape(self.gone()), entered=self.entered())

    def _ipython_display_(self, **_how: Any) -> None:
        """Show the widget, and below it, hidden, what replaces it later."""
        bundle = self._repr_mimebundle_()
        assert bundle
        data, metadata = bundle
        display({**data, "text/plain": self.gone()}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        below = self._below()
        place = show_html(below, "", display_id=True)

        def follow(_change: Any) -> None:
            nonlocal below
            if self._below() != below:
                below = self._below()
                show_html(below, "", display_id=place.display_id, update=True)

        self.observe(follow)
