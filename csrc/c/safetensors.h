// The safetensors format: the length of a header in 8 bytes, the header in JSON, and
// the tensors' bytes, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fastrnn {

struct Tensor {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin, end;  // among the bytes after the header
  std::uint64_t count() const {
    std::uint64_t product = 1;
    for (const std::uint64_t size : shape) product *= size;
    return product;
  }
};

using Tensors = std::map<std::string, Tensor>;

class SafetensorsFile {
 public:
  // Throws Refused, if the content is not that of a whole file.
  explicit SafetensorsFile(std::vector<char> content);
  // The content of a file. Throws Refused.
  static std::vector<char> read(const std::string& path);

  const Tensors& tensors() const { return tensors_; }
  const Tensor* find(const std::string& name) const;
  const char* bytes(const Tensor& tensor) const { return data_ + tensor.begin; }

 private:
  std::vector<char> content_;
  Tensors tensors_;
  const char* data_;
};

}  // namespace fastrnn
