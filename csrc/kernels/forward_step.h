// A phase of one step of some rows forward, by tiles:  h = cell(z + W_hh·h_prev)
//
// The sums stay in registers until the cell takes them. Layout:
//   w packed  [unit vectors][depth][G of the phase][lanes]
#pragma once

#include "cell.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

// A phase of a step of a few rows.
template <class Phase, class T>
struct ForwardStep {
  Phase phase;
  const ForwardRow<T>* rows;  // [rows]
  const T* w;                 // packed, from unit vector `first` on
  const T* b_hidden;          // [unit vectors][lanes]: b_hh of the last gate, if apart
  Size units, depth;          // numbers of outputs and of the operand
  Size z_step;                // between unit vectors of a row's z
  Size first;
  bool zoneout;  // units keep their states: where the rows' bytes say so, or
  T rate;        // without bytes this share of each state
};

// Zoneout of a vector of units: the state just computed, or the old one.
template <class T>
FASTRNN_INLINE void zone_out(Vec<T> old, const std::uint8_t* flags, T rate, T* state,
                             Size lanes) {
  const Vec<T> fresh = load_some(state, lanes);
  const Vec<T> mixed = flags
                           ? (load_flags<T>(flags, lanes) ? old : fresh)
                           : fma(broadcast(rate), old, broadcast(T(1) - rate) * fresh);
  store_some(state, mixed, lanes);
}

// The cell for one vector of units and some rows, whose sums z lie `apart` vectors from
// each other. A function of its own, so that there is one copy per cell, not one per
// tile. kUsual: all lanes, and no zoneout.
template <bool kUsual, class Phase, class T>
__attribute__((noinline)) void forward_cells(const ForwardStep<Phase, T>& x, Size row,
                                             int count, const Vec<T>* z, Size apart,
                                             Size u) {
  constexpr Size L = kLanes<T>;
  constexpr bool kKeepsC = Phase::kCarry == Carry::kCellState && Phase::kForwardC;
  const Size j = u * L, lanes = kUsual ? L : at_most(L, x.units - j);
#pragma GCC unroll 2
  for (int i = 0; i < count; ++i) {
    const ForwardRow<T>& r = x.rows[row + i];
    const T* z_input = r.z + u * x.z_step;
    Vec<T> c_prev = {};
    if (!kUsual && kKeepsC && x.zoneout) c_prev = load_some(r.c_prev + j, lanes);
    x.phase.template forward<T>(z + i * apart, r, z_input, j, lanes, x.units);
    if (kUsual || !x.zoneout) continue;
    if (Phase::kForwardH) {
      const Vec<T> h_prev = load_some(r.h_prev + j, lanes);
      zone_out<T>(h_prev, r.zoneout_h ? r.zoneout_h + j : nullptr, x.rate, r.h + j,
                  lanes);
    }
    if (!kKeepsC) continue;
    zone_out<T>(c_prev, r.zoneout_c ? r.zoneout_c + j : nullptr, x.rate, r.c + j,
                lanes);
  }
}

template <class Phase, int R, int P, class T>
__attribute__((noinline)) void forward_tile(const ForwardStep<Phase, T>& x, Size row,
                                            Size u, Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  constexpr int G = Phase::G;
  const ForwardRow<T>* rows = x.rows + row;
  Vec<T> acc[R][P * G];
  const T* h_in[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    h_in[r] = Phase::kInner ? rows[r].inner : rows[r].h_in;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const T* z = rows[r].z + (u + p) * x.z_step + Phase::kFirst * L;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        if constexpr (Phase::kProjection) {
          acc[r][p * G + g] = Vec<T>{};
        } else {
          acc[r][p * G + g] =
              load(g < Phase::kOnlyInputBias ? z + g * L : x.b_hidden + (u + p) * L);
        }
      }
    }
  }
  if (x.zoneout) {
    for (int r = 0; r < R; ++r) {
      prefetch<1>(rows[r].zoneout_h, u * L);
      prefetch<1>(rows[r].zoneout_c, u * L);
    }
  }
  const Size panel = x.depth * G * L;
  multiply_add<R, P, G, Rows::kEach, T>(acc, h_in, 0, x.w + (u - x.first) * panel,
                                        panel, 0, x.depth, ahead);
  Vec<T> z[R][P][G];
#pragma GCC unroll 24
  for (int i = 0; i < R * P * G; ++i) (&z[0][0][0])[i] = acc[i / (P * G)][i % (P * G)];
  for (int p = 0; p < P; ++p) {
    if ((u + p + 1) * L <= x.units && !x.zoneout) {
      forward_cells<true>(x, row, R, z[0][p], P * G, u + p);
    } else {
      forward_cells<false>(x, row, R, z[0][p], P * G, u + p);
    }
  }
}

// The given unit vectors of the phase, for the first `rows` of x.rows.
template <class Phase, class T>
void forward_step(const ForwardStep<Phase, T>& x, Size rows, Range unit_vectors,
                  bool backwards) {
  constexpr int G = Phase::G;
  const Range panels{unit_vectors.begin - x.first, unit_vectors.end - x.first};
  for_tiles<G, Rows::kEach>(
      rows, panels, x.w, x.depth * G * kLanes<T>, x.depth, backwards,
      [&](auto R, auto P, Size row, Size u, Ahead<T> ahead) {
        forward_tile<Phase, decltype(R)::value, decltype(P)::value, T>(
            x, row, x.first + u, ahead);
      });
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
