"""What runs inside the notebook server on a Pi: a Jupyter server extension."""
