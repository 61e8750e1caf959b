# distutils: language = c++
# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, embedsignature=False
"""One step at a time: `Stepper`. For Cython there is ``cimport fastrnn.stepper``."""

import cython
import numpy as np

from fastrnn import _core
from fastrnn._gate.arguments import check_size
from fastrnn._gate.stepper import check_state, check_x, which_rows
from fastrnn._layers.recurrent import RecurrentLayer

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.string cimport memcpy

cnp.import_array()


cdef extern from "fastrnn/stepper.h" namespace "fastrnn" nogil:
    cdef enum class CellKind:
        pass

    cdef enum class Activation:
        pass

    cdef cppclass Network:
        CellKind cell
        Activation activation
        Py_ssize_t I, H, layers, directions
        bint bias, bfloat16
        const void* params

    cdef cppclass CoreStepper "fastrnn::Stepper":
        int step(const void* x, const int64_t* tokens, void* h)
        CoreStepper* with_rows(Py_ssize_t N)
        bint is_current()
        void release()
        bint is_released()
        bint enter()
        void leave()
        void* h()
        void* c()
        double flops()

    cdef cppclass StepperApi:
        CoreStepper* (*create)(const Network&, Py_ssize_t, bint)
        void (*destroy)(CoreStepper*)


cdef const StepperApi* api = <const StepperApi*> PyCapsule_GetPointer(
    _core.stepper_api, "fastrnn._core.stepper_api"
)

# A step of fewer operations takes some 10 µs at most, and keeps the GIL: a thread that
# releases it while others want it may wait 5 ms to get it back.
cdef double LONG_STEP = 1e6


cdef check_layer(layer):
    if not isinstance(layer, RecurrentLayer):
        kind = type(layer).__name__
        raise TypeError(f"layer: expected a layer RNN, GRU or LSTM, got {kind}")
    if layer.bidirectional:
        raise ValueError("layer: expected bidirectional=False, got True")
    if layer.zoneout > 0:
        raise ValueError(f"layer: expected zoneout=0, got {layer.zoneout:g}")


cdef inline CoreStepper* core_of(Stepper s) noexcept nogil:
    return <CoreStepper*> s._core


cdef CoreStepper* create(object layer, Py_ssize_t rows) except NULL:
    cdef Network network
    cdef cnp.ndarray params = layer.flat_params
    nonlinearity = getattr(layer, "nonlinearity", "tanh")
    network.cell = <CellKind> <int> _core.cell_kind(layer._cell)
    network.activation = <Activation> <int> _core.activation(nonlinearity)
    network.I, network.H = layer.input_size, layer.hidden_size
    network.layers, network.directions = layer.num_layers, 1
    network.bias, network.bfloat16 = layer.bias, layer._packed.bfloat16
    network.params = cnp.PyArray_DATA(params)
    cdef bint is_double = layer.dtype == np.float64
    cdef CoreStepper* made = api.create(network, rows, is_double)
    if made == NULL:
        raise MemoryError("Stepper: no memory for the packed weights")
    return made


cdef class Stepper:
    """A recurrent layer that goes one step at a time and keeps its state.

    The steps are those of the layer in eval mode, bit for bit, at a fraction of the cost
    of a call: weights are packed once, and a step allocates nothing except its result.
    From Cython see ``fastrnn/stepper.pxd``.

    Parameters
    ----------
    layer : RNN, GRU or LSTM
        With any number of layers ``L`` and one direction. After
        ``layer.eval(weights="bfloat16")`` the stepper's weights are bfloat16 too.
    rows : int, optional
        ``N``. By default that of the first step, and 1 until then.

    Attributes
    ----------
    layer : RNN, GRU or LSTM
        The layer, as given.

    Raises
    ------
    TypeError
        ``layer`` is not a recurrent layer.
    ValueError
        ``layer`` is bidirectional or has zoneout, or ``rows`` is less than 1.

    Notes
    -----
    While a stepper exists, its layer's parameters are read-only: writing to them raises
    NumPy's ``ValueError``. To continue training, call ``layer.train()``; from then on a
    step raises ``RuntimeError`` until `refresh` has packed the new parameters.

    NumPy cannot protect views taken earlier (a slice, a tensor that shares their memory).
    So every step compares a 32nd of the parameters with those packed: such a write raises
    ``RuntimeError`` within 32 steps, and at once in `state`, `reset` and `clone`, which
    compare all of them.

    A stepper is for one thread at a time; a second thread gets a ``RuntimeError``. Threads
    with a stepper each may share a layer. A step of less than about 10 µs keeps the GIL.
    """

    def __init__(self, layer, rows=None):
        check_layer(layer)
        n = 1 if rows is None else check_size("rows", rows)
        self.layer = layer
        layer._lock_for(self)
        make(self, layer, n, NULL)
        self._fresh = rows is None

    def __del__(self):
        if self.layer is not None:
            self.layer._unlock_for(self)

    def __dealloc__(self):
        if self._core != NULL:
            api.destroy(core_of(self))

    cdef int step_float(self, const float* x, float* h) noexcept nogil:
        return WRONG_DTYPE if self._is_double else core_of(self).step(x, NULL, h)

    cdef int step_double(self, const double* x, double* h) noexcept nogil:
        return core_of(self).step(x, NULL, h) if self._is_double else WRONG_DTYPE

    cdef int step_tokens(self, const int64_t* tokens, void* h) noexcept nogil:
        return core_of(self).step(NULL, tokens, h)

    @cython.critical_section
    def step(self, x):
        """Take one step in every row.

        Parameters
        ----------
        x : [I] or [N, I] floating, or an integer or [N] of them
            Integers are token ids: one-hot rows. The first step, and one after
            ``reset()``, may have another ``N`` than before.

        Returns
        -------
        [H] or [N, H]
            The last layer's new state, in a new array.

        Raises
        ------
        RuntimeError
            The layer's parameters have changed, or another thread is using this stepper.
            The state is as before.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong, or a token out of range.
        """
        cdef cnp.ndarray a, h
        cdef cnp.npy_intp* shape
        cdef cnp.npy_intp size[2]
        cdef int ndim
        cdef int64_t token
        if type(x) is cnp.ndarray:
            a = x
            ndim = cnp.PyArray_NDIM(a)
            shape = cnp.PyArray_DIMS(a)
            if (
                cnp.PyArray_TYPE(a) == self._typenum
                and cnp.PyArray_IS_C_CONTIGUOUS(a)
                and cnp.PyArray_ISBEHAVED_RO(a)
                and (
                    (ndim == 1 and self._rows == 1 and shape[0] == self._inputs)
                    or (
                        ndim == 2
                        and shape[0] == self._rows
                        and shape[1] == self._inputs
                    )
                )
            ):
                return take_step(self, cnp.PyArray_DATA(a), NULL, ndim == 1)
        elif type(x) is int and self._rows == 1 and 0 <= x < self._inputs:
            token = x
            return take_step(self, NULL, &token, True)
        return step_checked(self, x)

    @property
    def rows(self):
        """``N``."""
        return self._rows

    @property
    def state(self):
        """A copy of the state, ``h [L, N, H]``; for LSTM a pair ``(h, c)``.

        It is set as a layer takes it; None is zeros.
        """
        enter(self)
        try:
            if not core_of(self).is_current():
                refuse(CHANGED)
            found = tuple([a.copy() for a in views(self)])
        finally:
            core_of(self).leave()
        return found if len(found) > 1 else found[0]

    @state.setter
    @cython.critical_section
    def state(self, value):
        layer = self.layer
        states = check_state(value, layer, None if self._fresh else self._rows)
        rows = next((a.shape[1] for a in states if a is not None), self._rows)
        if rows != self._rows:
            set_rows(self, rows)
        enter(self)
        for mine, a in zip(views(self), states):
            mine[...] = 0 if a is None else a
        core_of(self).leave()
        self._fresh = value is None

    @cython.critical_section
    def reset(self, rows=None):
        """Set the state to zeros.

        Parameters
        ----------
        rows : int, [n] integer or [N] bool, optional
            Which rows. By default all, and then the next step may have another ``N``.

        Raises
        ------
        RuntimeError
            The layer's parameters have changed.
        TypeError
            ``rows`` are not integers or bools.
        ValueError
            A row is out of range, or there are not ``N`` bools.
        """
        chosen = slice(None) if rows is None else which_rows(rows, self._rows)
        enter(self)
        try:
            if not core_of(self).is_current():
                refuse(CHANGED)
            for mine in views(self):
                mine[:, chosen] = 0
        finally:
            core_of(self).leave()
        if rows is None:
            self._fresh = True

    def clone(self):
        """Return an independent stepper with the same layer, packed weights and state.

        Raises
        ------
        RuntimeError
            The layer's parameters have changed.
        """
        state = self.state
        cdef Stepper other = Stepper.__new__(Stepper)
        make(other, self.layer, self._rows, with_rows(self, self._rows))
        other._params = self._params
        if not core_of(self).is_released():
            self.layer._lock_for(other)
        other.state = state
        other._fresh = self._fresh
        return other

    @cython.critical_section
    def refresh(self):
        """Pack the layer's present parameters; the state stays.

        From then on the parameters are read-only again.
        """
        enter(self)
        try:
            self.layer._lock_for(self)
            replace_core(self, create(self.layer, self._rows))
            self._params = self.layer.flat_params
        except BaseException:
            core_of(self).leave()
            raise

    def _release(self):
        """Refuse to step, since the layer's parameters may change from now on."""
        core_of(self).release()


cdef set_core(Stepper s, CoreStepper* core):
    if s._core != NULL:
        api.destroy(core_of(s))
    s._core = core
    s._long = core.flops() > LONG_STEP


cdef make(Stepper s, layer, Py_ssize_t rows, CoreStepper* core):
    set_core(s, create(layer, rows) if core == NULL else core)
    s._rows, s._layers = rows, layer.num_layers
    s._inputs, s._hidden = layer.input_size, layer.hidden_size
    s._params = layer.flat_params
    s._is_double = layer.dtype == np.float64
    s._typenum = cnp.NPY_DOUBLE if s._is_double else cnp.NPY_FLOAT
    s.layer = layer


cdef CoreStepper* with_rows(Stepper s, Py_ssize_t rows) except NULL:
    cdef CoreStepper* other = core_of(s).with_rows(rows)
    if other == NULL:
        raise MemoryError(f"Stepper: no memory for {rows} rows")
    return other


cdef set_rows(Stepper s, Py_ssize_t rows):
    set_core(s, with_rows(s, rows))
    s._rows = rows


cdef replace_core(Stepper s, CoreStepper* other):
    """Replace the core by another one, which takes over its state."""
    before = [a.copy() for a in views(s)]
    set_core(s, other)
    for mine, a in zip(views(s), before):
        mine[...] = a


cdef list views(Stepper s):
    """Return arrays that view the buffers h and c, valid until the next step."""
    cdef cnp.npy_intp[3] shape
    shape[0], shape[1], shape[2] = s._layers, s._rows, s._hidden
    cdef CoreStepper* core = core_of(s)
    found = [cnp.PyArray_SimpleNewFromData(3, shape, s._typenum, core.h())]
    if core.c() != NULL:
        found.append(cnp.PyArray_SimpleNewFromData(3, shape, s._typenum, core.c()))
    return found


cdef enter(Stepper s):
    if s._core == NULL:
        raise RuntimeError("Stepper: expected __init__ to have been called")
    if not core_of(s).enter():
        refuse(BUSY)


cdef take_step(Stepper s, const void* x, const int64_t* tokens, bint single):
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray h
    cdef int result
    shape[0], shape[1] = s._rows, s._hidden
    h = cnp.PyArray_EMPTY(1 if single else 2, &shape[single], s._typenum, 0)
    cdef void* data = cnp.PyArray_DATA(h)
    cdef CoreStepper* core = core_of(s)
    if s._long:
        with nogil:
            result = core.step(x, tokens, data)
    else:
        result = core.step(x, tokens, data)
    if result != STEPPED:
        refuse(result)
    s._fresh = False
    return h


cdef step_checked(Stepper s, x):
    """Take a step with unusual input: another N, strides, lists, or errors."""
    cdef cnp.ndarray a
    enter(s)  # only a check: the state is not used yet
    core_of(s).leave()
    a, rows, single = check_x(
        x, s.layer.input_size, s.layer.dtype, None if s._fresh else s._rows
    )
    if rows != s._rows:
        set_rows(s, rows)
    if cnp.PyArray_TYPE(a) == s._typenum:
        return take_step(s, cnp.PyArray_DATA(a), NULL, single)
    return take_step(s, NULL, <const int64_t*> cnp.PyArray_DATA(a), single)


cdef refuse(int result):
    if result == BUSY:
        raise RuntimeError("Stepper: expected one thread at a time, got a second one")
    raise RuntimeError(
        "Stepper: expected the layer's parameters as they were packed, got changed ones: "
        "call refresh()"
    )
