"""Sphinx configuration of the manual (`make docs`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent), str(FOLDER.parent / "collections")]
os.environ.pop("MNIST_DIR", None)  # the reference shows a Pi's defaults, not this computer's

import sources  # noqa: E402

from mynn import __version__  # noqa: E402

project = "mynn-pi"
author = "The mynn-pi authors"
copyright = f"{author}. MIT licence"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
suppress_warnings = ["config.cache"]
# Pupils can read the manual on a Pi, so its copy lacks the teacher's pages. Sphinx defines `tags`.
if tags.has("pi"):  # noqa: F821
    exclude_patterns += ["teach/plan.md", "teach/*answers.md", "teach/test.md", "teach/marking.md"]
    suppress_warnings += ["toc.excluded"]

locale_dirs = ["../build/locale"]  # made by mynn_control/languages.py

myst_heading_anchors = 3  # links to headings are checked
myst_enable_extensions = ["colon_fence"]

autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
add_module_names = False

highlight_language = "text"

html_theme = "furo"  # small, no web fonts, works on a phone and from a folder
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_title = f"mynn-pi {release}"
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_use_index = html_domain_indices = False

linkcheck_timeout = 20


def setup(app: object) -> None:
    """Fill in the reference pages from the sources."""
    sources.connect(app)
