"""Jupyter settings that are the same on every Pi. The template of the role jupyter has those that vary."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from traitlets.config import Config

from mynn_server.credentials import Credentials, read_credentials
from mynn_server.try_files import FOLDER

# Requests are held in memory. Files of up to 15 MB are uploaded in one request, larger ones in chunks of 1 MB. A
# notebook is saved in one request, with all its plots.
LARGEST_REQUEST = 64 << 20  # bytes


def configure(c: Config, *, shared: bool = False) -> Credentials:
    """Apply all settings; return the server's secrets. shared: several students share the Pi."""
    credentials = read_credentials()
    c.ServerApp.sock = "passed"  # serve.py listens already; any value makes Jupyter take its socket
    c.ServerApp.open_browser = False
    c.ServerApp.quit_button = False
    c.ServerApp.root_dir = str(Path.home() / "notebooks")
    c.ServerApp.allow_remote_access = True
    c.ServerApp.max_body_size = c.ServerApp.max_buffer_size = LARGEST_REQUEST
    c.JupyterNotebookApp.default_url = "/start/"
    # Each unneeded extension costs a Pi Zero memory, and seconds at each start.
    unneeded = ("jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim")
    c.ServerApp.jpserver_extensions = dict.fromkeys(unneeded, False) | {"mynn_server": True}
    sign_in(c, credentials, Path.home().name if shared else "")
    programs(c)
    files(c)
    return credentials


def sign_in(c: Config, credentials: Credentials, student: str) -> None:
    """Allow nothing without the password: no token, no unauthenticated requests.

    student: the account, which the sign-in page names; empty if the Pi has only one.
    """
    c.ServerApp.allow_unauthenticated_access = False
    c.ServerApp.cookie_secret = credentials.cookie_secret
    c.ServerApp.identity_provider_class = "mynn_server.sign_in.Students"
    c.ServerApp.extra_template_paths = [str(FOLDER)]  # login.html; logout.html leads there
    c.ServerApp.jinja_template_vars = {"student": student, "pi": socket.gethostname()}
    c.IdentityProvider.token = ""
    c.IdentityProvider.login_handler_class = "mynn_server.sign_in.SignIn"
    c.PasswordIdentityProvider.hashed_password = credentials.hashed.decode()
    c.PasswordIdentityProvider.password_required = True
    c.PasswordIdentityProvider.allow_password_change = False
    # Session cookies: the clock of a Pi without the Internet is behind, so cookies with a date would have expired.
    c.IdentityProvider.cookie_options = {"expires_days": None}
    c.IdentityProvider.get_secure_cookie_kwargs = {"max_age_days": 1}  # by the Pi's own clock
    c.ServerApp.tornado_settings = {"xsrf_cookie_kwargs": {"expires_days": None, "path": "/"}}


def programs(c: Config) -> None:
    """Set how kernels are started and ended."""
    c.ServerApp.kernel_spec_manager_class = "mynn_server.kernel_manager.KernelSpecs"
    c.ServerApp.kernel_manager_class = "mynn_server.kernel_manager.Kernels"
    c.KernelProvisionerFactory.default_provisioner_name = "mynn-forking"
    c.MappingKernelManager.kernel_info_timeout = 300  # seconds: kernels start slowly beside other programs
    c.MappingKernelManager.cull_connected = True  # a Pi has memory for two or three kernels
    c.MappingKernelManager.buffer_offline_messages = False  # would be unlimited, and for one page; see output_store.py
    # An open page sends these while a cell runs; they do not count as activity.
    c.MappingKernelManager.untracked_message_types.extend(["create_subshell_request", "delete_subshell_request"])


def files(c: Config) -> None:
    """Set how files are stored."""
    c.ServerApp.contents_manager_class = "mynn_server.contents.Contents"
    c.FileContentsManager.delete_to_trash = False  # deleted files free their disk space
    # Notebooks are trusted only until the server ends, so no file that a student can change decides it.
    c.NotebookNotary.db_file = ":memory:"
    c.NotebookNotary.secret = os.urandom(32)
    # These formats need programs that a Pi does not have: LaTeX, a browser, Qt, pandoc.
    for name in ("PDF", "WebPDF", "QtPDF", "QtPNG", "Latex", "ASCIIDoc", "RST"):
        c[f"{name}Exporter"].enabled = False
