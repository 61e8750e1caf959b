// The functions of fastrnn.h.
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

#include "fastrnn/isa.h"
#include "fastrnn/runtime.h"
#include "model.h"
#include "refused.h"

using fastrnn::Model;
using fastrnn::Size;

struct fastrnn_file {
  fastrnn::SafetensorsFile content;
};

struct fastrnn_model {
  std::shared_ptr<const Model> model;
};

struct fastrnn_stepper {
  std::shared_ptr<const Model> model;
  std::unique_ptr<fastrnn::Stepper> stepper;
  Size N;
};

namespace {

constexpr int kMostThreads = 1024;

thread_local char message[512] = "";

fastrnn_status fail(fastrnn_status status, const char* text) {
  std::snprintf(message, sizeof message, "%s", text);
  return status;
}

// Calls call(); exceptions become statuses.
template <class Call>
fastrnn_status guard(const Call& call) noexcept {
  try {
    call();
    return FASTRNN_OK;
  } catch (const fastrnn::Refused& error) {
    return fail(error.status, error.what());
  } catch (const std::exception&) {  // std::bad_alloc, std::length_error
    return fail(FASTRNN_NO_MEMORY, "no memory");
  }
}

void require_pointer(const void* pointer, const char* name) {
  if (pointer) return;
  throw fastrnn::Refused(FASTRNN_BAD_ARGUMENT,
                         std::string(name) + ": expected a pointer, got NULL");
}

void require_size(std::size_t size, const char* name) {
  if (size > 0 && size <= std::size_t(PTRDIFF_MAX)) return;
  throw fastrnn::Refused(
      FASTRNN_BAD_ARGUMENT,
      std::string(name) + ": expected 1 or more, got " + std::to_string(size));
}

// The first of `count` tokens that is out of range, or `count`.
Size bad_token(const std::int64_t* tokens, Size count, Size most) {
  Size i = 0;
  while (i < count && tokens[i] >= 0 && tokens[i] < most) ++i;
  return i;
}

fastrnn_status refuse_token(std::int64_t token, Size most) {
  std::snprintf(message, sizeof message, "tokens: expected 0 <= token < %lld, got %lld",
                static_cast<long long>(most), static_cast<long long>(token));
  return FASTRNN_BAD_ARGUMENT;
}

void check_lengths(const std::int64_t* lengths, Size T, Size N) {
  for (Size n = 0; lengths && n < N; ++n) {
    fastrnn::require(
        lengths[n] >= 0 && lengths[n] <= T, FASTRNN_BAD_ARGUMENT,
        "lengths: expected 0 <= length <= T, got " + std::to_string(lengths[n]));
  }
}

void check_tokens(const std::int64_t* tokens, const std::int64_t* lengths, Size T,
                  Size N, Size most) {
  for (Size t = 0; t < T; ++t) {
    for (Size n = 0; n < N; ++n) {
      const std::int64_t token = tokens[t * N + n];
      if ((lengths && t >= lengths[n]) || bad_token(&token, 1, most) == 1) continue;
      refuse_token(token, most);
      throw fastrnn::Refused(FASTRNN_BAD_ARGUMENT, std::string(message));
    }
  }
}

// The state of all recurrent layers, one after the other: copy(theirs, ours, count).
template <class Copy>
void for_state(const fastrnn_stepper& s, const Copy& copy) {
  Size recurrent = 0, at = 0;
  for (const auto& one : s.model->packed().layers()) {
    if (!one.recurrent) continue;
    const fastrnn::Network& n = one.layer.network;
    const Size count = n.layers * s.N * n.H;
    copy(static_cast<float*>(s.stepper->h(recurrent)), at, count);
    at += count;
    if (one.recurrent->cell().has_c) {
      copy(static_cast<float*>(s.stepper->c(recurrent)), at, count);
      at += count;
    }
    ++recurrent;
  }
}

constexpr const char* kTakesTokens =
    "expected tokens, since the first layer is an embedding";
constexpr const char* kTakesFloats =
    "expected numbers, since the first layer is neither an embedding nor recurrent";

fastrnn_status forward(const fastrnn_model* model, std::size_t T, std::size_t N,
                       const float* x, const std::int64_t* tokens,
                       const std::int64_t* lengths, const float* state, float* y,
                       float* state_n) {
  return guard([&] {
    require_size(T, "T");
    require_size(N, "N");
    check_lengths(lengths, Size(T), Size(N));
    if (tokens) {
      check_tokens(tokens, lengths, Size(T), Size(N), model->model->inputs());
    }
    model->model->forward(Size(T), Size(N), x, tokens, lengths, state, y, state_n);
  });
}

}  // namespace

const char* fastrnn_message(void) { return message; }
const char* fastrnn_version(void) { return FASTRNN_VERSION; }
const char* fastrnn_isa(void) {
  const fastrnn::Isa* isas = nullptr;
  return fastrnn::available_isas(&isas) > 0 ? fastrnn::isa().name : "none";
}

fastrnn_status fastrnn_set_num_threads(int threads) {
  if (threads < 1 || threads > kMostThreads) {
    return fail(FASTRNN_BAD_ARGUMENT, "threads: expected 1 to 1024");
  }
  fastrnn::set_num_threads(threads);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_file_open(const char* path, fastrnn_file** file) {
  return guard([&] {
    require_pointer(path, "path");
    require_pointer(file, "file");
    std::vector<char> content = fastrnn::SafetensorsFile::read(path);
    try {
      *file = new fastrnn_file{fastrnn::SafetensorsFile(std::move(content))};
    } catch (const fastrnn::Refused& error) {
      throw fastrnn::Refused(error.status, std::string(path) + ": " + error.what());
    }
  });
}

fastrnn_status fastrnn_file_from_memory(const void* content, std::size_t size,
                                        fastrnn_file** file) {
  return guard([&] {
    require_pointer(content, "content");
    require_pointer(file, "file");
    const char* const begin = static_cast<const char*>(content);
    std::vector<char> copy(begin, begin + size);
    *file = new fastrnn_file{fastrnn::SafetensorsFile(std::move(copy))};
  });
}

void fastrnn_file_free(fastrnn_file* file) { delete file; }

fastrnn_status fastrnn_model_new(const fastrnn_file* file, const fastrnn_layer* layers,
                                 std::size_t count, fastrnn_model** model) {
  return guard([&] {
    require_pointer(file, "file");
    require_pointer(layers, "layers");
    require_pointer(model, "model");
    require_size(count, "count");
    *model =
        new fastrnn_model{std::make_shared<const Model>(file->content, layers, count)};
  });
}

void fastrnn_model_free(fastrnn_model* model) { delete model; }

std::size_t fastrnn_model_inputs(const fastrnn_model* model) {
  return model ? std::size_t(model->model->inputs()) : 0;
}
std::size_t fastrnn_model_outputs(const fastrnn_model* model) {
  return model ? std::size_t(model->model->outputs()) : 0;
}
std::size_t fastrnn_model_state_size(const fastrnn_model* model) {
  return model ? std::size_t(model->model->state_size()) : 0;
}

fastrnn_status fastrnn_forward(const fastrnn_model* model, std::size_t T, std::size_t N,
                               const float* x, const std::int64_t* lengths,
                               const float* state, float* y, float* state_n) {
  if (!model || !x || !y) {
    return fail(FASTRNN_BAD_ARGUMENT, "model, x, y: expected pointers, got NULL");
  }
  if (!model->model->takes_floats()) return fail(FASTRNN_BAD_ARGUMENT, kTakesTokens);
  return forward(model, T, N, x, nullptr, lengths, state, y, state_n);
}

fastrnn_status fastrnn_forward_tokens(const fastrnn_model* model, std::size_t T,
                                      std::size_t N, const std::int64_t* tokens,
                                      const std::int64_t* lengths, const float* state,
                                      float* y, float* state_n) {
  if (!model || !tokens || !y) {
    return fail(FASTRNN_BAD_ARGUMENT, "model, tokens, y: expected pointers, got NULL");
  }
  if (!model->model->takes_tokens()) return fail(FASTRNN_BAD_ARGUMENT, kTakesFloats);
  return forward(model, T, N, nullptr, tokens, lengths, state, y, state_n);
}

fastrnn_status fastrnn_stepper_new(const fastrnn_model* model, std::size_t N,
                                   fastrnn_stepper** stepper) {
  return guard([&] {
    require_pointer(model, "model");
    require_pointer(stepper, "stepper");
    require_size(N, "N");
    const std::shared_ptr<const fastrnn::PackedModel<float>> packed(
        model->model, &model->model->packed());
    std::unique_ptr<fastrnn::Stepper> core(fastrnn::make_stepper(packed, Size(N)));
    if (!core) throw std::bad_alloc();
    *stepper = new fastrnn_stepper{model->model, std::move(core), Size(N)};
  });
}

void fastrnn_stepper_free(fastrnn_stepper* stepper) { delete stepper; }

fastrnn_status fastrnn_step(fastrnn_stepper* stepper, const float* x, float* y) {
  if (!stepper || !x) {
    return fail(FASTRNN_BAD_ARGUMENT, "stepper, x: expected pointers, got NULL");
  }
  if (!stepper->model->takes_floats()) return fail(FASTRNN_BAD_ARGUMENT, kTakesTokens);
  stepper->stepper->step(x, nullptr, y);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_step_tokens(fastrnn_stepper* stepper, const std::int64_t* tokens,
                                   float* y) {
  if (!stepper || !tokens) {
    return fail(FASTRNN_BAD_ARGUMENT, "stepper, tokens: expected pointers, got NULL");
  }
  const Model& model = *stepper->model;
  if (!model.takes_tokens()) return fail(FASTRNN_BAD_ARGUMENT, kTakesFloats);
  const Size bad = bad_token(tokens, stepper->N, model.inputs());
  if (bad < stepper->N) return refuse_token(tokens[bad], model.inputs());
  stepper->stepper->step(nullptr, tokens, y);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_stepper_get_state(fastrnn_stepper* stepper, float* state) {
  if (!stepper || !state) {
    return fail(FASTRNN_BAD_ARGUMENT, "stepper, state: expected pointers, got NULL");
  }
  for_state(*stepper, [&](const float* ours, Size at, Size count) {
    std::memcpy(state + at, ours, std::size_t(count) * sizeof(float));
  });
  return FASTRNN_OK;
}

fastrnn_status fastrnn_stepper_set_state(fastrnn_stepper* stepper, const float* state) {
  if (!stepper) {
    return fail(FASTRNN_BAD_ARGUMENT, "stepper: expected a pointer, got NULL");
  }
  for_state(*stepper, [&](float* ours, Size at, Size count) {
    const std::size_t bytes = std::size_t(count) * sizeof(float);
    if (state) {
      std::memcpy(ours, state + at, bytes);
    } else {
      std::memset(ours, 0, bytes);
    }
  });
  return FASTRNN_OK;
}
