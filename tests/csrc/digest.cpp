// Digests of the outputs of all kernels, for comparison across platforms: every
// platform with fused multiply-add prints the same lines, whatever its instruction set.
//
//     cmake -S . -B build/digest -DFASTRNN_PYTHON=OFF -DFASTRNN_DIGEST=ON
//     cmake --build build/digest && build/digest/csrc/c/digest [INSTRUCTION SET]
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "fastrnn/float_environment.h"
#include "fastrnn/isa.h"
#include "fastrnn/runtime.h"
#include "fastrnn/schedule.h"

namespace fastrnn {
namespace {

constexpr std::uint64_t kFnvStart = 14695981039346656037u, kFnvFactor = 1099511628211u;

int outputs = 0;
std::uint64_t of_all = kFnvStart;

void add_bytes(std::uint64_t& hash, const void* data, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * kFnvFactor;
  }
}

template <class T>
void report(const std::string& name, const std::vector<T>& output) {
  std::uint64_t hash = kFnvStart;
  add_bytes(hash, output.data(), output.size() * sizeof(T));
  add_bytes(of_all, &hash, sizeof hash);
  ++outputs;
  std::printf("%016llx %s\n", static_cast<unsigned long long>(hash), name.c_str());
}

// Numbers of the same bits everywhere: multiples of 2⁻²³ in [−scale, scale).
class Draw {
 public:
  std::uint32_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return std::uint32_t(state_ >> 32);
  }
  double number() { return double(std::int32_t(bits() >> 8) - (1 << 23)) / (1 << 23); }
  template <class T>
  std::vector<T> numbers(Size count, double scale = 1) {
    std::vector<T> found;
    for (Size i = 0; i < count; ++i) found.push_back(T(scale * number()));
    return found;
  }
  std::vector<std::int64_t> below(Size count, int most) {
    std::vector<std::int64_t> found;
    for (Size i = 0; i < count; ++i)
      found.push_back(std::int64_t(bits() % unsigned(most)));
    return found;
  }
  std::vector<std::uint8_t> flags(Size count) {
    std::vector<std::uint8_t> found;
    for (Size i = 0; i < count; ++i) found.push_back(bits() % 4 == 0);
    return found;
  }

 private:
  std::uint64_t state_ = 1;
};

template <class T>
const char* dtype() {
  return sizeof(T) == 4 ? "float" : "double";
}

// What a sequence may have beside the usual.
enum Variant {
  kPlain,
  kLengths,
  kResets,
  kReverse,
  kOneHot,
  kEmbedded,
  kMasked,
  kElu,
  kVariants
};
const char* const kVariantNames[] = {"plain",   "lengths",  "resets", "reverse",
                                     "one-hot", "embedded", "masked", "elu"};

struct Sizes {
  Size T, N, I, H;
};

template <class T>
void digest_sequence(CellKind kind, const char* cell_name, Sizes n, Variant variant) {
  const CellKernels<T>& cell = kernels<T>().cell(kind);
  Draw draw;
  const Size rows = n.T * n.N, GH = cell.gates * n.H;
  const auto x = draw.numbers<T>(rows * n.I);
  const auto w_ih = draw.numbers<T>(GH * n.I, 0.4),
             w_hh = draw.numbers<T>(GH * n.H, 0.4);
  const auto b_ih = draw.numbers<T>(GH, 0.4), b_hh = draw.numbers<T>(GH, 0.4);
  const auto h0 = draw.numbers<T>(n.N * n.H), c0 = draw.numbers<T>(n.N * n.H);
  const auto tokens = draw.below(rows, int(n.I));
  const auto embedding = draw.numbers<T>(n.I * n.I);
  auto lengths = draw.below(n.N, int(n.T) + 1);
  const auto resets = draw.flags(rows);
  const auto mask = draw.numbers<T>(n.N * n.H), dy = draw.numbers<T>(rows * n.H);
  const auto dh_n = draw.numbers<T>(n.N * n.H), dc_n = draw.numbers<T>(n.N * n.H);
  const auto zoneout = draw.flags(rows * n.H);

  const Schedule schedule(Layout::kTimeFirst, n.T, n.N,
                          variant == kLengths ? lengths.data() : nullptr,
                          Padding::kRight, variant == kResets ? resets.data() : nullptr,
                          variant == kReverse);
  std::vector<T> y(rows * n.H), h_n(n.N * n.H), c_n(n.N * n.H);
  std::vector<T> gates(rows * cell.tape_gates * n.H), c(rows * n.H);
  ForwardArgs<T> f{};
  f.schedule = schedule.view();
  f.input.I = f.input.V = n.I;
  if (variant == kOneHot || variant == kEmbedded) {
    f.input.tokens = tokens.data();
    if (variant == kEmbedded) f.input.embedding = embedding.data();
  } else {
    f.input.x = x.data();
  }
  f.weights.H = f.weights.P = n.H;
  f.weights.w_ih = w_ih.data();
  f.weights.w_hh = w_hh.data();
  f.weights.b_ih = b_ih.data();
  f.weights.b_hh = b_hh.data();
  if (variant == kMasked) {
    f.regularisers.mask = mask.data();
    f.regularisers.zoneout_h = zoneout.data();
    if (cell.has_c) f.regularisers.zoneout_c = zoneout.data();
  }
  f.options.activation = variant == kElu ? Activation::kElu : Activation::kTanh;
  f.h0 = h0.data();
  f.c0 = cell.has_c ? c0.data() : nullptr;
  f.y = y.data();
  f.h_n = h_n.data();
  f.c_n = c_n.data();
  f.gates = cell.tape_gates ? gates.data() : nullptr;
  f.c = cell.tape_c ? c.data() : nullptr;
  f.threads = 2;
  {
    Scratch scratch;
    cell.forward(f, scratch);
  }
  const std::string name = std::string(cell_name) + " " + dtype<T>() + " " +
                           kVariantNames[variant] + " N=" + std::to_string(n.N) +
                           " H=" + std::to_string(n.H) + " ";
  report(name + "y", y);
  report(name + "h_n", h_n);
  if (cell.has_c) report(name + "c_n", c_n);

  std::vector<T> dx(rows * n.I), dembedding(n.I * n.I), dw_ih(GH * n.I),
      dw_hh(GH * n.H);
  std::vector<T> db_ih(GH), db_hh(GH), dh0(n.N * n.H), dc0(n.N * n.H);
  BackwardArgs<T> b{};
  b.schedule = f.schedule;
  b.input = f.input;
  b.weights = f.weights;
  b.regularisers = f.regularisers;
  b.options = f.options;
  b.h0 = f.h0;
  b.c0 = f.c0;
  b.y = f.y;
  b.gates = f.gates;
  b.c = f.c;
  b.dy = dy.data();
  b.dh_n = dh_n.data();
  b.dc_n = cell.has_c ? dc_n.data() : nullptr;
  b.dx = f.input.x ? dx.data() : nullptr;
  b.dembedding = f.input.embedding ? dembedding.data() : nullptr;
  b.dw_ih = dw_ih.data();
  b.dw_hh = dw_hh.data();
  b.db_ih = db_ih.data();
  b.db_hh = db_hh.data();
  b.dh0 = dh0.data();
  b.dc0 = dc0.data();
  b.threads = 2;
  {
    Scratch scratch;
    cell.backward(b, scratch);
  }
  if (b.dx) report(name + "dx", dx);
  if (b.dembedding) report(name + "dembedding", dembedding);
  report(name + "dw_ih", dw_ih);
  report(name + "dw_hh", dw_hh);
  report(name + "db_ih", db_ih);
  report(name + "db_hh", db_hh);
  report(name + "dh0", dh0);
  if (cell.has_c) report(name + "dc0", dc0);
}

template <class T>
void digest_linear(Size rows, Size I, Size O) {
  Draw draw;
  const auto x = draw.numbers<T>(rows * I), w = draw.numbers<T>(O * I, 0.4);
  const auto b = draw.numbers<T>(O), dy = draw.numbers<T>(rows * O);
  std::vector<T> y(rows * O), dx(rows * I), dw(O * I), db(O);
  Scratch scratch;
  LinearArgs<T> f{};
  f.rows = rows, f.I = I, f.O = O;
  f.x = x.data(), f.w = w.data(), f.b = b.data(), f.y = y.data();
  f.threads = 2;
  kernels<T>().linear_forward(f, scratch);
  LinearBackwardArgs<T> g{};
  g.rows = rows, g.I = I, g.O = O;
  g.x = x.data(), g.w = w.data(), g.dy = dy.data();
  g.dx = dx.data(), g.dw = dw.data(), g.db = db.data();
  g.threads = 2;
  kernels<T>().linear_backward(g, scratch);
  const std::string name =
      std::string("linear ") + dtype<T>() + " rows=" + std::to_string(rows) + " ";
  report(name + "y", y);
  report(name + "dx", dx);
  report(name + "dw", dw);
  report(name + "db", db);
}

template <class T>
void digest_losses(Size rows) {
  constexpr Size H = 21, V = 37;
  Draw draw;
  const auto y = draw.numbers<T>(rows * H, 3), w = draw.numbers<T>(V * H);
  const auto b = draw.numbers<T>(V), numbers = draw.numbers<T>(rows * H, 3);
  const auto targets = draw.below(rows, V);
  std::vector<T> loss(rows), dy(rows * H), dw(V * H), db(V);
  Scratch scratch;
  CrossEntropyArgs<T> a{};
  a.rows = rows, a.H = H, a.V = V;
  a.y = y.data(), a.w = w.data(), a.b = b.data(), a.targets = targets.data();
  a.scale = T(0.25);
  a.loss = loss.data(), a.dy = dy.data(), a.dw = dw.data(), a.db = db.data();
  a.threads = 2;
  kernels<T>().cross_entropy(a, scratch);
  const std::string name =
      std::string("losses ") + dtype<T>() + " rows=" + std::to_string(rows) + " ";
  report(name + "cross_entropy", loss);
  report(name + "cross_entropy dy", dy);
  report(name + "cross_entropy dw", dw);
  report(name + "cross_entropy db", db);

  for (const LossRule rule : {LossRule::kSquared, LossRule::kAbsolute, LossRule::kHuber,
                              LossRule::kQuantile, LossRule::kBinary}) {
    LossArgs<T> l{};
    l.rule = rule;
    l.count = rows * H;
    l.width = H;
    l.y = y.data();
    l.targets = numbers.data();
    l.scale = T(0.25);
    l.parameter = 0.5;
    l.dy = dy.data();
    l.threads = 2;
    const std::string of = name + "rule " + std::to_string(int(rule));
    report(of, std::vector<double>{kernels<T>().loss(l, scratch)});
    report(of + " dy", dy);
  }
  for (const bool log : {false, true}) {
    kernels<T>().softmax(y.data(), rows, H, log, dy.data(), 2);
    report(name + (log ? "log_softmax" : "softmax"), dy);
  }
}

template <class T>
void digest_optimizers(Size count) {
  for (const OptimizerRule rule : {OptimizerRule::kSgd, OptimizerRule::kRmsprop,
                                   OptimizerRule::kAdagrad, OptimizerRule::kAdam}) {
    Draw draw;
    auto params = draw.numbers<T>(count);
    const auto grads = draw.numbers<T>(count);
    std::vector<T> velocity(count), mean(count), squares(count);
    OptimizerArgs<T> a{};
    a.rule = rule;
    a.count = count;
    a.params = params.data(), a.grads = grads.data();
    const bool has_velocity =
        rule == OptimizerRule::kSgd || rule == OptimizerRule::kRmsprop;
    a.velocity = has_velocity ? velocity.data() : nullptr;
    a.mean = rule == OptimizerRule::kAdam ? mean.data() : nullptr;
    a.squares = rule == OptimizerRule::kSgd ? nullptr : squares.data();
    a.lr = 0.01, a.momentum = has_velocity ? 0.9 : 0, a.beta1 = 0.9, a.beta2 = 0.99;
    a.eps = 1e-8, a.weight_decay = 0.01;
    a.correction1 = 0.1, a.correction2 = 0.01;
    a.threads = 2;
    for (int step = 0; step < 3; ++step) kernels<T>().optimizer_step(a);
    report(std::string("optimizer ") + dtype<T>() + " " + std::to_string(int(rule)),
           params);
  }
  Draw draw;
  Scratch scratch;
  auto values = draw.numbers<T>(count);
  const Kernels<T>& k = kernels<T>();
  const std::string name = std::string("array ") + dtype<T>() + " ";
  report(name + "sum_of_squares",
         std::vector<double>{k.sum_of_squares(values.data(), count, 2, scratch)});
  k.scale(values.data(), count, T(1.37), 2);
  report(name + "scale", values);
  k.clip(values.data(), count, T(0.5), 2);
  report(name + "clip", values);
}

template <class T>
void digest_math() {
  Draw draw;
  for (const char* name : {"exp", "sigmoid", "tanh", "expm1", "log1p"}) {
    const bool positive = std::string(name) == "log1p";
    auto x = draw.numbers<T>(20000, positive ? 0.99 : 30);
    std::vector<T> y(x.size());
    const FloatEnvironment environment;
    kernels<T>().apply_math(name, x.data(), y.data(), Size(x.size()));
    report(std::string("math ") + dtype<T>() + " " + name, y);
  }
}

template <class T>
void digest_all() {
#define FASTRNN_DIGEST_CELL(kind, name)                               \
  for (const Sizes n : {Sizes{9, 1, 5, 21}, Sizes{9, 6, 16, 48}}) {   \
    for (int variant = 0; variant < kVariants; ++variant) {           \
      digest_sequence<T>(CellKind::kind, #name, n, Variant(variant)); \
    }                                                                 \
  }
  FASTRNN_CELLS(FASTRNN_DIGEST_CELL)
  for (const Size rows : {1, 40}) {
    digest_linear<T>(rows, 13, 29);
    digest_losses<T>(rows);
  }
  digest_optimizers<T>(1001);
  digest_math<T>();
}

int main_of(int argc, char** argv) {
  if (argc > 1) select_isa(argv[1]);
  std::fprintf(stderr, "%s\n", isa().name);
  digest_all<float>();
  digest_all<double>();
  std::printf("%016llx all of %d\n", static_cast<unsigned long long>(of_all), outputs);
  return 0;
}

}  // namespace
}  // namespace fastrnn

int main(int argc, char** argv) { return fastrnn::main_of(argc, argv); }
