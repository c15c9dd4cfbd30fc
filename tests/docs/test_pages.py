"""The documentation says what is true."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.template import Context, Engine, Template
from django.test import RequestFactory
from django.utils.module_loading import import_string

from tests.deployments import DEPLOY, KINDS
from tests.losses.rows import ROWS
from tests.servers import ROOT
from ws4redis import checks, conf


def load(*path: str) -> Any:
    """Import a program that writes parts of the documentation."""
    file = ROOT.joinpath(*path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_settings_is_fresh() -> None:
    module = load("docs", "settings_page.py")
    assert module.TARGET.read_text() == module.page(), "run docs/settings_page.py"


@pytest.mark.parametrize(
    ("result", "command"),
    [("performance/result.json", "make plots"), ("losses/bench.json", "make chaos")],
)
def test_the_tables_of_the_benchmark_are_those_of_its_result(result: str, command: str) -> None:
    file = ROOT / "docs" / "topics" / result
    scenarios = json.loads(file.read_text())["scenarios"]
    for name, text in load("stress-tests", "tables.py").tables(scenarios).items():
        assert file.with_name(f"{name}.md").read_text() == text, command


def test_the_table_of_losses_is_that_of_its_result() -> None:
    directory = ROOT / "docs" / "topics" / "losses"
    result = json.loads((directory / "result.json").read_text())
    for name, text in load("stress-tests", "losses.py").tables(result).items():
        assert (directory / f"{name}.md").read_text() == text, "make chaos"


def test_the_table_of_losses_has_every_fault() -> None:
    result = json.loads((ROOT / "docs" / "topics" / "losses" / "result.json").read_text())
    assert list(result["rows"]) == [row.name for row in ROWS]


PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Any) -> None:
    known = {conf.django_name(item) for item in conf.all_fields()}
    named = set(re.findall(r"\bWS4REDIS_[A-Z_]+\b", page.read_text()))
    assert named - {"WS4REDIS_TEST_PATIENCE"} <= known


@pytest.mark.parametrize("name", ["README.md", "docs/howto/client.md"])
def test_a_template_loads_what_it_uses(name: str) -> None:
    (template, *_) = re.findall(r"```html\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    processors = re.findall(r"\bws4redis\.context_processors\.\w+", (ROOT / name).read_text())
    context = import_string(processors[0])(RequestFactory().get("/"))
    engine = Engine(libraries={"static": "django.templatetags.static"})
    page = Template(template, engine=engine).render(Context(context))
    assert "ws://testserver/ws/chat?subscribe-broadcast" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page: Any) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_table_of_the_servers_is_fresh() -> None:
    table = (ROOT / "docs" / "reference" / "servers.md").read_text()
    header = next(line for line in table.splitlines() if line.startswith("| |"))
    assert [cell.strip() for cell in header.split("|")[2:-1]] == list(KINDS), "make servers-table"
    source = (ROOT / "tests" / "acceptance" / "test_facility.py").read_text()
    behaviours = re.findall(r"^def test_(\w+)\(\s*server: Server, facility", source, re.MULTILINE)
    for behaviour in behaviours:
        assert f"| {behaviour.replace('_', ' ').capitalize()} |" in table, "make servers-table"
    assert "✗" not in table


def test_every_file_to_copy_is_in_a_page() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            assert f"../{path.relative_to(ROOT)}\n" in pages, path


def named_tests(page: Path) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Any) -> None:
    sources = "".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    assert named_tests(page) <= set(re.findall(r"^ *def (test_\w+)\(", sources, re.MULTILINE))


def test_every_fault_of_redis_is_in_its_page() -> None:
    named = named_tests(ROOT / "docs" / "topics" / "faults.md")
    source = (ROOT / "tests" / "acceptance" / "test_link_faults.py").read_text()
    assert set(re.findall(r"^def (test_\w+)\(", source, re.MULTILINE)) <= named


def test_every_check_is_listed() -> None:
    source = (ROOT / "ws4redis" / "checks.py").read_text()
    used = set(re.findall(r'id="(ws4redis\.W\d+)"', source))
    assert used == set(re.findall(r"``(ws4redis\.W\d+)``", checks.__doc__ or ""))
