"""Extract and translate a lesson's texts: its paragraphs, the sentences in its code, and its comments.

Both use one walk through the notebook: `messages` collects the texts for the catalogs in `locale/`, and `translated`
replaces them. Code, names and formulas stay as they are.
"""

from __future__ import annotations

import ast
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from typing import IO, Any

Translate = Callable[[str, str], str]  # (text, kind of text) -> translation

WIDTH = 110  # columns of a line of code; longer sentences continue on the next line
WORD = re.compile(r"[A-Za-z]{2,}|\b[aAI]\b")
SENTENCE = re.compile(r"[A-Za-z’']{2,}[,:;]? +\w")
# Not translated: identifiers in Python, colours, and mynn's rules.
NAME = re.compile(r"\w+_\w+|black|blue|green|gr[ae]y|orange|red|white|book|gradient|cross-entropy")
PHRASE = re.compile(r"(?:^|\s)[A-Za-z]{2,}(?:[,:;.!?]?\s|[,:;.!?]?$)")  # in an f-string, one whole word
# Calls that show their strings, even single words, to people. Elsewhere only strings that read as a sentence count.
SHOWS = {"print", "check", "curves", "digits", "guess", "guess_curve"}
SHOWS |= {"annotate", "legend", "set_title", "set_xlabel", "set_xticks", "set_ylabel", "set_yticks", "suptitle"}
SHOWS |= {"text", "title", "xlabel", "xticks", "ylabel", "yticks"}
SHOWN_BY_NAME = {"label", "title", "why", "x", "xlabel", "y", "ylabel"}
DOCSTRING = "what a function does"
PLACE = re.compile(r"(\{(?:[^{}]|\{[^{}]*\})+\})")  # a placeholder of an f-string, perhaps with others in its format
WORDS = re.compile(r"\s*\S+\s*|\s+")
WORDS_AND_PLACES = re.compile(rf"(?:{PLACE.pattern[1:-1]}|[^\s{{}}]|\{{\{{|\}}\}})+\s*|\s+")
HEAD = re.compile(r"\s*(?:#+ +|[-*] +|\d+\. +|<details><summary>)?")  # the marker before a paragraph


def messages(file: IO[bytes], _keywords: Any, _tags: Any, **_options: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield a notebook's messages, as an extraction method of Babel: 1, "", the text, its kind."""
    found: list[tuple[str, str]] = []

    def note(text: str, kind: str) -> str:
        found.append((text, kind))
        return text

    translated(json.load(file), note)
    yield from ((1, "", text, [kind]) for text, kind in found)


def translated(notebook: dict[str, Any], translate: Translate) -> dict[str, Any]:
    """Return a notebook in another language. `translate` returns a text unchanged if it has no translation."""
    metadata = notebook["metadata"]
    if learn := metadata.get("mynn", {}).get("learn"):
        learn = translate(learn, "what is learnt, on the start page")
        metadata = metadata | {"mynn": metadata["mynn"] | {"learn": learn}}
    return notebook | {"cells": [_rewritten(cell, translate) for cell in notebook["cells"]], "metadata": metadata}


def _rewritten(cell: dict[str, Any], translate: Translate) -> dict[str, Any]:
    rewrite = {"markdown": in_markdown, "code": in_code}.get(cell["cell_type"])
    if not rewrite:
        return cell
    return cell | {"source": rewrite("".join(cell["source"]), translate).splitlines(keepends=True)}


def in_markdown(text: str, translate: Translate) -> str:
    """Return Markdown with each paragraph, heading, list item and table cell translated."""
    return "\n".join(line for block in _blocks(text.split("\n")) for line in _block(block, translate))


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines of each block, such as a paragraph, a table row, a drawing or a formula."""
    block: list[str] = []
    fence = ""  # the end mark of an open drawing or formula
    for line in lines:
        bare, opens = line.strip(), ""
        if not fence:
            fence = opens = next((mark for mark in ("```", "$$") if bare.startswith(mark)), "")
            begins = opens or not bare or bare.startswith(("|", "<")) or HEAD.match(line)[0].strip()  # type: ignore[index]
            if block and (begins or block[0].lstrip().startswith(("|", "<", "#")) or not block[0].strip()):
                yield block
                block = []
        block.append(line)
        if fence and bare.endswith(fence) and bare != opens:  # a formula may end on its first line
            yield block
            block, fence = [], ""
    if block:
        yield block


def _block(lines: list[str], translate: Translate) -> list[str]:
    """Return a block's lines translated; a translated paragraph is one line."""
    first = lines[0].strip()
    if first.startswith("```"):
        drawing = textwrap.dedent("\n".join(lines[1:-1]))
        other = translate(drawing, "a drawing of letters") if WORD.search(drawing) and first == "```" else drawing
        indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
        return lines if other == drawing else [lines[0], *(indent + line for line in other.split("\n")), lines[-1]]
    if first.startswith("$$"):
        return lines
    if first.startswith("|"):
        return ["|".join(_worded(cell, "in a table", translate) for cell in line.split("|")) for line in lines]
    head = HEAD.match(lines[0])[0]  # type: ignore[index]
    end = "</summary>" if lines[0].endswith("</summary>") else ""
    text = " ".join(line.strip() for line in [lines[0][len(head) :].removesuffix(end), *lines[1:]])
    kind = {"#": "a heading", "<": "a button"}.get(head.strip()[:1], "a paragraph")
    other = _worded(text, kind, translate)
    return lines if other == text else [head + other + end]


def _worded(text: str, kind: str, translate: Translate) -> str:
    """Return a text translated, but for the spaces around it. A text without words stays as it is."""
    without_code = re.sub(r"`[^`]*`|\$[^$]*\$|<[^>]*>", "", text)
    return _trimmed(text, kind, translate) if WORD.search(without_code) else text


def _trimmed(text: str, kind: str, translate: Translate) -> str:
    """Return a text translated, but for the spaces around it."""
    bare = text.strip()
    start = text.index(bare)
    return text[:start] + translate(bare, kind) + text[start + len(bare) :]


def in_code(source: str, translate: Translate) -> str:
    """Return Python code with its sentences and comments translated."""
    python = re.sub(r"^( *)[%!]", r"\1#", source, flags=re.M)  # IPython's commands
    starts = [0]
    for line in python.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    changes = [*_strings(python, starts, translate), *_comments(python, source, starts, translate)]
    for start, end, text in sorted(changes, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def _comments(python: str, source: str, starts: list[int], translate: Translate) -> Iterator[tuple[int, int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(python).readline):
        if token.type == tokenize.COMMENT:
            start = starts[token.start[0] - 1] + token.start[1]
            text = token.string.lstrip("# ")
            if source[start] == "#" and SENTENCE.search(text):
                yield start + token.string.index(text), start + len(token.string), translate(text, "a comment in code")


def _strings(python: str, starts: list[int], translate: Translate) -> Iterator[tuple[int, int, str]]:
    lines = python.splitlines(keepends=True)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    for node, kind in _shown(ast.parse(python), ""):
        start, end = at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)
        text = _text_of(node, python)
        other = _trimmed(text, kind, translate)
        if other != text:
            quote = python[start:].lstrip("fr")[0]
            yield start, end, _literal(other, node, kind, python[:start].rpartition("\n")[2], quote)


def _shown(node: ast.AST, how: str) -> Iterator[tuple[Any, str]]:
    """Yield the strings below a node that people read, and their kinds. how: "shows", "hides" or "", by its parent."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        is_phrase = (PHRASE if isinstance(node, ast.JoinedStr) else SENTENCE).search(text)
        is_read = is_phrase or (how == "shows" and WORD.search(text) and not NAME.fullmatch(text))
        if is_read and how != "hides" and "\n" not in text.strip("\n"):
            yield node, "printed or drawn by a cell"
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and (said := ast.get_docstring(node, clean=False)):
        if WORD.search(said):
            yield node.body[0].value, DOCSTRING  # type: ignore[attr-defined]
        for child in (*node.body[1:], *ast.iter_child_nodes(node.args if isinstance(node, ast.FunctionDef) else node)):
            if child is not node.body[0]:
                yield from _shown(child, "")
        return
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        how = "shows" if name in SHOWS else ""
        yield from _shown(node.func, how)
        for number, argument in enumerate(node.args):
            # Pupils type the values to check, so these stay, except sentences.
            yield from _shown(argument, "" if name == "check" and number < 2 else how)
        for keyword in node.keywords:
            yield from _shown(keyword.value, "shows" if keyword.arg in SHOWN_BY_NAME else "hides")
        return
    if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.List | ast.Tuple):
        how = "shows"  # names to print, each with its value
    if isinstance(node, ast.IfExp):
        how = how or "shows"
    if isinstance(node, ast.Compare):
        how = "hides"
    for child in ast.iter_child_nodes(node):
        yield from _shown(child, how)


def _text_of(node: ast.AST, python: str) -> str:
    """Return a string as a message; an f-string with its placeholders, as in "{count:,} digits"."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts: list[Any] = node.values  # type: ignore[attr-defined]
    return "".join(
        _place(part, python)
        if isinstance(part, ast.FormattedValue)
        else part.value.replace("{", "{{").replace("}", "}}")
        for part in parts
    )


def _place(part: Any, python: str) -> str:
    said = ast.get_source_segment(python, part.value)
    conversion = "" if part.conversion == -1 else f"!{chr(part.conversion)}"
    form = f":{_text_of(part.format_spec, python)}" if part.format_spec else ""
    return f"{{{said}{conversion}{form}}}"


def _literal(text: str, node: ast.AST, kind: str, before: str, quote: str) -> str:
    """Return the Python literal of a text, over several lines if it is long. before: the line up to the literal."""
    if kind == DOCSTRING:
        return f'"""{text}"""'
    prefix = "f" if isinstance(node, ast.JoinedStr) else ""
    rows = [""]
    for word in (WORDS_AND_PLACES if prefix else WORDS).findall(text):
        if rows[-1] and len(before) + len(rows[-1]) + len(word) > WIDTH:
            rows.append("")
        rows[-1] += word
    literals = [f"{prefix}{quote}{_escaped(row, prefix, quote)}{quote}" for row in rows]
    return f"\n{' ' * len(before)}".join(literals)


def _escaped(row: str, prefix: str, quote: str) -> str:
    """Return a text escaped for between quotes; an f-string's placeholders stay as they are."""
    pieces = PLACE.split(row) if prefix else [row]
    for number in range(0, len(pieces), 2):
        pieces[number] = re.sub(rf"[\\{quote}]", r"\\\g<0>", pieces[number]).replace("\n", "\\n").replace("\t", "\\t")
    return "".join(pieces)
