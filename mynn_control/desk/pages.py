"""The desk's pages, redrawn when their data change, and the actions of their buttons."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.mynn.pi.plugins.module_utils.collection import files_in
from mynn.outline import Lesson, outline
from mynn.translation import VARIABLE, language, lessons_folder
from mynn_control.desk import class_now, names, pis, tasks, work
from mynn_control.desk.backup import BackupFiles
from mynn_control.desk.connections import class_language
from mynn_control.desk.database import OWN_FILES, Database, Seat
from mynn_control.desk.inventory import Inventory, migrate_pis
from mynn_control.desk.look import Look, notebook
from mynn_control.desk.monitor import PASSWORD_WANTED, Answers, Monitor
from mynn_control.desk.pis import Pupil
from mynn_control.desk.renderer import Renderer
from mynn_control.desk.runs import CUT_OFF, PASSWORD, PLAYBOOKS, PROJECT, SETTINGS, STOPPED, Fleet, Run, again
from mynn_control.desk.settings import Settings, migrate_settings
from mynn_control.desk.talk import Talk
from mynn_control.desk.wall import Wall
from mynn_control.render import render
from mynn_control.translation import N_, _

CHANGING = ("adopt", "site", "update", "handout", "restore", "reset", "undo")  # runs after which the Pis report again
LESSONS = PROJECT / "notebooks"
GROUP = re.compile(r"(?:[^\W_]| ){1,20}")  # letters, digits and spaces
RUN = "<!--run-->"  # placeholder for the run in each page
FIRST = {  # run → the run on the same Pis that must come just before, and the error message if it did not
    "reset": ("look", N_("First look at what a reset would change.")),
    "undo": ("reset", N_("Something else ran since the reset: choose Restore for each Pi.")),
}
ADOPT = N_(
    "The password of the Pis’ account, as set in Raspberry Pi Imager. From then on, this computer’s key will do."
)
SUDO = N_("sudo on the Pis wants the password of their account, as set in Raspberry Pi Imager.")
FOR_ALL_DAY = N_("It is kept until the desk is closed, and in no file.")
NO_PASSWORD = N_("A password has at most 200 characters, and no control characters.")
Form = Callable[[Mapping[str, str]], str]  # takes a form's fields; returns the error message, or nothing


class AskPasswordError(Exception):
    """A password is needed first. The message asks for it."""


class Desk:
    """The desk's pages and actions. folder: holds the database.

    home: home folder of the account, only on a desk's own card. note: message for the teacher at the start.
    """

    def __init__(
        self, fleet: Fleet, folder: Path, settings: Path = SETTINGS, home: Path | None = None, note: str = ""
    ) -> None:
        self.fleet, self.folder = fleet, folder.resolve()
        self.lessons: Mapping[str, Lesson] = {}  # by name, in teaching order
        self.work, self.labels = self.folder.with_name("work"), self.folder.with_name("labels")
        self.backup_files = BackupFiles(fleet.inventory, self.folder, home)
        self.answers, self.database = Answers(), Database(folder / "memory.sqlite")
        self.notes = [note]
        if self.database.damaged:
            lost = _("What the desk remembered, such as the pupils’ names, was damaged. It is kept as {path}.")
            self.notes.append(lost.format(path=self.database.damaged))
        self.talk = Talk(self.answers, self.database, self._send, lambda: self.lessons)
        self.wall = Wall(self.answers, self.database, folder / "test_set/class_digits.csv")
        self.inventory = Inventory(fleet.inventory, self.redraw)
        self.settings = Settings(settings.resolve())
        if 0 < self.database.old_version < OWN_FILES:
            self._migrate_files()
        of_pis = ("find", "add", "add_named", "remove", "forget_key")
        if_idle = {f"/pis/{name}": getattr(self.inventory, name) for name in of_pis}
        if_idle |= {f"/settings/{name}": getattr(self.settings, name) for name in ("save", "put_back")}
        if_idle["/work/delete"] = partial(work.delete_file, self.folder)
        self.forms: dict[str, Form] = {at: partial(self._apply_if_idle, to) for at, to in if_idle.items()}
        always = {"/names": self.save_names, "/names/delete": self.delete_names, "/stop": self.stop}
        always |= {"/line": self.talk.say, "/helped": self.talk.end_call}
        always |= {"/groups/save": self.save_group, "/groups/delete": self.delete_group}
        always |= {"/wall/take-off": self.wall.take_off, "/wall/put-back": self.wall.put_back}
        self.forms |= {at: partial(self._apply, to) for at, to in always.items()}
        self.forms["/password"] = self._set_password
        self.forms |= {f"/run/{name}": self._start_form(name) for name in PLAYBOOKS}
        self.wanted, self.password = False, ""  # wanted: whether sudo on some Pi needs another password
        self.monitor: Monitor | None = None
        self._trouble = ""  # Monitor.trouble, as last drawn
        self._files: object = None  # state of the settings files when the language was last read
        self._load_language()
        self.run = self._cut_off()  # the last run, until the teacher closes its report
        self.table = ""  # tasks as CSV
        self.pupils: list[Pupil] = []  # with their records, live where a Pi answers
        self.renderer = Renderer()
        self.versions: Counter[str] = Counter()  # tab → number of changes
        self._pages: dict[str, str] = {}  # tab → HTML
        self._run_drawn = ""  # HTML about the run, the same on all tabs
        self._changed = 0  # Database.changed, when the pages were last drawn
        self._minute = 0  # the minute of that drawing, as Class counts minutes
        self._drawn: object = None  # data from which _draw_stored last drew its tabs
        self._rows: list[pis.Row] = []  # the Pis' reports, as last drawn
        self.history = tasks.History()
        self._tasks_drawn: object = None  # data from which _draw_tasks last drew its tab
        self._lock = threading.RLock()
        self._thread, self._report_thread = threading.Thread(), threading.Thread()
        self._report = Run("report")  # runs in parallel with the teacher's run
        self.redraw()

    def _migrate_files(self) -> None:
        """Move Pis and settings that earlier desks wrote into the teacher's files to the desk's own files."""
        try:
            self.notes += [migrate_pis(self.fleet.inventory), migrate_settings(self.settings.path)]
        except (AnsibleError, OSError, ValueError) as error:
            self.notes.append(str(error))

    def page(self, tab: str) -> str:
        """Return the HTML page of a tab."""
        return self._pages[tab].replace(RUN, self._run_drawn, 1)

    def look_at(self, given: Mapping[str, str], task: bool = False) -> str:
        """Return the HTML page of a pupil's lesson, or of a task. MissingError: it has no such page."""
        look = self._look(given)
        return (look.draw_task() if task else look.draw()).replace(RUN, self._run_drawn, 1)

    def notebook(self, given: Mapping[str, str]) -> str:
        """Return the HTML of a pupil's notebook, for a frame in that page. MissingError: it has no such page."""
        return notebook(self._look(given), self.monitor, self.renderer, self.work, self.database.names)

    def _look(self, given: Mapping[str, str]) -> Look:
        return Look(given, self.answers, self.pupils, self.database.names(), self.lessons)

    def update(self) -> None:
        """Redraw the pages if answers, the database or the trouble changed, or a new minute has begun."""
        with self._lock:
            trouble = self.monitor.trouble if self.monitor else ""
            if trouble == PASSWORD_WANTED != self._trouble:
                self.wanted, self.password = True, ""
            known = (self._changed, self._minute, self._trouble)
            if self.answers.update() or (self.database.changed, minute(), trouble) != known:
                self._trouble = trouble
                self.redraw()

    def redraw(self) -> None:
        """Draw the pages, and count a change for each tab that differs."""
        with self._lock:
            self._load_language()
            self.talk.update()
            self._changed, self._minute = self.database.changed, minute()
            named, usual = self.database.names(), self.database.usual_lines()
            pages = {"class": class_now.draw(self.answers, self.lessons, named, self.talk, usual), **self.wall.draw()}
            pages |= self._draw_stored() | self._draw_tasks()
            pages["backup"] = render("backup", {"tab": "backup", "files": self.backup_files})
            self.versions.update(tab for tab, html in pages.items() if html != self._pages.get(tab))
            self._pages |= pages
            self._draw_run()

    def _load_language(self) -> None:
        """Set the class's language for all later translations, and load its lessons, if a settings file changed."""
        if (files := (self.inventory.state, self.settings.state)) != self._files:
            self._files = files
            with suppress(AnsibleError, OSError):  # Monitor reports what is wrong with a file
                os.environ[VARIABLE] = class_language(self.fleet, self.settings.path.parents[2])
            self.lessons = outline(LESSONS / lessons_folder(LESSONS))

    def _draw_run(self) -> None:
        with self._lock:
            troubles = [words for words in (*self.notes, _(self._trouble)) if words]
            drawn = render("run", {"run": self.run, "troubles": troubles, "wanted": self._trouble == PASSWORD_WANTED})
            if drawn != self._run_drawn:
                self.versions.update({*self._pages, "look"} - {"full"})
            self._run_drawn = drawn

    def _draw_stored(self) -> dict[str, str]:
        """Return the tabs about saved data; none if the data are unchanged, because drawing takes a while."""
        students = {name: pi["students"] for name, pi in self.answers.in_order()}
        folders = {name: list(files_in(of)) for name, of in work.handouts(self.folder).items()}
        made = max((path.stat().st_mtime for path in self.labels.glob("labels-*.html")), default=0)
        files = (self.inventory.state, self.settings.state)
        run = self.run and (self.run.name, self.run.whom, self.run.how)
        if (drawn := (self._changed, students, folders, made, files, self._trouble, run, language())) == self._drawn:
            return {}
        self._drawn = drawn
        self._rows = pis.rows(self.database.pis(), students)
        groups = {name: [pi for pi in group if pi in students] for name, group in self.database.groups().items()}
        return {
            "names": names.draw(self._seats(), self.database.names()),
            "pis": pis.draw(self._rows, self.inventory, self._past_runs(), made, groups),
            "settings": self.settings.draw(on_card=bool(self.backup_files.home)),
            "work": work.draw(students, self.work, folders, self.run, self.database.names, groups),
        }

    def _draw_tasks(self) -> dict[str, str]:
        """Return the tab Tasks; none if no mark, report or name is new in this minute."""
        live = tasks.live(self.answers, self.lessons)
        if (drawn := (live, self._minute, self._drawn)) == self._tasks_drawn:
            return {}
        self._tasks_drawn, called = drawn, self.database.names()
        self.pupils = pupils = [pupil for row in self._rows for pupil in row.pupils(called, live)]
        self.history.add(pupils, self._minute)
        self.table = tasks.table(pupils, self.lessons)
        heard = max((row.heard for row in self._rows), default=0)
        return {"tasks": tasks.draw(pupils, self.lessons, heard, self.history)}

    def _send(self, pi: str, request: Mapping[str, Any]) -> bool:
        return bool(self.monitor and self.monitor.send(pi, request))

    def _seats(self) -> list[Seat]:
        return [(pi, student) for pi, answer in self.answers.in_order() for student in answer["students"]]

    def _apply(self, action: Form, given: Mapping[str, str]) -> str:
        """Apply a form, even during a run. Returns the error message, or nothing."""
        with self._lock:
            wrong = action(given)
            self.redraw()
        return wrong

    def _apply_if_idle(self, action: Form, given: Mapping[str, str]) -> str:
        """Apply a form, unless a run is in progress. Returns the error message, or nothing."""
        with self._lock:
            wrong = self.busy or action(given)
        if not wrong:
            self._start_report()
        self.redraw()
        return wrong

    def _set_password(self, given: Mapping[str, str], question: str = SUDO) -> str:
        """Keep a password for sudo until the desk ends or sudo refuses it. Returns the error message, or nothing."""
        if "password" not in given:
            raise AskPasswordError(f"{_(question)} {_(FOR_ALL_DAY)}")
        if not PASSWORD.fullmatch(given["password"]):
            return _(NO_PASSWORD)
        self.wanted, self.password, self._trouble = False, given["password"], ""
        if self.monitor:
            self.monitor.set_password(self.password)
        self._draw_run()
        return ""

    # --- the pupils' names

    def save_names(self, given: Mapping[str, str]) -> str:
        """Save pupils' names, given by PI/STUDENT: all or none. Returns the error message, or nothing."""
        try:
            self.database.save_names(names.given_names(given, self._seats()))
        except ValueError as error:
            return str(error)
        return ""

    def delete_names(self, _given: Mapping[str, str]) -> str:
        """Delete all names, labels, lines and damaged databases. Returns the error message, or nothing."""
        if busy := self.busy:  # the run may make labels
            return busy
        damaged = self.folder.glob("memory.sqlite.*")
        for path in (*self.labels.glob("*labels-*.html*"), *damaged):  # also unfinished labels
            path.unlink()
        self.database.delete_names()
        return ""

    # --- runs, and groups of Pis for them

    def save_group(self, given: Mapping[str, str]) -> str:
        """Save the Pis that were ticked under a name. Returns the error message, or nothing."""
        name, chosen = " ".join(given.get("group", "").split()), given.get("pi", "").split(",")
        if not GROUP.fullmatch(name):
            return _("Name the group: with at most 20 letters, digits and spaces.")
        if not self.answers.pis.keys() >= set(chosen):
            return _("Tick the Pis of the group first.")
        self.database.save_group(name, [pi for pi in self.answers.pis if pi in chosen])
        return ""

    def delete_group(self, given: Mapping[str, str]) -> str:
        """Delete a group; its Pis stay. Returns the error message, or nothing."""
        self.database.save_group(given.get("group", ""), [])
        return ""

    def _start_form(self, name: str) -> Form:
        return lambda given: self.start(name, given)

    @property
    def busy(self) -> str:
        """Error message during a run; otherwise empty."""
        if not self.run or self.run.how:
            return ""
        return _("{run}: this has not ended yet. Wait for it, or stop it.").format(run=self.run.title)

    def _past_runs(self) -> list[Run]:
        return [Run(doing="", **run) for run in self.database.runs() if run["name"] in PLAYBOOKS]

    def _cut_off(self) -> Run | None:
        """Return the run that was in progress when the last desk ended, and save that it was cut off."""
        for run in self._past_runs():
            if not run.how:
                run.how = again(CUT_OFF)
                self.database.end_run(run.began, run.how, run.messages, run.lost)
                return run
        return None

    def start(self, name: str, given: Mapping[str, str]) -> str:
        """Start one of PLAYBOOKS. given: its form's fields, and the password of the Pis' account if it was asked for.

        Returns the error message, or nothing. AskPasswordError: a password has to be asked for first.
        """
        with self._lock:
            if busy := self.busy:
                return busy
            chosen = {field: given.get(field, "") for field in ("pi", *PLAYBOOKS[name].fields)}
            chosen["pi"] = ",".join(dict.fromkeys(chosen["pi"].split(",")))  # a Pi may be in two groups
            offered = all(self._is_choice(name, *choice) for choice in chosen.items())
            if not offered or given.keys() - chosen.keys() - {"password", "group"}:
                return _("This choice does not exist, or no longer: load this page again, and choose from its lists.")
            before, wrong = FIRST.get(name, ("", ""))
            if before and not (self.run and self.run.name == before and self.run.whom == Run(name, chosen).whom):
                return _(wrong)
            wanted = "password" in given or name == "adopt" or self.wanted
            if wanted and (wrong := self._set_password(given, ADOPT if name == "adopt" else SUDO)):
                return wrong
            self.settings.saved &= name != "site" or bool(chosen["pi"])
            self.run = Run(name, chosen, password=self.password)
            self.database.begin_run(self.run.began, name, chosen)
            self._thread = threading.Thread(target=self._execute, args=(self.run,))
            self._thread.start()
        self.redraw()
        return ""

    def _is_choice(self, name: str, field: str, value: str) -> bool:
        """Return whether a teacher may choose this value of a field."""
        if field == "what":
            return "\0" not in value  # not possible in an environment variable; the playbook checks the rest
        if field == "pi":
            several = not value or self.answers.pis.keys() >= set(value.split(","))
            return value in self.answers.pis or (several and name != "restore")
        if field in ("passwords", "discard"):
            return value in ("", "yes")
        if field == "student":
            return not value or any(value in pi["students"] for pi in self.answers.pis.values())
        return value in (work.handouts(self.folder) if field == "folder" else work.collected(self.work))

    def _settings(self, run: Run) -> dict[str, Any]:
        """Return a run's extra variables."""
        settings: dict[str, Any] = {"desk_folder": str(self.folder), "labels_folder": str(self.labels)}
        if student := run.chosen.get("student"):
            settings["student_work_student"] = student
        match run.name:
            case "handout":
                settings["student_work_handout"] = str(work.handouts(self.folder)[run.chosen["folder"]])
            case "restore":
                date, pi = run.chosen["collection"].split("/")
                settings |= {"student_work_date": date, "student_work_from": pi}
            case "reset":
                settings["reset_passwords"] = bool(run.chosen["passwords"])
                settings["reset_uncollected"] = bool(run.chosen["discard"])
        return settings

    def _execute(self, run: Run) -> None:
        try:
            run.execute(self.fleet, self._settings(run), self._draw_run)
            if run.name == "reset":  # somebody else has these seats then
                self.database.end_lines(run.pis or self.answers.pis, run.chosen.get("student", ""))
            if run.name == "off" and run.process and not run.process.returncode:
                self.answers.off |= set(run.pis) or self.answers.pis.keys()
        finally:
            run.how = run.how or _("It did not start: see the terminal in which the desk runs.")
            if run.wanted:
                self.wanted, self.password = True, ""
            self.database.end_run(run.began, run.how, run.messages, run.lost)
            self.redraw()
        if run.name in CHANGING:
            self._start_report()

    def look(self, tab: str) -> None:
        """Start a report on the Pis, if an opened tab shows it and no report is running."""
        if tab in ("pis", "tasks") and not self._report_thread.is_alive():
            self._start_report()

    def _start_report(self) -> None:
        with self._lock:
            if not self.monitor:
                return
            self._report.stop(again(CUT_OFF))
            self._report = run = Run("report", password=self.password)
            arguments = (self.fleet, self._settings(run), lambda: None)
            self._report_thread = threading.Thread(target=run.execute, args=arguments)
            self._report_thread.start()

    def stop(self, _given: Mapping[str, str]) -> str:
        """Stop the run in progress; without one, close the last run's report."""
        if self.run and not self.run.how:
            self.run.stop(again(STOPPED))
        else:
            self.run = None
        return ""

    def end(self) -> None:
        """Cut off all runs, and wait for their end."""
        self.monitor = None
        self.renderer.end()
        while self._thread.is_alive() or self._report_thread.is_alive():
            for run, thread in ((self.run, self._thread), (self._report, self._report_thread)):
                if run and thread.is_alive():
                    run.stop(again(CUT_OFF))
                    thread.join(5)


def minute() -> int:
    """Return the current time in whole minutes since 1970."""
    return int(time.time() / 60)
