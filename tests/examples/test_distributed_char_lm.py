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
    assert "--batch 7: expected a multiple of 2 processes" in done.stderr


def test_help() -> None:
    done = run_python(str(EXAMPLE), "--help", timeout=120)
    assert done.returncode == 0
    assert "torchrun" in done.stdout
