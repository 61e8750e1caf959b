// One function a topic, each in the file of its name.
#pragma once

#include <pybind11/pybind11.h>

namespace fastrnn {

void register_runtime(pybind11::module_& m);
void register_sequence(pybind11::module_& m);
void register_linear(pybind11::module_& m);
void register_optim(pybind11::module_& m);
void register_packed(pybind11::module_& m);

}  // namespace fastrnn
