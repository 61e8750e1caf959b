"""Two processes under torchrun do what one does with the whole batch."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
torch_distributed = pytest.importorskip("torch.distributed")

from tests.processes import run_python  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / "examples" / "distributed_char_lm.py"
OPTIONS = ["--steps", "12", "--every", "1", "--hidden", "32", "--batch", "8"]
OPTIONS += ["--seq", "20", "--threads", "1"]

pytestmark = pytest.mark.skipif(
    not (torch_distributed.is_available() and torch_distributed.is_gloo_available()),
    reason="PyTorch was built without Gloo",
)


def losses(*words: str) -> list[float]:
    done = run_python(*words, str(EXAMPLE), *OPTIONS, timeout=180, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^step +(\d+)  loss ([\d.]+)$", done.stdout, re.M)
    assert [int(step) for step, _ in found] == list(range(1, 13))
    return [float(loss) for _, loss in found]


def test_same_losses() -> None:
    """The rows are shared, the gradients averaged: nothing else differs."""
    alone = losses()
    together = losses(
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"
    )
    assert together == pytest.approx(alone, abs=2e-5)
    assert alone[-1] < alone[0] - 0.3


def test_rows_that_cannot_be_shared() -> None:
    done = run_python(
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        str(EXAMPLE), "--batch", "7", timeout=180, OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.returncode != 0
    assert "--batch: expected a multiple of 2, the processes, got 7" in done.stderr


WITHOUT = "import runpy, sys; sys.modules['torch'] = None; sys.argv = [{0!r}, *{1!r}]; "
WITHOUT += "sys.path.insert(0, {2!r}); runpy.run_path({0!r}, run_name='__main__')"


def test_help_needs_no_torch() -> None:
    program = WITHOUT.format(str(EXAMPLE), ["--help"], str(EXAMPLE.parent))
    done = run_python("-c", program, timeout=120)
    assert done.returncode == 0
    assert "torchrun" in done.stdout


def test_without_torch_it_says_so() -> None:
    program = WITHOUT.format(str(EXAMPLE), [], str(EXAMPLE.parent))
    done = run_python("-c", program, timeout=120)
    assert done.returncode == 2
    assert done.stderr == (
        "distributed_char_lm.py: error: torch not installed: in a clone of fastrnn, "
        "pip install '.[torch]'\n"
    )
