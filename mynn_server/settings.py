"""Jupyter's settings that are the same on every Pi. The role jupyter's template has those that it decides."""

from __future__ import annotations

import os
from pathlib import Path

from traitlets.config import Config

from mynn_server.credentials import Credentials, read_credentials
from mynn_server.try_files import FOLDER

# Requests are held in memory. Files of up to 15 MB are uploaded in one request, larger ones in chunks of 1 MB; a
# notebook is saved in one, with all its plots.
LARGEST_REQUEST = 64 << 20  # bytes


def configure(c: Config) -> Credentials:
    """Set them; return the secrets."""
    credentials = read_credentials()
    c.ServerApp.sock = "passed"  # serve.py listens already; any value makes Jupyter take its socket
    c.ServerApp.open_browser = False
    c.ServerApp.quit_button = False
    c.ServerApp.root_dir = str(Path.home() / "notebooks")
    c.ServerApp.allow_remote_access = True
    c.ServerApp.max_body_size = c.ServerApp.max_buffer_size = LARGEST_REQUEST
    c.JupyterNotebookApp.default_url = "/start/"
    # Each of those that a Pi does not need costs a Pi Zero memory, and seconds at each start.
    unneeded = ("jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim")
    c.ServerApp.jpserver_extensions = dict.fromkeys(unneeded, False) | {"mynn_server": True}
    sign_in(c, credentials)
    programs(c)
    files(c)
    return credentials


def sign_in(c: Config, credentials: Credentials) -> None:
    """Allow nothing without the password: no token, no unauthenticated requests."""
    c.ServerApp.allow_unauthenticated_access = False
    c.ServerApp.cookie_secret = credentials.cookie_secret
    c.ServerApp.identity_provider_class = "mynn_server.sign_in.Students"
    c.ServerApp.extra_template_paths = [str(FOLDER)]  # login.html
    c.IdentityProvider.token = ""
    c.IdentityProvider.login_handler_class = "mynn_server.sign_in.SignIn"
    c.PasswordIdentityProvider.hashed_password = credentials.hashed.decode()
    c.PasswordIdentityProvider.password_required = True
    c.PasswordIdentityProvider.allow_password_change = False
    # Session cookies, without a date: the clock of a Pi without the Internet is behind, so cookies with a date would
    # have expired already.
    c.IdentityProvider.cookie_options = {"expires_days": None}
    c.IdentityProvider.get_secure_cookie_kwargs = {"max_age_days": 1}  # by the Pi's own clock
    c.ServerApp.tornado_settings = {"xsrf_cookie_kwargs": {"expires_days": None, "path": "/"}}


def programs(c: Config) -> None:
    """Set how kernels are started and ended."""
    c.ServerApp.kernel_spec_manager_class = "mynn_server.programs.KernelSpecs"
    c.ServerApp.kernel_manager_class = "mynn_server.programs.Kernels"
    c.KernelProvisionerFactory.default_provisioner_name = "mynn-forking"
    c.MappingKernelManager.kernel_info_timeout = 300  # a kernel is slow to start where other programs work
    c.MappingKernelManager.cull_connected = True  # a Pi has memory for two or three kernels
    c.MappingKernelManager.buffer_offline_messages = False  # without limit, and for one page only; see kept.py
    # An open page sends them beside a cell that runs: they say nothing of whether the program works.
    c.MappingKernelManager.untracked_message_types.extend(["create_subshell_request", "delete_subshell_request"])


def files(c: Config) -> None:
    """Set how files are kept."""
    c.ServerApp.contents_manager_class = "mynn_server.contents.Contents"
    c.FileContentsManager.delete_to_trash = False  # what a student deletes is gone from the disk too
    # Which notebooks are trusted is known only until the server ends, so that no file of the student's decides it.
    c.NotebookNotary.db_file = ":memory:"
    c.NotebookNotary.secret = os.urandom(32)
    # These formats need programs that a Pi does not have: LaTeX, a browser, Qt, pandoc.
    for name in ("PDF", "WebPDF", "QtPDF", "QtPNG", "Latex", "ASCIIDoc", "RST"):
        c[f"{name}Exporter"].enabled = False
