"""`docs/course.md`: every topic has a program, and every name and link exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "course.md"
TEXT = PAGE.read_text(encoding="utf-8")
TOPICS = re.split(r"^## ", TEXT, flags=re.M)[1:]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.splitlines()[0])
def test_every_topic_has_a_program(topic: str) -> None:
    assert re.search(r"\]\(\.\./examples/\w+\.py\)", topic)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_links_lead_somewhere(link: str) -> None:
    assert (PAGE.parent / link).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(fastrnn\.[\w.]+)", TEXT))))
def test_names_are_in_the_library(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(\w+)=[`\w]", TEXT))))
def test_options_are_in_the_library(option: str) -> None:
    library = Path(importlib.import_module("fastrnn").__file__).parent
    sources = (path.read_text(encoding="utf-8") for path in library.rglob("*.py"))
    assert any(re.search(rf"\b{option}: ", source) for source in sources)
