"""Old names of settings still work in this release, with a warning that gives the new name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: renamed_settings
type: aggregate
short_description: old names of settings still work
description:
  - A setting that is found under an old name is also set under its new name. The table of names is in this file.
author: The mynn-pi authors
"""

RENAMED = {
    "apt_cache_kinds": "apt_cache_platforms",
    "jupyter_students": "students",
    "jupyter_venv": "python_venv",
    "labels_https": "jupyter_https",
    "labels_password": "jupyter_password",
    "labels_passwords": "jupyter_passwords",
    "labels_port": "jupyter_port",
    "labels_students": "students",
    "mynn_venv": "python_venv",
    "notebooks_pristine": "lessons_pristine",
    "notebooks_source": "lessons_source",
    "notebooks_students": "students",
    "report_https": "jupyter_https",
    "report_lessons": "lessons_source",
    "report_port": "jupyter_port",
    "report_pristine": "lessons_pristine",
    "report_results": "verify_results",
    "report_students": "students",
    "report_venv": "python_venv",
    "verify_report": "report_folder",
    "verify_work": "verify_results",
    "work_collections": "student_work_collections",
    "work_date": "student_work_date",
    "work_from": "student_work_from",
    "work_handout": "student_work_handout",
    "work_pristine": "lessons_pristine",
    "work_reset_passwords": "student_work_reset_passwords",
    "work_reset_uncollected": "student_work_reset_uncollected",
    "work_student_mb": "student_work_total_mb",
    "work_students": "students",
}


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Looks for old names before a play begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "renamed_settings"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Give each old setting of each Pi its new name."""
        manager = play.get_variable_manager()
        hosts = manager.get_vars(play=play)["ansible_play_hosts_all"]
        for name in hosts:
            host = manager._inventory.get_host(name)
            found = manager.get_vars(play=play, host=host, include_hostvars=False)
            old = {setting: found[setting] for setting in RENAMED if setting in found}
            if not old:
                continue
            manager.set_nonpersistent_facts(name, {RENAMED[setting]: value for setting, value in old.items()})
            for setting in old:
                self._display.warning(
                    f"The setting {setting} is now called {RENAMED[setting]}: rename it where you set it."
                    " The next release will ignore the old name."
                )
