"""A client of a notebook server: signing in, its REST interface, and cells run over a websocket."""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
import websocket

PATIENCE = 120  # seconds that a Pi Zero may take for an answer: a server may have to be started for it


@dataclass
class Output:
    """What a cell printed, the pictures that it showed (PNG, base64), and its error in a line, if any."""

    text: str = ""
    pictures: list[str] = field(default_factory=list)
    error: str = ""


class NotebookServer:
    """A notebook server at a URL, as one browser sees it; `authority` is the file with a certificate to trust."""

    def __init__(self, url: str, authority: str = "") -> None:
        self.url = url.rstrip("/")
        self.authority = authority
        self.session = requests.Session()
        self.session.trust_env = False  # a school's proxy does not know the classroom
        self.session.verify = authority or True

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request. Once a page was seen, it carries what the server wants against forgery."""
        headers = {"X-XSRFToken": self.session.cookies.get("_xsrf", ""), **options.pop("headers", {})}
        options = {"timeout": PATIENCE, "allow_redirects": False, **options}
        return self.session.request(method, self.url + path, headers=headers, **options)

    def sign_in(self, password: str) -> bool:
        """Fill in the form; whether the server then lets us in."""
        self.ask("GET", "/login")
        form = {"password": password, "_xsrf": self.session.cookies.get("_xsrf", "")}
        return self.ask("POST", "/login", data=form).status_code == 302

    def get(self, path: str) -> Any:
        """What the REST interface answers; an error status is an error of requests."""
        answer = self.ask("GET", path)
        answer.raise_for_status()
        return answer.json()

    def delete(self, path: str) -> None:
        """Delete something that may be gone already; any other error status is an error of requests."""
        answer = self.ask("DELETE", path)
        if answer.status_code != 404:
            answer.raise_for_status()

    @contextmanager
    def kernel(self) -> Iterator[Kernel]:
        """A kernel that is ended afterwards."""
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
        """Open the websocket of a kernel; being refused is a WebSocketBadStatusException."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.session.cookies)
        return websocket.create_connection(
            f"{self.url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels",
            timeout=PATIENCE,
            cookie=cookies or None,
            sslopt={"ca_certs": self.authority, "cert_reqs": ssl.CERT_REQUIRED} if self.authority else {},
            http_no_proxy=["*"],
        )


class Kernel:
    """A kernel that runs cells."""

    def __init__(self, identity: str, socket: websocket.WebSocket) -> None:
        self.identity = identity
        self.socket = socket

    def run(self, code: str, seconds: float = 300) -> Output:
        """Run a cell to its end, which must come within so many seconds, or it is a TimeoutError."""
        message = uuid.uuid4().hex
        header = {
            "msg_id": message,
            "msg_type": "execute_request",
            "session": message,
            "username": "",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self.socket.send(json.dumps(request))
        output = Output()
        end = time.monotonic() + seconds
        done = set[str]()
        while done != {"idle", "reply"}:
            if time.monotonic() > end:
                raise TimeoutError(f"The cell was not done after {seconds:.0f} s.")
            try:
                # The server's pings come through too: by themselves they would have us wait without end.
                kind, data = self.socket.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                continue
            if kind != websocket.ABNF.OPCODE_TEXT:
                continue
            answer = json.loads(data)
            if answer["parent_header"].get("msg_id") == message:
                done |= _take(answer, output)
        return output


def _take(answer: dict[str, Any], output: Output) -> set[str]:
    """Take a message into the output; return what it says to be done."""
    content = answer["content"]
    match answer["msg_type"]:
        case "stream":
            output.text += content["text"]
        case "display_data" | "execute_result":
            output.text += content["data"].get("text/plain", "")
            output.pictures += [picture] if (picture := content["data"].get("image/png")) else []
        case "error":
            output.error = f"{content['ename']}: {content['evalue']}"
        case "execute_reply":
            return {"reply"}
        case "status" if content["execution_state"] == "idle":
            return {"idle"}
    return set()
