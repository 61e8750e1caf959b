// The kernels of a cell: the drivers, for the structs that cell.h describes.
#pragma once

#include "backward.h"
#include "entry.h"
#include "step.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Calls call(cell) with the first of the cells that serves these options. The C library
// knows none of the variants.
template <class Cell, class... Others, class T, class Call>
FASTRNN_INLINE auto with_cell(const CellOptions<T>& options, const Call& call) {
  if constexpr (kTrains && sizeof...(Others) > 0) {
    if (!Cell::serves(options)) return with_cell<Others...>(options, call);
  }
  return call(Cell(options));
}

// T, and the variants of a cell; the last one serves whatever the others do not.
template <class T, class Cell, class... Others>
constexpr CellKernels<T> cell_kernels() {
  CellKernels<T> kernels = {};
  kernels.gates = kWeightBlocks<Cell>;
  kernels.tape_gates = Cell::kTape;
  kernels.tape_c = Cell::kTapeC;
  kernels.has_c = Cell::kCarry == Carry::kCellState;
  if constexpr (kHasKernels<T>) {
    kernels.forward = [](const ForwardArgs<T>& args, Scratch& scratch) {
      with_cell<Cell, Others...>(args.options, [&](auto cell) {
        Forward<decltype(cell), T>(cell, args, scratch).run();
      });
    };
    kernels.pack = [](const Weights<T>& weights, Size I, const CellOptions<T>& options,
                      PackedWeights<T>* to) {
      with_cell<Cell, Others...>(
          options, [&](auto cell) { pack_weights(cell, weights, I, to); });
    };
    kernels.step = [](const StepArgs<T>& args, Team team) {
      with_cell<Cell, Others...>(args.options,
                                 [&](auto cell) { step(cell, args, team); });
    };
    kernels.step_scratch = [](Size N, const PackedWeights<T>& weights,
                              const CellOptions<T>& options, int threads) {
      return with_cell<Cell, Others...>(options, [&](auto cell) {
        return step_scratch<decltype(cell), T>(N, weights, threads);
      });
    };
    kernels.fill_table = [](const PackedWeights<T>& weights,
                            const CellOptions<T>& options, const T* vectors, Size V,
                            T* table, Scratch& scratch) {
      with_cell<Cell, Others...>(options, [&](auto cell) {
        fill_step_table<decltype(cell), T>(weights, vectors, V, table, scratch);
      });
    };
  }
  if constexpr (kTrains) {
    kernels.backward = [](const BackwardArgs<T>& args, Scratch& scratch) {
      with_cell<Cell, Others...>(args.options, [&](auto cell) {
        Backward<decltype(cell), T>(cell, args, scratch).run();
      });
    };
  }
  return kernels;
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
