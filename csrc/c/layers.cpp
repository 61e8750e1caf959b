#include "layers.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "fastrnn/kernels.h"
#include "refused.h"

namespace fastrnn {

namespace {

std::string shown(const std::vector<Size>& sizes) {
  std::string text = "(";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    text += (i ? ", " : "") + (sizes[i] < 0 ? "any" : std::to_string(sizes[i]));
  }
  return text + ")";
}

bool fits(const Tensor& tensor, const std::vector<Size>& sizes) {
  if (tensor.shape.size() != sizes.size()) return false;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (tensor.shape[i] == 0) return false;
    if (sizes[i] >= 0 && tensor.shape[i] != std::uint64_t(sizes[i])) return false;
  }
  return true;
}

}  // namespace

void LayerReader::begin(const fastrnn_layer& layer) {
  prefix_ = layer.name && *layer.name ? std::string(layer.name) + "." : "";
  used_.clear();
}

// What is left may be what this library does not know, and would leave out in silence.
void LayerReader::end() {
  for (const auto& [name, tensor] : file_.tensors()) {
    if (name.compare(0, prefix_.size(), prefix_) != 0) continue;
    require(std::find(used_.begin(), used_.end(), name) != used_.end() ||
                name == prefix_ + "num_batches_tracked",
            FASTRNN_BAD_FILE, name + ": a tensor that this layer does not have");
  }
}

const std::vector<std::uint64_t>& LayerReader::append(const std::string& name,
                                                      std::vector<Size> sizes,
                                                      std::vector<float>& to) {
  const Tensor* const tensor = file_.find(prefix_ + name);
  require(tensor, FASTRNN_BAD_FILE,
          prefix_ + name + ": expected such a tensor, got none");
  require(tensor->dtype == "F32", FASTRNN_BAD_FILE,
          tensor->name + ": expected F32, got " + tensor->dtype);
  require(fits(*tensor, sizes), FASTRNN_BAD_FILE,
          tensor->name + ": expected shape " + shown(sizes) + ", got " +
              shown(std::vector<Size>(tensor->shape.begin(), tensor->shape.end())));
  const std::size_t had = to.size();
  to.resize(had + std::size_t(tensor->count()));
  std::memcpy(to.data() + had, file_.bytes(*tensor), tensor->end - tensor->begin);
  used_.push_back(tensor->name);
  return tensor->shape;
}

const float* LayerReader::keep(const std::string& name, std::vector<Size> sizes) {
  std::vector<float> values;
  append(name, std::move(sizes), values);
  arrays.push_back(std::move(values));
  return arrays.back().data();
}

void LayerReader::push(StepLayer layer) {
  if (layers.empty()) inputs = layer.I;
  layers.push_back(layer);
}

void LayerReader::add_recurrent(CellKind cell, Activation activation) {
  std::vector<float> params;
  StepLayer layer{};
  layer.kind = StepKind::kRecurrent;
  Network& n = layer.network;
  n.cell = cell;
  n.activation = activation;
  n.I = width();
  n.H = -1;
  n.directions = 1;
  n.bias = has("bias_ih_l0");
  const Size G = n.gates();
  for (;; ++n.layers) {
    const std::string of = "_l" + std::to_string(n.layers);
    if (n.layers > 0 && !has("weight_ih" + of)) break;
    const Size before = n.layers == 0 ? n.I : n.H, GH = n.H < 0 ? -1 : G * n.H;
    const auto& w_ih = append("weight_ih" + of, {GH, before}, params);
    if (n.layers == 0) {
      n.I = Size(w_ih[1]);
      n.H = n.P = Size(w_ih[0]) / G;
    }
    append("weight_hh" + of, {G * n.H, n.H}, params);
    if (n.bias) {
      append("bias_ih" + of, {G * n.H}, params);
      append("bias_hh" + of, {G * n.H}, params);
    }
    if (n.layers == 0) {
      require(w_ih[0] == std::uint64_t(G * n.H), FASTRNN_BAD_FILE,
              prefix_ + "weight_ih_l0: expected " + std::to_string(G) + "*H rows");
    }
  }
  packed.push_back(std::move(params));
  n.params = packed.back().data();
  layer.I = n.I;
  layer.O = n.H;
  push(layer);
}

void LayerReader::add_linear() {
  std::vector<float> w, b;
  const auto& shape = append("weight", {-1, width()}, w);
  StepLayer layer{};
  layer.kind = StepKind::kLinear;
  layer.I = Size(shape[1]);
  layer.O = Size(shape[0]);
  // In a sequence it is read where it is.
  arrays.push_back(std::move(w));
  layer.weight = arrays.back().data();
  if (has("bias")) layer.bias = keep("bias", {layer.O});
  push(layer);
}

void LayerReader::add_embedding() {
  require(layers.empty(), FASTRNN_BAD_ARGUMENT,
          "layers: expected an embedding as the first layer only");
  std::vector<float> vectors;
  const auto& shape = append("weight", {-1, -1}, vectors);
  arrays.push_back(std::move(vectors));
  StepLayer layer{};
  layer.kind = StepKind::kEmbedding;
  layer.I = Size(shape[0]);
  layer.O = Size(shape[1]);
  layer.weight = arrays.back().data();
  push(layer);
}

void LayerReader::add_norm(StepKind kind, double eps) {
  StepLayer layer{};
  layer.kind = kind;
  const Size before = width();
  std::vector<float> gain;
  layer.I = layer.O = Size(append("weight", {before}, gain)[0]);
  arrays.push_back(std::move(gain));
  layer.weight = arrays.back().data();
  layer.bias = keep("bias", {layer.O});
  if (kind == StepKind::kBatchNorm) {
    layer.mean = keep("running_mean", {layer.O});
    layer.variance = keep("running_var", {layer.O});
  }
  require(std::isfinite(eps) && eps >= 0, FASTRNN_BAD_ARGUMENT,
          "layers: expected a finite eps >= 0");
  layer.eps = eps > 0 ? eps : 1e-5;
  push(layer);
}

void LayerReader::add(const fastrnn_layer& layer) {
  begin(layer);
  const auto pointwise = [&](StepKind kind) {
    require(!layers.empty(), FASTRNN_BAD_ARGUMENT,
            "layers: expected another first layer than an activation");
    StepLayer activation{};
    activation.kind = kind;
    activation.I = activation.O = width();
    push(activation);
  };
  switch (layer.kind) {
    case FASTRNN_EMBEDDING:
      add_embedding();
      break;
    case FASTRNN_RNN_TANH:
      add_recurrent(CellKind::kRnn, Activation::kTanh);
      break;
    case FASTRNN_RNN_RELU:
      add_recurrent(CellKind::kRnn, Activation::kRelu);
      break;
    case FASTRNN_GRU:
      add_recurrent(CellKind::kGru, Activation::kTanh);
      break;
    case FASTRNN_LSTM:
      add_recurrent(CellKind::kLstm, Activation::kTanh);
      break;
    case FASTRNN_LINEAR:
      add_linear();
      break;
    case FASTRNN_LAYER_NORM:
      add_norm(StepKind::kLayerNorm, layer.eps);
      break;
    case FASTRNN_BATCH_NORM:
      add_norm(StepKind::kBatchNorm, layer.eps);
      break;
    case FASTRNN_RELU:
      return pointwise(StepKind::kRelu);
    case FASTRNN_TANH:
      return pointwise(StepKind::kTanh);
    case FASTRNN_SIGMOID:
      return pointwise(StepKind::kSigmoid);
    case FASTRNN_GELU:
      return pointwise(StepKind::kGelu);
    default:
      throw Refused(FASTRNN_BAD_ARGUMENT, "layers: expected a fastrnn_kind, got " +
                                              std::to_string(int(layer.kind)));
  }
  end();
}

}  // namespace fastrnn
