# distutils: language = c++
# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, embedsignature=False
"""One step at a time: `Stepper`. For Cython there is ``cimport fastrnn.stepper``."""

import numpy as np

from fastrnn import _core
from fastrnn._gate.arguments import check_size
from fastrnn._gate.stepper import check_state, check_x, which_rows
from fastrnn._layers.stepping import KINDS, make_plan, nest, unnest

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.stdint cimport int64_t
from libcpp.vector cimport vector

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

    cdef enum class StepKind:
        pass

    cdef cppclass StepLayer:
        StepKind kind
        Py_ssize_t I, O
        Network network
        const void* weight
        const void* bias
        const void* mean
        const void* variance
        double eps

    cdef cppclass WatchedArray:
        const void* values
        Py_ssize_t count

    cdef cppclass StepModel:
        const StepLayer* layers
        Py_ssize_t layer_count
        const WatchedArray* watched
        Py_ssize_t watched_count
        bint is_double

    cdef cppclass CoreStepper "fastrnn::Stepper":
        int step(const void* x, const int64_t* tokens, void* y)
        CoreStepper* with_rows(Py_ssize_t N)
        bint is_current()
        void* h(Py_ssize_t recurrent)
        void* c(Py_ssize_t recurrent)
        double flops()

    cdef cppclass StepperApi:
        CoreStepper* (*create)(const StepModel&, Py_ssize_t)
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

cdef enum:
    MOST_COPIED = 64  # tokens, of rows

NO_INIT = "Stepper: expected __init__ to have been called"


cdef inline CoreStepper* core_of(Stepper s) noexcept nogil:
    return <CoreStepper*> s._core


cdef CoreStepper* create(object plan, list bfloat16, Py_ssize_t rows) except NULL:
    cdef vector[StepLayer] layers
    cdef vector[WatchedArray] watched
    cdef WatchedArray one
    cdef StepModel model
    widths = iter(bfloat16)
    for stage in plan.stages:
        layers.push_back(describe(stage, widths))
    for a in plan.watched:
        one.values, one.count = data_of(a), a.size
        watched.push_back(one)
    model.layers, model.layer_count = layers.data(), layers.size()
    model.watched, model.watched_count = watched.data(), watched.size()
    model.is_double = plan.dtype == np.float64
    cdef CoreStepper* made = api.create(model, rows)
    if made == NULL:
        refuse_rows(rows)
    return made


cdef StepLayer describe(object stage, object widths) except *:
    """Return a layer as C++ has it. Its arrays are those that the plan watches."""
    cdef StepLayer made
    layer = stage.layer
    kind = KINDS[stage.kind]
    made.kind = <StepKind> <int> stage.kind
    made.I, made.O = stage.inputs, stage.outputs
    made.weight = made.bias = made.mean = made.variance = NULL
    made.eps = 0
    if kind == "recurrent":
        made.network = describe_network(layer, next(widths))
    elif kind in ("embedding", "linear"):
        made.weight = data_of(layer.weight)
    elif kind in ("layer_norm", "batch_norm"):
        made.weight = data_of(layer.params["weight"])
        made.eps = layer.eps
    if kind != "recurrent" and "bias" in layer.params:
        made.bias = data_of(layer.params["bias"])
    if kind == "batch_norm":
        made.mean = data_of(layer.buffers["running_mean"])
        made.variance = data_of(layer.buffers["running_var"])
    return made


cdef Network describe_network(object layer, bint bfloat16) except *:
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
    network.params = data_of(layer.flat_params)
    return network


cdef inline const void* data_of(cnp.ndarray a) noexcept:
    return cnp.PyArray_DATA(a)


cdef class Stepper:
    """A recurrent layer or a model that goes one step at a time and keeps its state.

    The steps are those of the layer in eval mode, bit for bit, at a fraction of the cost
    of a call: weights are packed once, nothing in Python runs between the layers, and a
    step allocates nothing except its result. From Cython see ``fastrnn/stepper.pxd``.

    Parameters
    ----------
    layer : RNN, GRU, LSTM or Sequential
        A recurrent layer with any number of layers ``L`` and one direction, or a model,
        nested or not, of such layers and `Embedding` (as the first), `Linear`,
        `Activation`, `LayerNorm`, `BatchNorm` and `Dropout`. After
        ``layer.eval(weights="bfloat16")`` of a recurrent layer the stepper's weights are
        bfloat16 too.
    rows : int, optional
        ``N``. By default that of the first step, and 1 until then.

    Attributes
    ----------
    layer : RNN, GRU, LSTM or Sequential
        The layer or model, as given.

    Raises
    ------
    TypeError
        ``layer`` is no such layer, or contains one that cannot go step by step: it looks
        at the whole sequence (pooling, `Attention`), or is not from here.
    ValueError
        ``layer`` is bidirectional or has zoneout, nothing in it is recurrent, or ``rows``
        is less than 1.

    Notes
    -----
    While a stepper exists, its layer's parameters are read-only: writing to them raises
    NumPy's ``ValueError``. To continue training, call ``layer.train()``; from then on a
    step raises ``RuntimeError`` until `refresh` has packed the new parameters.

    NumPy cannot protect views taken earlier (a slice, a tensor that shares their memory),
    and buffers are not protected. So steps compare a part of the parameters with those
    packed, and all of them in 256 steps: such a write raises ``RuntimeError`` within 256
    steps, and at once in `state`, `reset` and `clone`, which compare all.

    A stepper is for one thread at a time; a second thread gets a ``RuntimeError``. Threads
    with a stepper each may share a layer. A step of less than about 10 µs keeps the GIL.

    ``copy.copy`` returns a stepper of the same layer, as `clone` does. Deep copies and
    pickles contain a copy of the layer, and do not depend on the original.

    Examples
    --------
    ::

        model = fastrnn.Sequential(
            fastrnn.Embedding(100, 64), fastrnn.LSTM(64, 128), fastrnn.Linear(128, 100)
        )
        stepper = fastrnn.Stepper(model)
        logits = stepper.step(7)  # [100], after the token 7
        logits = stepper.step(int(logits.argmax()))
    """

    def __init__(self, layer, rows=None):
        n = 1 if rows is None else check_size("rows", rows)
        plan = make_plan(layer)
        if n > PY_SSIZE_T_MAX:
            refuse_rows(n)
        if self._core != NULL or not take_flag(&self._busy):
            raise RuntimeError("Stepper: expected one call of __init__, got another one")
        try:
            set_up(self, layer, plan, bfloat16_of(plan), n, True)
            self._fresh = rows is None
        finally:
            leave(self)

    def __del__(self):
        unlock(self)

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

    cdef int step_float(self, const float* x, float* y) noexcept nogil:
        if self._is_double or not self._floats:
            return WRONG_DTYPE
        return run(self, x, NULL, y)

    cdef int step_double(self, const double* x, double* y) noexcept nogil:
        if not self._is_double or not self._floats:
            return WRONG_DTYPE
        return run(self, x, NULL, y)

    cdef int step_tokens(self, const int64_t* tokens, void* y) noexcept nogil:
        return run(self, NULL, tokens, y) if self._tokens else WRONG_DTYPE

    def step(self, x):
        """Take one step in every row.

        Parameters
        ----------
        x : [I] or [N, I] floating, or an integer or [N] of them
            Integers are token ids: one-hot rows, or those of an `Embedding`. The first
            step, and one after ``reset()``, may have another ``N`` than before.

        Returns
        -------
        [O] or [N, O]
            What the last layer gives, in a new array: the new state of a recurrent layer
            (``O = H``), or logits, where the model ends in a `Linear`.

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
        cdef int64_t[MOST_COPIED] tokens
        enter(self)
        try:
            if type(x) is cnp.ndarray:
                a = x
                if fits(self, a):
                    return take_step(
                        self, cnp.PyArray_DATA(a), NULL, cnp.PyArray_NDIM(a) == 1
                    )
                if copy_tokens(self, a, tokens):
                    return take_step(self, NULL, tokens, False)
            elif (
                type(x) is int and self._rows == 1 and self._tokens
                and 0 <= x < self._inputs
            ):
                token = x
                return take_step(self, NULL, &token, True)
            return step_checked(self, x)
        finally:
            leave(self)

    @property
    def layer(self):
        """The layer or model, as given."""
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

        That of a model is a tuple of the states of its layers, as the model returns it. It
        is set as a layer or model takes it; None is zeros.
        """
        enter(self)
        try:
            require_current(self)
            found = [a.copy() for a in views(self)]
        finally:
            leave(self)
        return nest(self._layer, iter(found))

    @state.setter
    def state(self, value):
        enter(self)
        try:
            states = check_state(
                list(unnest("state", value, self._layer)), self._layer.dtype,
                None if self._fresh else self._rows,
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
            plan = make_plan(self._layer)
            set_up(self, self._layer, plan, bfloat16_of(plan), self._rows, True)
            write_state(self, before)
        finally:
            leave(self)

    def _release(self):
        """Refuse to step, since the layer's parameters may change from now on."""
        require_init(self)
        set_flag(&self._released, 1)
        unlock(self)


def restore(cls, layer, bfloat16, rows, fresh, released, states, attributes):
    """Return the stepper that was copied or pickled."""
    cdef Stepper s = cls.__new__(cls)
    set_up(s, layer, make_plan(layer), bfloat16, rows, not released)
    write_state(s, states)
    s._fresh = fresh
    if attributes:
        s.__dict__.update(attributes)
    return s


cdef list bfloat16_of(plan):
    return [layer._packed.bfloat16 for layer in plan.recurrent]


cdef set_up(Stepper s, layer, plan, list bfloat16, Py_ssize_t rows, bint locked):
    """Pack the layer's parameters; on an error everything is as it was.

    A release by another thread that comes after the lock stays.
    """
    cdef bint released = get_flag(&s._released)
    s._layer = layer
    set_flag(&s._released, not locked)
    try:
        if locked:
            lock(s, plan)
        take_core(s, plan, rows, create(plan, bfloat16, rows))
        s._bfloat16 = bfloat16
    except BaseException:
        if released:
            set_flag(&s._released, 1)
        raise


cdef lock(Stepper s, plan):
    s._owners = plan.owners
    for owner in s._owners:
        owner._lock_for(s)


cdef unlock(Stepper s):
    for owner in s._owners or ():
        owner._unlock_for(s)


cdef share(Stepper s, Stepper other):
    """Let a new stepper share another's packed weights, with its state."""
    cdef bint released = get_flag(&other._released)
    s._layer, s._bfloat16, s._fresh = other._layer, other._bfloat16, other._fresh
    set_flag(&s._released, released)
    if not released:
        lock(s, other._plan)
    take_core(s, other._plan, other._rows, with_rows(other, other._rows))
    write_state(s, views(other))


cdef take_core(Stepper s, plan, Py_ssize_t rows, CoreStepper* core):
    cdef CoreStepper* before = core_of(s)
    s._core, s._plan, s._rows = core, plan, rows
    s._long = core.flops() > LONG_STEP
    s._sizes = [(layer.num_layers, layer._widths) for layer in plan.recurrent]
    s._inputs, s._outputs = plan.inputs, plan.outputs
    s._tokens, s._floats = plan.takes_tokens, plan.takes_floats
    s._is_double = plan.dtype == np.float64
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
        take_core(s, s._plan, rows, with_rows(s, rows))


cdef write_state(Stepper s, states):
    for mine, a in zip(views(s), states):
        mine[...] = 0 if a is None else a


cdef list views(Stepper s):
    """Return arrays that view the buffers h and c, valid until the next step."""
    cdef cnp.npy_intp[3] shape
    cdef CoreStepper* core = core_of(s)
    cdef Py_ssize_t k
    found = []
    for k, (layers, widths) in enumerate(s._sizes):
        shape[0], shape[1], shape[2] = layers, s._rows, widths[0]
        found.append(cnp.PyArray_SimpleNewFromData(3, shape, s._typenum, core.h(k)))
        if core.c(k) != NULL:
            shape[2] = widths[1]
            found.append(cnp.PyArray_SimpleNewFromData(3, shape, s._typenum, core.c(k)))
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
    Stepper s, const void* x, const int64_t* tokens, void* y
) noexcept nogil:
    """Take a step in a program without the GIL."""
    if not take_flag(&s._busy):
        return BUSY
    cdef int result = run_alone(s, x, tokens, y)
    leave(s)
    return result


cdef inline int run_alone(
    Stepper s, const void* x, const int64_t* tokens, void* y
) noexcept nogil:
    if s._core == NULL or get_flag(&s._released):
        return CHANGED
    return core_of(s).step(x, tokens, y)


cdef require_current(Stepper s):
    if not get_flag(&s._released) and not core_of(s).is_current():
        refuse(CHANGED)


cdef inline bint fits(Stepper s, cnp.ndarray a) noexcept:
    """Whether a floating input is plainly right."""
    cdef int ndim = cnp.PyArray_NDIM(a)
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(a)
    return (
        cnp.PyArray_TYPE(a) == s._typenum
        and s._floats
        and cnp.PyArray_IS_C_CONTIGUOUS(a)
        and cnp.PyArray_ISBEHAVED_RO(a)
        and (
            (ndim == 1 and s._rows == 1 and shape[0] == s._inputs)
            or (ndim == 2 and shape[0] == s._rows and shape[1] == s._inputs)
        )
    )


cdef inline bint copy_tokens(Stepper s, cnp.ndarray a, int64_t* tokens) noexcept:
    """Whether these are plainly tokens. A copy, as other threads may write to them."""
    if not (
        s._tokens
        and cnp.PyArray_TYPE(a) == cnp.NPY_INT64
        and cnp.PyArray_IS_C_CONTIGUOUS(a)
        and cnp.PyArray_ISBEHAVED_RO(a)
        and cnp.PyArray_NDIM(a) == 1
        and cnp.PyArray_DIM(a, 0) == s._rows <= MOST_COPIED
    ):
        return False
    cdef const int64_t* values = <const int64_t*> cnp.PyArray_DATA(a)
    cdef Py_ssize_t n
    for n in range(s._rows):
        tokens[n] = values[n]
        if not 0 <= tokens[n] < s._inputs:
            return False
    return True


cdef take_step(Stepper s, const void* x, const int64_t* tokens, bint single):
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray y
    cdef int result
    shape[0], shape[1] = s._rows, s._outputs
    y = cnp.PyArray_EMPTY(1 if single else 2, &shape[single], s._typenum, 0)
    cdef void* data = cnp.PyArray_DATA(y)
    if s._long:
        with nogil:
            result = run_alone(s, x, tokens, data)
    else:
        result = run_alone(s, x, tokens, data)
    if result != STEPPED:
        refuse(result)
    s._fresh = False
    return y


cdef step_checked(Stepper s, x):
    """Take a step with unusual input: another N, strides, lists, or errors."""
    cdef cnp.ndarray a
    a, rows, single = check_x(
        x, s._inputs, s._plan.dtype, None if s._fresh else s._rows,
        s._tokens, s._floats,
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
