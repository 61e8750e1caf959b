"""Forecast the number of sunspots, one year and up to eleven years ahead.

    python examples/forecast.py
    python examples/forecast.py --first 1950 --nets 10

The yearly number of sunspots since 1700 rises and falls with a period of about eleven
years. Several GRU nets learn to predict the next year from all earlier ones, on the
years before `--first`; the forecast is the median of their predictions. For more years
ahead each net reads its own forecasts as if they had come true. Forecasts are made from
every year from `--first` on, and compared with

- the last value: the next years are as this one,
- eleven years before: the next cycle is as the last one,
- a linear model of the last nine years (autoregression, the classic for this series),
  fitted by least squares to the same years; it reads its own forecasts too.

From 1921 on, the division that most papers on this series use and for which the
settings were chosen, the nets are better. With others (`--first 1860`, `--first 1950`)
they and the linear model are about level: two hundred numbers are few to learn from.

The series is part of the package statsmodels. Source of the comparison: A. Weigend,
B. Huberman, D. Rumelhart, "Predicting the future: a connectionist approach", 1990.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn

SETTINGS = [
    Setting("first", 1921, "first year to forecast", read.number(int, 1780, 1990)),
    Setting("nets", 9, "nets; the forecast is their median", read.number(int, 1, 100)),
    Setting("hidden", 16, "hidden units", read.units),
    Setting("batch", 32, "windows per step", read.rows),
    Setting("steps", 500, "steps of training each net", read.steps),
    Setting("lr", 5e-3, "AdamW's learning rate, falling to 0", read.rate),
    Setting("decay", 0.3, "AdamW's weight decay", read.decay),
]
QUICK = {"nets": 5, "steps": 400}
CYCLE = 11  # years, and the most years ahead
WINDOW = 40  # years that a net reads in a step of training
ORDER = 9  # years that the linear model reads


def read_series() -> tuple[np.ndarray, np.ndarray]:
    """Return the years and their numbers of sunspots."""
    path = files("statsmodels") / "datasets/sunspots/sunspots.csv"
    with path.open() as file:
        years, values = np.loadtxt(file, delimiter=",", skiprows=1, unpack=True)
    return years.astype(int), values


def train(known: np.ndarray, options: Any, rng: Any, bar: Any) -> fastrnn.Sequential:
    """Train one net to predict the next value, on windows of the known years."""
    series = known.astype(np.float32)
    model = fastrnn.Sequential(
        rnn=fastrnn.GRU(1, options.hidden, seed=rng),
        head=fastrnn.Linear(options.hidden, 1, seed=rng),
    )
    adam = fastrnn.AdamW(model.flat_params, weight_decay=options.decay)
    # The first cycle of a window only warms up the state; its errors do not count.
    counts = np.zeros((WINDOW, options.batch), bool)
    counts[CYCLE:] = True
    for step in range(options.steps):
        starts = rng.integers(0, len(series) - WINDOW, options.batch)
        windows = series[starts + np.arange(WINDOW + 1)[:, None]][:, :, None]
        y, _ = model(windows[:-1])
        loss, dy = fastrnn.mean_squared_error(y, windows[1:], mask=counts)
        model.zero_grad()
        model.backward(dy)
        adam.lr = options.lr * (1 - step / options.steps)
        descend(adam, model.flat_grads)
        bar.set_postfix_str(f"squared error {loss:.3f}", refresh=False)
        bar.update()
    model.eval()
    return model


def net_forecasts(
    model: fastrnn.Sequential, series: np.ndarray, starts: Any
) -> np.ndarray:
    """Return a net's forecasts [CYCLE, starts] from the years before each start."""
    years = np.arange(-min(starts[0], 6 * CYCLE), 0)[:, None]
    x = series[starts + years].astype(np.float32)[:, :, None]
    y, state = model(x)
    forecasts = [y[-1:]]
    for _ in range(CYCLE - 1):
        y, state = model(forecasts[-1], state)
        forecasts.append(y)
    return np.concatenate(forecasts)[:, :, 0].astype(np.float64)


def linear_forecasts(split: int, series: np.ndarray, starts: Any) -> np.ndarray:
    """Return those of the linear model, fitted to the years before `split`."""
    lags = np.arange(ORDER, 0, -1)
    rows = series[np.arange(ORDER, split)[:, None] - lags]
    rows = np.insert(rows, ORDER, 1, axis=1)
    weights = np.linalg.lstsq(rows, series[ORDER:split], rcond=None)[0]
    known = [series[starts - lag] for lag in lags]
    for _ in range(CYCLE):
        known.append(weights[:-1] @ known[-ORDER:] + weights[-1])
    return np.array(known[ORDER:])


def main() -> int:
    """Train, forecast, compare, draw."""
    options = begin(__doc__, SETTINGS, QUICK, libraries=["statsmodels"])
    years, values = read_series()
    split = int(np.searchsorted(years, options.first))
    mean, deviation = values[:split].mean(), values[:split].std()
    series = (values - mean) / deviation
    starts = np.arange(split, len(years) - CYCLE + 1)
    ahead = np.arange(CYCLE)[:, None]

    nets = []
    with progress(options.nets * options.steps) as bar:
        for i in range(options.nets):
            rng = np.random.default_rng([options.seed, i])
            nets.append(train(series[:split], options, rng, bar))
    middle = np.median([net_forecasts(net, series, starts) for net in nets], axis=0)
    forecasts = {
        "last value": np.repeat(values[None, starts - 1], CYCLE, axis=0),
        "eleven years before": values[starts + ahead - CYCLE],
        "linear": linear_forecasts(split, series, starts) * deviation + mean,
        "GRU nets": middle * deviation + mean,
    }
    errors = {
        name: np.sqrt(np.mean((a - values[starts + ahead]) ** 2, axis=1))
        for name, a in forecasts.items()
    }
    print(
        f"sunspots: {years[0]}…{years[split - 1]} to learn from, {len(starts)} starts "
        f"from {years[split]} on; root mean squared error"
    )
    for name, error in errors.items():
        print(
            f"result: {name:19s} one year ahead {error[0]:5.1f}, "
            f"mean of one to {CYCLE} years ahead {error.mean():5.1f}"
        )
    save_figure(options, draw(years, values, split, forecasts, errors))
    return 0


# --- the picture ---------------------------------------------------------------------


def draw(years: Any, values: Any, split: int, forecasts: Any, errors: Any) -> Any:
    """Draw the errors against the distance, and some forecasts over the series."""
    figure, (left, right) = new_figure(1, 2, figsize=(15, 5), width_ratios=[2, 3])
    for style, (name, error) in zip(
        (":", "-.", "--", "-"), errors.items(), strict=True
    ):
        left.plot(np.arange(CYCLE) + 1, error, style, marker=".", label=name)
    left.set(
        xlabel="years ahead",
        ylabel="root mean squared error, sunspots",
        title="Error against distance",
        ylim=(0, None),
    )
    right.plot(years[split - CYCLE :], values[split - CYCLE :], "k", label="observed")
    starts = range(0, len(forecasts["linear"][0]), CYCLE)
    for name, colour, style in (("linear", "C2", "--"), ("GRU nets", "C3", "-")):
        for i in starts:
            right.plot(
                years[split + i : split + i + CYCLE],
                forecasts[name][:, i],
                style,
                color=colour,
                label=None if i else name,
            )
    for i in starts:
        right.axvline(years[split + i], color="grey", alpha=0.3)
    right.set(
        xlabel="year",
        ylabel="sunspots",
        title="Eleven years ahead, from every eleventh year (vertical lines)",
    )
    for axes in (left, right):
        axes.legend()
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
