// A linear layer:  y = x·wᵀ + b,  dx = dy·w,  dw = dyᵀ·x,  db = Σ dy
//
// All outputs are =. Sums run over the inputs, the outputs and the rows in order;
// threads share the elements of a result, never a sum.
#include "entry.h"
#include "pack.h"
#include "plan.h"
#include "product.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

// Rows of one pass over dw, so that packed x stays near.
constexpr Size kLinearChunkRows = 256;

// A product with this many operations per row, some rows at a time: between them the
// call may be given up. Reading weights once for so many rows costs nothing.
template <class T>
void multiply_by_blocks(Team team, Product<T> x, Range columns, double row_flops) {
  constexpr Size kFewestRows = 512;
  const Size worth = Size(kBetweenLooks / (row_flops + 1));
  const Tiles blocks = split(x.M, worth > kFewestRows ? worth : kFewestRows);
  const auto a = x.a;
  const auto c = x.c;
  for (Size i = 0; i < blocks.count && !team.is_stopped(); ++i) {
    x.a = a + blocks.first(i);
    x.c = c + blocks.first(i);
    x.M = blocks.size(i);
    multiply(x, columns);
  }
}

template <class T>
struct LinearForward {
  const LinearArgs<T>& a;
  T* w;         // packed [O / lanes][I][lanes]
  const T** x;  // [rows]
  T** y;        // [rows]

  void work(Team team) {
    const Range columns = share_of(divide_up(a.O, kLanes<T>), team.rank, team.size);
    pack_gates<1>(a.w, a.O, a.I, columns, w);
    const Range rows = share_of(a.rows, team.rank, team.size);
    for (Size r = rows.begin; r < rows.end; ++r) {
      x[r] = a.x + r * a.I;
      y[r] = a.y + r * a.O;
      for (Size o = 0; o < a.O; ++o) y[r][o] = a.b ? a.b[o] : T(0);
    }
    team.barrier();
    multiply_by_blocks(team, Product<T>{x, 0, w, y, a.rows, a.I, a.O, true}, columns,
                       2.0 * double(a.I * a.O));
  }
};

template <class T>
struct LinearBackward {
  const LinearBackwardArgs<T>& a;
  T* w;                 // packed [I / lanes][O][lanes]
  T* x;                 // packed [I / lanes][rows of the chunk][lanes]
  const T** dy_row;     // [rows]
  T** dx_row;           // [rows]
  const T** dy_column;  // [O], at the chunk's first row
  T** dw_row;           // [O]

  void work(Team team) {
    const Range columns = share_of(divide_up(a.I, kLanes<T>), team.rank, team.size);
    const Range outputs =
        share_of(a.O, team.rank, team.size, kTileRows<1, Rows::kTogether>);
    pack_columns([&](Size o) { return a.w + o * a.I; }, a.O, a.I, columns, w);
    for (Size r = team.rank; r < a.rows; r += team.size) {
      dy_row[r] = a.dy + r * a.O;
      dx_row[r] = a.dx + r * a.I;
    }
    for (Size o = outputs.begin; o < outputs.end; ++o) {
      dw_row[o] = a.dw + o * a.I;
      for (Size i = 0; i < a.I; ++i) dw_row[o][i] = T(0);
      if (a.db) a.db[o] = T(0);
    }
    team.barrier();
    multiply_by_blocks(team, Product<T>{dy_row, 0, w, dx_row, a.rows, a.O, a.I, false},
                       columns, 2.0 * double(a.I * a.O));
    for (Size r = 0; r < a.rows; r += kLinearChunkRows) {
      const Size rows = at_most(kLinearChunkRows, a.rows - r);
      if (!weight_gradient(team, columns, outputs, r, rows)) return;
    }
  }

  // False if the call is to be given up.
  bool weight_gradient(Team team, Range columns, Range outputs, Size first, Size rows) {
    constexpr Size L = kLanes<T>;
    pack_columns([&](Size r) { return a.x + (first + r) * a.I; }, rows, a.I, columns,
                 x);
    for (Size o = outputs.begin; o < outputs.end; ++o) {
      dy_column[o] = a.dy + first * a.O + o;
    }
    team.is_stopped();
    if (team.barrier()) return false;
    multiply(Product<T>{dy_column + outputs.begin, a.O, x, dw_row + outputs.begin,
                        outputs.end - outputs.begin, rows, a.I, true},
             {0, divide_up(a.I, L)});
    if (a.db) {
      for (Size r = 0; r < rows; ++r) {
        const T* dy = a.dy + (first + r) * a.O;
        for (Size o = outputs.begin; o < outputs.end; ++o) a.db[o] += dy[o];
      }
    }
    return !team.barrier();
  }
};

}  // namespace

template <class T>
void linear_forward(const LinearArgs<T>& args, Scratch& scratch) {
  const Size vectors = divide_up(args.O, kLanes<T>);
  LinearForward<T> job{args, scratch.take<T>(vectors * args.I * kLanes<T>),
                       scratch.take<const T*>(args.rows), scratch.take<T*>(args.rows)};
  run_team(
      team_for(args.threads, 2.0 * double(args.rows) * double(args.I * args.O)),
      [](Team team, void* self) { static_cast<LinearForward<T>*>(self)->work(team); },
      &job);
}

template <class T>
void linear_backward(const LinearBackwardArgs<T>& args, Scratch& scratch) {
  const Size vectors = divide_up(args.I, kLanes<T>);
  const Size chunk = at_most(kLinearChunkRows, args.rows);
  LinearBackward<T> job{args,
                        scratch.take<T>(vectors * args.O * kLanes<T>),
                        scratch.take<T>(vectors * chunk * kLanes<T>),
                        scratch.take<const T*>(args.rows),
                        scratch.take<T*>(args.rows),
                        scratch.take<const T*>(args.O),
                        scratch.take<T*>(args.O)};
  run_team(
      team_for(args.threads, 4.0 * double(args.rows) * double(args.I * args.O)),
      [](Team team, void* self) { static_cast<LinearBackward<T>*>(self)->work(team); },
      &job);
}

template void linear_forward(const LinearArgs<float>&, Scratch&);
#if !defined(FASTRNN_INFERENCE_ONLY)
template void linear_forward(const LinearArgs<double>&, Scratch&);
template void linear_backward(const LinearBackwardArgs<float>&, Scratch&);
template void linear_backward(const LinearBackwardArgs<double>&, Scratch&);
#endif

}  // namespace FASTRNN_NS
}  // namespace fastrnn
