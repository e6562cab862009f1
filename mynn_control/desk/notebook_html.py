"""HTML of a pupil's notebook. What pupils wrote is untrusted: of their HTML, only what is listed here is left.

It runs in a process of its own (renderer.py), which reads requests as lines of JSON, a language and the arguments of
`html`, and prints HTML as lines of JSON, null if a notebook is damaged. A frame without rights shows it (app.py).

nh3 takes out all that is not listed, from each text and each output alone, so that nothing leaves its cell. The lists
have what Markdown, our lessons and tables of pandas are made of. Pictures are data: nothing is fetched.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from base64 import b64decode, b64encode
from html import escape
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

import nh3
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from pygments.token import STANDARD_TYPES

from mynn.outline import CHECKED
from mynn.translation import VARIABLE
from mynn_control.render import render, shown
from mynn_control.translation import _
from mynn_server.look import LEFT_OUT
from mynn_server.outputs import overwritten

PIXELS = 8_000_000  # of a picture; a browser needs four bytes for each, however small the file is
WIDGET = "application/vnd.jupyter.widget-view+json"
ENTERED = 'class="mynn-entered"'  # below a widget of ours: what was entered (mynn/live.py)
PICTURES = ("svg+xml", "png", "jpeg", "gif", "webp")
DATA = ("text/html", *(f"image/{kind}" for kind in PICTURES), "text/latex", "text/markdown", "text/plain")  # first wins
SOURCE = re.compile(rf"data:image/({'|'.join(map(re.escape, PICTURES))})(?:;(?!base64)[\w=-]+)*(;base64)?,(.*)", re.S)

# nh3 has such a list, too, but breaks repeat(10, minmax(0, 90px)).
STYLES = {"text-align", "vertical-align", "white-space", "color", "background-color", "image-rendering", "width"}
STYLES |= {"font-weight", "font-style", "font-family", "max-width", "min-width", "display", "grid-template-columns"}
STYLES |= {"gap", "padding", "border", "border-collapse", "text-decoration", "list-style-type"}
VALUE = re.compile(r"(?:(?:rgba?|hsla?|repeat|minmax|min|max)\(|[\w #%.,+)-])+")  # none that fetches anything


def names(text: str) -> set[str]:
    """Return a list's names."""
    return set(text.split())


TAGS = names(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure"
    " h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike strong sub summary sup"
    " table tbody td tfoot th thead tr tt u ul var wbr"
)
MATHS = names(
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow ms mspace msqrt mstyle msub msubsup"
    " msup mtable mtd mtext mtr munder munderover"
)
ATTRIBUTES = {
    "*": {"title", "lang", "dir", "style", "align"},
    "a": {"href"},
    "details": {"open"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start", "type"},
    "span": {"aria-label"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
FORMULA = names(
    "accent columnalign display displaystyle fence form linethickness lspace mathvariant maxsize minsize rspace"
    " scriptlevel separator stretchy width"
)
GRAPHICS = names(
    "circle clipPath defs ellipse g image line linearGradient path polygon polyline rect stop svg text tspan use"
)
DRAWN = names(
    "clip-path clip-rule cx cy d dx dy fill fill-opacity fill-rule font-family font-size font-style font-weight"
    " gradientTransform gradientUnits height offset opacity points preserveAspectRatio r rx ry stop-color stroke"
    " stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width"
    " style text-anchor transform viewBox width x x1 x2 y y1 y2"
)
# What `use` repeats is one of these, and has nothing inside: else a few lines would be a million shapes.
REPEATED = names("circle clipPath ellipse line linearGradient path polygon polyline rect")
CLIPS = re.compile(r"<clipPath(?:(?!</clipPath>).)*clip-path", re.S)  # clips that are clipped in turn, likewise
SVG = re.compile(r"<svg\b.*?</svg\s*>", re.S | re.I)
FUNCTION = re.compile(r"(\\(?:ln|log|exp|sin|cos|tan|max|min))(?![a-zA-Z]| *[(_^{\\])")  # MathML sets no gaps around it
# As nh3 writes them. A link only says where it leads: a browser connects as soon as one is pointed at.
IMAGE, LINK = (re.compile(rf'<{tag}((?: [\w:-]+="[^"]*")*)>') for tag in ("img", "a"))


def kept(tag: str, name: str, value: str) -> str | None:
    """Return what stays of an attribute on the lists; None if it does not."""
    if name == "style":
        pairs = [one.partition(":") for one in value.split(";")]
        known = STYLES | DRAWN if tag in GRAPHICS else STYLES
        return ";".join(f"{what}:{how}" for what, _, how in pairs if what.strip() in known and VALUE.fullmatch(how))
    if name == "src" or (name == "href" and tag == "image"):
        return picture(value)
    if name == "href":
        return value if re.match("#" if tag == "use" else "https?:|mailto:", value) else None
    if tag in GRAPHICS and "url" in value.lower():
        return value if re.fullmatch(r"url\(#[\w-]+\)", value) else None
    return value


SAFE = nh3.Cleaner(
    tags=TAGS | MATHS,
    clean_content_tags={"script", "style", "title", "textarea", "iframe", "noscript", "template", "object", "svg"},
    attributes=ATTRIBUTES | dict.fromkeys(MATHS, FORMULA),
    attribute_filter=kept,
    tag_attribute_values={"span": {"role": {"img"}}},
    allowed_classes={"span": set(STANDARD_TYPES.values())},  # of code in colour
    url_schemes={"http", "https", "mailto", "data"},
    link_rel=None,
)
SAFE_SVG = nh3.Cleaner(
    tags=GRAPHICS,
    clean_content_tags={"script", "style", "foreignObject", "title", "metadata"},
    attributes={name: DRAWN | ({"id"} if name in REPEATED else set()) for name in GRAPHICS}
    | {name: DRAWN | {"href", "xlink:href"} for name in ("use", "image")},
    attribute_filter=kept,
    set_tag_attribute_values={"svg": {"xmlns": "http://www.w3.org/2000/svg"}},
    url_schemes={"data"},
    link_rel=None,
)


def picture(source: str) -> str | None:
    """Return a picture's data URL; None if it has other contents, or too many pixels."""
    if not (found := SOURCE.fullmatch(source.strip())):
        return None
    kind, is_encoded, data = found.groups()
    try:
        content = b64decode(data) if is_encoded else unquote_to_bytes(data)
        if kind == "svg+xml":
            return svg_source(content.decode()) or None
        with Image.open(io.BytesIO(content), formats=[kind.upper()]) as image:
            return source if image.width * image.height <= PIXELS else None
    except (ValueError, OSError, Image.DecompressionBombError):
        return None


def svg_source(text: str) -> str:
    """Return an SVG as a data URL, or "": in a picture, no browser runs a script or fetches anything."""
    text = SAFE_SVG.clean(text).replace(' xlink:href="', ' href="').replace("&nbsp;", "&#160;")  # as XML has it
    _before, svg, rest = ("", "", "") if CLIPS.search(text) else text.partition("<svg")
    return svg and f"data:image/svg+xml;base64,{b64encode((svg + rest).encode()).decode()}"


def safe(html: str) -> Markup:
    """Return what may be shown of HTML that a pupil has written."""
    html = SVG.sub(lambda one: f'<img alt="" src="{svg_source(one[0])}">', html)
    left_out = f"<em>{escape(_('[This picture cannot be shown here.]'))}</em>"
    html = IMAGE.sub(lambda one: one[0] if ' src="' in one[1] else left_out, SAFE.clean(html))
    return Markup(LINK.sub(lambda one: one[0].replace(' href="', ' title="'), html))


def formula(tex: str, how: dict[str, Any]) -> str:
    """Return a formula as MathML, or as it was written if it is no formula."""
    tex = FUNCTION.sub(r"\\,\1\\,", tex)
    try:
        return convert(tex, display="block" if how["display_mode"] else "inline")
    except Exception:  # a pupil may write anything between two dollars
        return f"<code>{escape(tex)}</code>"


def code(text: str, *_how: str) -> str:
    """Return Python in colour, as HTML."""
    return str(highlight(shown(text), PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)))


MARKDOWN = MarkdownIt("commonmark", {"highlight": code}).enable(["table", "strikethrough"])
MARKDOWN.use(dollarmath_plugin, renderer=formula, double_inline=True)
COLOURS = {scheme: HtmlFormatter(style=style) for scheme, style in (("light", "default"), ("dark", "github-dark"))}


def markdown(text: str) -> Markup:
    """Return Markdown as HTML."""
    return safe(MARKDOWN.render(text))


def html(text: str, note: str) -> str:
    """Return a notebook's HTML. text: its cells (mynn_server/look.py). note: a sentence above them, or none.

    The cell that checks a task is at #cell-id=TASK.
    """
    tasks: set[str] = set()
    cells = [drawn(cell, tasks) for cell in json.loads(text)]
    colours = {scheme: Markup(one.get_style_defs("pre")) for scheme, one in COLOURS.items()}
    return render("notebook", {"cells": cells, "note": note, "colours": colours})


def drawn(cell: dict[str, Any], tasks: set[str]) -> dict[str, Any]:
    """Return a cell for the template. tasks: those that already have a cell."""
    source, kind = joined(cell["source"]), cell["cell_type"]
    task = next((task for task in CHECKED.findall(source) if task not in tasks), "")
    tasks.add(task)
    made: dict[str, Any] = {"kind": kind, "task": task, "folded": cell.get("folded") is True, "source": source}
    made |= {"count": None, "outputs": []}
    if kind == "markdown":
        made["source"] = markdown(source)
    if kind == "code":
        both = [output(one, after) for one, after in pairwise([*(cell["outputs"] or []), {}])]
        made |= {
            "source": Markup(code(source)),
            "count": cell["execution_count"],
            "outputs": [one for one in both if one],
        }
    return made


def output(one: dict[str, Any], after: dict[str, Any]) -> dict[str, Any] | None:
    """Return an output for the template; None if there is nothing to show. after: the one that follows."""
    if one == LEFT_OUT:
        return {"kind": "left_out"}
    match one["output_type"]:
        case "stream":
            return {"kind": "error" if one["name"] == "stderr" else "text", "shown": overwritten(joined(one["text"]))}
        case "error":
            return {"kind": "error", "shown": "\n".join(map(str, one["traceback"]))}
    data = one["data"]
    if WIDGET in data and ENTERED in joined(after.get("data", {}).get("text/html", "")):
        return None
    kind = next((kind for kind in DATA if kind in data), "")
    shown = show(kind, joined(data[kind])) if kind else ""
    return {"kind": "text" if kind == "text/plain" else "html", "shown": shown} if shown.strip() else None


def show(kind: str, text: str) -> str:
    """Return one of an output's forms for the template; only Markup is taken as HTML."""
    match kind:
        case "text/html":
            return safe(text)
        case "text/markdown" | "text/latex":
            return markdown(text)
        case "text/plain":
            return text
    data = b64encode(text.encode()).decode() if kind == "image/svg+xml" else "".join(text.split())
    return safe(f'<img alt="" src="data:{kind};base64,{escape(data)}">')


def joined(text: str | list[str]) -> str:
    """Return a text of a notebook, which may be stored as a list of its lines."""
    return "".join(text)


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        try:
            os.environ[VARIABLE], *given = json.loads(line)
            page: str | None = html(*given)
        except Exception:  # a damaged notebook may hold anything
            page = None
        print(json.dumps(page), flush=True)


if __name__ == "__main__":
    main()
