"""The documentation site: what its pages must have, and the tools that build it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
LIBRARY = DOCS.parent / "src" / "fastrnn"
MODULES = sorted(a.stem for a in LIBRARY.glob("[a-z]*") if a.suffix in {"", ".py"})
OPTIONAL = {"jax", "keras", "sklearn", "torch"}


def listed() -> set[str]:
    """Return the names that the pages of the reference list, with their modules."""
    found = set()
    for page in DOCS.glob("reference/*.rst"):
        module = ""
        for line in page.read_text("utf-8").splitlines():
            if match := re.match(r"\.\. (?:currentmodule|module):: (\S+)", line):
                module = match[1]
            elif match := re.fullmatch(r"(?:   |\.\. data:: |          )(\w+)", line):
                found.add(f"{module}.{match[1]}")
    return found


@pytest.mark.parametrize("module", ["", *MODULES])
def test_every_public_name_is_in_the_reference(module: str) -> None:
    if module in OPTIONAL:
        pytest.importorskip(module)
    name = f"fastrnn.{module}".rstrip(".")
    public = set(importlib.import_module(name).__all__)
    if not module:
        public -= set(MODULES)  # which have a page each
    assert {f"{name}.{a}" for a in public} - listed() == set()


def links(page: Path) -> set[Path]:
    """Return the pages of the site to which a page links."""
    found = re.findall(r"\]\(([\w./]+\.md)[^)]*\)", page.read_text("utf-8"))
    targets = {(page.parent / link).resolve() for link in found}
    return {target for target in targets if target.is_relative_to(DOCS)}


@pytest.mark.parametrize(
    "words",
    ["## Twelve lines", "## A model trained in PyTorch", "## Raspberry Pi and other"],
)
def test_two_clicks_lead_from_the_start_page_to(words: str) -> None:
    once = links(DOCS / "index.md")
    twice = once.union(*map(links, once))
    assert any(words in page.read_text("utf-8") for page in twice)


def load(name: str) -> ModuleType:
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<h1 id="here">x</h1><a href="#here"></a><a href="a.html#there"></a>'
        '<a href="#gone"></a><a href="b.html"></a><img src="c.png">'
        '<a href="https://example.org/gone"></a><a href="a.html#missing"></a>'
    )
    (tmp_path / "a.html").write_text('<p id="there"><a href="index.html#here">y</a>')
    assert load("links").broken_links(tmp_path) == [
        "index.html: #gone: no such place",
        "index.html: a.html#missing: no such place",
        "index.html: b.html: no such page",
        "index.html: c.png: no such page",
    ]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("sphinx")
    monkeypatch.delenv("FASTRNN_REPOSITORY", raising=False)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    return load("pages")


@pytest.mark.parametrize(
    ("link", "on_the_site"),
    [
        ("[a](docs/course.md#cures)", "[a](/course.md#cures)"),
        ("[a](examples/README.md)", "[a](/gallery.md)"),
        ("[a](examples/char_lm.py)", "[a](/gallery/char_lm.md)"),
        ("[a](#how-fast)", "[a](/performance.md)"),
        ("[a](csrc/kernels/lstm.cpp)", "a"),
        ("[a](https://example.org)", "[a](https://example.org)"),
        ("![a](docs/benchmark.png)", "![a](../benchmark.png)"),
        ("```\n[a](csrc/b.cpp)\n```", "```\n[a](csrc/b.cpp)\n```"),
    ],
)
def test_links_of_a_file_lead_to_its_page(
    pages: ModuleType, link: str, on_the_site: str
) -> None:
    page = DOCS / "guide" / "page.md"
    assert pages.rewrite(link, DOCS.parent / "README.md", page) == on_the_site


def test_a_page_has_no_link_to_itself(pages: ModuleType) -> None:
    text = pages.rewrite(
        "[a](README.md#how-fast)", DOCS.parent / "x.md", DOCS / "performance.md"
    )
    assert text == "a"


def test_other_files_are_linked_in_the_repository(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTRNN_REPOSITORY", "https://example.org/fastrnn")
    text = pages.rewrite("[a](LICENSE)", DOCS.parent / "README.md", DOCS / "page.md")
    assert text == "[a](https://example.org/fastrnn/blob/main/LICENSE)"


def test_pages_from_elsewhere_name_their_file(pages: ModuleType) -> None:
    for page, file in pages.OUTSIDE.items():
        assert f"[{file}](../{file})" in (DOCS / f"{page}.md").read_text("utf-8")
