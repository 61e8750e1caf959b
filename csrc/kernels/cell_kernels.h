// The kernels of a cell: the drivers, for the struct that cell.h describes.
#pragma once

#include "backward.h"
#include "entry.h"
#include "step.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class Cell, class T>
constexpr CellKernels<T> cell_kernels() {
  CellKernels<T> kernels = {};
  kernels.gates = Cell::G;
  kernels.tape_gates = Cell::kTape;
  kernels.tape_c = Cell::kTapeC;
  kernels.has_c = Cell::kCarry == Carry::kCellState;
  if constexpr (kHasKernels<T>) {
    kernels.forward = [](const ForwardArgs<T>& args, Scratch& scratch) {
      Forward<Cell, T>(Cell(args.activation), args, scratch).run();
    };
    kernels.pack = pack_weights<Cell, T>;
    kernels.step = [](const StepArgs<T>& args, int rank, int size) {
      step<Cell, T>(Cell(args.activation), args, rank, size);
    };
    kernels.step_scratch = step_scratch<Cell, T>;
    kernels.fill_table = fill_step_table<Cell, T>;
  }
  if constexpr (kTrains) {
    kernels.backward = [](const BackwardArgs<T>& args, Scratch& scratch) {
      Backward<Cell, T>(Cell(args.activation), args, scratch).run();
    };
  }
  return kernels;
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
