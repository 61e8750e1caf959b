# distutils: language = c++
# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, embedsignature=False
"""One step at a time: `Stepper`. For Cython there is ``cimport fastrnn.stepper``."""

import numpy as np

from fastrnn import _core
from fastrnn._gate.arguments import check_size
from fastrnn._gate.stepper import check_state, check_x, which_rows
from fastrnn._layers.recurrent import RecurrentLayer

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.stdint cimport int64_t

cnp.import_array()


cdef extern from "fastrnn/stepper.h" namespace "fastrnn" nogil:
    cdef enum class CellKind:
        pass

    cdef enum class Activation:
        pass

    cdef cppclass Network:
        CellKind cell
        Activation activation
        bint reset_before, coupled, peephole, projection
        Py_ssize_t P
        Py_ssize_t I, H, layers, directions
        bint bias, bfloat16
        const void* params

    cdef cppclass CoreStepper "fastrnn::Stepper":
        int step(const void* x, const int64_t* tokens, void* h)
        CoreStepper* with_rows(Py_ssize_t N)
        bint is_current()
        void* h()
        void* c()
        double flops()

    cdef cppclass StepperApi:
        CoreStepper* (*create)(const Network&, Py_ssize_t, bint)
        void (*destroy)(CoreStepper*)


cdef extern from *:
    """
    // Whether a flag was 0; it is 1 now.
    static inline int fastrnn_take(int* flag) {
        return !__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE);
    }
    static inline void fastrnn_set(int* flag, int value) {
        __atomic_store_n(flag, value, __ATOMIC_RELEASE);
    }
    static inline int fastrnn_get(const int* flag) {
        return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
    }
    """
    bint take_flag "fastrnn_take" (int* flag) noexcept nogil
    void set_flag "fastrnn_set" (int* flag, int value) noexcept nogil
    bint get_flag "fastrnn_get" (const int* flag) noexcept nogil


cdef const StepperApi* api = <const StepperApi*> PyCapsule_GetPointer(
    _core.stepper_api, "fastrnn._core.stepper_api"
)

# A step of fewer operations takes some 10 µs at most, and keeps the GIL: a thread that
# releases it while others want it may wait 5 ms to get it back.
cdef double LONG_STEP = 1e6

NO_INIT = "Stepper: expected __init__ to have been called"


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


cdef CoreStepper* create(
    object layer, cnp.ndarray params, bint bfloat16, Py_ssize_t rows
) except NULL:
    cdef Network network
    nonlinearity = getattr(layer, "nonlinearity", "tanh")
    network.cell = <CellKind> <int> _core.cell_kind(layer._cell)
    network.activation = <Activation> <int> _core.activation(nonlinearity)
    network.reset_before = getattr(layer, "reset", "after") == "before"
    network.coupled = getattr(layer, "coupled", False)
    network.peephole = getattr(layer, "peephole", False)
    network.projection, network.P = layer.proj_size > 0, layer._widths[0]
    network.I, network.H = layer.input_size, layer.hidden_size
    network.layers, network.directions = layer.num_layers, 1
    network.bias, network.bfloat16 = layer.bias, bfloat16
    network.params = cnp.PyArray_DATA(params)
    cdef bint is_double = layer.dtype == np.float64
    cdef CoreStepper* made = api.create(network, rows, is_double)
    if made == NULL:
        refuse_rows(rows)
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

    ``copy.copy`` returns a stepper of the same layer, as `clone` does. Deep copies and
    pickles contain a copy of the layer, and do not depend on the original.
    """

    def __init__(self, layer, rows=None):
        check_layer(layer)
        n = 1 if rows is None else check_size("rows", rows)
        if n > PY_SSIZE_T_MAX:
            refuse_rows(n)
        if self._core != NULL or not take_flag(&self._busy):
            raise RuntimeError("Stepper: expected one call of __init__, got another one")
        try:
            set_up(self, layer, layer._packed.bfloat16, n, True)
            self._fresh = rows is None
        finally:
            leave(self)

    def __del__(self):
        if self._layer is not None:
            self._layer._unlock_for(self)

    def __dealloc__(self):
        if self._core != NULL:
            api.destroy(core_of(self))

    def __reduce__(self):
        enter(self)
        try:
            require_current(self)
            return restore, (
                type(self), self._layer, self._bfloat16, self._rows, self._fresh,
                get_flag(&self._released), [a.copy() for a in views(self)],
                getattr(self, "__dict__", None),
            )
        finally:
            leave(self)

    cdef int step_float(self, const float* x, float* h) noexcept nogil:
        return WRONG_DTYPE if self._is_double else run(self, x, NULL, h)

    cdef int step_double(self, const double* x, double* h) noexcept nogil:
        return run(self, x, NULL, h) if self._is_double else WRONG_DTYPE

    cdef int step_tokens(self, const int64_t* tokens, void* h) noexcept nogil:
        return run(self, NULL, tokens, h)

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
        cdef cnp.ndarray a
        cdef int64_t token
        enter(self)
        try:
            if type(x) is cnp.ndarray:
                a = x
                if fits(self, a):
                    return take_step(
                        self, cnp.PyArray_DATA(a), NULL, cnp.PyArray_NDIM(a) == 1
                    )
            elif type(x) is int and self._rows == 1 and 0 <= x < self._inputs:
                token = x
                return take_step(self, NULL, &token, True)
            return step_checked(self, x)
        finally:
            leave(self)

    @property
    def layer(self):
        """The layer, as given."""
        require_init(self)
        return self._layer

    @property
    def rows(self):
        """``N``."""
        require_init(self)
        return self._rows

    @property
    def state(self):
        """A copy of the state, ``h [L, N, H]``; for LSTM a pair ``(h, c)``.

        It is set as a layer takes it; None is zeros.
        """
        enter(self)
        try:
            require_current(self)
            found = tuple([a.copy() for a in views(self)])
        finally:
            leave(self)
        return found if len(found) > 1 else found[0]

    @state.setter
    def state(self, value):
        enter(self)
        try:
            states = check_state(
                value, self._layer, None if self._fresh else self._rows
            )
            rows = next((a.shape[1] for a in states if a is not None), self._rows)
            set_rows(self, rows)
            write_state(self, states)
            self._fresh = value is None
        finally:
            leave(self)

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
        enter(self)
        try:
            chosen = slice(None) if rows is None else which_rows(rows, self._rows)
            require_current(self)
            for mine in views(self):
                mine[:, chosen] = 0
            if rows is None:
                self._fresh = True
        finally:
            leave(self)

    def clone(self):
        """Return an independent stepper with the same layer, packed weights and state.

        Raises
        ------
        RuntimeError
            The layer's parameters have changed.
        """
        cdef Stepper other = Stepper.__new__(Stepper)
        enter(self)
        try:
            require_current(self)
            share(other, self)
        finally:
            leave(self)
        return other

    def refresh(self):
        """Pack the layer's present parameters; the state stays.

        From then on the parameters are read-only again.
        """
        enter(self)
        try:
            before = [a.copy() for a in views(self)]
            set_up(self, self._layer, self._layer._packed.bfloat16, self._rows, True)
            write_state(self, before)
        finally:
            leave(self)

    def _release(self):
        """Refuse to step, since the layer's parameters may change from now on."""
        require_init(self)
        set_flag(&self._released, 1)


def restore(cls, layer, bfloat16, rows, fresh, released, states, attributes):
    """Return the stepper that was copied or pickled."""
    cdef Stepper s = cls.__new__(cls)
    set_up(s, layer, bfloat16, rows, not released)
    write_state(s, states)
    s._fresh = fresh
    if attributes:
        s.__dict__.update(attributes)
    return s


cdef set_up(Stepper s, layer, bint bfloat16, Py_ssize_t rows, bint locked):
    """Pack the layer's parameters; on an error everything is as it was.

    A release by another thread that comes after the lock stays.
    """
    cdef bint released = get_flag(&s._released)
    s._layer = layer
    set_flag(&s._released, not locked)
    try:
        if locked:
            layer._lock_for(s)
        params = layer.flat_params
        take_core(s, layer, params, rows, create(layer, params, bfloat16, rows))
        s._bfloat16 = bfloat16
    except BaseException:
        if released:
            set_flag(&s._released, 1)
        raise


cdef share(Stepper s, Stepper other):
    """Let a new stepper share another's packed weights, with its state."""
    cdef bint released = get_flag(&other._released)
    s._layer, s._bfloat16, s._fresh = other._layer, other._bfloat16, other._fresh
    set_flag(&s._released, released)
    if not released:
        s._layer._lock_for(s)
    take_core(s, s._layer, other._params, other._rows, with_rows(other, other._rows))
    write_state(s, views(other))


cdef take_core(Stepper s, layer, params, Py_ssize_t rows, CoreStepper* core):
    cdef CoreStepper* before = core_of(s)
    s._core, s._params, s._rows = core, params, rows
    s._long = core.flops() > LONG_STEP
    s._layers = layer.num_layers
    s._inputs, s._hidden = layer.input_size, layer.hidden_size
    s._width = layer._widths[0]
    s._is_double = layer.dtype == np.float64
    s._typenum = cnp.NPY_DOUBLE if s._is_double else cnp.NPY_FLOAT
    if before != NULL:
        api.destroy(before)


cdef CoreStepper* with_rows(Stepper s, Py_ssize_t rows) except NULL:
    cdef CoreStepper* other = core_of(s).with_rows(rows)
    if other == NULL:
        refuse_rows(rows)
    return other


cdef set_rows(Stepper s, Py_ssize_t rows):
    if rows != s._rows:
        take_core(s, s._layer, s._params, rows, with_rows(s, rows))


cdef write_state(Stepper s, states):
    for mine, a in zip(views(s), states):
        mine[...] = 0 if a is None else a


cdef list views(Stepper s):
    """Return arrays that view the buffers h and c, valid until the next step."""
    cdef cnp.npy_intp[3] shape
    shape[0], shape[1], shape[2] = s._layers, s._rows, s._width
    cdef CoreStepper* core = core_of(s)
    found = [cnp.PyArray_SimpleNewFromData(3, shape, s._typenum, core.h())]
    if core.c() != NULL:
        shape[2] = s._hidden
        found.append(cnp.PyArray_SimpleNewFromData(3, shape, s._typenum, core.c()))
    return found


cdef require_init(Stepper s):
    if s._layer is None:
        raise RuntimeError(NO_INIT)


cdef inline int enter(Stepper s) except -1:
    """Begin what only one thread may do at a time: everything from here to `leave`."""
    if s._core == NULL:
        raise RuntimeError(NO_INIT)
    if not take_flag(&s._busy):
        refuse(BUSY)
    return 0


cdef inline void leave(Stepper s) noexcept nogil:
    set_flag(&s._busy, 0)


cdef int run(
    Stepper s, const void* x, const int64_t* tokens, void* h
) noexcept nogil:
    """Take a step in a program without the GIL."""
    if not take_flag(&s._busy):
        return BUSY
    cdef int result = run_alone(s, x, tokens, h)
    leave(s)
    return result


cdef inline int run_alone(
    Stepper s, const void* x, const int64_t* tokens, void* h
) noexcept nogil:
    if s._core == NULL or get_flag(&s._released):
        return CHANGED
    return core_of(s).step(x, tokens, h)


cdef require_current(Stepper s):
    if not get_flag(&s._released) and not core_of(s).is_current():
        refuse(CHANGED)


cdef inline bint fits(Stepper s, cnp.ndarray a) noexcept:
    """Whether an input is plainly right."""
    cdef int ndim = cnp.PyArray_NDIM(a)
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(a)
    return (
        cnp.PyArray_TYPE(a) == s._typenum
        and cnp.PyArray_IS_C_CONTIGUOUS(a)
        and cnp.PyArray_ISBEHAVED_RO(a)
        and (
            (ndim == 1 and s._rows == 1 and shape[0] == s._inputs)
            or (ndim == 2 and shape[0] == s._rows and shape[1] == s._inputs)
        )
    )


cdef take_step(Stepper s, const void* x, const int64_t* tokens, bint single):
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray h
    cdef int result
    shape[0], shape[1] = s._rows, s._width
    h = cnp.PyArray_EMPTY(1 if single else 2, &shape[single], s._typenum, 0)
    cdef void* data = cnp.PyArray_DATA(h)
    if s._long:
        with nogil:
            result = run_alone(s, x, tokens, data)
    else:
        result = run_alone(s, x, tokens, data)
    if result != STEPPED:
        refuse(result)
    s._fresh = False
    return h


cdef step_checked(Stepper s, x):
    """Take a step with unusual input: another N, strides, lists, or errors."""
    cdef cnp.ndarray a
    a, rows, single = check_x(
        x, s._inputs, s._layer.dtype, None if s._fresh else s._rows
    )
    set_rows(s, rows)
    if cnp.PyArray_TYPE(a) == s._typenum:
        return take_step(s, cnp.PyArray_DATA(a), NULL, single)
    return take_step(s, NULL, <const int64_t*> cnp.PyArray_DATA(a), single)


cdef refuse_rows(rows):
    raise MemoryError(f"Stepper: no memory for the weights and {rows} rows of state")


cdef refuse(int result):
    if result == BUSY:
        raise RuntimeError("Stepper: expected one thread at a time, got a second one")
    raise RuntimeError(
        "Stepper: expected the layer's parameters as they were packed, got changed ones: "
        "call refresh()"
    )
