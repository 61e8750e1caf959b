# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False
"""Somebody else's Cython code: steps without Python in between."""

from fastrnn.stepper cimport STEPPED, Stepper
from libc.stdint cimport int64_t


def run_float(Stepper s, const float[:, :, ::1] x, float[:, :, ::1] h):
    """Step through x [T, N, I]; the outputs are h [T, N, H]. Returns the result."""
    cdef Py_ssize_t t
    cdef int result = STEPPED
    with nogil:
        for t in range(x.shape[0]):
            result = s.step_float(&x[t, 0, 0], &h[t, 0, 0])
            if result != STEPPED:
                break
    return result


def run_double(Stepper s, const double[:, :, ::1] x, double[:, :, ::1] h):
    cdef Py_ssize_t t
    cdef int result = STEPPED
    with nogil:
        for t in range(x.shape[0]):
            result = s.step_double(&x[t, 0, 0], &h[t, 0, 0])
            if result != STEPPED:
                break
    return result


def run_tokens(Stepper s, const int64_t[:, ::1] x, float[:, :, ::1] h):
    cdef Py_ssize_t t
    cdef int result = STEPPED
    with nogil:
        for t in range(x.shape[0]):
            result = s.step_tokens(&x[t, 0], &h[t, 0, 0])
            if result != STEPPED:
                break
    return result


def repeat(Stepper s, const float[::1] x, Py_ssize_t count):
    """Take the same step again and again, for a clock outside."""
    cdef Py_ssize_t k
    cdef int result = STEPPED
    with nogil:
        for k in range(count):
            result |= s.step_float(&x[0], NULL)
    return result
