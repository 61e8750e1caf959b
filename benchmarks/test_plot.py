"""The picture of a comparison: both modes beside each other, every peer named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from benchmarks import questions
from benchmarks.contestants import CONTESTANTS
from benchmarks.plot import PEERS, describe, describe_speed, draw
from benchmarks.timing import summarise


def make_row(mode: str) -> dict[str, Any]:
    samples = {
        ("fastrnn", 1): [1.0, 2.0, 4.0],  # seconds
        ("torch", 1): [2.0, 4.0, 8.0],
        ("jax-vjp", 1): [3.0, 6.0, 12.0],
        ("peak", 1): [20.0, 10.0, 5.0],  # speed
    }
    size = {"cell": "lstm", "I": 8, "H": 8, "N": 1, "T": 5, "dtype": "float32"}
    return {"name": "x", "mode": mode, "workload": size} | summarise(samples, work=10)


def test_every_peer_has_a_name() -> None:
    assert PEERS.keys() == CONTESTANTS.keys() - {"fastrnn"}


def test_names_are_in_words() -> None:
    row = make_row("training")
    assert describe(row["workload"]) == "LSTM, 8 units\n1 row, 5 steps"
    other = row["workload"] | {"I": 3, "N": 2}
    assert describe(other) == "LSTM, 3 inputs, 8 units\n2 rows, 5 steps"
    assert describe_speed(row["threads"]["1"]) == "5 GFLOP/s\n50 % of peak"


def test_inference_stands_beside_training(tmp_path: Path) -> None:
    from matplotlib.image import imread

    machine = {"cpu": "a processor", "isa": "avx2"}
    rows = [make_row("inference"), make_row("training")]
    draw({"machine": machine, "rows": rows}, tmp_path / "both.png")
    draw({"machine": machine, "rows": rows[:1]}, tmp_path / "one.png")
    both, one = (imread(tmp_path / f"{name}.png") for name in ("both", "one"))
    assert both.shape[1] > 1.5 * one.shape[1]
    assert both.shape[0] == one.shape[0]


def test_each_question_has_a_picture(tmp_path: Path) -> None:
    results = Path(__file__).parent / "results"
    questions.main([str(results), str(tmp_path)])
    pictures = {picture.stem for picture in tmp_path.glob("*.png")}
    assert pictures == questions.PICTURES.keys()


def test_a_report_that_is_missing_leaves_its_picture_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions.main([str(tmp_path), str(tmp_path / "pictures")])
    assert "steps: left out, for want of steps.json" in capsys.readouterr().out
