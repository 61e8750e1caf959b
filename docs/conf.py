"""Settings of the documentation site; `nox -s docs` builds it.

The pages are the files of this folder, and some from elsewhere: see `_ext/pages.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fastrnn

os.environ.setdefault("KERAS_BACKEND", "torch")  # which is installed, for the reference
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "fastrnn"
author = "fastrnn authors"
copyright = author
release = version = fastrnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "pages",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_*"]
templates_path = ["_templates"]

# Links of Markdown files are those that work in the repository, too.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

autodoc_typehints = "none"  # numpydoc's sections say more: the shapes
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = True
default_role = "autolink"
numpydoc_show_class_members = False
numpydoc_validation_checks: set[str] = set()
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(jax|keras|onnx|torch)\..*")]  # of other projects

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "fastrnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "fastrnn"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 1,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
alone = ("index", "install", "tutorial", "performance", "course", "faq", "changes")
html_sidebars: dict[str, list[str]] = {page: [] for page in alone}
