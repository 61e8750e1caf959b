// One function per topic, in the file of its name. The files are compiled together, see
// CMakeLists.txt: names in their anonymous namespaces must differ.
#pragma once

#include <pybind11/pybind11.h>

namespace fastrnn {

void register_runtime(pybind11::module_& m);
void register_sequence(pybind11::module_& m);
void register_linear(pybind11::module_& m);
void register_losses(pybind11::module_& m);
void register_optim(pybind11::module_& m);
void register_packed(pybind11::module_& m);
void register_xla(pybind11::module_& m);

}  // namespace fastrnn
