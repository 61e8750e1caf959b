// From NumPy's arrays to the kernels' pointers. The gate (src/fastrnn/_gate) has
// checked the dtype, shape and C order of every array.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <new>
#include <vector>

#include "call.h"
#include "fastrnn/isa.h"

namespace fastrnn {

namespace py = pybind11;

// The data of an array, null for None. A number is the address of a tensor's data,
// which the caller has checked and keeps alive.
template <class T>
const T* data(py::handle array) {
  if (array.is_none()) return nullptr;
  if (PyLong_Check(array.ptr())) {
    return static_cast<const T*>(PyLong_AsVoidPtr(array.ptr()));
  }
  return reinterpret_cast<const T*>(py::detail::array_proxy(array.ptr())->data);
}

// The same for an array that is written in place.
template <class T>
T* mutable_data(py::handle array) {
  return const_cast<T*>(data<T>(array));
}

// A new array, aligned for the kernels. Throws std::bad_alloc, also if its sizes are
// more than NumPy can count, even where one of them is 0.
template <class T>
py::array_t<T> empty(const std::vector<Size>& shape) {
  Size bytes = sizeof(T);
  bool has_none = false;
  for (const Size n : shape) {
    has_none |= n == 0;
    if (n > 0 && __builtin_mul_overflow(bytes, n, &bytes)) throw std::bad_alloc();
  }
  void* memory = allocate(has_none ? 0 : std::size_t(bytes));
  const py::capsule owner(memory, release);
  return py::array_t<T>(shape, static_cast<T*>(memory), owner);
}

// An output that may be absent: None and null.
template <class T>
struct Output {
  py::object array = py::none();
  T* data = nullptr;

  Output() = default;
  Output(bool wanted, const std::vector<Size>& shape) {
    if (!wanted) return;
    auto fresh = empty<T>(shape);
    data = fresh.mutable_data();
    array = std::move(fresh);
  }
};

// The threads of a call; 0: those of set_num_threads.
inline int threads_or_default(int threads) {
  return threads > 0 ? threads : get_num_threads();
}

// Calls function(float{}) or function(double{}), by a dtype or that of an array.
template <class Function>
auto by_dtype(const py::dtype& dtype, Function&& function) {
  return dtype.itemsize() == sizeof(float) ? function(float{}) : function(double{});
}
template <class Function>
auto by_dtype(py::handle array, Function&& function) {
  return by_dtype(py::reinterpret_borrow<py::array>(array).dtype(), function);
}

}  // namespace fastrnn
