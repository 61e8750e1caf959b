#include "arrays.h"
#include "register.h"
namespace fastrnn { void register_linear(py::module_&) {} }
