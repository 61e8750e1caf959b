// A chunk of a sequence's steps, of which the gradients are computed at once.
#pragma once

#include "fastrnn/kernels.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Some steps of a sequence: t descending, rows ascending.
template <class T>
struct Chunk {
  struct Row {
    Size at;          // its position
    const T* h_prev;  // [H]
    const T* c_prev;  // [H] or null (LSTM): for the gradient of peepholes
    const T* mask;    // [H] or null: a factor of h_prev
  };

  Size most_rows = 0;  // that a chunk may have
  Size dz_width = 0;
  Row* rows = nullptr;  // [most_rows]
  // [most_rows + N][dz_width]; the last N are a copy of the step after the chunk
  T* dz = nullptr;
};

// The row of W_ih that the k-th column of the input's blocks in dz belongs to.
template <class Cell>
FASTRNN_INLINE Size row_of_w_ih(Size k, Size H) {
  for (int gate = 0; gate < Cell::G; ++gate) {
    if (k / H == Cell::input_block(gate)) return Cell::weight_block(gate) * H + k % H;
  }
  return 0;
}

// The row of W_hh that the k-th column of the hidden blocks in dz belongs to.
template <class Cell>
FASTRNN_INLINE Size row_of_w_hh(Size k, Size H) {
  return Cell::weight_block(int(k / H)) * H + k % H;
}

// A member's share of to[count] = 0, unless the array is absent.
template <class T>
FASTRNN_INLINE void clear_share(T* to, Size count, Team team) {
  if (!to) return;
  const Range part = share_of(count, team.rank, team.size);
  for (Size i = part.begin; i < part.end; ++i) to[i] = T(0);
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
