"""The Python in README and the other pages runs, and passes mypy --strict.

The blocks of a page are one program, from top to bottom. Blocks marked ``python`` run
as they stand; those marked ``py`` need PyTorch (in the README also a ``model`` made
with it), scikit-learn, Keras, JAX, ONNX or matplotlib. Fragments, marked ``python3``,
do neither.
tests/test_pages.py looks at what the pages print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastrnn

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^( *)```(python3?|py)\n(.*?)^\1```$", re.M | re.S)


def program(page: Path, language: str) -> str:
    """Return the code of a page, on the lines on which it stands there."""
    text = page.read_text("utf-8")
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        if re.fullmatch(language, block[2]):
            start = text.count("\n", 0, block.start(3))
            for n, line in enumerate(block[3].splitlines(), start):
                lines[n] = line.removeprefix(block[1])
    return "\n".join(lines).rstrip() + "\n"


PAGES = [
    page
    for page in (
        *ROOT.glob("*.md"),
        *ROOT.glob("*/*.md"),
        *ROOT.glob("docs/guide/*.md"),
    )
    if BLOCK.search(page.read_text("utf-8"))
]
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


def run(page: Path, language: str, **names: Any) -> dict[str, Any]:
    exec(compile(program(page, language), page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def in_a_folder_with_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages read files of the clone, and write files of their own."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)


@every_page
def test_code_runs(page: Path) -> None:
    run(page, "python", print=lambda *args: None)


def test_the_model_of_the_readme_learns_and_its_layer_steps() -> None:
    names = run(ROOT / "README.md", "python", print=lambda loss: None)
    assert names["h"].shape == (32,)
    known = 19 / 39 * 2.302585  # of 39 targets, 19 begin a new pair
    assert known - 0.05 < names["loss"] < known + 0.15


def test_the_pytorch_model_of_the_readme_is_accelerated() -> None:
    torch = pytest.importorskip("torch")
    names = run(ROOT / "README.md", "py", model=torch.nn.LSTM(16, 32))
    assert type(names["model"]) is fastrnn.torch.LSTM


@pytest.mark.parametrize("name", ["guide/pytorch", "streaming"])
def test_the_pytorch_code_of_the_guide_runs(name: str) -> None:
    pytest.importorskip("torch")
    run(ROOT / f"docs/{name}.md", "python|py", print=lambda *args: None)


def check_types(code: str, folder: Path) -> None:
    """Run mypy --strict on a program, with the types of the library under test."""
    file = folder / "program.py"
    file.write_text(code, "utf-8")
    library = Path(fastrnn.__file__).parents[1]
    found = {} if library.name == "site-packages" else {"MYPYPATH": str(library)}
    done = subprocess.run(
        # Classes of PyTorch are Any, installed or not: see pyproject.toml.
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--allow-subclassing-any",
            f"--cache-dir={folder}",
            file,
        ],
        cwd=ROOT,
        env=os.environ | found,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@every_page
def test_code_has_the_right_types(page: Path, tmp_path: Path) -> None:
    check_types(program(page, "python|py"), tmp_path)


def test_a_layer_of_a_model_has_the_type_that_a_stepper_takes(tmp_path: Path) -> None:
    code = """
import fastrnn

model = fastrnn.Sequential(fastrnn.Embedding(10, 16), fastrnn.LSTM(16, 32))
fastrnn.Stepper(model.layers["1"])
"""
    exec(code, {})
    check_types(code, tmp_path)
