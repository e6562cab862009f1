"""A client of a notebook server: it signs in, uses the REST interface, and runs cells over a websocket."""

from __future__ import annotations

import json
import re
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
import websocket

PATIENCE = 120  # seconds that a Pi Zero may take to respond: it may have to start the server first
PICTURE = re.compile('<img alt="[^"]+" src="data:image/png;base64,([^"]+)"')


@dataclass
class Output:
    """The text that a cell printed, its plots (PNG, base64) if they have a description, and its error in one line."""

    text: str = ""
    pictures: list[str] = field(default_factory=list)
    error: str = ""


class NotebookServer:
    """A session with the notebook server at a URL; `authority` is the file with the certificate authority, if any."""

    def __init__(self, url: str, authority: str = "") -> None:
        self.url = url.rstrip("/")
        self.authority = authority
        self.session = requests.Session()
        self.session.trust_env = False  # a school's proxy does not reach the Pis
        self.session.verify = authority or True

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, with the XSRF token if the server has set one."""
        headers = {"X-XSRFToken": self.session.cookies.get("_xsrf", ""), **options.pop("headers", {})}
        options = {"timeout": PATIENCE, "allow_redirects": False, **options}
        return self.session.request(method, self.url + path, headers=headers, **options)

    def sign_in(self, password: str) -> bool:
        """Submit the sign-in form, and return whether the password was accepted."""
        self.ask("GET", "/login")
        form = {"password": password, "_xsrf": self.session.cookies.get("_xsrf", "")}
        return self.ask("POST", "/login", data=form).status_code == 302

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the REST interface. Raises requests.HTTPError for an error status."""
        answer = self.ask("GET", path)
        answer.raise_for_status()
        return answer.json()

    def delete(self, path: str) -> None:
        """Delete something that may not exist any more. Raises requests.HTTPError for other error statuses."""
        answer = self.ask("DELETE", path)
        if answer.status_code != 404:
            answer.raise_for_status()

    def open_notebook(self, path: str) -> Any:
        """Open a notebook with a kernel, as its page does; return the session."""
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        answer = self.ask("POST", "/api/sessions", json=body)
        answer.raise_for_status()
        return answer.json()

    @contextmanager
    def kernel(self) -> Iterator[Kernel]:
        """Start a kernel, and shut it down afterwards."""
        answer = self.ask("POST", "/api/kernels", json={"name": "python3"})
        answer.raise_for_status()
        identity = answer.json()["id"]
        try:
            kernel = Kernel(identity, self.connect(identity))
            try:
                yield kernel
            finally:
                kernel.socket.close()
        finally:
            self.delete(f"/api/kernels/{identity}")

    def connect(self, kernel: str) -> websocket.WebSocket:
        """Open the websocket of a kernel. Raises WebSocketBadStatusException if the server refuses."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.session.cookies)
        return websocket.create_connection(
            f"{self.url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels",
            timeout=PATIENCE,
            cookie=cookies or None,
            sslopt={"ca_certs": self.authority, "cert_reqs": ssl.CERT_REQUIRED} if self.authority else {},
            http_no_proxy=["*"],
        )


def reason(error: Exception) -> str:
    """Return the reason at the end of an error message from requests, such as "Connection refused"."""
    return str(error).rpartition(": ")[2].strip(" ()'\"")


class Kernel:
    """A kernel that runs cells."""

    def __init__(self, identity: str, socket: websocket.WebSocket) -> None:
        self.identity = identity
        self.socket = socket

    def run(self, code: str, seconds: float = 300, cell: str = "") -> Output:
        """Run a cell, whose id may be given, to its end. Raises TimeoutError if it takes longer than `seconds`."""
        message = uuid.uuid4().hex
        header = {
            "msg_id": message,
            "msg_type": "execute_request",
            "session": message,
            "username": "",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        metadata = {"cellId": cell} if cell else {}
        request = {"header": header, "parent_header": {}, "metadata": metadata, "content": content, "channel": "shell"}
        self.socket.send(json.dumps(request))
        output = Output()
        end = time.monotonic() + seconds
        done = set[str]()
        while done != {"idle", "reply"}:
            if time.monotonic() > end:
                raise TimeoutError(f"The cell was not done after {seconds:.0f} s.")
            try:
                # Return for the server's pings, too: otherwise they would prolong this wait beyond the deadline.
                kind, data = self.socket.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                continue
            if kind != websocket.ABNF.OPCODE_TEXT:
                continue
            answer = json.loads(data)
            if answer["parent_header"].get("msg_id") == message:
                done |= _add(answer, output)
        return output


def _add(answer: dict[str, Any], output: Output) -> set[str]:
    """Add a message to the output; return which part of the execution it ends, if any."""
    content = answer["content"]
    match answer["msg_type"]:
        case "stream":
            output.text += content["text"]
        case "display_data" | "execute_result":
            output.text += content["data"].get("text/plain", "")
            output.pictures += PICTURE.findall(content["data"].get("text/html", ""))
        case "error":
            output.error = f"{content['ename']}: {content['evalue']}"
        case "execute_reply":
            return {"reply"}
        case "status" if content["execution_state"] == "idle":
            return {"idle"}
    return set()
