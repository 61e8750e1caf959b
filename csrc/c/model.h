// A row of layers, with the weights of a file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fastrnn.h"
#include "fastrnn/packed_model.h"
#include "safetensors.h"

namespace fastrnn {

class Model {
 public:
  // Throws Refused, or std::bad_alloc.
  Model(const SafetensorsFile& file, const fastrnn_layer* layers, std::size_t count);

  Size inputs() const { return inputs_; }
  Size outputs() const { return layers().back().layer.O; }
  Size state_size() const { return state_size_; }  // of a row
  bool takes_tokens() const;
  bool takes_floats() const { return !embedding_; }
  const PackedModel<float>& packed() const { return *packed_; }

  // See fastrnn.h; the arguments are right. One of x and tokens is null.
  void forward(Size T, Size N, const float* x, const std::int64_t* tokens,
               const std::int64_t* lengths, const float* state, float* y,
               float* state_n) const;

 private:
  const std::vector<PackedStepLayer<float>>& layers() const {
    return packed_->layers();
  }

  std::vector<std::vector<float>> arrays_;  // what the layers read where it is
  std::unique_ptr<const PackedModel<float>> packed_;
  Size inputs_ = 0, state_size_ = 0;
  bool embedding_ = false;
};

}  // namespace fastrnn
