// Whole sequences for XLA: what fastrnn.jax registers. XLA calls a handler in any of
// its threads, without the GIL, and no exception may leave it.
//
// Arguments and results have fixed places. One that is absent, or not wanted, is an
// array of shape (0,).
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "arrays.h"
#include "fastrnn/float_environment.h"
#include "fastrnn/schedule.h"
#include "names.h"
#include "register.h"
#include "xla_ffi.h"

namespace fastrnn {

namespace {

constexpr const char* kXlaArguments[] = {"x",     "w_ih", "w_hh",    "b_ih",   "b_hh",
                                         "h0",    "c0",   "lengths", "resets", "y",
                                         "gates", "c",    "dy",      "dh_n",   "dc_n"};
enum XlaArgument {
  kX,
  kWIh,
  kWHh,
  kBIh,
  kBHh,
  kH0,
  kC0,
  kLengths,
  kResets,
  kY,
  kGates,
  kC,
  kDy,
  kDhN,
  kDcN
};

using Shape = std::initializer_list<Size>;

std::string shape_text(const std::int64_t* begin, const std::int64_t* end) {
  std::string text = "(";
  for (const std::int64_t* n = begin; n < end; ++n) {
    text += std::to_string(*n) + (n + 1 < end ? ", " : "");
  }
  return text + (end - begin == 1 ? ",)" : ")");
}

bool is_absent(const xla::Buffer& a) { return a.rank == 1 && a.dims[0] == 0; }

enum class Needed { kNone, kYes };
constexpr Needed needed_if(bool needed) {
  return needed ? Needed::kYes : Needed::kNone;
}

// The data of an array; null if it is absent, but not if it is empty.
template <class T>
T* checked(const std::string& name, const xla::Buffer& a, Shape shape, Needed needed) {
  static T none{};
  if (is_absent(a)) {
    if (needed == Needed::kNone) return nullptr;
    throw std::invalid_argument(name + ": expected an array, got none");
  }
  const xla::DataType dtype = sizeof(T) == sizeof(float) ? xla::kF32 : xla::kF64;
  if (a.dtype != dtype || std::size_t(a.rank) != shape.size() ||
      !std::equal(shape.begin(), shape.end(), a.dims)) {
    const std::vector<std::int64_t> expected(shape.begin(), shape.end());
    throw std::invalid_argument(
        name + ": expected shape " +
        shape_text(expected.data(), expected.data() + expected.size()) + " of " +
        (sizeof(T) == sizeof(float) ? "float32" : "float64") + ", got " +
        shape_text(a.dims, a.dims + a.rank) + " of XLA's type " +
        std::to_string(a.dtype));
  }
  return a.data ? static_cast<T*>(a.data) : &none;
}

template <class From>
std::vector<std::int64_t> copied(const xla::Buffer& a, std::size_t count) {
  const From* from = static_cast<const From*>(a.data);
  return {from, from + count};
}

// A private copy, since other threads may write into memory that a buffer shares.
std::vector<std::int64_t> integers(const char* name, const xla::Buffer& a) {
  std::size_t count = 1;
  for (std::int64_t i = 0; i < a.rank; ++i) count *= std::size_t(a.dims[i]);
  switch (a.dtype) {
    case xla::kS8:
      return copied<std::int8_t>(a, count);
    case xla::kS16:
      return copied<std::int16_t>(a, count);
    case xla::kS32:
      return copied<std::int32_t>(a, count);
    case xla::kS64:
      return copied<std::int64_t>(a, count);
    case xla::kBool:
    case xla::kU8:
      return copied<std::uint8_t>(a, count);
    case xla::kU16:
      return copied<std::uint16_t>(a, count);
    case xla::kU32:
      return copied<std::uint32_t>(a, count);
    case xla::kU64:
      return copied<std::uint64_t>(a, count);
    default:
      break;
  }
  throw std::invalid_argument(std::string(name) + ": expected integers");
}

void require_shape(const char* name, const xla::Buffer& a, Shape shape) {
  if (std::size_t(a.rank) == shape.size() &&
      std::equal(shape.begin(), shape.end(), a.dims)) {
    return;
  }
  throw std::invalid_argument(std::string(name) + ": unexpected shape " +
                              shape_text(a.dims, a.dims + a.rank));
}

const xla::Buffer& buffer(const xla::Buffers& all, Size i) {
  if (i >= all.count || all.types[i] != xla::kBuffer) {
    throw std::invalid_argument("expected more arguments or results");
  }
  return *static_cast<const xla::Buffer*>(all.buffers[i]);
}

// What a call says by name.
const void* attribute(const xla::Attributes& all, std::string_view name,
                      xla::AttributeType type) {
  for (std::int64_t i = 0; i < all.count; ++i) {
    const xla::Text& found = *all.names[i];
    if (std::string_view(found.data, found.length) == name && all.types[i] == type) {
      return all.values[i];
    }
  }
  throw std::invalid_argument("expected an attribute " + std::string(name));
}
std::string_view text_of(const xla::CallFrame& frame, const char* name) {
  const void* value = attribute(frame.attributes, name, xla::kString);
  const auto& text = *static_cast<const xla::Text*>(value);
  return {text.data, text.length};
}
bool flag_of(const xla::CallFrame& frame, const char* name) {
  const void* value = attribute(frame.attributes, name, xla::kScalar);
  return *static_cast<const bool*>(static_cast<const xla::Scalar*>(value)->value);
}

// A call of a sequence function, as XLA hands it over.
class XlaCall {
 public:
  explicit XlaCall(const xla::CallFrame& f)
      : frame(f),
        cell(named("cell", kCellNames, text_of(f, "cell"))),
        is_double(argument(kWHh).dtype == xla::kF64),
        tokens_(argument(kX).rank == 2 ? integers("x", argument(kX)) : Integers()),
        T(size(kX, 0)),
        N(size(kX, 1)),
        I(size(kWIh, 1)),
        H(size(kWHh, 1)),
        GH(kernels<float>().cell(cell).gates * H),
        padding_(named("padding", kPaddingNames, text_of(f, "padding"))) {
    check_lengths();
    check_tokens();
    if (!is_absent(argument(kResets))) {
      require_shape("resets", argument(kResets), {T, N});
      for (const std::int64_t reset : integers("resets", argument(kResets))) {
        resets_.push_back(reset != 0);
      }
    }
    schedule_.emplace(Layout::kTimeFirst, T, N, lengths_ ? lengths_->data() : nullptr,
                      padding_, resets_.empty() ? nullptr : resets_.data(),
                      flag_of(f, "reverse"));
  }

  const xla::Buffer& argument(XlaArgument i) const {
    return buffer(frame.arguments, i);
  }
  template <class Float>
  const Float* in(XlaArgument i, Shape shape, Needed needed = Needed::kNone) const {
    return checked<Float>(kXlaArguments[i], argument(i), shape, needed);
  }
  template <class Float>
  Float* out(Size i, Shape shape, Needed needed = Needed::kNone) const {
    const xla::Buffer& result = buffer(frame.results, i);
    return checked<Float>("result " + std::to_string(i), result, shape, needed);
  }

  template <class Float, class Args>
  void fill(Args& args) const {
    const bool dense = argument(kX).rank == 3;
    args.schedule = schedule_->view();
    args.input = {I, dense ? 0 : I, nullptr, nullptr, nullptr};
    if (dense) {
      args.input.x = in<Float>(kX, {T, N, I}, Needed::kYes);
    } else {
      args.input.tokens = tokens_.data();
    }
    args.weights = {H,
                    H,
                    in<Float>(kWIh, {GH, I}, Needed::kYes),
                    in<Float>(kWHh, {GH, H}, Needed::kYes),
                    in<Float>(kBIh, {GH}),
                    in<Float>(kBHh, {GH}),
                    nullptr};
    args.options.activation =
        named("nonlinearity", kActivationNames, text_of(frame, "nonlinearity"));
    args.h0 = in<Float>(kH0, {N, H});
    args.c0 = in<Float>(kC0, {N, H});
    args.threads = get_num_threads();
  }

  // Sets a to 0 on padding, where kernels leave a tape as it is; XLA may look at it.
  template <class Float>
  void clear_padding(Float* a, Size width) const {
    if (!a || !lengths_) return;
    for (Size t = 0; t < T; ++t) {
      for (Size n = 0; n < N; ++n) {
        if (!is_valid(t, n)) std::fill_n(a + (t * N + n) * width, width, Float(0));
      }
    }
  }

 private:
  using Integers = std::vector<std::int64_t>;

  Size size(XlaArgument i, Size axis) const {
    const xla::Buffer& a = argument(i);
    if (axis < a.rank) return a.dims[axis];
    throw std::invalid_argument(std::string(kXlaArguments[i]) +
                                ": expected more dimensions");
  }

  bool is_valid(Size t, Size n) const {
    if (!lengths_) return true;
    const Size length = (*lengths_)[std::size_t(n)];
    return padding_ == Padding::kRight ? t < length : t >= T - length;
  }

  void check_lengths() {
    const xla::Buffer& a = argument(kLengths);
    if (is_absent(a)) return;
    require_shape("lengths", a, {N});
    lengths_ = integers("lengths", a);
    for (std::size_t n = 0; n < lengths_->size(); ++n) {
      const std::int64_t length = (*lengths_)[n];
      if (length >= 0 && length <= T) continue;
      throw std::invalid_argument(
          "lengths: length " + std::to_string(length) + " at [n=" + std::to_string(n) +
          "] is out of range 0 <= length <= T = " + std::to_string(T));
    }
  }

  void check_tokens() const {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Size t = Size(i) / N, n = Size(i) % N;
      if ((tokens_[i] >= 0 && tokens_[i] < I) || !is_valid(t, n)) continue;
      throw std::invalid_argument(
          "x: token " + std::to_string(tokens_[i]) + " at [t=" + std::to_string(t) +
          ", n=" + std::to_string(n) +
          "] is out of range 0 <= token < V = " + std::to_string(I));
    }
  }

 public:
  const xla::CallFrame& frame;
  const CellKind cell;
  const bool is_double;

 private:
  const Integers tokens_;

 public:
  const Size T, N, I, H, GH;

 private:
  const Padding padding_;
  std::optional<Integers> lengths_;
  std::vector<std::uint8_t> resets_;
  std::optional<Schedule> schedule_;
};

template <class Float>
void xla_forward(const XlaCall& call) {
  const auto [T, N, H] = std::tuple(call.T, call.N, call.H);
  const CellKernels<Float>& cell = kernels<Float>().cell(call.cell);
  const Size width = cell.tape_gates * H;
  ForwardArgs<Float> args{};
  call.fill<Float>(args);
  args.y = call.out<Float>(0, {T, N, H}, Needed::kYes);
  args.h_n = call.out<Float>(1, {N, H}, Needed::kYes);
  args.c_n = call.out<Float>(2, {N, H}, needed_if(cell.has_c));
  args.gates = call.out<Float>(3, {T, N, width});
  const bool tape = args.gates != nullptr && cell.tape_c;
  args.c = call.out<Float>(4, {T, N, H}, needed_if(tape));
  Scratch scratch;
  cell.forward(args, scratch);
  call.clear_padding(args.gates, width);
  call.clear_padding(args.c, H);
}

template <class Float>
void xla_backward(const XlaCall& call) {
  const auto [T, N, I, H, GH] = std::tuple(call.T, call.N, call.I, call.H, call.GH);
  const CellKernels<Float>& cell = kernels<Float>().cell(call.cell);
  BackwardArgs<Float> args{};
  call.fill<Float>(args);
  args.y = call.in<Float>(kY, {T, N, H}, Needed::kYes);
  args.gates = call.in<Float>(kGates, {T, N, cell.tape_gates * H},
                              needed_if(cell.tape_gates > 0));
  args.c = call.in<Float>(kC, {T, N, H}, needed_if(cell.tape_c));
  args.dy = call.in<Float>(kDy, {T, N, H});
  args.dh_n = call.in<Float>(kDhN, {N, H});
  args.dc_n = call.in<Float>(kDcN, {N, H});
  args.dx = call.out<Float>(0, {T, N, I});
  args.dw_ih = call.out<Float>(1, {GH, I});
  args.dw_hh = call.out<Float>(2, {GH, H});
  args.db_ih = call.out<Float>(3, {GH});
  args.db_hh = call.out<Float>(4, {GH});
  args.dh0 = call.out<Float>(5, {N, H}, Needed::kYes);
  args.dc0 = call.out<Float>(6, {N, H}, needed_if(cell.has_c));
  Scratch scratch;
  cell.backward(args, scratch);
}

// Puts back the stop check of the thread. A signal handler that runs in one of our
// calls may call JAX.
class WithoutStopCheck {
 public:
  WithoutStopCheck() = default;
  WithoutStopCheck(const WithoutStopCheck&) = delete;
  WithoutStopCheck& operator=(const WithoutStopCheck&) = delete;
  ~WithoutStopCheck() { use_stop_check(before_); }

 private:
  StopCheck* const before_ = use_stop_check(nullptr);
};

// Answers XLA's question for the version; false if this is a call.
bool answer(const xla::CallFrame& frame) {
  for (xla::Extension* e = frame.extensions; e; e = e->next) {
    if (e->type != xla::kMetadataExtension) continue;
    xla::Metadata& metadata = *reinterpret_cast<xla::MetadataExtension*>(e)->metadata;
    metadata.version.major_version = xla::kMajor;
    metadata.version.minor_version = xla::kMinor;
    if (frame.api && frame.api->version.minor_version < xla::kMinor) {
      metadata.version.minor_version = frame.api->version.minor_version;
    }
    metadata.traits = 0;
    return true;
  }
  return false;
}

std::string xla_memory(const xla::CallFrame& frame) {
  const xla::Buffer& x = buffer(frame.arguments, kX);
  const xla::Buffer& w_hh = buffer(frame.arguments, kWHh);
  return no_memory(std::string(text_of(frame, "cell")), "(T, N, H)",
                   {x.dims[0], x.dims[1], w_hh.dims[1]});
}

template <void (*of_float)(const XlaCall&), void (*of_double)(const XlaCall&)>
xla::Error* handle(xla::CallFrame* frame) noexcept {
  if (answer(*frame)) return nullptr;
  std::string message;
  xla::ErrorCode code = xla::kInvalidArgument;
  try {
    try {
      const FloatEnvironment environment;
      const WithoutStopCheck no_signals;
      const XlaCall call(*frame);
      (call.is_double ? of_double : of_float)(call);
      return nullptr;
    } catch (const std::bad_alloc&) {
      code = xla::kResourceExhausted;
      message = xla_memory(*frame);
    } catch (const std::length_error&) {  // of a vector
      code = xla::kResourceExhausted;
      message = xla_memory(*frame);
    } catch (const std::invalid_argument& error) {
      message = error.what();
    } catch (const std::exception& error) {
      code = xla::kInternal;
      message = error.what();
    }
  } catch (...) {
  }
  const char* text = message.empty() ? "fastrnn: no memory" : message.c_str();
  xla::ErrorCreateArgs error{sizeof(error), nullptr, text, code};
  return frame->api->create_error(&error);
}

py::dict xla_handlers() {
  const auto capsule = [](xla::Handler* handler) {
    return py::capsule(reinterpret_cast<void*>(handler));
  };
  py::dict found;
  found["fastrnn_forward"] = capsule(handle<xla_forward<float>, xla_forward<double>>);
  found["fastrnn_backward"] =
      capsule(handle<xla_backward<float>, xla_backward<double>>);
  return found;
}

}  // namespace

void register_xla(py::module_& m) { m.def("xla_handlers", xla_handlers); }

}  // namespace fastrnn
