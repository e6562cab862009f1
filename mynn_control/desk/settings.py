"""The tab Settings: a form for the roles' settings. Those in the teacher's own file win, and only change there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.mynn.pi.plugins.module_utils.setting_faults import WHOLE, wrong_settings, wrong_students
from ansible_collections.mynn.pi.plugins.module_utils.system import updated
from mynn import __version__
from mynn.translation import LANGUAGES
from mynn_control.desk.pis import day
from mynn_control.own_files import RefusedError, desk_file, dump, migrate, modified, parse, places, read, write
from mynn_control.render import render
from mynn_control.settings import Setting, sections
from mynn_control.translation import _, safe

# Shown first: the settings that teachers ask for.
FIRST = ["language", "jupyter_https", "jupyter_cull_seconds", "students", "system_hostname", "system_ssh_keys"]
FIRST += ["apt_cache_platforms", "apt_cache_mirrors", "python_piwheels"]
YAML_TYPES = {"list": list, "dict": dict}  # of settings that are written as YAML
TEMPLATE = re.compile(r"\{[{%#]")
SECRET = re.compile("pass|psk|secret", re.I)  # keys of secrets in settings that are tables
DOTS = "••••"
UPDATES = Path("/run/mynn-desk")  # where the unit of a desk's card shows what it may see of apt


@dataclass(frozen=True)
class Row:
    """A setting on the page. shown: its value in the form control, dots for secrets. own: the desk's file has it.

    where: its place in the teacher's file, if it is there; the page cannot change it then.
    """

    of: Setting
    control: str = ""
    shown: str = ""
    differs: bool = False
    own: bool = False
    where: str = ""


@dataclass
class Settings:
    """The settings in the teacher's file, and in the desk's file beside it.

    saved: whether a change was saved since all Pis were last set up.
    """

    path: Path
    saved: bool = False
    known: dict[str, Setting] = field(default_factory=lambda: {one.name: one for of in sections() for one in of[2]})

    @property
    def state(self) -> object:
        """Data that the page depends on, for comparison."""
        return modified(self.path, desk_file(self.path)), self.saved

    @property
    def version(self) -> str:
        """Version of the desk's file: the time of its last change."""
        return str(modified(desk_file(self.path))[0])

    def draw(self, *, on_card: bool = False) -> str:
        """Return the page, without secrets. on_card: this is a desk's own card, which updates itself."""
        own = desk_file(self.path)
        parts: dict[str, Any] = {"tab": "settings", "path": self.path.name, "saved": self.saved, "trouble": ""}
        parts |= {"languages": LANGUAGES, "own": own.name, "version": self.version, "mynn": __version__}
        parts["updated"] = day(when) if on_card and (when := updated(UPDATES)) else ""
        try:
            there, values = places(self.path), read(own)
        except (RefusedError, OSError) as error:
            return render("settings", parts | {"trouble": str(error)})
        rows = {name: row_of(one, values, there.get(name, "")) for name, one in self.known.items()}
        made = [(_("Settings that teachers ask for"), "", [rows.pop(name) for name in FIRST])]
        for title, about, of_role in sections():
            made.append((_(title), _(about), [rows[one.name] for one in of_role if one.name in rows]))
        return render("settings", parts | {"sections": made})

    def save(self, given: Mapping[str, str]) -> str:
        """Save the changed settings: all or none. Returns the error message with the setting's name, or nothing."""
        return self._write({name: given[name] for name in given if name != "version"}, given.get("version", ""))

    def put_back(self, given: Mapping[str, str]) -> str:
        """Remove a setting from the desk's file, so that its default applies again."""
        return self._write(dict.fromkeys(given))

    def _write(self, given: Mapping[str, str | None], version: str | None = None) -> str:
        own = desk_file(self.path)
        try:
            there, values = places(self.path), read(own)
            if version not in (None, self.version):
                wrong = _("{path} was changed meanwhile: load this page again.")
                raise RefusedError(wrong.format(path=own.name))
            for name, answer in given.items():
                if name not in self.known:
                    raise RefusedError(_("There is no setting {name}.").format(name=name))
                if where := there.get(name):
                    raise RefusedError(_("{name} is set in {where}: change it there.").format(name=name, where=where))
                if answer is None:
                    values.pop(name, None)
                else:
                    values[name] = value_of(self.known[name], answer)
            write(self.path, values)
        except (RefusedError, OSError) as error:
            return safe(_("Nothing was saved.") + f" {error}")
        self.saved = True
        return ""


def migrate_settings(path: Path) -> str:
    """Move all settings to the desk's file, if they are plain values. Returns a note, or nothing."""
    with suppress(RefusedError):  # encrypted or tagged values: a person wrote the file
        values = read(path)
        if values and not TEMPLATE.search(str(values)):
            return migrate(path, "", values)
    return ""


def value_of(setting: Setting, answer: str) -> Any:
    """Return the value of a control's text. RefusedError: it is invalid."""
    name, kind = setting.name, setting.option["type"]
    value: Any = answer
    is_yaml = kind in YAML_TYPES
    if not (re.sub(r"[\r\n\t]", "", answer) if is_yaml else answer).isprintable():
        raise RefusedError(_("{name} must be text, of characters that can be printed.").format(name=name))
    if is_yaml:
        value = _parsed(name, answer, YAML_TYPES[kind])
    elif kind == "bool":
        value = {"true": True, "false": False}.get(answer, answer)
    elif kind == "int" and WHOLE.fullmatch(answer):
        value = int(answer)
    if TEMPLATE.search(str(value)):
        raise RefusedError(_("{name}: a template can only be written into the file by hand.").format(name=name))
    loader = DataLoader()
    templar = Templar(loader=loader, variables={name: value})
    # The same checks as before each run: Ansible's, by the role's argument spec, and ours of the students' names.
    for sentence in (*wrong_settings({name: value}, templar, {name: setting.option}), *wrong_students(templar, loader)):
        raise RefusedError(sentence)
    return value


def _parsed(name: str, answer: str, kind: type) -> Any:
    try:
        value = parse(answer)
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


def _has_secret(value: Any) -> bool:
    """Return whether a list or a table has a value under the name of a secret, at any depth."""
    if isinstance(value, list):
        return any(map(_has_secret, value))
    named = value.items() if isinstance(value, dict) else ()
    return any(one not in ("", None) if SECRET.search(str(name)) else _has_secret(one) for name, one in named)


def row_of(of: Setting, values: Mapping[str, Any], where: str) -> Row:
    """Return a setting's row. values: those in the desk's file. where: its place in the teacher's file, or empty."""
    if where:
        return Row(of, differs=True, where=where)
    default = yaml.safe_load(f"value: {of.default}")["value"]
    own = of.name in values
    value = values[of.name] if own else None if TEMPLATE.search(of.default) else default
    differs = own and value != default
    kind = of.option["type"]
    if of.option.get("no_log") or _has_secret(value):
        return Row(of, "secret yaml" if kind in YAML_TYPES else "password", DOTS if value else "", differs, own)
    shown = "" if value is None else str(value)
    control = {"bool": "checkbox", "int": "number", "list": "yaml", "dict": "yaml"}.get(kind, "text")
    if "choices" in of.option:
        control = "select"
    elif control == "checkbox":
        shown = "true" if value else ""
    elif control == "yaml":
        shown = dump(value).rstrip() if value else ""
    return Row(of, control, shown, differs, own)
