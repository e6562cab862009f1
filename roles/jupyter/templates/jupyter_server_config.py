# Written by mynn-pi's playbook, which writes it anew at each run.
import os
from pathlib import Path

c = get_config()  # noqa: F821 - Jupyter provides it
secrets = Path(os.environ["CREDENTIALS_DIRECTORY"])

c.ServerApp.ip = "*"
c.ServerApp.port = {{ jupyter_port }}
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "{{ jupyter_folder }}"
c.ServerApp.allow_remote_access = True
{% if jupyter_https %}
c.ServerApp.certfile = str(secrets / "certificate")
{% endif %}

# Nothing without the password: no token, no request of a stranger.
c.ServerApp.allow_unauthenticated_access = False
c.IdentityProvider.token = ""
c.PasswordIdentityProvider.hashed_password = (secrets / "password").read_text().strip()
c.PasswordIdentityProvider.password_required = True
c.PasswordIdentityProvider.allow_password_change = False

# A Pi has memory for two or three kernels.
c.MappingKernelManager.cull_idle_timeout = {{ jupyter_cull_seconds }}
c.MappingKernelManager.cull_connected = True
c.MappingKernelManager.cull_interval = {{ [60, jupyter_cull_seconds] | min }}

# What a child deletes is gone from the card too.
c.FileContentsManager.delete_to_trash = False
c.ServerApp.quit_button = False
