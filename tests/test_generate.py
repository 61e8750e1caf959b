"""Texts for several prompts at once, on any model, and beam search."""

import itertools
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.text import Hypothesis, beam_search, choose, generate
from tests.errors import raises
from tests.implementations import every_dtype
from tests.test_text import counting, make_model

V = 7
PROMPTS = [[1], [2, 3, 4, 5, 6], [1, 1], [0, 6, 3]]


def log_softmax(logits: Any) -> Any:
    a = logits.astype(np.float64)
    a = a - a.max(axis=-1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


class Plain(fastrnn.Layer):
    """A layer that a stepper does not know, and so makes its model go call by call."""

    def __init__(self) -> None:
        super().__init__({})

    def __call__(self, x: Any) -> Any:
        return x


def call_by_call(model: Any) -> Any:
    layers = [*make_model(V).layers.values()]
    layers[2:2] = [Plain()]
    other = fastrnn.Sequential(*layers)
    other.flat_params[:] = model.flat_params
    return other


# --- drawing without sorting ---------------------------------------------------------


def sorted_draw(logits: Any, uniform: float, temperature: float, top_k: int,
                top_p: float) -> int:  # fmt: skip
    """Draw by the definition: sort, cut, and look the number up in a running sum."""
    order = np.argsort(-logits, kind="stable")
    if temperature == 0:
        return int(order[0])
    order = order[: top_k or None]
    scores = logits[order].astype(np.float64)
    p = np.exp((scores - scores[0]) / temperature)
    edges = np.cumsum(p / p.sum())
    edges = edges[: np.searchsorted(edges, top_p) + 1]
    return int(order[np.searchsorted(edges[:-1], uniform * edges[-1], side="right")])


@pytest.mark.parametrize("size", [1, 2, 3, 8, 33, 100, 1000, 6000])
@every_dtype
def test_ids_are_those_of_a_sorted_draw(dtype: Any, size: int) -> None:
    rng = np.random.default_rng(size)
    for k in range(60):
        logits = (rng.standard_normal(size) * rng.choice([0.01, 1, 5])).astype(dtype)
        if k % 3 == 0:
            logits = np.round(logits)  # many are equal
        if k % 5 == 0:
            logits[rng.integers(size, size=size // 2)] = -np.inf
        how = (float(rng.choice([0, 0.3, 1, 3])), int(rng.choice([0, 1, 5, 2 * size])),
               float(rng.choice([0, 0.3, 0.9, 1])))  # fmt: skip
        temperature, top_k, top_p = how
        drawn = choose(logits, np.random.default_rng(k), temperature=temperature,
                       top_k=top_k, top_p=top_p)  # fmt: skip
        uniform = np.random.default_rng(k).random()
        assert drawn == sorted_draw(logits, uniform, *how), how


def test_half_precision_logits_of_a_function() -> None:
    def model(x: Any, state: Any) -> Any:
        return np.eye(4, dtype=np.float16)[(x + 1) % 4] * np.float16(60000), None

    assert list(generate(model, [0], 5, seed=0)) == [1, 2, 3, 0, 1]


# --- several prompts -----------------------------------------------------------------


def test_greedy_texts_are_those_of_each_prompt() -> None:
    model = make_model(V)
    for other in (model, call_by_call(model)):
        found = generate(other, PROMPTS, 12, temperature=0)
        assert other.training
        for prompt, ids in zip(PROMPTS, found, strict=True):
            assert ids.dtype == np.int64
            assert ids.tolist() == list(generate(model, prompt, 12, temperature=0))


@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"top_p": 0.6}, {"temperature": 2}])
def test_one_prompt_in_a_list_is_drawn_as_alone(how: dict[str, Any]) -> None:
    model = make_model(V)
    alone = list(generate(model, [1, 2], 40, seed=5, **how))
    [found] = generate(model, [[1, 2]], 40, seed=5, **how)
    assert found.tolist() == alone


def test_a_row_does_not_depend_on_the_other_prompts() -> None:
    model = make_model(V)
    first = generate(model, PROMPTS, 30, seed=3)
    again = generate(model, [[5, 5, 5, 5, 5, 5, 5], *PROMPTS[1:]], 30, seed=3, stop=4)
    for a, b in zip(first[1:], again[1:], strict=True):
        end = a.tolist().index(4) if 4 in a else 30
        np.testing.assert_array_equal(b, a[:end])
    assert any(4 in a for a in first[1:])


def test_every_row_stops_for_itself() -> None:
    found = generate(counting, [[1, 2], [5], [9, 9]], 5, stop=2, seed=0)
    assert [a.tolist() for a in found] == [[3, 6], [5, 0, 0, 0, 0], [8, 6]]
    found = generate(counting, [[1, 2], [1]], 2, state=[4, None], seed=0)
    assert [a.tolist() for a in found] == [[7, 4], [1, 2]]
    assert [a.size for a in generate(make_model(V), PROMPTS, 0)] == [0] * 4


def test_a_state_with_a_row_for_each_prompt() -> None:
    model = make_model(V).eval()
    x = np.array([[1, 2], [3, 4]])
    _, state = model(x)
    whole = generate(model, [[1, 3, 5], [2, 4, 6]], 9, temperature=0)
    for other in (model, call_by_call(model)):
        found = generate(other, [[5], [6]], 9, temperature=0, state=state)
        np.testing.assert_array_equal(found, whole)


def test_parameters_are_read_only_between_two_ids() -> None:
    model = make_model(V)
    ids = generate(model, [1], 9, seed=0)
    next(ids)
    with pytest.raises(ValueError, match="read-only"):
        model.flat_params[:] = 0
    model.train()
    model.flat_params[:] = 0
    model.params["2.bias"][4] = 1000
    assert next(ids) == 4
    del ids
    model.flat_params[:] = 0


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([[1], []], "prompt[1]: expected shape (T,) with T >= 1, got (0,)"),
        ([[1], [[2]]], "prompt[1]: expected shape (T,) with T >= 1, got (1, 1)"),
        ([np.array([1]), [7]],
         "prompt[1]: token 7 at [0] is out of range 0 <= token < V = 7"),
    ],
)  # fmt: skip
def test_bad_prompts(prompt: Any, message: str) -> None:
    with raises(ValueError, message):
        generate(make_model(V), prompt, 3)


# --- beam search ---------------------------------------------------------------------


def exhaustive(model: Any, prompt: list[int], length: int, stop: int | None,
               penalty: float) -> list[Hypothesis]:  # fmt: skip
    """Return every continuation with its probability, the best first."""
    found = {}
    for ids in itertools.product(range(V), repeat=length):
        x = np.array([*prompt, *ids])[:, np.newaxis]
        steps = log_softmax(model(x)[0][len(prompt) - 1 : -1, 0])
        steps = steps[np.arange(length), ids]
        end = ids.index(stop) if stop in ids else length
        total = float(steps[: end + 1].sum())
        found[ids[:end]] = total, total / min(end + 1, length) ** penalty
    hypotheses = [Hypothesis(np.array(k, np.int64), *v) for k, v in found.items()]
    return sorted(hypotheses, key=lambda one: -one.score)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("stop", [None, 3])
def test_beams_that_hold_everything_find_the_best(
    stop: int | None, penalty: float
) -> None:
    model = make_model(V).eval()
    expected = exhaustive(model, [1, 2], 3, stop, penalty)
    count = V**3
    for other in (model, call_by_call(model).eval()):
        found = beam_search(other, [1, 2], 3, beams=count, stop=stop,
                            length_penalty=penalty)  # fmt: skip
        assert len(found) == len(expected)
        np.testing.assert_allclose(
            [one.score for one in found], [one.score for one in expected], rtol=1e-5
        )
        by_ids = {tuple(one.ids): one for one in expected}
        for one in found:
            other_one = by_ids[tuple(one.ids)]
            np.testing.assert_allclose(one[1:], other_one[1:], rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_few_beams(penalty: float) -> None:
    """As by the definition, with every step a call of the whole sequence."""
    model, stop, beams, length = make_model(V).eval(), 3, 3, 6
    live, ended = [((), 0.0)], []
    for step in range(1, length + 1):
        more = []
        for ids, total in live:
            x = np.array([1, *ids])[:, np.newaxis]
            steps = log_softmax(model(x)[0][-1, 0])
            ended.append((ids, total + steps[stop], step))
            more += [((*ids, i), total + steps[i]) for i in range(V) if i != stop]
        live = sorted(more, key=lambda one: -one[1])[:beams]
    ended += [(ids, total, length) for ids, total in live]
    expected = sorted(ended, key=lambda one: -one[1] / one[2] ** penalty)[:beams]
    found = beam_search(model, [1], length, beams=beams, stop=stop,
                        length_penalty=penalty)  # fmt: skip
    assert [tuple(one.ids) for one in found] == [one[0] for one in expected]
    np.testing.assert_allclose(
        [one.log_probability for one in found], [one[1] for one in expected], rtol=1e-5
    )


def test_one_beam_is_greedy() -> None:
    model = make_model(V)
    [found] = beam_search(model, [1, 2], 20, beams=1)
    assert model.training
    assert found.ids.tolist() == list(generate(model, [1, 2], 20, temperature=0))
    assert found.score == found.log_probability


def test_functions_and_edges_of_beam_search() -> None:
    best, *_ = beam_search(counting, [1, 2], 5, beams=2)
    assert best.ids.tolist() == [3, 6, 2, 4, 8]
    best, *_ = beam_search(counting, [1, 2], 5, beams=2, stop=2, state=1)
    assert best.ids.tolist() == [4, 8, 6]
    best, *_ = beam_search(counting, [1, 2], 5, beams=2, stop=2)
    assert best.ids.tolist() == [3, 6]
    [empty] = beam_search(make_model(V), [1], 0)
    assert (empty.ids.size, empty.log_probability, empty.score) == (0, 0.0, 0.0)

    def certain(x: Any, state: Any) -> Any:
        logits = np.full((*x.shape, 4), -np.inf, np.float32)
        logits[..., 2] = 0
        return logits, None

    [only] = beam_search(certain, [1], 3, beams=4)
    assert only.ids.tolist() == [2, 2, 2]
    [only] = beam_search(certain, [1], 3, beams=4, stop=2)
    assert (only.ids.size, only.log_probability) == (0, 0.0)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"beams": 0}, ValueError, "beams: expected beams >= 1, got 0"),
        ({"beams": 1.5}, TypeError, "beams: expected an int, got float"),
        ({"length": -1}, ValueError, "length: expected length >= 0, got -1"),
        ({"stop": -1}, ValueError, "stop: expected stop >= 0, got -1"),
        ({"length_penalty": -1}, ValueError,
         "length_penalty: expected a finite number >= 0, got -1"),
        ({"prompt": []}, ValueError,
         "prompt: expected shape (T,) with T >= 1, got (0,)"),
        ({"model": None}, TypeError,
         "model: expected a Sequential or a function, got NoneType"),
        ({"model": lambda x, s: (np.full((1, 1, 3), np.nan), s)}, ValueError,
         "logits: expected a finite maximum, got nan"),
    ],
)  # fmt: skip
def test_bad_beams(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        beam_search(**{"model": counting, "prompt": [1], "length": 3, **bad})
