// A file may come from anywhere: each length is compared with what is left before it is
// used, and no sum or product of lengths may wrap.
#include "safetensors.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>

#include "refused.h"

namespace fastrnn {

namespace {

constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit
constexpr std::uint64_t kMostNumbers = std::uint64_t(1) << 60;
constexpr std::size_t kMostDimensions = 32;

[[noreturn]] void damaged(const std::string& message) {
  throw Refused(FASTRNN_BAD_FILE, "damaged or not a safetensors file: " + message);
}
void require_whole(bool is_so, const std::string& message) {
  if (!is_so) damaged(message);
}

// Reads the little of JSON that a header consists of: objects of strings, and of
// strings and lists of sizes.
class Reader {
 public:
  Reader(const char* begin, const char* end) : at_(begin), begin_(begin), end_(end) {}

  // Whether this comes next; it is passed over then.
  bool accepts(char c) {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accepts(c)) fail(std::string("expected ") + c);
  }

  void expect_end() {
    skip_space();
    if (at_ != end_) fail("expected the end");
  }

  // Calls member(name) with the value next, for each member of an object.
  template <class Member>
  void object(const Member& member) {
    expect('{');
    if (accepts('}')) return;
    do {
      const std::string name = string();
      expect(':');
      member(name);
    } while (accepts(','));
    expect('}');
  }

  std::vector<std::uint64_t> sizes(std::size_t most) {
    std::vector<std::uint64_t> found;
    expect('[');
    if (accepts(']')) return found;
    do {
      if (found.size() == most) fail("expected fewer sizes");
      found.push_back(size());
    } while (accepts(','));
    expect(']');
    return found;
  }

  std::string string() {
    expect('"');
    std::string text;
    for (;;) {
      const char c = next();
      if (c == '"') return text;
      if (static_cast<unsigned char>(c) < 0x20) fail("expected no control character");
      if (c == '\\') {
        escape(text);
      } else {
        text += c;
      }
    }
  }

  [[noreturn]] void fail(const std::string& message) const {
    damaged(message + " at byte " + std::to_string(at_ - begin_) + " of the header");
  }

 private:
  void skip_space() {
    while (at_ < end_ &&
           (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) {
      ++at_;
    }
  }

  char next() {
    if (at_ == end_) fail("expected the end of a string");
    return *at_++;
  }

  std::uint64_t size() {
    skip_space();
    std::uint64_t value = 0;
    const char* const first = at_;
    for (; at_ < end_ && *at_ >= '0' && *at_ <= '9'; ++at_) {
      if (value > kMostNumbers) fail("expected a smaller size");
      value = value * 10 + std::uint64_t(*at_ - '0');
    }
    if (at_ == first || (*first == '0' && at_ - first > 1)) fail("expected a size");
    return value;
  }

  void escape(std::string& text) {
    const char c = next();
    const char* const from = "\"\\/bfnrt";
    const char* const to = "\"\\/\b\f\n\r\t";
    const char* const found = c ? std::strchr(from, c) : nullptr;
    if (found) {
      text += to[found - from];
    } else if (c == 'u') {
      unicode(text);
    } else {
      fail("expected an escape");
    }
  }

  // A character as one \uXXXX or two, in UTF-8.
  void unicode(std::string& text) {
    std::uint32_t code = hex();
    if (code >= 0xd800 && code < 0xdc00) {
      if (next() != '\\' || next() != 'u') fail("expected a second surrogate");
      const std::uint32_t low = hex();
      if (low < 0xdc00 || low > 0xdfff) fail("expected a second surrogate");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      fail("expected a first surrogate");
    }
    const auto put = [&](std::uint32_t byte) { text += char(byte); };
    if (code < 0x80) {
      put(code);
      return;
    }
    if (code < 0x800) {
      put(0xc0 | code >> 6);
    } else {
      if (code < 0x10000) {
        put(0xe0 | code >> 12);
      } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
      }
      put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
  }

  std::uint32_t hex() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = next();
      const bool is_digit = c >= '0' && c <= '9';
      const char letter = char(c | 0x20);
      if (!is_digit && (letter < 'a' || letter > 'f')) fail("expected a hex digit");
      value = value * 16 + std::uint32_t(is_digit ? c - '0' : letter - 'a' + 10);
    }
    return value;
  }

  const char* at_;
  const char* const begin_;
  const char* const end_;
};

// Bytes of a number; 0 for what is not known here.
std::uint64_t item_size(const std::string& dtype) {
  const auto is_one_of = [&](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), dtype) != names.end();
  };
  if (is_one_of({"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"})) return 1;
  if (is_one_of({"U16", "I16", "F16", "BF16"})) return 2;
  if (is_one_of({"U32", "I32", "F32"})) return 4;
  if (is_one_of({"U64", "I64", "F64", "C64"})) return 8;
  return 0;
}

Tensor read_tensor(Reader& reader, const std::string& name) {
  Tensor tensor{name, "", {}, 0, 0};
  std::vector<std::uint64_t> offsets;
  int seen[3] = {};
  reader.object([&](const std::string& key) {
    if (key == "dtype") {
      tensor.dtype = reader.string();
      ++seen[0];
    } else if (key == "shape") {
      tensor.shape = reader.sizes(kMostDimensions);
      ++seen[1];
    } else if (key == "data_offsets") {
      offsets = reader.sizes(2);
      ++seen[2];
    } else {
      reader.fail(name + ": expected dtype, shape and data_offsets, got " + key);
    }
  });
  require_whole(seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && offsets.size() == 2,
                name + ": expected dtype, shape and two data_offsets");
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return tensor;
}

void check_tensor(const Tensor& tensor, std::uint64_t bytes) {
  require_whole(tensor.begin <= tensor.end && tensor.end <= bytes,
                tensor.name + ": expected data_offsets within " +
                    std::to_string(bytes) + " bytes");
  // The product without sizes of 0 is small too, so that no part of it wraps.
  std::uint64_t count = 1;
  for (const std::uint64_t size : tensor.shape) {
    if (size == 0) continue;
    require_whole(size < kMostNumbers / count,
                  tensor.name + ": expected a smaller shape");
    count *= size;
  }
  const std::uint64_t item = item_size(tensor.dtype);
  require_whole(item == 0 || tensor.count() * item == tensor.end - tensor.begin,
                tensor.name + ": expected a shape of " +
                    std::to_string(tensor.end - tensor.begin) + " bytes");
}

// Each byte belongs to one tensor.
void check_cover(const Tensors& tensors, std::uint64_t bytes) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  for (const auto& [name, tensor] : tensors) {
    places.emplace_back(tensor.begin, tensor.end);
  }
  std::sort(places.begin(), places.end());
  std::uint64_t end = 0;
  for (const auto& [from, to] : places) {
    require_whole(from == end, "expected a tensor at byte " + std::to_string(end) +
                                   ", got one at " + std::to_string(from));
    end = to;
  }
  require_whole(end == bytes, "expected tensors of " + std::to_string(bytes) +
                                  " bytes, got " + std::to_string(end));
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::vector<char> content)
    : content_(std::move(content)) {
  std::uint64_t length = 0;
  const std::uint64_t size = content_.size();
  for (std::size_t i = 0; i < 8 && i < size; ++i) {
    length |= std::uint64_t(static_cast<unsigned char>(content_[i])) << (8 * i);
  }
  require_whole(
      size >= 8 && length <= std::min(size - 8, kLongestHeader),
      "expected a header and its length, got " + std::to_string(size) + " bytes");
  data_ = content_.data() + 8 + length;
  Reader reader(content_.data() + 8, data_);
  reader.object([&](const std::string& name) {
    if (name == "__metadata__") {
      reader.object([&](const std::string&) { reader.string(); });
    } else {
      const Tensor tensor = read_tensor(reader, name);
      require_whole(tensors_.emplace(name, tensor).second,
                    name + ": expected each name once");
    }
  });
  reader.expect_end();
  for (const auto& [name, tensor] : tensors_) check_tensor(tensor, size - 8 - length);
  check_cover(tensors_, size - 8 - length);
}

const Tensor* SafetensorsFile::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::vector<char> SafetensorsFile::read(const std::string& path) {
  const auto fail = [&] {
    throw Refused(FASTRNN_BAD_FILE, path + ": " + std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) fail();
  std::vector<char> content;
  for (;;) {
    const std::size_t had = content.size();
    content.resize(std::max<std::size_t>(had * 2, 1 << 16));
    const std::size_t got =
        std::fread(content.data() + had, 1, content.size() - had, file.get());
    content.resize(had + got);
    if (std::ferror(file.get())) fail();
    if (got == 0) break;
  }
  content.shrink_to_fit();
  return content;
}

}  // namespace fastrnn
