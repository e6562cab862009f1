"""The Jupyter server extension: the start page, /try/, the manual, limits on requests, and the teacher's socket."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp, ServerWebApplication
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest, ResponseStartLine
from tornado.web import HTTPError
from traitlets import Unicode
from traitlets.config import Configurable

from mynn.translation import N_, _
from mynn_server import federated, scripts, status_socket
from mynn_server.credentials import status_socket_name
from mynn_server.forking import parent
from mynn_server.output_store import Missed
from mynn_server.pages import Manual, StartPage
from mynn_server.settings import LARGEST_REQUEST
from mynn_server.sign_in import LARGEST_OF_STRANGERS, is_signed_in
from mynn_server.start_page import JupytersWords, Language, Lesson, Status, Talk
from mynn_server.try_page import KeepDrawings, Keeping, KeepNetwork, KeepOwnClasses, TryPage

# A button, and an entry of the menu *View*, that open JupyterLab, which a Pi does not run.
LAB, LAB_IN_MENU = "@jupyter-notebook/lab-extension", "@jupyter-notebook/application-extension:pages"
# Clients of language servers. A Pi does not run such a server, and each page would ask for it in vain.
LANGUAGE_SERVER = (
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:language-server",
    "@jupyterlab/fileeditor-extension:language-server",
)
# page/bar.js has a link to the start page instead.
LOGO = "@jupyter-notebook/application-extension:logo"
# "Last Checkpoint: two minutes ago", for which each page would ask the Pi six times, and then each half minute.
CHECKPOINTS = "@jupyter-notebook/notebook-extension:checkpoints"
# The path is relative to the usual place of extensions: lab/extensions/NAME.
OURS = {"name": "mynn", "load": "../../../start/extension.js", "extension": "./extension"}
READ = 300  # seconds to receive a request that is too large, or comes without sign-in
UPLOAD = 3600  # seconds to receive a student's request: 64 MB at 20 kB a second
TOO_LARGE = N_("This is larger than {size} MB. Clear outputs of cells that show much, and save again.")
SIGNED_OUT = N_("You are not signed in. Sign in to this Pi in another tab, and save here again.")


class Classroom(Configurable):
    """Settings of the extension; see playbooks/group_vars/all/defaults.yml."""

    manual_archive = Unicode(help="The archive with the manual's pages.").tag(config=True)
    lessons = Unicode(help="The folder with root's untouched copies of the lessons.").tag(config=True)
    message_file = Unicode(help="Root's file with the teacher's message.").tag(config=True)


def adapt(handler: Any, page: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of one of Jupyter's pages, adapted to a Pi."""
    page["federated_extensions"] = [one for one in page["federated_extensions"] if one["name"] != LAB] + [OURS]
    page["translationsApiUrl"] = "/start/words"
    page["disabledExtensions"] += [LAB, LAB_IN_MENU, *LANGUAGE_SERVER, LOGO, CHECKPOINTS]
    return page


class TooLarge(HTTPMessageDelegate):
    """Delegate that reads and discards a too large request, then answers: browsers do not listen before."""

    def __init__(self, connection: Any, message: str) -> None:
        self.connection, self.answer = connection, json.dumps({"message": message}).encode()

    def finish(self) -> None:
        """Answer with status 413 and the message."""
        head = HTTPHeaders({"Content-Type": "application/json", "Content-Length": str(len(self.answer))})
        self.connection.write_headers(ResponseStartLine("HTTP/1.1", 413, "Content Too Large"), head, self.answer)
        self.connection.finish()


def look_at_requests(application: ServerWebApplication) -> None:
    """Hook into each request after its head: prepare a kernel for a page, and limit the body."""
    find_handler = application.find_handler

    def find_handler_later(request: HTTPServerRequest, **options: Any) -> Any:
        # A page will probably need a kernel; /try/ does not.
        if "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/try"):
            parent.expect()
        signed_in, connection = is_signed_in(application, request), cast("Any", request.connection)
        largest = LARGEST_REQUEST if signed_in else max(LARGEST_OF_STRANGERS, federated.largest(request))
        length = request.headers.get("Content-Length", "")
        if length.isdecimal() and (size := int(length[:18])) > largest:  # tornado refuses longer ones
            connection.set_max_body_size(size)
            connection.set_body_timeout(READ)
            sentence = _(TOO_LARGE if size > LARGEST_REQUEST else SIGNED_OUT)
            return TooLarge(connection, sentence.format(size=LARGEST_REQUEST >> 20))
        connection.set_max_body_size(largest)  # for chunked bodies
        connection.set_body_timeout(UPLOAD if signed_in else READ)
        return find_handler(request, **options)

    application.find_handler = find_handler_later  # type: ignore[method-assign]


def take_text_only() -> None:
    """Answer 400, not 500, to a body that is not UTF-8. Replace an unpaired surrogate by `?`: no file can hold it."""
    body_of = JupyterHandler.get_json_body

    def json_body(handler: JupyterHandler) -> dict[str, Any] | None:
        try:
            body = body_of(handler)
        except UnicodeDecodeError as error:
            raise HTTPError(400, "This is not UTF-8.") from error
        half = re.search(rb"\\ud[89a-f]", handler.request.body, re.I)
        return json.loads(json.dumps(body, ensure_ascii=False).encode(errors="replace")) if half else body

    JupyterHandler.get_json_body = json_body  # type: ignore[method-assign, assignment]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Add the extension to a server."""
    classroom = Classroom(parent=app)
    shown = {"lessons": Path(classroom.lessons), "message_file": Path(classroom.message_file)}
    app.web_app.settings["page_config_hook"] = adapt
    app.web_app.add_handlers(
        ".*$",
        [
            (r"/start/status", Status, shown),
            (r"/start/lesson", Lesson, shown),
            (r"/start/language", Language),
            (r"/start/words(/.*)?", JupytersWords),
            (r"/start/missed", Missed),
            (r"/start/talk", Talk),
            (r"/start(/.*)?", StartPage),
            (r"/manual(/.*)?", Manual, {"archive": classroom.manual_archive}),
            (r"/try/keep", Keeping),
            (r"/try/network", KeepNetwork),
            (r"/try/drawings", KeepDrawings),
            *federated.HANDLERS,
            *scripts.HANDLERS,
            (r"/try/signs", KeepOwnClasses),
            (r"/try(?:/(.*))?", TryPage),
        ],
    )
    look_at_requests(app.web_app)
    take_text_only()
    hashed = app.identity_provider.hashed_password.encode()  # type: ignore[attr-defined]
    app.io_loop.add_callback(status_socket.listen, app, status_socket_name(hashed))
