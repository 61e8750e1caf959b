"""`data.batches`, `windows` and `split`: nothing is lost, and all is in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastrnn
from fastrnn.data import batches, split, windows
from tests.comparing import assert_same_bits
from tests.errors import bad_values, raises

lengths_of = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def make_sequences(lengths: Any, width: int | None = 3, dtype: Any = np.float32) -> Any:
    """Draw sequences of numbers that differ from one another and from 0."""
    rng = np.random.default_rng(0)
    tail = () if width is None else (width,)
    return [(rng.random((n, *tail)) + 1).astype(dtype) for n in lengths]


@given(lengths_of, st.integers(1, 7), st.booleans(), st.booleans(), st.booleans())
def test_each_sequence_comes_once_with_its_own(
    lengths: list[int], rows: int, bucket: bool, shuffle: bool, batch_first: bool
) -> None:
    sequences = make_sequences(lengths)
    K = len(lengths)
    labels, w = np.arange(K), np.linspace(0.1, 1, K).astype(np.float32)
    made = batches(
        sequences, labels, rows=rows, bucket=bucket, shuffle=shuffle, seed=1,
        weights=w, batch_first=batch_first,
    )  # fmt: skip
    listed = list(made)
    assert len(made) == len(listed) == -(-K // rows)
    seen = []
    for batch in listed:
        x = batch.x if batch_first else batch.x.swapaxes(0, 1)
        assert batch.x.flags.c_contiguous
        assert x.shape[:2] == (len(batch.targets), max(batch.lengths))
        for row, k, length in zip(x, batch.targets, batch.lengths, strict=True):
            assert_same_bits(row[:length], sequences[k])
            assert not row[length:].any()
        assert_same_bits(batch.weights, w[batch.targets])
        seen += batch.targets.tolist()
    assert sorted(seen) == list(range(K))
    if not shuffle and not bucket:
        assert seen == list(range(K))


@given(lengths_of, st.booleans())
def test_targets_of_steps(lengths: list[int], batch_first: bool) -> None:
    sequences = make_sequences(lengths)
    tags = [np.arange(n) + 10 * k for k, n in enumerate(lengths)]
    numbers = [a[:, :2] * 2 for a in sequences]
    w = np.linspace(0.1, 1, len(lengths)).astype(np.float32)
    options: Any = {"rows": 4, "seed": 2, "weights": w, "batch_first": batch_first}
    for b, c in zip(
        batches(sequences, tags, **options),
        batches(sequences, numbers, **options),
        strict=True,
    ):
        arrays = [b.x, b.targets, b.weights, c.targets]
        if not batch_first:
            arrays = [a.swapaxes(0, 1) for a in arrays]
        x, tag, weights, number = arrays
        valid = np.arange(x.shape[1]) < b.lengths[:, None]
        assert_same_bits(number, x[..., :2] * 2)
        assert (tag[~valid] == -100).all()
        for row in range(len(x)):
            k = tag[row, 0] // 10
            assert_same_bits(tag[row][valid[row]], tags[k])
            assert (weights[row] == np.where(valid[row], w[k], 0)).all()


def test_labels_that_are_not_aligned() -> None:
    sequences = [np.zeros((n, 1), np.float32) for n in (5, 3, 4)]
    data = batches(
        sequences, [[1, 2], [], [3]], rows=3, shuffle=False, bucket=False, aligned=False
    )
    (batch,) = data
    assert batch.targets.dtype == np.int64
    assert batch.targets.flags.c_contiguous
    assert batch.targets.tolist() == [[1, 2], [-100, -100], [3, -100]]
    padded = batches(sequences, batch.targets, aligned=False, shuffle=False)
    assert next(iter(padded)).targets.tolist() == [[-100, -100], [3, -100], [1, 2]]
    with raises(
        ValueError,
        "targets[0]: expected integers of shape (S,) with aligned=False, got float64 "
        "of shape (2,)",
    ):
        batches(sequences, [[0.5, 1.0]] * 3, aligned=False)
    with raises(ValueError, "targets: expected K = 3 (the number of sequences), got 2"):
        batches(sequences, [[1], [2]], aligned=False)
    with raises(
        ValueError, "targets[0]: expected 5 steps (those of sequences[0]), got 2"
    ):
        batches(sequences, [[1, 2], [1], [3]])


def test_weights_of_steps() -> None:
    weights = [np.full(n, n / 10) for n in (1, 3, 2)]
    (batch,) = batches(
        make_sequences([1, 3, 2]), [0, 1, 2], weights=weights, shuffle=False,
        bucket=False,
    )  # fmt: skip
    expected = np.array([[0.1, 0.3, 0.2], [0, 0.3, 0.2], [0, 0.3, 0]], np.float32)
    assert_same_bits(batch.weights, expected)


def test_buckets_are_of_similar_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 320)
    sequences = make_sequences(lengths, 1)

    def padding(**how: Any) -> int:
        return sum(b.x.size for b in batches(sequences, seed=0, **how)) - lengths.sum()

    assert padding() < 0.2 * padding(bucket=False)
    for batch in batches(sequences, shuffle=False):
        assert np.ptp(batch.lengths) < 20


def test_a_new_order_each_epoch_that_can_be_saved() -> None:
    made = batches(make_sequences(range(1, 30)), np.arange(29), rows=8, seed=3)

    def epoch() -> list[list[int]]:
        return [batch.targets.tolist() for batch in made]

    first, state, second = epoch(), made.rng.bit_generator.state, epoch()
    assert first != second
    made.rng.bit_generator.state = state
    assert epoch() == second
    kept = batches(make_sequences(range(1, 30)), np.arange(29), rows=8, shuffle=False)
    made = kept
    assert epoch() == epoch()


@pytest.mark.parametrize("as_list", [False, True])
def test_float64_is_converted_on_request(as_list: bool) -> None:
    x: Any = np.random.default_rng(0).random((5, 4, 2))
    targets: Any = x[:, 0]
    if as_list:
        x, targets = [a.tolist() for a in x], targets.tolist()
    (kept,) = batches(x, targets, weights=np.ones(5), shuffle=False)
    assert (kept.x.dtype, kept.targets.dtype) == (np.float64, np.float64)
    assert kept.weights.dtype == np.float64
    (b,) = batches(x, targets, weights=np.ones(5), shuffle=False, dtype=np.float32)
    assert (b.x.dtype, b.targets.dtype, b.weights.dtype) == (np.float32,) * 3
    assert_same_bits(b.x, kept.x.astype(np.float32))
    assert (b.lengths is not None) == as_list


def test_integers_are_tokens_or_numbers() -> None:
    tokens = [np.array([1, 2, 3]), np.array([4], np.int64)]
    (batch,) = batches(tokens, shuffle=False, bucket=False, dtype=np.float32)
    assert batch.x.dtype == np.int64
    assert batch.x.tolist() == [[1, 4], [2, 0], [3, 0]]
    assert batch.targets is None
    counts = [a[:, np.newaxis] for a in tokens]
    (batch,) = batches(counts, shuffle=False, dtype=np.float32)
    assert (batch.x.dtype, batch.x.shape) == (np.float32, (3, 2, 1))


def test_one_number_for_each_step_and_sequence() -> None:
    (batch,) = batches([[0.5, 1.5], [2.5]], [0.25, 0.75], shuffle=False, bucket=False)
    assert batch.x.tolist() == [[[0.5], [2.5]], [[1.5], [0.0]]]
    assert batch.targets.tolist() == [[0.25], [0.75]]


def test_columns_of_a_table_and_arrays_of_arrays() -> None:
    pandas = pytest.importorskip("pandas")
    sequences = make_sequences([2, 1, 3])
    frame = pandas.DataFrame({"x": sequences, "label": [2, 0, 1]})
    (batch,) = batches(frame["x"], frame["label"], shuffle=False)
    assert batch.targets.tolist() == [0, 2, 1]
    assert batch.lengths.tolist() == [1, 2, 3]


def test_indices() -> None:
    made = batches(make_sequences([1, 2, 3]), [5, 6, 7], indices=[2, 0], shuffle=False)
    (batch,) = made
    assert batch.targets.tolist() == [5, 7]
    assert repr(made) == "1 batches of 2 sequences"


X = np.ones((3, 2, 1), np.float32)


@bad_values(
    TypeError={
        "sequences: expected a list or an array, got int": {"sequences": 3},
        "sequences: expected numbers, got dtype <U3": {"sequences": ["abc"]},
        "targets: expected numbers, got dtype <U1 (np.unique(labels, "
        "return_inverse=True) numbers labels)": {"targets": ["a", "b", "c"]},
        "targets: expected classes as integers, or numbers, got bool": {
            "targets": [True, False, True]
        },
        "dtype: expected float32 or float64, got int32": {"dtype": np.int32},
        "rows: expected an int, got float": {"rows": 2.0},
        "indices: expected an integer dtype, got bool": {"indices": [True, False]},
    },
    ValueError={
        "sequences: expected at least one, got none": {"sequences": []},
        "sequences: expected shape (K, T) or (K, T, I) with K >= 1, got (3, 1, 1, 1)": {
            "sequences": np.ones((3, 1, 1, 1))
        },
        "sequences[1]: expected shape (length, 1) as sequences[0], got (2, 2)": {
            "sequences": [np.ones((1, 1)), np.ones((2, 2))]
        },
        "targets: expected K = 3 (the number of sequences), got 2": {"targets": [0, 1]},
        "targets[1]: expected 2 steps (those of sequences[1]), got 3": {
            "targets": [[0, 1], [0, 1, 2], [0]]
        },
        "targets[1]: expected 2 numbers (as targets[0]), got 1; one number for each "
        "step is an array of shape (length, 1)": {"targets": [[0.5, 1], [0.5], [0.5]]},
        "targets[0]: expected shape () or (length,) of int64, got (1, 1)": {
            "targets": np.zeros((3, 1, 1), np.int64)
        },
        "weights: expected finite numbers >= 0, got -1.0": {"weights": [1.0, -1, 1]},
        "weights: expected K = 3 (the number of sequences), got 1": {"weights": [1.0]},
        "indices: expected 0 <= index < K = 3, got 3": {"indices": [1, 3]},
        "rows: expected rows >= 1, got 0": {"rows": 0},
    },
)
def test_bad_arguments(bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        batches(**{"sequences": X, "targets": [0, 1, 2], **bad})


# --- windows and split ---------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_windows(length: int, horizon: int, stride: int, more: int) -> None:
    S = length + horizon + more
    series = np.random.default_rng(0).random((S, 2))
    x, targets = windows(series, length, horizon, stride)
    starts = range(0, S - length - horizon + 1, stride)
    assert x.shape == (len(starts), length, 2)
    assert targets.shape == (len(starts), horizon * 2)
    for k, start in enumerate(starts):
        end = start + length
        assert_same_bits(x[k], series[start:end])
        assert_same_bits(targets[k].reshape(horizon, 2), series[end : end + horizon])


def test_windows_of_one_number_take_no_memory() -> None:
    series = np.arange(1000.0)
    x, targets = windows(series, 500)
    assert x.shape == (500, 500, 1)
    assert targets[:, 0].tolist() == series[500:].tolist()
    assert np.shares_memory(x, series)
    assert not x.flags.writeable
    (batch,) = batches(x[:4], targets[:4], shuffle=False, dtype=np.float32)
    assert batch.x.shape == (500, 4, 1)


@bad_values(
    TypeError={
        "series: expected dtype float32 or float64, got int64": {
            "series": np.arange(9)
        },
        "stride: expected an int, got float": {"stride": 1.5},
    },
    ValueError={
        "series: expected at least length + horizon = 12 steps, got 9": {"length": 11},
        "series: expected shape (S,) or (S, I), got (3, 3, 1)": {
            "series": np.ones((3, 3, 1))
        },
        "horizon: expected horizon >= 1, got 0": {"horizon": 0},
    },
)
def test_bad_windows(bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        windows(**{"series": np.ones(9), "length": 3, "horizon": 1, **bad})


@given(st.integers(2, 60), st.floats(0.3, 0.7), st.integers(0, 99))
def test_split(K: int, fraction: float, seed: int) -> None:
    kept, held_out = split(range(K), fraction, seed=seed)
    assert sorted([*kept, *held_out]) == list(range(K))
    assert abs(len(held_out) - fraction * K) <= 0.5
    assert_same_bits(split([0] * K, fraction, seed=seed)[1], held_out)


@given(st.lists(st.sampled_from("abcdef"), min_size=20, max_size=60))
def test_groups_stay_together(groups: list[str]) -> None:
    kept, held_out = split(groups, 0.4, groups=[*groups[:-2], "y", "z"], seed=0)
    names = np.array([*groups[:-2], "y", "z"])
    assert not {*names[kept]} & {*names[held_out]}
    assert len(kept) + len(held_out) == len(groups)
    largest = max(np.unique(names, return_counts=True)[1])
    assert abs(len(held_out) - 0.4 * len(groups)) <= largest / 2 + 1


@bad_values(
    TypeError={
        "sequences: expected a list of sequences, got int": {"sequences": 3},
        "fraction: expected a number, got str": {"fraction": "a"},
    },
    ValueError={
        "fraction: expected 0 <= fraction < 1, got 1": {"fraction": 1},
        "fraction: expected one that leaves sequences in both parts of 3, got 0.01": {
            "fraction": 0.01
        },
        "fraction: expected one that leaves groups in both parts of 1, got 0.5": {
            "groups": [1, 1, 1]
        },
        "groups: expected shape (K,) = (3,), got (2,)": {"groups": [1, 2]},
    },
)
def test_bad_splits(bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        split(**{"sequences": [[1], [2], [3]], "fraction": 0.5, **bad})


def test_pieces_of_a_text_are_batches_that_continue() -> None:
    pieces = fastrnn.data.stream_batches(np.arange(9), rows=2, steps=2)
    assert all(type(piece) is fastrnn.data.StreamBatch for piece in pieces)
    x, targets = pieces[0]
    assert (targets == x + 1).all()
