# For Cython code of your own: the steppers of fastrnn, on raw pointers and without the
# GIL.
#
#     from fastrnn.stepper cimport STEPPED, Stepper
#
#     cdef int run(Stepper s, const float* x, float* h) noexcept nogil:
#         return s.step_float(x, h)
#
# x [N, I] and h [N, H] ([N, P] with a projection) are in C order; h may be NULL, tokens are not checked against I.
# A Stepper is for one thread at a time. Symbols and rules: help(fastrnn.Stepper).

from libc.stdint cimport int64_t

cdef enum:
    STEPPED = 0  # done
    CHANGED = 1  # nothing done: the layer's parameters have changed, see refresh()
    BUSY = 2  # nothing done: another thread is in this stepper
    WRONG_DTYPE = 3  # nothing done: the layer's dtype is the other one

cdef class Stepper:
    cdef void* _core
    cdef object __weakref__
    cdef object _layer
    cdef object _params  # the array that was packed, which must stay alive
    cdef Py_ssize_t _rows, _inputs, _hidden, _width, _layers
    cdef int _typenum
    cdef int _busy  # a thread is at work in here
    cdef int _released  # the layer's parameters may be written to
    cdef bint _is_double, _bfloat16, _fresh, _long

    cdef int step_float(self, const float* x, float* h) noexcept nogil
    cdef int step_double(self, const double* x, double* h) noexcept nogil
    # h has the layer's dtype.
    cdef int step_tokens(self, const int64_t* tokens, void* h) noexcept nogil
