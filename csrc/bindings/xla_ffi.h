// The part of XLA's foreign-function interface (its C interface, version 0) that our
// handlers use, declared here so that a build needs no jaxlib.
// tests/jax/test_interface.py compares it with the header that jaxlib ships.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastrnn::xla {

// The version in which everything below was last looked up. Of a newer minor version we
// use nothing, and of an older one these are the same.
constexpr int kMajor = 0, kMinor = 3;

enum ExtensionType : int { kMetadataExtension = 1 };
struct Extension {
  std::size_t size;
  ExtensionType type;
  Extension* next;
};

struct Version {
  std::size_t size;
  Extension* extensions;
  int major_version;
  int minor_version;
};

// --- Errors, which XLA makes, takes back and shows
// --------------------------------------

struct Error;
enum ErrorCode : int { kInvalidArgument = 3, kResourceExhausted = 8, kInternal = 13 };
struct ErrorCreateArgs {
  std::size_t size;
  Extension* extensions;
  const char* message;
  ErrorCode code;
};

// The first of its functions; more follow.
struct Api {
  std::size_t size;
  Extension* extensions;
  Version version;
  const void* internal;
  Error* (*create_error)(ErrorCreateArgs*);
};

// --- What a call gets
// -----------------------------------------------------------------

enum DataType : int {
  kBool = 1,
  kS8 = 2,
  kS16 = 3,
  kS32 = 4,
  kS64 = 5,
  kU8 = 6,
  kU16 = 7,
  kU32 = 8,
  kU64 = 9,
  kF32 = 11,
  kF64 = 12
};

struct Buffer {
  std::size_t size;
  Extension* extensions;
  DataType dtype;
  void* data;
  std::int64_t rank;
  std::int64_t* dims;
};

// Arguments, and results alike.
enum BufferType : int { kBuffer = 1 };
struct Buffers {
  std::size_t size;
  Extension* extensions;
  std::int64_t count;
  BufferType* types;
  void** buffers;
};

struct Text {
  const char* data;
  std::size_t length;
};
struct Scalar {
  DataType dtype;
  void* value;
};

enum AttributeType : int { kScalar = 3, kString = 4 };
struct Attributes {
  std::size_t size;
  Extension* extensions;
  std::int64_t count;
  AttributeType* types;
  Text** names;
  void** values;
};

enum Stage : int { kExecute = 3 };
struct Context;
struct CallFrame {
  std::size_t size;
  Extension* extensions;
  const Api* api;
  Context* context;
  Stage stage;
  Buffers arguments;
  Buffers results;
  Attributes attributes;
};

using Handler = Error*(CallFrame*);

// --- The question that a handler gets when it is registered
// ----------------------------

struct Metadata {
  std::size_t size;
  Version version;
  std::uint32_t traits;
};
struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

}  // namespace fastrnn::xla
