#include <pybind11/stl.h>

#include <cfenv>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrays.h"
#include "fastrnn/float_environment.h"
#include "names.h"
#include "register.h"

namespace fastrnn {

namespace {

std::vector<std::string> isa_names() {
  const Isa* isas;
  const int count = available_isas(&isas);
  std::vector<std::string> names;
  names.reserve(count);
  for (int i = 0; i < count; ++i) names.emplace_back(isas[i].name);
  return names;
}

py::dict build_info() {
  py::dict info;
  info["version"] = FASTRNN_VERSION;
#if defined(__clang__)
  info["compiler"] = "Clang " __clang_version__;
#else
  info["compiler"] = "GCC " __VERSION__;
#endif
#if defined(NDEBUG)
  info["build_type"] = "release";
#else
  info["build_type"] = "debug";
#endif
  return info;
}

py::array apply_math(const std::string& name, const py::array& x) {
  return by_dtype(x, [&](auto type) -> py::array {
    using T = decltype(type);
    auto y = empty<T>({x.size()});
    const DefaultFloatEnvironment environment;  // with denormals
    if (!kernels<T>().apply_math(name.c_str(), data<T>(x), y.mutable_data(),
                                 x.size())) {
      throw std::invalid_argument("name: expected exp, sigmoid, tanh or expm1, got " +
                                  name);
    }
    return std::move(y);
  });
}

// state: uint32 [4, 16].
py::array draw_flags(const py::array& state, std::uint32_t threshold, Size count) {
  const auto what = [&] { return no_memory("dropout", "a mask of (values)", {count}); };
  return with_memory(what, [&]() -> py::array {
    auto flags = empty<bool>({count});
    auto* to = reinterpret_cast<std::uint8_t*>(flags.mutable_data());
    kernels<float>().draw_flags(data<std::uint32_t>(state), threshold, to, count);
    return std::move(flags);
  });
}

// A context of Python, not to be nested. Of the caller's mode, only the rounding and
// the traps change.
struct RoundingToNearest {};
thread_local fenv_t before;

void begin_rounding(const RoundingToNearest& /*context*/) {
  feholdexcept(&before);
  fesetround(FE_TONEAREST);
}
void end_rounding(const RoundingToNearest& /*context*/, const py::object& /*type*/,
                  const py::object& /*error*/, const py::object& /*traceback*/) {
  fesetenv(&before);
}

}  // namespace

void register_runtime(py::module_& m) {
  m.def("isa", [] { return std::string(isa().name); });
  m.def("available_isas", isa_names);
  m.def("select_isa", [](const std::string& name) { select_isa(name.c_str()); });
  m.def("get_num_threads", get_num_threads);
  m.def("set_num_threads", set_num_threads);
  py::class_<StopFlag>(m, "StopFlag").def(py::init<>()).def("set", [](StopFlag& flag) {
    flag.is_set = true;
  });
  py::class_<RoundingToNearest>(m, "RoundingToNearest")
      .def("__enter__", begin_rounding)
      .def("__exit__", end_rounding);
  m.attr("rounding_to_nearest") = RoundingToNearest();
  m.def("limit_threads", limit_threads);
  m.def("heed", heed);
  m.def("trim_memory", trim_memory);
  remember_main_thread();
  py::detail::npy_api::get();  // at the first use it would give the GIL away
  m.def("shrink_teams", shrink_teams);
  m.def("take_largest_team", take_largest_team);
  m.def("use_openmp_of",
        [](const std::string& path) { return use_openmp_of(path.c_str()); });
  m.def("set_sharing",
        [](const std::string& way) { set_sharing(named("way", kSharingNames, way)); });
  m.def("build_info", build_info);
  m.def("apply_math", apply_math);
  m.def("draw_flags", draw_flags);
}

}  // namespace fastrnn
