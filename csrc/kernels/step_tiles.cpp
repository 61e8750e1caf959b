// The tiles of a step and of its input, for all cells: in every cell's file they would
// be most of the compile time.
#include "backward_step.h"
#include "forward_step.h"
#include "input.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

template <int R, int P, int G, class T>
__attribute__((noinline)) void input_tile(const InputProduct<T>& x, Size row, Size u,
                                          Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  Vec<T> acc[R][P * G];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < P * G; ++c) acc[r][c] = load(x.bias + (u * G + c) * L);
  }
  const Size panel = x.I * G * L;
  multiply_add<R, P, G, Rows::kEach, T>(acc, x.x + row, 0, x.w + (u - x.first) * panel,
                                        panel, 0, x.I, ahead);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      T* z = x.z + (u + p) * x.z_step + (row + r) * G * L;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) store(z + g * L, acc[r][p * G + g]);
    }
  }
}

template <int G, int R, int P, class T>
__attribute__((noinline)) void forward_tile(const ForwardStep<T>& x, Size row, Size u,
                                            Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  static const Vec<T> kZeros[G] = {};
  const ForwardRow<T>* rows = x.rows + row;
  Vec<T> acc[R][P * G];
  const T* h_in[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    h_in[r] = x.inner ? rows[r].inner : rows[r].h_in;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const T* z = x.from_zero ? reinterpret_cast<const T*>(kZeros)
                               : rows[r].z + (u + p) * x.z_step + x.z_first;
      const T* last = x.last_apart ? x.b_hidden + (u + p) * L : z + (G - 1) * L;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        acc[r][p * G + g] = load(g < G - 1 ? z + g * L : last);
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
    const bool usual = (u + p + 1) * L <= x.units && !x.zoneout;
    (usual ? x.usual_cells : x.cells)(x, row, R, z[0][p], P * G, u + p);
  }
}

template <int R, int P, class T>
__attribute__((noinline)) void backward_tile(const BackwardStep<T>& x, Size row, Size u,
                                             Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  const BackwardRow<T>* rows = x.rows + row;
  Vec<T> acc[R][P] = {};
  const T* dz_next[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    dz_next[r] = x.inner ? rows[r].dz + x.dz_first : rows[r].dz_next;
  }
  // The cell's operands are in far memory: they are fetched while the product runs, a
  // row at a time, so as not to hold up the weights.
  const Size panel = x.depth * L;
  const T* w = x.w + u * panel;
  for (int r = 0; r < R; ++r) {
    for (int g = 0; g < x.tape; ++g) prefetch<P>(rows[r].gates, g * x.H + u * L);
    prefetch<P>(x.cell_state ? rows[r].c_prev : rows[r].c, u * L);
    prefetch<P>(rows[r].dy, u * L);
    if (rows[r].held) {
      prefetch<1>(rows[r].zoneout_h, u * L);
      prefetch<1>(rows[r].zoneout_c, u * L);
    }
    const Size k = x.K * r / R, end = x.K * (r + 1) / R;
    multiply_add<R, P, 1, Rows::kEach, T>(acc, dz_next, 0, w, panel, k, end, ahead);
  }
  Vec<T> dh[R][P];
#pragma GCC unroll 24
  for (int i = 0; i < R * P; ++i) dh[i / P][i % P] = acc[i / P][i % P];
  for (int p = 0; p < P; ++p) {
    const bool usual = (u + p + 1) * L <= x.units && !rows[0].held;
    (usual ? x.usual_cells : x.cells)(x, row, R, &dh[0][p], P, u + p);
  }
}

}  // namespace

template <int G, class T>
void input_product(const InputProduct<T>& x, Range unit_vectors) {
  const Range panels{unit_vectors.begin - x.first, unit_vectors.end - x.first};
  for_tiles<G, Rows::kEach>(x.rows, panels, x.w, x.I * G * kLanes<T>, x.I, false,
                            [&](auto r, auto p, Size row, Size u, Ahead<T> ahead) {
                              input_tile<decltype(r)::value, decltype(p)::value, G, T>(
                                  x, row, x.first + u, ahead);
                            });
}

template <int G, class T>
void forward_tiles(const ForwardStep<T>& x, Size rows, Range unit_vectors,
                   bool backwards) {
  const Range panels{unit_vectors.begin - x.first, unit_vectors.end - x.first};
  for_tiles<G, Rows::kEach>(
      rows, panels, x.w, x.depth * G * kLanes<T>, x.depth, backwards,
      [&](auto R, auto P, Size row, Size u, Ahead<T> ahead) {
        forward_tile<G, decltype(R)::value, decltype(P)::value, T>(x, row, x.first + u,
                                                                   ahead);
      });
}

template <class T>
void backward_tiles(const BackwardStep<T>& x, Size rows, Range unit_vectors,
                    bool backwards) {
  for_tiles<1, Rows::kEach>(
      rows, unit_vectors, x.w, x.depth * kLanes<T>, x.K, backwards,
      [&](auto R, auto P, Size row, Size u, Ahead<T> ahead) {
        backward_tile<decltype(R)::value, decltype(P)::value, T>(x, row, u, ahead);
      });
}

// For a cell or a phase with G gates.
#define FASTRNN_TILES(G, T)                                      \
  template void input_product<G>(const InputProduct<T>&, Range); \
  template void forward_tiles<G>(const ForwardStep<T>&, Size, Range, bool);
#define FASTRNN_ALL_TILES(T) \
  FASTRNN_TILES(1, T) FASTRNN_TILES(2, T) FASTRNN_TILES(3, T) FASTRNN_TILES(4, T)
FASTRNN_ALL_TILES(float)
#if !defined(FASTRNN_INFERENCE_ONLY)
FASTRNN_ALL_TILES(double)
template void backward_tiles(const BackwardStep<float>&, Size, Range, bool);
template void backward_tiles(const BackwardStep<double>&, Size, Range, bool);
#endif

}  // namespace FASTRNN_NS
}  // namespace fastrnn
