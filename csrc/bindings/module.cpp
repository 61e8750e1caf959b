#include "register.h"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled part of fastrnn. Arguments are checked by the callers.";
  fastrnn::register_runtime(m);
  fastrnn::register_packed(m);
  fastrnn::register_sequence(m);
  fastrnn::register_linear(m);
  fastrnn::register_losses(m);
  fastrnn::register_optim(m);
}
