"""The tab Settings: a form of the roles' settings. A person writes in the file, too; all other lines stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.mynn.pi.plugins.callback.checked_inventory import WHOLE, wrong_settings, wrong_students
from ansible_collections.mynn.pi.plugins.module_utils.files import write_text
from mynn.words import LANGUAGES
from mynn_control.desk.inventory import RefusedError
from mynn_control.render import render
from mynn_control.settings import Setting, sections
from mynn_control.words import _, safe

# Those that teachers ask for are first on the page.
FIRST = ["language", "jupyter_https", "jupyter_port", "jupyter_cull_seconds", "students", "system_hostname"]
FIRST += ["system_ssh_keys", "apt_cache_platforms", "apt_cache_mirrors", "python_piwheels"]
TYPES = {"bool": bool, "int": int, "list": list, "dict": dict}  # all others are text
TEMPLATE = re.compile(r"\{[{%#]")
COMMENT = re.compile(r"(?:^|\s)#")
SECRET = re.compile("pass|psk|secret", re.I)  # names in a setting that is a table
DOTS = "••••"
ALIAS = (yaml.AliasToken, yaml.AnchorToken)


@dataclass(frozen=True)
class Written:
    """A setting as the file has it, from one place in the text to another. by_hand: it is more than a plain value."""

    start: int
    end: int
    value: Any
    by_hand: bool


@dataclass(frozen=True)
class Row:
    """A setting on the page. shown: its value, as the control has it. written: whether the desk can take it out."""

    of: Setting
    control: str
    shown: str = ""
    differs: bool = False
    written: bool = False


@dataclass
class Settings:
    """The teacher's file. saved: whether something was changed, with which the Pis were not yet set up."""

    path: Path
    saved: bool = False
    known: dict[str, Setting] = field(default_factory=lambda: {one.name: one for of in sections() for one in of[2]})

    @property
    def text(self) -> str:
        """What is in the file."""
        return self.path.read_bytes().decode() if self.path.exists() else ""

    @property
    def state(self) -> object:
        """What the page is drawn of."""
        return self.path.stat().st_mtime_ns if self.path.exists() else 0, self.saved

    def draw(self) -> str:
        """Return the page. No secret is on it."""
        parts: dict[str, Any] = {"tab": "settings", "path": self.path.name, "saved": self.saved, "trouble": ""}
        parts["languages"] = LANGUAGES
        try:
            text = self.text
            there = written(text)
        except (RefusedError, OSError, UnicodeError) as error:
            return render("settings", parts | {"trouble": str(error)})
        rows = {name: row_of(one, there.get(name)) for name, one in self.known.items()}
        made = [(_("Those that teachers ask for"), "", [rows.pop(name) for name in FIRST])]
        for title, about, own in sections():
            made.append((_(title), _(about), [rows[one.name] for one in own if one.name in rows]))
        return render("settings", parts | {"sections": made, "version": version(text)})

    def save(self, given: Mapping[str, str]) -> str:
        """Write what was changed on the page: all of it, or nothing. Returns why not, with the setting's name."""
        return self._write({name: given[name] for name in given if name != "version"}, given.get("version", ""))

    def put_back(self, given: Mapping[str, str]) -> str:
        """Take a setting out of the file, so that its default holds again."""
        return self._write(dict.fromkeys(given))

    def _write(self, given: Mapping[str, str | None], of: str | None = None) -> str:
        try:
            text = self.text
            if of not in (None, version(text)):
                wrong = _("{path} was changed meanwhile: load this page again.")
                raise RefusedError(wrong.format(path=self.path.name))
            for name, answer in given.items():
                if name not in self.known:
                    raise RefusedError(_("There is no setting {name}.").format(name=name))
                text = changed(text, name, answer, self.known[name])
        except (RefusedError, OSError, UnicodeError) as error:
            return safe(f"{_('Nothing was saved.')} {error}")
        write_text(self.path, text)
        self.saved = True
        return ""


def dump(value: Any) -> str:
    """Return a value as YAML."""
    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000))


def version(text: str) -> str:
    """Return what tells one state of the file from another."""
    return sha256(text.encode()).hexdigest()[:16]


def written(text: str) -> dict[str, Written]:
    """Return the settings in a file, by name. RefusedError: only a person can change this file."""
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        aliases = any(isinstance(token, ALIAS) for token in yaml.scan(text))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        wrong = (
            _("The file is not YAML, line {line}: mend it by hand.")
            if mark
            else _("The file is not YAML: mend it by hand.")
        )
        raise RefusedError(wrong.format(line=mark and mark.line + 1)) from error
    if tree is None or tree.value == "":
        return {}
    names = [key.value for key, _ in tree.value] if isinstance(tree, yaml.MappingNode) and not tree.flow_style else []
    if not names or aliases or len(set(names)) < len(names):
        raise RefusedError(_("The file has more than settings, each once, on lines of their own: change it by hand."))
    found = {}
    for key, node in tree.value:
        start, end = key.start_mark.index, _end(node)
        by_hand = not _plain(node) or bool(COMMENT.search(text[start:end]))
        found[key.value] = Written(start, end, None if by_hand else yaml.safe_load(text[start:end])[key.value], by_hand)
    return found


def _end(node: yaml.Node) -> int:
    """Return where a value ends; YAML counts the comments behind a list to it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _plain(node: yaml.Node) -> bool:
    """Return whether a value is plain data: not encrypted, and no template."""
    if not node.tag.startswith("tag:yaml.org,2002:"):
        return False
    if isinstance(node, yaml.ScalarNode):
        return not TEMPLATE.search(node.value)
    inner = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
    return all(map(_plain, inner))


def changed(text: str, name: str, answer: str | None, setting: Setting) -> str:
    """Return the file's text with another value of a setting, or without it (None). RefusedError: why not."""
    before = written(text)
    there = before.get(name)
    if there and there.by_hand:
        raise RefusedError(_("{name} was written by hand: change it in the file.").format(name=name))
    new, value = "", None
    if answer is not None:
        value = value_of(setting, answer, there.value if there else None)
        new = dump({name: value})
    if there:
        start, end = there.start, there.end
        ended = text[end - 1 : end] == "\n"
        if not new and not ended:
            end += len(re.match(r"[^\S\n]*\n?", text[end:])[0])  # type: ignore[index]
        after = text[:start] + (new if ended or not new else new.rstrip("\n")) + text[end:]
    else:  # below the lines that explain it, if the file has any
        example = re.search(rf"(?m)^# ?{name}:.*\n(?:#  .*\n)*", text)
        place = example.end() if example else len(text)
        gap = "\n" if place and text[place - 1] != "\n" else ""
        after = text[:place] + gap + new + text[place:]
    wanted = {other: (one.value, one.by_hand) for other, one in before.items() if other != name}
    wanted |= {name: (value, False)} if new else {}
    if {other: (one.value, one.by_hand) for other, one in written(after).items()} != wanted:
        wrong = _("The file is written in a way that the desk does not know: change {name} by hand.")
        raise RefusedError(wrong.format(name=name))
    return after


def value_of(setting: Setting, answer: str, before: Any) -> Any:
    """Return the value of a page's answer. before: the file's, with its secrets. RefusedError: why there is none."""
    name, kind = setting.name, setting.option["type"]
    value: Any = answer
    lines = kind in ("list", "dict")
    if not (re.sub(r"[\r\n\t]", "", answer) if lines else answer).isprintable():
        text = _("{name} must be text, of characters that can be printed.")
        line = _("{name} must be on one line, of characters that can be printed.")
        raise RefusedError((text if lines else line).format(name=name))
    if lines:
        value = _revealed(name, _parsed(name, answer, TYPES[kind]), before)
    elif kind == "bool":
        value = {"true": True, "false": False}.get(answer, answer)
    elif kind == "int" and WHOLE.fullmatch(answer):
        value = int(answer)
    if TEMPLATE.search(str(value)):
        raise RefusedError(_("{name}: a template can only be written into the file by hand.").format(name=name))
    loader = DataLoader()
    templar = Templar(loader=loader, variables={name: value})
    # As before each run: Ansible's own check of the role's argument spec, and of the students' names.
    for sentence in (*wrong_settings({name: value}, templar, {name: setting.option}), *wrong_students(templar, loader)):
        raise RefusedError(sentence)
    return value


def _parsed(name: str, answer: str, kind: type) -> Any:
    try:
        if any(isinstance(token, ALIAS) for token in yaml.scan(answer)):
            wrong = _("{name}: & and * have a meaning in YAML; put quotes around the text.")
            raise RefusedError(wrong.format(name=name))
        value = yaml.safe_load(answer)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = getattr(error, "problem", None) or _("a value makes no sense")
        raise RefusedError(_("{name} is not YAML: {why}.").format(name=name, why=why)) from error
    if value is None:
        return kind()
    if not isinstance(value, kind):
        a_list = _("{name} must be a list: each item on a line, behind a hyphen.")
        a_table = _("{name} must be a table: lines such as country: GB.")
        raise RefusedError((a_list if kind is list else a_table).format(name=name))
    return value


def _secrets(value: Any, use: Callable[[Any], Any]) -> Any:
    """Return a value with what `use` makes of each secret in its place."""
    if isinstance(value, list):
        return [_secrets(one, use) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: use(one) if SECRET.search(str(name)) and one not in ("", None) else _secrets(one, use)
        for name, one in value.items()
    }


def _revealed(name: str, value: Any, before: Any) -> Any:
    """Return a value with the secrets of the one before that its dots stand for."""
    secrets: list[Any] = []
    _secrets(before, secrets.append)

    def reveal(one: Any) -> Any:
        if not str(one).startswith(DOTS[0]):
            return one
        number = re.fullmatch(rf"{DOTS}([1-9][0-9]?)", str(one))
        if not number or int(number[1]) > len(secrets):
            wrong = _("{name}: {dots} stands for no password in the file: write the password in its place.")
            raise RefusedError(wrong.format(name=name, dots=one))
        return secrets[int(number[1]) - 1]

    return _secrets(value, reveal)


def row_of(of: Setting, there: Written | None) -> Row:
    """Return a setting's row on the page."""
    default = yaml.safe_load(f"value: {of.default}")["value"]
    value = there.value if there else None if TEMPLATE.search(of.default) else default
    kind = of.option["type"]
    fits = value is None or isinstance(value, TYPES.get(kind, (str, int, float)))
    if there and (there.by_hand or not fits):
        return Row(of, "hand", differs=True)
    differs = bool(there) and value != default
    if of.option.get("no_log"):
        return Row(of, "password", DOTS if value else "", differs, bool(there))
    shown = "" if value is None else str(value)
    control = {"bool": "checkbox", "int": "number", "list": "yaml", "dict": "yaml"}.get(kind, "text")
    if "choices" in of.option:
        control = "select"
    elif control == "checkbox":
        shown = "true" if value else ""
    elif control == "yaml":
        numbers = count(1)
        shown = dump(_secrets(value, lambda _: f"{DOTS}{next(numbers)}")).rstrip() if value else ""
    return Row(of, control, shown, differs, bool(there))
