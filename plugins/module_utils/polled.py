"""What the modules that the action `poll_students` calls have in common."""

from __future__ import annotations

import pwd
from collections.abc import Callable
from typing import Any, TypeVar

from ansible.module_utils.basic import AnsibleModule

Place = TypeVar("Place")
Look = Callable[[dict[str, Place], dict[str, str], float, float], dict[str, str]]


def answer(look: Look[Place], place: Callable[[pwd.struct_passwd, dict[str, Any]], Place]) -> None:
    """Run the module.

    look: returns what students show, by account, from their places, what is known, patience and interval
    place: returns where to look, from a student's account and what belongs to it
    """
    module = AnsibleModule(
        {
            "students": {"type": "dict", "required": True},
            "known": {"type": "dict", "default": {}},
            "patience": {"type": "float", "required": True},
            "interval": {"type": "float", "required": True},
        },
        supports_check_mode=True,
    )
    settings: dict[str, Any] = module.params
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    places = {name: place(accounts[name], its) for name, its in settings["students"].items() if name in accounts}
    shown = look(places, settings["known"], settings["patience"], settings["interval"])
    module.exit_json(changed=False, shown=shown)
