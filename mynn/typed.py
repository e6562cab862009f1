"""Answers in a cell, and a reader of those that are typed as on paper: “both”, −0.25, 0.5 × 1.5, 39 700, ٩٨٠, 5 %."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator

# Word in a character's Unicode name → sign that Python has for it.
SIGNS = {
    "QUOTATION MARK": '"', "MULTIPLICATION": "*", "DOT": "*", "DIVISION": "/", "MINUS": "-", "DASH": "-",
    "DECIMAL SEPARATOR": ".", "THOUSANDS SEPARATOR": "",
}  # fmt: skip


def plain_sign(character: str) -> str:
    """Return what Python has for a character: 5 for a 5 of any script, * for ×, or the character itself."""
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category in ("Cf", "Zs"):  # invisible, or a space
        return " " if category == "Zs" else ""
    if character.isascii() or category[0] not in "PS":
        return character
    name = unicodedata.name(character, "")
    return next((sign for word, sign in SIGNS.items() if word in name), character)


def plain(text: str) -> str:
    """Return an answer in Python's notation, as far as it can be told. The result need not be Python."""
    text = re.sub(r"(?<=\d)['’](?=\d{3})", "", text)  # 39’700, as in Switzerland
    text = "".join(map(plain_sign, text)).strip()
    if quoted := re.fullmatch(r'"([^"\\]*)"', text):
        return f'"{quoted[1].strip()}"'
    groups = r"(?<![\w.,])\d{1,3}(?:(?: \d{3})+|(?:\.\d{3}){2,})(?!\w)"
    text = re.sub(groups, lambda number: re.sub("[ .]", "", number[0]), text)
    text = re.sub(r"(?<![\w.])0+(?=\d)", "", text)
    text = re.sub(r"(?<=\d) ?[xX] ?(?=\d)", " * ", text)
    text = re.sub(r"^([\d.]+) ?: ?([\d.]+)$", r"\1 / \2", text)
    unit = re.fullmatch(r"(.*\d) ?(\D+)", text)
    return unit[1] if unit and (unit[2] in ("%", "°") or unit[2].isalpha()) else text


def answers_in(source: str) -> Iterator[tuple[str, ast.expr, ast.Expr]]:
    """Yield a cell's answers: the variable that is checked, the code that it is assigned, and the check."""
    assigned: dict[str, ast.expr] = {}
    for line in ast.parse(source).body:
        match line:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                assigned[name] = value
            case ast.Expr(ast.Call(ast.Name("check"), [ast.Name(name), *_])) as check if name in assigned:
                yield name, assigned[name], check
