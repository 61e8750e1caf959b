"""The arrays of one batch, from lists of sequences or one long text."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._gate.arguments import (
    check_choice,
    check_flag,
    check_ids,
    check_integer,
    check_integers,
    check_rank,
    check_size,
    make_generator,
    zeros,
)
from fastrnn._gate.data import check_sequences, check_value
from fastrnn._gate.sequence import PADDINGS
from fastrnn._types import BoolArray, IntArray
from fastrnn.data._batch import StreamBatch

IGNORED = -100  # the target that `fastrnn.linear_cross_entropy` ignores


def pad_sequences(
    sequences: Iterable[ArrayLike],
    max_length: int | None = None,
    *,
    padding: str = "right",
    truncate: str = "right",
    value: float = 0,
    dtype: DTypeLike | None = None,
) -> tuple[Any, IntArray]:
    """Put sequences of unequal lengths side by side.

    ::

        x, lengths = pad_sequences(sequences)
        y, state = layer(x, lengths=lengths)

    Parameters
    ----------
    sequences : N arrays or lists, ``[length]`` or ``[length, ...]``
        All of the same width; lengths may differ and may be 0.
    max_length : int, optional
        Longer sequences are truncated to this many steps.
    padding : {"right", "left"}
        The side on which shorter sequences are padded; pass the same to the layer.
    truncate : {"right", "left"}
        The side on which longer sequences lose steps: their end or their beginning.
    value : number
        The padding, a number that the dtype can hold. Layers do not read it.
    dtype : optional
        That of the sequences if omitted. A number that an integer dtype cannot hold (a
        fraction, one out of range) is refused.

    Returns
    -------
    x : [T, N, ...]
        ``T`` is the longest length.
    lengths : [N] int64

    Raises
    ------
    TypeError
        ``sequences`` is not a list of sequences of numbers, their dtypes differ, or
        ``dtype`` is not one of numbers.
    ValueError
        There are no sequences, their widths differ, or the dtype cannot hold a number.

    Examples
    --------
    >>> x, lengths = fastrnn.data.pad_sequences([[1, 2, 3], [4]])
    >>> x
    array([[1, 4],
           [2, 0],
           [3, 0]])
    >>> lengths
    array([3, 1])
    """
    arrays = check_sequences("sequences", sequences, dtype)
    check_choice("padding", padding, PADDINGS)
    check_choice("truncate", truncate, PADDINGS)
    if max_length is not None:
        most = check_integer("max_length", max_length, 1)
        arrays = [a[:most] if truncate == "right" else a[-most:] for a in arrays]
    value = check_value("value", value, arrays[0].dtype)
    lengths = np.array([len(a) for a in arrays], np.int64)
    return lay_side_by_side(arrays, lengths, value, padding), lengths


def lay_side_by_side(
    arrays: list[Any],
    lengths: IntArray,
    value: Any,
    padding: str = "right",
    dtype: Any = None,
) -> Any:
    """Return checked arrays as ``[T, N, ...]``, with ``value`` on padding."""
    T = int(lengths.max())
    shape = (T, len(arrays), *arrays[0].shape[1:])
    x = zeros("sequences", shape, dtype or arrays[0].dtype)
    x[...] = value
    for n, a in enumerate(arrays):
        start = 0 if padding == "right" else T - len(a)
        x[start : start + len(a), n] = a
    return x


def bucket_batches(
    lengths: ArrayLike,
    batch_size: int,
    *,
    seed: int | np.random.Generator | None = None,
) -> list[IntArray]:
    """Group sequences of similar length into batches, in random order.

    ::

        for batch in bucket_batches([len(s) for s in sequences], 32, seed=epoch):
            x, lengths = pad_sequences([sequences[i] for i in batch])

    Sequences are shuffled, sorted by length (those of equal length stay shuffled) and
    cut into batches, and the batches are shuffled. Each sequence is in exactly one
    batch.

    Parameters
    ----------
    lengths : [N] integer
        Lengths of the sequences.
    batch_size : int
        Sequences per batch; one batch is smaller if they do not divide evenly.
    seed : int, optional
        The same seed gives the same batches, so pass a different one each epoch, or a
        ``numpy.random.Generator``. None takes fresh entropy.

    Returns
    -------
    list of [batch_size] int64
        Indices into ``lengths``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.

    Examples
    --------
    >>> groups = fastrnn.data.bucket_batches([9, 2, 8, 1], 2, seed=0)
    >>> sorted(sorted(group.tolist()) for group in groups)
    [[0, 2], [1, 3]]
    """
    a = check_integers("lengths", lengths, "iu", "an integer")
    check_rank("lengths", a, "(N,)", 1)
    # More than there are is as many as there are.
    size = min(check_integer("batch_size", batch_size, 1), max(len(a), 1))
    rng = make_generator(seed)
    order = rng.permutation(len(a))
    order = order[np.argsort(a[order], kind="stable")]
    # The smaller batch may be of any length, instead of always the longest.
    count = -(-len(a) // size)
    sizes = np.full(count, size)
    if count:
        sizes[rng.integers(count)] -= count * size - len(a)
    batches = np.split(order, np.cumsum(sizes)[:-1]) if count else []
    return [batches[k].astype(np.int64) for k in rng.permutation(count)]


class PackedStreams(NamedTuple):
    """The result of `pack_streams`.

    Attributes
    ----------
    x : [T, N, ...]
        The sequences end to end, with zeros after the last of each row.
    resets : [T, N] bool
        True where a sequence begins.
    lengths : [N] int64
        The number of steps used in each row.
    rows, starts : [K] int64
        The place of each sequence: sequence ``k`` is
        ``x[starts[k] : starts[k] + length, rows[k]]``, and so is its part of ``y``.
    """

    x: Any
    resets: BoolArray
    lengths: IntArray
    rows: IntArray
    starts: IntArray


def pack_streams(
    sequences: Iterable[ArrayLike], rows: int, *, dtype: DTypeLike | None = None
) -> PackedStreams:
    """Lay many short sequences end to end in a few rows.

    ::

        packed = pack_streams(sequences, rows=32)
        y, state = layer(packed.x, lengths=packed.lengths, resets=packed.resets)

    Rows get nearly equal lengths: from the longest to the shortest, each sequence goes
    to the row that is shortest so far. Places depend on the lengths alone, so targets
    of the same lengths are packed in the same way.

    Parameters
    ----------
    sequences : K arrays or lists, ``[length]`` or ``[length, ...]``
        All of the same width; lengths may differ and may be 0.
    rows : int
        ``N``.
    dtype : optional
        As for `pad_sequences`.

    Returns
    -------
    PackedStreams
        ``x``, ``resets``, ``lengths``, ``rows``, ``starts``.

    Raises
    ------
    MemoryError
        So many rows do not fit into memory.
    TypeError
        ``sequences`` is not a list of sequences of numbers, their dtypes differ, or
        ``dtype`` is not one of numbers.
    ValueError
        There are no sequences, their widths differ, or the dtype cannot hold a number.

    Examples
    --------
    >>> packed = fastrnn.data.pack_streams([[1, 2, 3], [4], [5, 6]], rows=2)
    >>> packed.x.T
    array([[1, 2, 3],
           [5, 6, 4]])
    >>> packed.resets.T.astype(int)
    array([[1, 0, 0],
           [1, 0, 1]])
    """
    arrays = check_sequences("sequences", sequences, dtype)
    N = check_size("rows", rows)
    # A heap: the shortest row first. Of more rows than sequences, the rest stay empty.
    filled = [(0, n) for n in range(min(N, len(arrays)))]
    where = np.zeros((2, len(arrays)), np.int64)
    for k in sorted(range(len(arrays)), key=lambda k: -len(arrays[k])):
        start, n = filled[0]
        where[:, k] = n, start
        heapq.heapreplace(filled, (start + len(arrays[k]), n))
    T = max(length for length, _ in filled)
    x = zeros("rows", (T, N, *arrays[0].shape[1:]), arrays[0].dtype)
    resets = zeros("rows", (T, N), np.bool_)
    lengths = zeros("rows", (N,), np.int64)
    for length, n in filled:
        lengths[n] = length
    for a, n, start in zip(arrays, *where, strict=True):
        x[start : start + len(a), n] = a
        resets[start : start + 1, n] |= len(a) > 0
    return PackedStreams(x, resets, lengths, where[0], where[1])


def stream_batches(
    tokens: ArrayLike, rows: int, steps: int, *, drop_last: bool = False
) -> list[StreamBatch]:
    """Cut one long text for truncated backpropagation through time.

    ::

        state = None
        for x, targets in stream_batches(tokens, rows=32, steps=64):
            y, state = layer(x, state)

    The text is cut into ``rows`` equal parts that are read side by side, ``steps``
    tokens at a time. Each batch continues where the previous one ended, so the state is
    carried from one to the next: the gradient stops there, the memory does not.
    `fastrnn.fit` carries it.

    Parameters
    ----------
    tokens : [S] integer
        The text.
    rows : int
        ``N``, the rows of a batch.
    steps : int
        ``T``, the steps of a batch. The last batch has fewer if they do not divide
        evenly.
    drop_last : bool
        Whether to leave out that shorter batch.

    Returns
    -------
    list of pairs (x, targets), each [T, N]
        The dtype of ``tokens``; ``targets`` are the tokens after those of ``x``. Where
        the last row runs out of text, ``x`` is 0 and ``targets`` is -100, which
        `linear_cross_entropy` ignores. An unsigned dtype cannot hold -100: then both
        are int64.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong, or there are fewer than two tokens.

    Examples
    --------
    >>> first, second = fastrnn.data.stream_batches(np.arange(9), rows=2, steps=2)
    >>> first[0].T  # x: each row is a part of the text
    array([[0, 1],
           [4, 5]])
    >>> first[1].T  # the tokens that follow
    array([[1, 2],
           [5, 6]])
    >>> second[0].T
    array([[2, 3],
           [6, 7]])
    """
    a = check_integers("tokens", tokens, "iu", "an integer")
    check_rank("tokens", a, "(S,)", 1)
    if len(a) < 2:
        raise ValueError(f"tokens: expected at least 2, got {len(a)}")
    N, T = check_size("rows", rows), check_integer("steps", steps, 1)
    drop_last = check_flag("drop_last", drop_last)
    if a.dtype.kind == "u":
        a = check_ids("tokens", "token", a, 2**63)
    S = -(-(len(a) - 1) // N)
    x, targets = (zeros("rows", (N * S,), a.dtype) for _ in range(2))
    targets[...] = IGNORED
    x[: len(a) - 1], targets[: len(a) - 1] = a[:-1], a[1:]
    x, targets = (b.reshape(N, S).T.copy() for b in (x, targets))
    if drop_last and S < T:
        raise ValueError(
            f"tokens: expected at least rows * (steps - 1) + 2 = {N * (T - 1) + 2} "
            f"with drop_last, got {len(a)}"
        )
    end = S - S % T if drop_last else S
    return [StreamBatch(x[t : t + T], targets[t : t + T]) for t in range(0, end, T)]
