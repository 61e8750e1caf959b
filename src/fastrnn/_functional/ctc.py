"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import _core
from fastrnn._gate.losses import check_ctc
from fastrnn._types import FloatArray


# NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
@np.errstate(all="ignore")
def ctc_loss(
    logits: FloatArray,
    targets: ArrayLike,
    lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
) -> tuple[np.floating[Any], FloatArray]:
    """Loss of label sequences without an alignment (CTC), and its gradient.

    A row's probability is that of all ways to write its targets over its steps: each
    step says a label or ``blank``; equal labels in a row are one, unless a blank stands
    between them. The loss is the negative logarithm of that probability.

    Parameters
    ----------
    logits : [T, N, V]
        float32 or float64; a softmax is taken of them here. Steps past a row's length
        are not read.
    targets : [N, S] integer
        Labels ``0 .. V-1``, not ``blank``. Those past a row's target length are not
        read.
    lengths : [N] integer
        Steps of each row, ``0 .. T``.
    target_lengths : [N] integer
        Labels of each row, ``0 .. S``; none at all means that every step is blank.
    blank : int
        The label of no label.

    Returns
    -------
    loss : scalar
        In nats, the dtype of ``logits``: each row's loss over its target length (at
        least 1), and of these the mean. Infinite if the targets of a row do not fit
        into its steps; NaN without rows.
    dlogits : [T, N, V]
        Gradient of ``logits``, 0 past a row's length. A row with an infinite loss has a
        gradient of 0: nothing that its logits could do would help.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.

    Notes
    -----
    The sums over alignments are in float64 for either dtype: they are logarithms that
    grow with the length. For greedy decoding, take each step's largest logit, then drop
    repetitions, then blanks.

    References
    ----------
    A. Graves et al., "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006.

    Examples
    --------
    One label in two steps, of a label and a blank that are as likely: three of the four
    ways to write two steps say it.

    >>> logits = np.zeros((2, 1, 2))
    >>> loss, dlogits = fastrnn.ctc_loss(logits, [[1]], [2], [1])
    >>> round(float(np.exp(-loss)), 4)
    0.75
    """
    a = check_ctc(logits, targets, lengths, target_lengths, blank)
    dtype, N = a.logits.dtype, a.logits.shape[1]
    labels = np.maximum(a.target_lengths, 1)
    scale = (1 / (labels * max(N, 1))).astype(dtype)
    losses, dlogits = _core.ctc(
        a.logits, a.targets, a.lengths, a.target_lengths, a.blank, scale
    )
    with _core.rounding_to_nearest:
        loss: np.floating[Any] = dtype.type((losses / labels).mean() if N else np.nan)
    return loss, dlogits
