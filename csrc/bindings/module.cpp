#include "register.h"

// _core itself begins below, since what pybind11 begins with never returns in a
// subinterpreter of Python 3.11.
PYBIND11_MODULE(_core_of_pybind11, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled part of fastrnn. Arguments are checked by the callers.";
  fastrnn::register_runtime(m);
  fastrnn::register_packed(m);
  fastrnn::register_sequence(m);
  fastrnn::register_linear(m);
  fastrnn::register_losses(m);
  fastrnn::register_optim(m);
  fastrnn::register_xla(m);
}

extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(
        PyExc_ImportError,
        "fastrnn: expected the main interpreter of the process, got a subinterpreter");
    return nullptr;
  }
  return PyInit__core_of_pybind11();
}
