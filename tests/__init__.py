import os

# Tests read what Ansible itself prints of each task.
os.environ.setdefault("ANSIBLE_STDOUT_CALLBACK", "default")
