// The gradient of an LSTM's peepholes, from dz of a chunk of steps at a time:
//
//   dP_i += dz_i[t] ⊙ c[t−1]    dP_f += dz_f[t] ⊙ c[t−1]    dP_o += dz_o[t] ⊙ c[t]
//
// summed over (t descending, row ascending) in that order, whatever the chunk. Threads
// share the units. c[t] is computed anew from the gates: the tape has it after zoneout.
#pragma once

#include "chunk.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class Cell, class T>
void add_peephole_gradients(const BackwardArgs<T>& a, const Chunk<T>& chunk, Size rows,
                            Team team) {
  constexpr Size L = kLanes<T>;
  const Size H = a.weights.H;
  const Range units = share_of(H, team.rank, team.size, L);
  for (Size j = units.begin; j < units.end; j += L) {
    const Size lanes = at_most(L, units.end - j);
    T *p_i = a.dpeephole + j, *p_f = p_i + H, *p_o = p_f + H;
    Vec<T> sum_i = load_some(p_i, lanes), sum_f = load_some(p_f, lanes);
    Vec<T> sum_o = load_some(p_o, lanes);
    for (Size k = 0; k < rows; ++k) {
      const typename Chunk<T>::Row& row = chunk.rows[k];
      const T* dz = chunk.dz + k * chunk.dz_width + j;
      const T* gates = a.gates + row.at * Cell::kTape * H + j;
      const Vec<T> c_prev = load_some(row.c_prev + j, lanes);
      const Vec<T> i = load_some(gates, lanes), f = load_some(gates + H, lanes);
      const Vec<T> c = fma(f, c_prev, i * load_some(gates + 2 * H, lanes));
      sum_i = fma(load_some(dz, lanes), c_prev, sum_i);
      if constexpr (Cell::G == 4) {
        sum_f = fma(load_some(dz + H, lanes), c_prev, sum_f);
      }
      sum_o = fma(load_some(dz + (Cell::G - 1) * H, lanes), c, sum_o);
    }
    store_some(p_i, sum_i, lanes);
    store_some(p_f, sum_f, lanes);
    store_some(p_o, sum_o, lanes);
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
