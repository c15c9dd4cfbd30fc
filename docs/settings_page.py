"""Writes docs/reference/settings.md from the fields of the settings object and their docstrings."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

from ws4redis import conf

TARGET = Path(__file__).resolve().parent / "reference" / "settings.md"
HEAD = """# Settings

All are optional. A misspelt name or a wrong value is an error that `manage.py check` names.

<!-- Written by docs/settings_page.py from ws4redis/conf.py; do not edit. -->
"""


def page() -> str:
    """Return the text of the page."""
    texts = _docstrings()
    return "\n".join([HEAD, *(_section(item, texts[item.name]) for item in conf.all_fields())])


def _section(item, text: str) -> str:
    default = getattr(conf.Settings(), item.name)
    check = item.metadata["check"]
    return f"## {conf.django_name(item)}\n\n{text}\n\nDefault: `{default!r}`. Check: `{check}`.\n"


def _docstrings() -> dict[str, str]:
    """Return the text below each field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(conf.Settings)))
    body = tree.body[0].body
    texts = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            texts[statement.target.id] = inspect.cleandoc(following.value.value).replace("``", "`")
    return texts


if __name__ == "__main__":
    sys.path.insert(0, str(TARGET.parents[2]))
    TARGET.write_text(page())
