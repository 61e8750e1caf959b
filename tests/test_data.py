"""`fastrnn.data`: nothing is lost, and everything is in its place."""

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastrnn
from fastrnn.data import bucket_batches, pack_streams, pad_sequences, stream_batches
from tests.comparing import assert_same_bits
from tests.errors import bad_values, raises
from tests.layers import CELLS, class_of

lengths_of = st.lists(st.integers(0, 9), min_size=1, max_size=20)
seeds = st.integers(0, 2**32 - 1)


def make_sequences(lengths: Any, width: int | None = None, seed: int = 0) -> list[Any]:
    """Draw sequences without zeros, so that padding can be recognised."""
    rng = np.random.default_rng(seed)
    tail = () if width is None else (width,)
    return [rng.random((length, *tail)).astype(np.float32) + 1 for length in lengths]


@given(lengths_of, st.sampled_from(["right", "left"]), st.none() | st.integers(1, 3))
def test_pad_sequences(lengths: Any, padding: str, width: int | None) -> None:
    sequences = make_sequences(lengths, width)
    x, got = pad_sequences(sequences, padding=padding, value=-1)
    T = max(lengths)
    assert x.dtype == np.float32
    assert x.shape == (T, len(lengths), *sequences[0].shape[1:])
    assert (got.dtype, got.tolist()) == (np.int64, lengths)
    for n, (length, a) in enumerate(zip(lengths, sequences, strict=True)):
        valid = slice(0, length) if padding == "right" else slice(T - length, T)
        assert_same_bits(x[valid, n], a)
        assert (np.delete(x[:, n], valid, axis=0) == -1).all()


@pytest.mark.parametrize(
    ("truncate", "kept"), [("right", [1, 2, 3]), ("left", [3, 4, 5])]
)
@pytest.mark.parametrize("padding", ["right", "left"])
def test_truncation(padding: str, truncate: str, kept: list[int]) -> None:
    x, lengths = pad_sequences(
        [[1, 2, 3, 4, 5], [6], []], 3, padding=padding, truncate=truncate
    )
    short = [6, 0, 0] if padding == "right" else [0, 0, 6]
    np.testing.assert_array_equal(x.T, [kept, short, [0, 0, 0]])
    assert lengths.tolist() == [3, 1, 0]
    assert x.dtype == np.int64


def test_a_longer_limit_changes_nothing() -> None:
    x, lengths = pad_sequences([[1, 2], [3]], 7)
    np.testing.assert_array_equal(x, [[1, 3], [2, 0]])
    assert lengths.tolist() == [2, 1]


def test_padding_of_every_dtype() -> None:
    for dtype, value in [
        (np.uint64, 2**64 - 1), (np.int8, -128.0), (np.bool_, True), (np.bool_, 1),
        (np.float32, np.nan), (np.float32, -np.inf), (np.float16, 0.1),
        (np.int64, 2**62 + 1),
    ]:  # fmt: skip
        x, _ = pad_sequences([[1, 0], []], value=value, dtype=dtype)
        np.testing.assert_array_equal(x[:, 1], np.array([value] * 2).astype(dtype))


@pytest.mark.parametrize("function", [pad_sequences, pack_streams])
def test_no_integer_changes_on_its_way_into_a_dtype(function: Any) -> None:
    for good, dtype in [
        ([255], "u1"),
        ([2**63 - 1], "u8"),
        ([1.0], "?"),
        ([0.1], "f2"),
    ]:
        assert function([good], 1, dtype=dtype)[0].dtype == dtype
    for bad, dtype, shown in [
        ([1, 256], np.uint8, 256),
        ([-1], np.uint64, -1),
        (np.array([2**64 - 1], np.uint64), np.int64, 2**64 - 1),
        ([0.5], np.int64, 0.5),
        ([np.nan], np.int64, "nan"),
        ([1e300], np.int64, 1e300),
        ([2], np.bool_, 2),
    ]:
        name = np.dtype(dtype).name
        message = f"sequences[1]: expected numbers that {name} can hold, got {shown}"
        with raises(ValueError, message):
            function([[], bad], 1, dtype=dtype)


def test_more_rows_than_sequences_take_no_lists() -> None:
    """A heap of so many tuples would take gigabytes, and minutes."""
    packed = pack_streams([[1], [2, 3]], rows=10**6)
    assert packed.x.shape == (2, 10**6)
    assert packed.rows.tolist() == [1, 0]
    assert packed.lengths[:3].tolist() == [2, 1, 0]
    start = time.perf_counter()
    with raises(ValueError, f"rows: expected rows <= {2**31 - 1}, got {2**31}"):
        pack_streams([[1, 2, 3]], rows=2**31)
    wide = np.zeros((1, 2**20), np.int8)
    with raises(
        MemoryError,
        "rows: expected sizes that fit into memory, got an array "
        "(1, 2147483647, 1048576) of int8",
    ):
        pack_streams([wide], rows=2**31 - 1)
    assert time.perf_counter() - start < 1


def test_counts_may_be_larger_than_what_there_is() -> None:
    most = 2**63 - 1
    assert pad_sequences([[1, 2]], most)[0].shape == (2, 1)
    (batch,) = bucket_batches([1, 2], most)
    assert sorted(batch) == [0, 1]
    ((x, _),) = stream_batches([1, 2, 3], 1, most)
    assert x.shape == (2, 1)
    with raises(ValueError, f"steps: expected steps <= {most}, got 1{'0' * 59}"):
        stream_batches([1, 2, 3], 1, 10**400)


def test_dtype_is_that_of_the_sequences_or_the_one_asked_for() -> None:
    mixed = [[1, 2], [0.5], []]
    assert pad_sequences(mixed, dtype=np.float32)[0].dtype == np.float32
    assert pack_streams(mixed, 2, dtype=np.float32).x.dtype == np.float32
    assert pad_sequences([[], [0.5]])[0].dtype == np.float64


@given(lengths_of, st.integers(1, 7), seeds)
def test_bucket_batches(lengths: Any, size: int, seed: int) -> None:
    batches = bucket_batches(lengths, size, seed=seed)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    sizes = sorted(map(len, batches), reverse=True)
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert 1 <= sizes[-1] <= size
    # Similar lengths: no sequence of one batch lies between two of another.
    ends = sorted([min(np.take(lengths, b)), max(np.take(lengths, b))] for b in batches)
    for (_, high), (low, _) in pairwise(ends):
        assert high <= low
    for a, b in zip(batches, bucket_batches(lengths, size, seed=seed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_buckets_are_shuffled() -> None:
    """Batches, what is equal within them, and which batch is the smaller one."""
    lengths = np.arange(100) // 10
    runs = [bucket_batches(lengths, 8, seed=seed) for seed in range(20)]
    first = {int(lengths[batches[0][0]]) for batches in runs}
    assert len(first) > 3
    members = {tuple(sorted(batches[0])) for batches in runs}
    assert len(members) > 10
    smaller = {int(lengths[b[0]]) for batches in runs for b in batches if len(b) < 8}
    assert len(smaller) > 3
    shared = np.random.default_rng(0)
    once, again = (bucket_batches(lengths, 8, seed=shared) for _ in range(2))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(once, again))  # noqa: B905


def test_the_longest_is_packed_first() -> None:
    packed = pack_streams([[1], [2], [3], [4], [5] * 4], 2)
    assert packed.lengths.tolist() == [4, 4]
    assert packed.x.T.tolist() == [[5] * 4, [1, 2, 3, 4]]


def test_no_sequences_are_no_batches() -> None:
    assert bucket_batches([], 4) == []


@given(lengths_of, st.integers(1, 5), st.none() | st.integers(1, 3))
def test_pack_streams(lengths: Any, rows: int, width: int | None) -> None:
    sequences = make_sequences(lengths, width)
    packed = pack_streams(sequences, rows)
    T, N = packed.resets.shape
    assert rows == N
    assert packed.lengths.max(initial=0) == T
    assert packed.x.shape == (T, N, *sequences[0].shape[1:])
    taken = np.zeros((T, N), int)
    for a, n, start in zip(sequences, packed.rows, packed.starts, strict=True):
        place = slice(start, start + len(a))
        assert_same_bits(packed.x[place, n], a)
        taken[place, n] += 1
    # Each step belongs to one sequence, those of a row follow without a gap.
    np.testing.assert_array_equal(taken, np.arange(T)[:, None] < packed.lengths)
    assert not packed.x[taken == 0].any()
    assert packed.resets.sum() == np.count_nonzero(lengths)
    for length, n, start in zip(lengths, packed.rows, packed.starts, strict=True):
        assert length == 0 or packed.resets[start, n]
    # Even: rows differ by less than one sequence.
    assert packed.lengths.max() - packed.lengths.min() <= max(lengths)


@pytest.mark.parametrize("cell", CELLS)
def test_packed_streams_give_what_each_sequence_gives(cell: str) -> None:
    sequences = make_sequences([3, 7, 0, 5, 2, 2, 8, 1], width=4)
    layer = class_of(cell)(4, 6, seed=0)
    packed = pack_streams(sequences, 3)
    y, _ = layer(packed.x, lengths=packed.lengths, resets=packed.resets)
    for a, n, start in zip(sequences, packed.rows, packed.starts, strict=True):
        alone, _ = layer(a[:, None])
        assert_same_bits(y[start : start + len(a), n], alone[:, 0])


@given(
    st.integers(2, 60), st.integers(1, 7), st.integers(1, 9),
    st.sampled_from([np.int8, np.int32, np.int64, np.uint8]),
)  # fmt: skip
def test_stream_batches(S: int, rows: int, steps: int, dtype: Any) -> None:
    text = (np.arange(S) + 1).astype(dtype)
    batches = stream_batches(text, rows, steps)
    x, targets = (np.concatenate(a) for a in zip(*batches, strict=True))
    assert all(len(a) == steps for a, _ in batches[:-1])
    assert all(a.flags.c_contiguous and b.flags.c_contiguous for a, b in batches)
    expected = np.int64 if dtype is np.uint8 else dtype
    assert x.dtype == targets.dtype == expected
    valid = targets != -100
    # Row by row it is the text, and every target the token after.
    np.testing.assert_array_equal(x.T[valid.T], text[:-1])
    np.testing.assert_array_equal(targets.T[valid.T], text[1:])
    assert not x[~valid].any()
    whole = [batch for batch in batches if len(batch[0]) == steps]
    if whole:
        kept = stream_batches(text, rows, steps, drop_last=True)
        assert [len(a) for a, _ in kept] == [steps] * len(whole)


def test_the_state_carries_across_stream_batches() -> None:
    """Pieces with the state carried give the bits of the whole row."""
    text = np.random.default_rng(0).integers(0, 5, 50)
    layer = fastrnn.LSTM(5, 6, seed=0)
    batches = stream_batches(text, rows=3, steps=4)
    state, pieces = None, []
    for x, _ in batches:
        y, state = layer(x, state)
        pieces.append(y)
    whole, last = layer(np.concatenate([x for x, _ in batches]))
    assert_same_bits(np.concatenate(pieces), whole)
    for a, b in zip(state, last, strict=True):
        assert_same_bits(a, b)


LOOP: list[Any] = []  # NumPy would follow it until the stack overflows
LOOP.append(LOOP)
seed = "seed: expected None, an int >= 0 or a NumPy generator"
two = [[1.0, 2.0], [3.0]]


@bad_values(
    TypeError={
        "sequences: expected a list of sequences, got int": {"sequences": 3},
        "sequences: expected a list of sequences, got str": {"sequences": "abc"},
        "sequences[1]: expected numbers, got str": {"sequences": [[1], "abc"]},
        "sequences[0]: expected numbers, got dtype <U1": {"sequences": [["a"]]},
        "sequences[1]: expected dtype int64 (that of sequences[0]), got float64": {
            "sequences": [[1], [0.5]]
        },
        "sequences[0]: expected a NumPy array, got MaskedArray": {
            "sequences": [np.ma.masked_array([1])]
        },
    },
    ValueError={
        "sequences: expected at least one, got none": {"sequences": []},
        "sequences[1]: expected shape (length, ...), got ()": {"sequences": [[1], 2]},
        "sequences[2]: expected shape (length, 3) as sequences[1], got (2, 4)": {
            "sequences": [[], np.ones((1, 3)), np.ones((2, 4))]
        },
        "sequences[0]: expected a rectangular array, got a ragged list": {
            "sequences": [[[1], [1, 2]]]
        },
    },
)
@pytest.mark.parametrize("function", [pad_sequences, pack_streams])
def test_bad_sequences(function: Any, bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        function(bad["sequences"], 2)


@bad_values(
    TypeError={
        "max_length: expected an int, got float": {"max_length": 2.0},
        "padding: expected a str, got NoneType": {"padding": None},
        "value: expected a number, got str": {"value": "0"},
        "value: expected a number, got complex": {"value": 1j},
        "dtype: expected a dtype of numbers, got <U0": {"dtype": "U"},
        "dtype: expected a dtype of numbers, got complex128": {"dtype": complex},
        "dtype: expected a dtype of numbers, got nonsense": {"dtype": "nonsense"},
        "dtype: expected a dtype of numbers, got 3": {"dtype": 3},
    },
    ValueError={
        "max_length: expected max_length >= 1, got 0": {"max_length": 0},
        "padding: expected 'right' or 'left', got 'pre'": {"padding": "pre"},
        "truncate: expected 'right' or 'left', got 'post'": {"truncate": "post"},
        "value: expected a number that float64 can hold, got 1" + "0" * 59: {
            "value": 10**400
        },
        "value: expected a number that float32 can hold, got 1e+39": {
            "value": 1e39, "dtype": "f4"
        },
        "value: expected a number that int64 can hold, got nan": {
            "value": np.nan, "dtype": int
        },
        "value: expected a number that int64 can hold, got 0.5": {
            "value": 0.5, "dtype": int
        },
        "value: expected a number that uint8 can hold, got -1": {
            "value": -1, "dtype": np.uint8
        },
        "value: expected a number that uint64 can hold, got 18446744073709551616": {
            "value": 2**64, "dtype": np.uint64
        },
    },
)  # fmt: skip
def test_bad_padding(bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        pad_sequences(two, **bad)


@bad_values(
    TypeError={
        "lengths: expected an integer dtype, got float64": {"lengths": [1.0]},
        "batch_size: expected an int, got str": {"batch_size": "8"},
        f"{seed}, got 'a'": {"seed": "a"},
        f"{seed}, got True": {"seed": True},
        f"{seed}, got [[[[[[[...]]]]]]]": {"seed": LOOP},
    },
    ValueError={
        f"{seed}, got -1": {"seed": -1},
        f"{seed}, got []": {"seed": []},
        "lengths: expected shape (N,), got (1, 2)": {"lengths": [[1, 2]]},
        "batch_size: expected batch_size >= 1, got 0": {"batch_size": 0},
    },
)
def test_bad_buckets(bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        bucket_batches(**{"lengths": [1, 2], "batch_size": 1, **bad})


@bad_values(
    TypeError={
        "tokens: expected an integer dtype, got <U1": {"tokens": list("text")},
        "tokens: expected an integer dtype, got float64": {"tokens": [1.0, 2.0]},
        "rows: expected an int, got float": {"rows": 2.0},
        "drop_last: expected a bool, got int": {"drop_last": 1},
    },
    ValueError={
        "tokens: expected shape (S,), got (1, 3)": {"tokens": [[1, 2, 3]]},
        "tokens: expected at least 2, got 1": {"tokens": [1]},
        "rows: expected rows >= 1, got 0": {"rows": 0},
        "steps: expected steps >= 1, got -1": {"steps": -1},
        "tokens: expected at least rows * (steps - 1) + 2 = 6 with drop_last, got 5": {
            "steps": 3, "drop_last": True
        },
    },
)  # fmt: skip
def test_bad_streams(bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        stream_batches(**{"tokens": [1, 2, 3, 4, 5], "rows": 2, "steps": 2, **bad})
