"""Programs for the teacher's computer, beside Ansible."""
