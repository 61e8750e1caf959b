#include "model.h"

#include <algorithm>
#include <cstring>

#include "fastrnn/float_environment.h"
#include "fastrnn/pointwise.h"
#include "fastrnn/schedule.h"
#include "layers.h"
#include "refused.h"

namespace fastrnn {

namespace {

bool is_recurrent(const StepLayer& layer) { return layer.kind == StepKind::kRecurrent; }

}  // namespace

Model::Model(const SafetensorsFile& file, const fastrnn_layer* layers,
             std::size_t count) {
  const Isa* isas = nullptr;
  require(
      available_isas(&isas) > 0, FASTRNN_NO_KERNELS,
      "this machine has none of the instruction sets that the library is built for");
  LayerReader reader(file);
  for (std::size_t i = 0; i < count; ++i) reader.add(layers[i]);
  for (const StepLayer& layer : reader.layers) {
    if (!is_recurrent(layer)) continue;
    const Network& n = layer.network;
    const bool has_c = kernels<float>().cell(n.cell).has_c;
    state_size_ += (has_c ? 2 : 1) * n.layers * n.H;
  }
  require(state_size_ > 0, FASTRNN_BAD_ARGUMENT,
          "layers: expected at least one recurrent layer, got none");
  inputs_ = reader.inputs;
  embedding_ = reader.layers.front().kind == StepKind::kEmbedding;
  arrays_ = std::move(reader.arrays);  // the arrays stay where they are
  packed_ = std::make_unique<const PackedModel<float>>(
      StepModel{reader.layers.data(), Size(count), nullptr, 0, false});
}

bool Model::takes_tokens() const {
  return embedding_ || is_recurrent(layers().front().layer);
}

namespace {

// A walk through the layers of a model, forward, with what is between them.
class Walk {
 public:
  Walk(const PackedModel<float>& model, Size T, Size N, const std::int64_t* lengths,
       const float* state, float* state_n)
      : model_(model),
        T_(T),
        N_(N),
        schedule_(Layout::kTimeFirst, T, N, lengths, Padding::kRight, nullptr, false),
        state_(state),
        state_n_(state_n) {}

  // One of x and tokens is null. Returns what the last layer gives: y.
  void run(const float* x, const std::int64_t* tokens, float* y) {
    for (const PackedStepLayer<float>& one : model_.layers()) {
      const bool is_last = &one == &model_.layers().back();
      float* const to = is_last ? y : take(one.layer.O);
      switch (one.layer.kind) {
        case StepKind::kEmbedding:
          embed(one.layer, tokens, to);
          break;
        case StepKind::kRecurrent:
          recur(one, x, tokens, to);
          break;
        case StepKind::kLinear:
          project(one.layer, x, to);
          break;
        default: {
          double* const scratch = memory_.take<double>(one.layer.O);
          run_pointwise(one.layer, one.slope, T_ * N_, one.layer.O, x, to, scratch);
        }
      }
      tokens = nullptr;
      x = to;
    }
  }

 private:
  float* take(Size width) { return memory_.take<float>(T_ * N_ * width); }

  void embed(const StepLayer& layer, const std::int64_t* tokens, float* y) {
    const auto* const vectors = static_cast<const float*>(layer.weight);
    const ScheduleView& s = schedule_.view();
    std::memset(y, 0, std::size_t(T_ * N_ * layer.O) * sizeof(float));
    for (Size i = 0; i < N_; ++i) {
      for (Size t = 0; t < s.length[i]; ++t) {
        const Size at = s.first[i] + t * s.stride;
        std::memcpy(y + at * layer.O, vectors + tokens[at] * layer.O,
                    std::size_t(layer.O) * sizeof(float));
      }
    }
  }

  void project(const StepLayer& layer, const float* x, float* y) {
    const FloatEnvironment environment;
    Scratch scratch;
    const LinearArgs<float> args{T_ * N_,
                                 layer.I,
                                 layer.O,
                                 x,
                                 static_cast<const float*>(layer.weight),
                                 static_cast<const float*>(layer.bias),
                                 y,
                                 get_num_threads()};
    model_.kernels().linear_forward(args, scratch);
  }

  void recur(const PackedStepLayer<float>& one, const float* x,
             const std::int64_t* tokens, float* y) {
    const Network& n = one.layer.network;
    const CellKernels<float>& cell = one.recurrent->cell();
    const Size size = N_ * n.H;
    const float* const h0 = state_;
    const float* const c0 = cell.has_c && h0 ? h0 + n.layers * size : nullptr;
    float* const h_n = state_n_ ? state_n_ : memory_.take<float>(n.layers * size);
    float* const c_n = !cell.has_c ? nullptr
                       : state_n_  ? h_n + n.layers * size
                                   : memory_.take<float>(n.layers * size);
    for (Size k = 0; k < n.layers; ++k) {
      float* const to = k + 1 == n.layers ? y : take(n.H);
      ForwardArgs<float> args{};
      args.schedule = schedule_.view();
      args.input = {n.inputs(k), n.inputs(k), x, tokens, nullptr};
      args.weights.H = args.weights.P = n.H;
      args.packed = &(*one.recurrent)[k];
      args.options = n.options(*args.packed);
      args.h0 = h0 ? h0 + k * size : nullptr;
      args.c0 = c0 ? c0 + k * size : nullptr;
      args.y = to;
      args.h_n = h_n + k * size;
      args.c_n = c_n ? c_n + k * size : nullptr;
      args.threads = get_num_threads();
      run_cell(cell, args);
      tokens = nullptr;
      x = to;
    }
    const Size numbers = (cell.has_c ? 2 : 1) * n.layers * size;
    if (state_) state_ += numbers;
    if (state_n_) state_n_ += numbers;
  }

  static void run_cell(const CellKernels<float>& cell, const ForwardArgs<float>& args) {
    const FloatEnvironment environment;
    Scratch scratch;
    cell.forward(args, scratch);
  }

  const PackedModel<float>& model_;
  const Size T_, N_;
  const Schedule schedule_;
  const float* state_;
  float* state_n_;
  Scratch memory_;
};

}  // namespace

void Model::forward(Size T, Size N, const float* x, const std::int64_t* tokens,
                    const std::int64_t* lengths, const float* state, float* y,
                    float* state_n) const {
  // No size may wrap round.
  Size row = 1;
  for (const PackedStepLayer<float>& one : layers()) {
    const Size layers_in_it = std::max(Size(1), one.layer.network.layers);
    row += one.layer.I + 8 * layers_in_it * (one.layer.O + 64);
  }
  require(N <= PTRDIFF_MAX / 1024 / row && T <= PTRDIFF_MAX / 1024 / row / N,
          FASTRNN_NO_MEMORY, "no memory for so many steps and rows");
  Walk(*packed_, T, N, lengths, state, state_n).run(x, tokens, y);
}

}  // namespace fastrnn
