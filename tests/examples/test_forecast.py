"""`examples/forecast.py`: recurrent nets against what a forecast costs nothing."""

from __future__ import annotations

from pathlib import Path

from tests.examples.programs import numbers, run_quickly


def test_nets_forecast_better_than_the_linear_model(tmp_path: Path) -> None:
    said = run_quickly("forecast.py", tmp_path, libraries="statsmodels")
    names = ("last value", "eleven years before", "linear", "GRU nets")
    row = " +one year ahead +([\\d.]+), mean of one to 11 years ahead +"
    one = {name: numbers(f"{name}{row}", said)[0] for name in names}
    mean = {name: numbers(f"{name}{row[:15]}.* ([\\d.]+)", said)[0] for name in names}
    assert one["last value"] > 25  # sunspots: no easy series
    assert one["GRU nets"] < 1.05 * one["linear"] < 0.7 * one["last value"]
    assert mean["GRU nets"] < 0.97 * mean["linear"]
    assert mean["GRU nets"] < 0.9 * mean["eleven years before"]
