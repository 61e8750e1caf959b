# For Cython code of your own: the steppers of fastrnn, on raw pointers and without the
# GIL.
#
#     from fastrnn.stepper cimport STEPPED, Stepper
#
#     cdef int run(Stepper s, const float* x, float* y) noexcept nogil:
#         return s.step_float(x, y)
#
# x [N, I] and y [N, O], what the last layer gives (a recurrent layer: h [N, H]), are in C
# order. With y NULL the layers after the last recurrent one are left out. Tokens are not
# checked against I.
# A Stepper is for one thread at a time. Symbols and rules: help(fastrnn.Stepper).

from libc.stdint cimport int64_t

cdef enum:
    STEPPED = 0  # done
    CHANGED = 1  # nothing done: the layer's parameters have changed, see refresh()
    BUSY = 2  # nothing done: another thread is in this stepper
    WRONG_DTYPE = 3  # nothing done: the model takes other input: another dtype, or tokens

cdef class Stepper:
    cdef void* _core
    cdef object __weakref__
    cdef object _layer
    cdef object _plan  # with the arrays that were packed, which must stay alive
    cdef object _owners  # of the parameters, which are locked
    cdef object _bfloat16  # of each recurrent layer
    cdef object _sizes  # of each recurrent layer's state: its layers, and the widths of its arrays
    cdef Py_ssize_t _rows, _inputs, _outputs
    cdef int _typenum
    cdef int _busy  # a thread is at work in here
    cdef int _released  # the layer's parameters may be written to
    cdef bint _is_double, _tokens, _floats, _fresh, _long

    cdef int step_float(self, const float* x, float* y) noexcept nogil
    cdef int step_double(self, const double* x, double* y) noexcept nogil
    # y has the layer's dtype.
    cdef int step_tokens(self, const int64_t* tokens, void* y) noexcept nogil
