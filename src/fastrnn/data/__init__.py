"""Turn sequences into the batches of arrays that layers and `fastrnn.fit` take.

`batches` groups sequences with their targets, in a new order each epoch; `split` puts
some of them aside, and `windows` cuts a long series into sequences. `stream_batches`
cuts one long text into pieces between which the state is carried.

The arrays themselves: `pad_sequences` makes one padded batch, `bucket_batches` groups
sequences of similar length, and `pack_streams` lays many short sequences end to end.
Time comes first, ``[T, N, ...]``.
"""

from fastrnn.data._arrays import (
    PackedStreams,
    bucket_batches,
    pack_streams,
    pad_sequences,
    stream_batches,
)
from fastrnn.data._batch import Batch, StreamBatch
from fastrnn.data._batches import Batches, batches
from fastrnn.data._cut import split, windows

__all__ = [
    "Batch",
    "Batches",
    "PackedStreams",
    "StreamBatch",
    "batches",
    "bucket_batches",
    "pack_streams",
    "pad_sequences",
    "split",
    "stream_batches",
    "windows",
]
