"""`RNN`, `LSTM` and `GRU`: PyTorch's modules, whose forward runs fastrnn's kernels."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from fastrnn._gate.arguments import check_flag, shown
from fastrnn.torch import _unfused, _weight_cache
from fastrnn.torch._dispatch import RUNNERS, choose, shapes_fit, weights_of

States = tuple[Tensor, ...]  # none, or h, or for LSTM h and c: [L*D, N, H]
RecurrentT = TypeVar("RecurrentT", bound="Recurrent")
Results = tuple[Any, Tensor, Tensor | None, Any]  # y, h_n, c_n, c


class Recurrent(nn.RNNBase):
    """What the three modules share.

    There is no state of its own, so that an instance of PyTorch's class becomes one of
    these, and back, by its ``__class__`` alone.
    """

    def train(self: RecurrentT, mode: bool = True) -> RecurrentT:
        """Set the mode as PyTorch does; in training no packed weights are kept."""
        if mode:
            _weight_cache.drop(self)
        return super().train(mode)

    def _run(
        self,
        input: Any,
        hx: Any,
        lengths: Any = None,
        resets: Any = None,
        return_cells: bool = False,
    ) -> Any:
        return_cells = check_flag("return_cells", return_cells)
        lstm = self.mode == "LSTM"
        states = () if hx is None else tuple(hx) if lstm else (hx,)
        run = (
            self._run_packed if isinstance(input, PackedSequence) else self._run_padded
        )
        results = run(input, states, lengths, resets, return_cells)
        if results is None:  # not served: PyTorch's own code, or its error
            out = super().forward(input, hx)
            if lengths is not None or resets is not None or return_cells:
                raise ValueError(
                    "lengths, resets, return_cells: not served with "
                    + (f"proj_size={self.proj_size}" if self.proj_size else "no data")
                )
            return out
        y, h_n, c_n, cells = results
        final = (h_n, c_n) if lstm else h_n
        return (y, final, cells) if return_cells else (y, final)

    def _run_padded(
        self, x: Tensor, states: States, lengths: Any, resets: Any, return_cells: bool
    ) -> Results | None:
        shape, batch_first = x.shape, self.batch_first
        unbatched = len(shape) == 2
        if unbatched:
            if lengths is not None:
                raise ValueError("lengths: expected None for input without a batch")
            x, batch_first = x.unsqueeze(1), False
            states = tuple(s.unsqueeze(1) for s in states)
            shape = x.shape
        weights = weights_of(self)
        N = shape[0 if batch_first else 1] if len(shape) == 3 else 0
        if not shapes_fit(self, shape, 3, N, states, weights):
            return None
        run = self._choose(
            (x, *states, *weights),
            lengths is not None or resets is not None or return_cells,
        )
        if run is None:
            return None
        if lengths is not None:
            lengths = as_indices("lengths", lengths)
            if lengths.shape != (N,):
                got = tuple(lengths.shape)
                raise ValueError(f"lengths: expected shape (N,) = ({N},), got {got}")
        if resets is not None:
            resets = as_indices("resets", resets)
            resets = resets[:, None] if unbatched else resets
        layout = "batch" if batch_first else "time"
        results = run_layers(
            self, run, layout, x, states, weights, lengths, resets, return_cells
        )
        if not unbatched:
            return results
        squeezed: Any = tuple(a if a is None else a.squeeze(1) for a in results)
        return squeezed

    def _run_packed(
        self,
        packed: PackedSequence,
        states: States,
        lengths: Any,
        resets: Any,
        return_cells: bool,
    ) -> Results | None:
        if lengths is not None or resets is not None:
            raise TypeError("lengths, resets: expected None with a PackedSequence")
        x, batch_sizes, order, back = packed
        weights = weights_of(self)
        N = int(batch_sizes[0])
        if not shapes_fit(self, x.shape, 2, N, states, weights):
            return None
        run = self._choose((x, *states, *weights), return_cells)
        if run is None:
            return None
        if not states:
            directions = 2 if self.bidirectional else 1
            zeros = x.new_zeros(self.num_layers * directions, N, self.hidden_size)
            states = (zeros, zeros) if self.mode == "LSTM" else (zeros,)
        elif order is not None:
            states = tuple(s.index_select(1, order) for s in states)
        y, h_n, c_n, cells = run_layers(
            self, run, "packed", x, states, weights, batch_sizes, None, return_cells
        )
        if back is not None:
            h_n = h_n.index_select(1, back)
            c_n = None if c_n is None else c_n.index_select(1, back)
        if cells is not None:
            cells = PackedSequence(cells, batch_sizes, order, back)
        return PackedSequence(y, batch_sizes, order, back), h_n, c_n, cells

    def _choose(self, tensors: tuple[Tensor, ...], extras: bool) -> Any:
        """Return what runs a layer; None: PyTorch's own code, which has no extras."""
        if self.proj_size:
            return None
        return RUNNERS[choose(tensors)] or (_unfused.forward if extras else None)


def run_layers(
    module: Any,
    run: Any,
    layout: str,
    x: Tensor,
    states: States,
    weights: list[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    return_cells: bool,
) -> Results:
    """Run all layers and directions with ``run``, dropout between them."""
    mode, bias = module.mode, module.bias
    lstm = mode == "LSTM"
    cache = None
    if run is RUNNERS["kernel"] and not module.training:
        positions = x.shape[0] * (1 if layout == "packed" else x.shape[1])
        cache = (
            _weight_cache.cache_of(module)
            if positions <= _weight_cache.MOST_POSITIONS
            else None
        )
    if len(weights) == 4 and bias:  # one layer, one direction: no lists
        h, c = states if len(states) == 2 else (*states, None, None)[:2]
        extra = () if cache is None else (cache,)
        y, h_n, c_n, _, cells = run(
            mode, layout, False, return_cells, x, *weights, h, c, lengths, resets,
            *extra,
        )  # fmt: skip
        return y, h_n, c_n if lstm else None, cells if return_cells else None
    directions, last = 2 if module.bidirectional else 1, module.num_layers - 1
    h0 = states[0].split(1) if states else [None] * len(weights)
    c0 = states[1].split(1) if states and lstm else [None] * len(weights)
    finals: list[Any] = []
    every_c: list[Any] = []
    for layer in range(module.num_layers):
        taped = return_cells and layer == last
        ys, every_c = [], []
        for direction in range(directions):
            k = len(finals)
            w = weights[4 * k : 4 * k + 4] if bias else weights[2 * k : 2 * k + 2]
            y, h_n, c_n, _, cells = run(
                mode, layout, direction == 1, taped, x, *w, *[None] * (4 - len(w)),
                h0[k], c0[k], lengths, resets, *(() if cache is None else (cache, k)),
            )  # fmt: skip
            ys.append(y)
            finals.append((h_n, c_n))
            every_c.append(cells)
        x = join(ys, -1)
        if module.dropout and module.training and layer < last:
            x = drop(x, module.dropout, layout)
    return (
        x,
        join([h for h, _ in finals], 0),
        join([c for _, c in finals], 0) if lstm else None,
        join(every_c, -1) if return_cells else None,
    )


def as_indices(name: str, a: Any) -> Tensor:
    """Return ``a`` as a tensor; an empty list is one of integers."""
    try:
        found = torch.as_tensor(a)
    except Exception:  # PyTorch's own, or those of the object
        raise TypeError(
            f"{name}: expected a tensor or sequence of integers, got {shown(a)}"
        ) from None
    found = found if found.numel() or isinstance(a, Tensor) else found.long()
    if found.is_floating_point() or found.is_complex():
        kinds = "an integer" if name == "lengths" else "a bool or integer"
        raise TypeError(f"{name}: expected {kinds} dtype, got {found.dtype}")
    if found.is_meta:
        raise ValueError(f"{name}: expected a tensor with data, got one on meta")
    return found


def join(tensors: list[Tensor], dim: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


def drop(x: Tensor, p: float, layout: str) -> Tensor:
    """Dropout that draws as PyTorch does: time first, whatever the layout."""
    if layout != "batch":
        return functional.dropout(x, p)
    N, T, width = x.shape
    return x * functional.dropout(x.new_ones(T, N, width), p).transpose(0, 1)


class RNN(Recurrent, nn.RNN):
    """`torch.nn.RNN` on fastrnn's kernels.

    Constructor, parameters, ``state_dict``, inputs and outputs are PyTorch's; so is the
    code that runs for what the kernels do not serve: tensors that are not float32 or
    float64 on the CPU, autocast, function transforms, ``torch.jit.trace``.
    """

    def forward(
        self, input: Any, hx: Any = None, *, lengths: Any = None, resets: Any = None
    ) -> Any:
        """Run the module over whole sequences.

        Parameters
        ----------
        input : Tensor or PackedSequence
            [T, N, I], with ``batch_first`` [N, T, I], without a batch [T, I].
        hx : Tensor, optional
            [L*D, N, H]: initial states, zeros when left out.
        lengths : [N] integer, optional
            Valid steps of each row, ``0 .. T`` in any order. The others are not
            computed: outputs and gradients are 0 there, and the final state is that
            after a row's last valid step.
        resets : as ``input`` without I, bool, optional
            The step starts a new sequence: no state and no gradient crosses between
            it and the step before it, in either direction.

        Returns
        -------
        output, h_n
            As PyTorch's.

        Raises
        ------
        RuntimeError, ValueError
            PyTorch's own, where an argument does not fit the module.
        TypeError, ValueError
            ``lengths`` or ``resets`` do not fit the input.
        """
        return self._run(input, hx, lengths, resets)


class GRU(Recurrent, nn.GRU):
    """`torch.nn.GRU` on fastrnn's kernels; see `RNN`."""

    def forward(
        self, input: Any, hx: Any = None, *, lengths: Any = None, resets: Any = None
    ) -> Any:
        """Run the module over whole sequences; see `RNN.forward`."""
        return self._run(input, hx, lengths, resets)


class LSTM(Recurrent, nn.LSTM):
    """`torch.nn.LSTM` on fastrnn's kernels; see `RNN`. ``proj_size`` is not served."""

    def forward(
        self,
        input: Any,
        hx: Any = None,
        *,
        lengths: Any = None,
        resets: Any = None,
        return_cells: bool = False,
    ) -> Any:
        """Run the module over whole sequences; see `RNN.forward`.

        ``hx`` is ``(h_0, c_0)``, and ``(h_n, c_n)`` is returned. ``return_cells=True``
        returns a third thing: the last layer's cell state at every step, in the form of
        ``output``.
        """
        return self._run(input, hx, lengths, resets, return_cells)
