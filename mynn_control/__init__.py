"""What runs on the teacher's computer beside Ansible."""
