// The input's part of a layer's pre-activations:  z = W_ih·x + b
//
// For dense rows a product by tiles; for tokens a lookup. Layouts:
//   w_ih packed  [unit vectors][I][G][lanes]
//   z            [unit vectors][rows of the chunk or vocabulary][G][lanes]
#pragma once

#include "bfloat16.h"
#include "plan.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// The product for a few rows.
template <class T>
struct InputProduct {
  const T* const* x;  // [rows] of [I]
  const T* w;         // packed, from unit vector `first` on
  const T* bias;      // [unit vectors][G][lanes]
  T* z;               // = [unit vectors, z_step apart][rows][G][lanes]
  Size rows, I, z_step;
  Size first;
};

// Compiled in step_tiles.cpp.
template <int G, class T>
void input_product(const InputProduct<T>& x, Range unit_vectors);

// z = bias + the tokens' columns of W_ih, which lie side by side once it is packed.
template <int G, class T, class W>
void gather_packed_columns(const W* w, Size I, const T* bias,
                           const std::int64_t* tokens, Size rows, Range unit_vectors,
                           T* z) {
  constexpr Size L = kLanes<T>;
  for (Size u = unit_vectors.begin; u < unit_vectors.end; ++u) {
    for (Size row = 0; row < rows; ++row) {
      for (int g = 0; g < G; ++g) {
        const W* column = w + ((u * I + tokens[row]) * G + g) * L;
        store(z + ((u * rows + row) * G + g) * L,
              load(bias + (u * G + g) * L) + load_weights(column));
      }
    }
  }
}

// The same from W_ih as the caller has it, [G·H, I].
template <class Cell, class T>
void gather_columns(const T* w, Size H, Size I, const T* bias,
                    const std::int64_t* tokens, Size rows, Range unit_vectors, T* z) {
  constexpr int G = Cell::G;
  constexpr Size L = kLanes<T>;
  for (Size u = unit_vectors.begin; u < unit_vectors.end; ++u) {
    const Size lanes = at_most(L, H - u * L);
    for (int g = 0; g < G; ++g) {
      const T* from = w + (Cell::weight_block(g) * H + u * L) * I;
      const T* b = bias + (u * G + g) * L;
      for (Size row = 0; row < rows; ++row) {
        T* to = z + ((u * rows + row) * G + g) * L;
        for (Size l = 0; l < L; ++l) {
          to[l] = l < lanes ? b[l] + from[l * I + tokens[row]] : T(0);
        }
      }
    }
  }
}

// Rows of a chunk: enough to read W_ih once for many steps, few enough that z stays in
// the private cache.
constexpr Size kForwardChunkRows = 256;

// z of a sequence: of a chunk of steps at a time, or of the whole vocabulary at once.
template <class Cell, class T>
class ForwardInput {
 public:
  // w is filled by the caller between prepare() and fill_table().
  ForwardInput(const ForwardArgs<T>& args, const PackedWeights<T>& w)
      : a_(args), s_(args.schedule), w_(w), H_(args.weights.H), I_(args.input.I) {}

  // Takes memory. A table of z over the vocabulary pays unless it is longer than the
  // sequence; packed weights of another call must not be overwritten with it.
  void prepare(const Plan& plan, Size valid, Scratch& scratch) {
    const bool tokens = a_.input.tokens != nullptr;
    one_hot_ = tokens && !a_.input.embedding;
    table_ = tokens && a_.input.V <= valid && !(one_hot_ && a_.packed);
    chunk_rows_ = table_ ? 0 : at_most(valid, kForwardChunkRows + s_.N);
    const Size workers = plan.share_units ? 1 : plan.threads;
    if (table_ && !one_hot_) {
      z_ = scratch.take<T>(vectors() * a_.input.V * kWidth);
    } else if (!table_) {
      z_ = scratch.take<T>(workers * vectors() * chunk_rows_ * kWidth);
    }
    const Size table_rows = table_ ? a_.input.V : 0;
    row_pointers_ = scratch.take<const T*>(
        plan.threads * (chunk_rows_ > table_rows ? chunk_rows_ : table_rows));
    tokens_ = scratch.take<std::int64_t>(plan.threads * chunk_rows_);
  }

  // Whether W_ih is read packed. Few tokens are looked up in it as it is.
  bool reads_packed() const { return !one_hot_ || table_; }
  bool has_table() const { return table_; }

  // z of the vocabulary, for some units. `panel` as in fill_chunk.
  void fill_table(Team team, Range units, T* panel) {
    const Size V = a_.input.V;
    if (!one_hot_) {
      const T** rows = row_pointers_ + team.rank * V;
      for (Size v = 0; v < V; ++v) rows[v] = a_.input.embedding + v * I_;
      multiply({rows, nullptr, w_.bias, z_, V, I_, V * kWidth, 0}, units, panel);
      return;
    }
    // W_ih·one_hot(v) is column v of W_ih: the bias is added in place.
    for (Size u = units.begin; u < units.end; ++u) {
      for (Size i = 0; i < V * G; ++i) {
        T* z = static_cast<T*>(w_.w_ih) + (u * V * G + i) * L;
        store(z, load(w_.bias + (u * G + i % G) * L) + load(z));
      }
    }
  }

  // z of the steps [begin, end), which are `rows` rows of this thread's slice, for some
  // units. `panel` is where this thread widens bfloat16 weights.
  void fill_chunk(Team team, const Slice& slice, Range units, Range steps, Size rows,
                  T* panel) {
    const T** x = row_pointers_ + team.rank * chunk_rows_;
    std::int64_t* tokens = tokens_ + team.rank * chunk_rows_;
    Size i = 0;
    for (Size s = steps.begin; s < steps.end; ++s) {
      const Size count = slice.count(s_.active[s]);
      for (Size j = 0; j < count; ++j, ++i) {
        const Size at = position(s_, slice.sorted(j), s);
        if (a_.input.x) {
          x[i] = a_.input.x + at * I_;
        } else if (one_hot_) {
          tokens[i] = a_.input.tokens[at];
        } else {
          x[i] = a_.input.embedding + a_.input.tokens[at] * I_;
        }
      }
    }
    T* z = chunk(slice);
    if (one_hot_) {
      look_up(tokens, rows, units, z);
    } else {
      multiply({x, nullptr, w_.bias, z, rows, I_, rows * kWidth, 0}, units, panel);
    }
  }

  // z of unit vector 0 of a row: by its position, and by its place in the chunk.
  const T* of_row(const Slice& slice, Size at, Size row) const {
    if (!table_) return chunk(slice) + row * kWidth;
    const T* table = one_hot_ ? static_cast<const T*>(w_.w_ih) : z_;
    return table + a_.input.tokens[at] * kWidth;
  }
  // From one unit vector to the next, in a chunk of so many rows.
  Size step_between_vectors(Size chunk_rows) const {
    return (table_ ? a_.input.V : chunk_rows) * kWidth;
  }

 private:
  static constexpr Size L = kLanes<T>;
  static constexpr int G = Cell::G;
  static constexpr Size kWidth = G * L;  // of one row in one unit vector

  Size vectors() const { return divide_up(H_, L); }
  T* chunk(const Slice& slice) const {
    return z_ + slice.row_rank * vectors() * chunk_rows_ * kWidth;
  }

  void multiply(InputProduct<T> x, Range units, T* panel) {
    with_panels(w_.w_ih, w_.bfloat16, I_ * kWidth, panel, units,
                [&](const T* w, Size first, Range part) {
                  x.w = w;
                  x.first = first;
                  input_product<G>(x, part);
                });
  }

  void look_up(const std::int64_t* tokens, Size rows, Range units, T* z) {
    if (!a_.packed) {
      gather_columns<Cell>(a_.weights.w_ih, H_, I_, w_.bias, tokens, rows, units, z);
      return;
    }
    with_weight_type<T>(w_.bfloat16, [&](auto type) {
      using W = decltype(type);
      gather_packed_columns<G>(static_cast<const W*>(w_.w_ih), I_, w_.bias, tokens,
                               rows, units, z);
    });
  }

  const ForwardArgs<T>& a_;
  const ScheduleView& s_;
  const PackedWeights<T>& w_;
  const Size H_, I_;
  bool table_ = false, one_hot_ = false;
  Size chunk_rows_ = 0;
  T* z_ = nullptr;
  const T** row_pointers_ = nullptr;  // [threads][rows of a chunk or of the table]
  std::int64_t* tokens_ = nullptr;    // [threads][rows of a chunk]
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
