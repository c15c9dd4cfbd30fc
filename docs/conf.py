"""Sphinx's configuration."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ws4redis import __version__

project = "ws4redis"
author = copyright = "the ws4redis authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "topics/performance/*.md", "topics/losses/*.md"]
html_theme = "furo"
html_title = "ws4redis"
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"


def setup(app):
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
