// Layers out of the tensors of a file.
#pragma once

#include <string>
#include <vector>

#include "fastrnn.h"
#include "fastrnn/stepper.h"
#include "safetensors.h"

namespace fastrnn {

// The layers of a model, from the first to the last, and the arrays that they point to.
class LayerReader {
 public:
  explicit LayerReader(const SafetensorsFile& file) : file_(file) {}

  // Throws Refused, or std::bad_alloc.
  void add(const fastrnn_layer& layer);

  std::vector<StepLayer> layers;
  // Of packed layers, which are not read later; of the others.
  std::vector<std::vector<float>> packed, arrays;
  Size inputs = 0;  // of the first layer; tokens of an embedding

 private:
  void begin(const fastrnn_layer& layer);
  void end();
  void add_recurrent(CellKind cell, Activation activation);
  void add_linear();
  void add_embedding();
  void add_norm(StepKind kind, double eps);
  void push(StepLayer layer);

  bool has(const std::string& name) const { return file_.find(prefix_ + name); }
  // Appends the numbers of a tensor, whose sizes are these; -1: any. Returns them.
  const std::vector<std::uint64_t>& append(const std::string& name,
                                           std::vector<Size> sizes,
                                           std::vector<float>& to);
  const float* keep(const std::string& name, std::vector<Size> sizes);
  Size width() const { return layers.empty() ? -1 : layers.back().O; }

  const SafetensorsFile& file_;
  std::string prefix_;
  std::vector<std::string> used_;  // names of the present layer
};

}  // namespace fastrnn
