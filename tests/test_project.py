"""The project's own files agree with one another."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
    "project"
]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "guide").glob("*.md"),
    ROOT / "examples" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)
REPOSITORY = "https://example.org/fastrnn"


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_newest_release_is_the_version_everywhere() -> None:
    releases = re.findall(
        r"^## \[(\d[^\]]*)\](?: - (\S+))?$", read("CHANGELOG.md"), re.M
    )
    citation = read("CITATION.cff")
    (version,) = re.findall(r"^version: (\S+)$", citation, re.M)
    date = re.findall(r"^date-released: (\S+)$", citation, re.M)
    assert releases[0] == (PROJECT["version"], "".join(date))
    assert version == PROJECT["version"]
    assert re.search(rf"^license: {PROJECT['license']}$", citation, re.M)


def test_every_linter_has_one_version() -> None:
    pins = [r.split("==") for name in ("lint", "tidy") for r in EXTRAS[name]]
    assert all(len(pin) == 2 for pin in pins)
    assert [r for r in EXTRAS["test"] if r.startswith("mypy")] == [
        r for r in EXTRAS["lint"] if r.startswith("mypy")
    ]


def test_pre_commit_runs_the_linters_of_the_lint_extra() -> None:
    hooks = read(".pre-commit-config.yaml")
    commands = re.findall(r"^ +entry: (\S+).*\n +language: system", hooks, re.M)
    assert len(commands) == hooks.count("- id:") - hooks.count("language: pygrep")
    pinned = {requirement.split("==")[0] for requirement in EXTRAS["lint"]}
    assert {*commands, "pre-commit"} == pinned


def test_workflows_test_every_python_that_is_promised() -> None:
    promised = [
        match[1]
        for classifier in PROJECT["classifiers"]
        if (match := re.fullmatch(r"Programming .* :: (3\.\d+)", classifier))
    ]
    assert PROJECT["requires-python"] == f">={promised[0]}"
    row = re.search(r"python: \[(.*)\]", read(".github/workflows/tests.yml"))
    assert row is not None
    assert re.findall(r'"(.*?)"', row[1]) == promised


def links(text: str) -> list[str]:
    return re.findall(r"\]\((?!https?:)([^)]+)\)", text)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}


@every_page
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


@every_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    folders = "tests|csrc|src|docs|examples|benchmarks|cmake|\\.ci|\\.github"
    for name in re.findall(rf"`((?:{folders})/[\w./*-]*)`", page.read_text("utf-8")):
        assert "foo" in name or list(ROOT.glob(name)), name


@pytest.fixture
def package() -> ModuleType:
    spec = importlib.util.spec_from_file_location("package", ROOT / ".ci/package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_on_a_package_index_are_absolute(package: ModuleType) -> None:
    readme = read("README.md")
    text = package.absolute_links(readme, REPOSITORY, "v1")
    assert [link for link in links(text) if not link.startswith("#")] == []
    assert f"]({REPOSITORY}/blob/v1/LICENSE)" in text
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme)
    assert pictures
    for picture in pictures:
        assert f"]({REPOSITORY}/raw/v1/{picture})" in text


def test_addresses_can_be_added_to_the_metadata(package: ModuleType) -> None:
    text = read("pyproject.toml") + package.urls(REPOSITORY, "v1")
    assert tomllib.loads(text)["project"]["urls"]["Repository"] == REPOSITORY
