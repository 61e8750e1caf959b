"""Pictures show the data; shapes that do not fit are refused."""

import html.parser
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import plot
from tests.errors import bad_values, raises

pytest.importorskip("matplotlib")
T, N, H = 12, 3, 5
VALUES = np.random.default_rng(0).standard_normal((T, H))
TEXT = "a <b>\n$c$ &d"


def pixels(figure: Any) -> Any:
    from matplotlib.image import imread

    figure.savefig(png := io.BytesIO(), format="png")
    png.seek(0)
    return imread(png)


def colours(figure: Any) -> set[tuple[int, ...]]:
    a = (pixels(figure)[..., :3] * 255).round().astype(int)
    return {tuple(c) for c in a.reshape(-1, 3)}


def run(cell: str, **options: Any) -> Any:
    layer = getattr(fastrnn, cell)(4, H, dtype=np.float64, seed=0)
    layer(np.random.default_rng(0).standard_normal((T, N, 4)), **options)
    return layer


def test_losses() -> None:
    curves = {"training": [3.0, 2, 1], "validation": (np.array([1, 3]), [3.5, 1.5])}
    lines = {f"baseline {i}": 1.0 + i for i in range(4)}
    figure = plot.losses(curves, lines, unit="bits", title="all", log=True)
    (axes,) = figure.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn["training"] == [[1, 3], [2, 2], [3, 1]]
    assert drawn["validation"] == [[1, 3.5], [3, 1.5]]
    assert {"baseline 0 1.00", "baseline 3 4.00"} <= drawn.keys()
    assert (axes.get_ylabel(), axes.get_title()) == ("bits", "all")
    assert axes.get_yscale() == "log"
    assert {(31, 119, 180), (255, 127, 14), (128, 128, 128)} <= colours(figure)


def test_states() -> None:
    figure = plot.states(VALUES, TEXT, title="states")
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), VALUES.T)
    assert image.norm.vmax == -image.norm.vmin == np.abs(VALUES).max()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels[5] == "⏎"
    assert "".join(labels).replace("⏎", "\n") == TEXT
    assert pixels(plot.states(np.zeros((3, 2)))).std() > 0


def test_activations() -> None:
    from matplotlib import colormaps

    values = np.zeros(T)
    values[0], values[6] = 2, -2
    figure = plot.activations(TEXT, values, columns=40)
    (axes,) = figure.axes
    red, blue, white = (colormaps["RdBu_r"](x) for x in (1.0, 0.0, 0.5))
    found = {
        (bar.get_x(), bar.get_y() + 0.5 * bar.get_height()): bar.get_facecolor()
        for bar in axes.patches
    }
    assert len(found) == T
    assert found[0, 0] == red
    assert found[0, 1] == blue  # after the line's end: on the next row
    assert found[1, 0] == white
    letters = "".join(text.get_text() for text in axes.texts)
    assert letters == TEXT.replace("\n", "⏎")
    drawn = colours(figure)
    for shade in (red, blue):
        assert tuple(round(255 * c) for c in shade[:3]) in drawn


def test_activations_of_words_are_wrapped() -> None:
    words = ["one", "two", "three", "four"]
    axes = plot.activations(words, [1, 2, 3, 4], columns=9).axes[0]
    corners = [(bar.get_x(), round(bar.get_y() + 0.5)) for bar in axes.patches]
    assert corners == [(0, 0), (4, 0), (0, 1), (0, 2)]


class Page(html.parser.HTMLParser):
    """Parts of a page that a browser reads: spans, script, tags and their sources."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.spans: list[str] = []
        self.script = ""
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append(tag)
        self.loads += [v for k, v in attributes if k in ("src", "href")]
        if tag == "span":
            self.spans.append("")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "span":
            self.spans[-1] += data
        if self.tags and self.tags[-1] == "script":
            self.script += data


def test_activations_as_a_page(tmp_path: Path) -> None:
    text = plot.activations_html(TEXT, VALUES, title="A & B")
    page = Page(text)
    assert page.spans == list(TEXT)
    assert page.loads == []
    assert "<title>A &amp; B</title>" in text
    assert f'max="{H - 1}"' in text
    (found,) = re.findall(r"const values = (.*);", page.script)
    expected = 100 * VALUES / np.abs(VALUES).max(0)
    np.testing.assert_allclose(np.array(json.loads(found)), expected.T, atol=0.5)
    one = Page(plot.activations_html(TEXT, VALUES[:, 0]))
    assert len(json.loads(re.findall(r"values = (.*);", one.script)[0])) == 1
    words = ["<b>", "&amp;", "</span>"]
    assert Page(plot.activations_html(words, [1, 0, -1])).spans == words


@pytest.mark.parametrize(
    ("cell", "names"),
    [("LSTM", ["input", "forget", "output"]), ("GRU", ["reset", "update"])],
)
def test_gate_saturation(cell: str, names: list[str]) -> None:
    layer = run(cell, lengths=[T, 2, 7])
    tape = layer.tapes[0]
    figure = plot.gate_saturation(tape, title="gates")
    assert [a.get_title() for a in figure.axes] == [f"{name} gate" for name in names]
    valid = np.arange(T)[:, None] < [T, 2, 7]
    k = {"output": 3, "forget": 1, "input": 0, "reset": 0, "update": 1}
    for axes, name in zip(figure.axes, names, strict=True):
        gate = tape.gates[valid][:, k[name] * H :][:, :H]
        points = axes.collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 0], (gate < 0.1).mean(0))
        np.testing.assert_allclose(points[:, 1], (gate > 0.9).mean(0))
    wide = run(cell)
    wide.flat_params *= 20
    wide(np.random.default_rng(0).standard_normal((T, N, 4)))
    offsets = plot.gate_saturation(wide.tapes[0]).axes[0].collections[0].get_offsets()
    assert (np.asarray(offsets).sum(1) > 0.7).all()


def test_gradient_norms() -> None:
    layer = run("LSTM")
    dy = np.zeros((T, N, H))
    dy[-1] = 1
    dh = fastrnn.lstm_backward(layer.tapes[0], dy, return_dh=True).dh
    axes = plot.gradient_norms({"LSTM": dh, "none": 0 * dh}).axes[0]
    norms = np.sqrt((dh**2).sum(2)).mean(1)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), norms)
    assert np.isnan(axes.lines[1].get_ydata()).all()
    assert axes.get_yscale() == "log"
    assert norms[0] < norms[-1] == pytest.approx(np.sqrt(H))


def test_tapes_are_there_after_a_call_in_training_mode() -> None:
    layer = fastrnn.GRU(2, H, 2, bidirectional=True, seed=0)
    message = "tapes: expected a call of the layer before it, got none"
    with raises(RuntimeError, message):
        layer.tapes  # noqa: B018
    y, _ = layer(np.ones((T, N, 2), np.float32))
    assert len(layer.tapes) == 4
    np.testing.assert_array_equal(layer.tapes[2].y, y[..., :H])
    np.testing.assert_array_equal(layer.tapes[3].y, y[..., H:])


def test_bad_arguments() -> None:
    with raises(ValueError, "values: expected shape (T,), got (12, 5)"):
        plot.activations(TEXT, VALUES)
    with raises(ValueError, "values: expected shape (T, H), got (12,)"):
        plot.states(VALUES[:, 0])
    with raises(ValueError, "values: expected shape (T,) or (T, H), got (1, 12, 5)"):
        plot.activations_html(TEXT, VALUES[None])
    with raises(ValueError, "tokens: expected T = 12 (the steps of values), got 2"):
        plot.states(VALUES, "ab")
    with raises(TypeError, "tokens[1]: expected a str, got int"):
        plot.activations(["a", 1], [1, 2])  # type: ignore[list-item]
    with raises(TypeError, "columns: expected an int, got float"):
        plot.activations("ab", [1, 2], columns=2.0)  # type: ignore[arg-type]
    with raises(TypeError, "title: expected a str, got NoneType"):
        plot.states(VALUES, title=None)  # type: ignore[arg-type]
    with raises(TypeError, "values: expected numbers, got <U1"):
        plot.activations("ab", ["a", "b"])
    with raises(TypeError, "tape: expected a tape of LSTM or GRU, got RNNTape"):
        plot.gate_saturation(run("RNN").tapes[0])
    with raises(ValueError, "dh: expected shape (T, N, H), got (12, 5)"):
        plot.gradient_norms(VALUES)
    with raises(ValueError, "dh['a']: expected shape (T, N, H) with T, N >= 1, got "
                "(0, 2, 3)"):  # fmt: skip
        plot.gradient_norms({"a": np.zeros((0, 2, 3))})


@bad_values(
    TypeError={
        "curves: expected a dict by name, got list": {"curves": [1]},
        "curves's key: expected a str, got int": {"curves": {1: [1]}},
        "curves['a']: expected numbers, got object": {"curves": {"a": None}},
        "curves['a'][0]: expected numbers, got <U1": {"curves": {"a": (["b"], [1])}},
        "lines['a']: expected a number, got str": {"lines": {"a": "b"}},
        "log: expected a bool, got int": {"log": 1},
        "unit: expected a str, got int": {"unit": 1},
    },
    ValueError={
        "curves: expected at least one curve, got none": {"curves": {}},
        "curves['a']: expected shape (steps,), got ()": {"curves": {"a": 1}},
        "curves['a']: expected as many steps as values, got (1,) and (2,)": {
            "curves": {"a": ([1], [1, 2])}
        },
        "curves['a']: expected values or a pair (steps, values), got 3 of them": {
            "curves": {"a": (1, 2, 3)}
        },
        f"lines['a']: expected a number that float64 can hold, got 1{'0' * 59}": {
            "lines": {"a": 10**400}
        },
    },
)
def test_bad_curves(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        plot.losses(**{"curves": {"a": [1, 2]}, **bad})


def test_values_that_are_not_finite_are_drawn() -> None:
    values = np.array([1.0, np.nan, -np.inf, -2.0])
    page = plot.activations_html("abcd", values)
    assert "const values = [[50,0,-100,-100]];" in page
    with np.errstate(all="raise"):
        for figure in (plot.states(values[:, None]), plot.activations("abcd", values)):
            figure.canvas.draw()
