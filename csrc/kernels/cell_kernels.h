// The kernels of a cell: the drivers, for the struct that cell.h describes.
#pragma once

#include "backward.h"
#include "entry.h"
#include "step.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class Cell, class T>
constexpr CellKernels<T> cell_kernels() {
  return {Cell::G,
          Cell::kTape,
          Cell::kTapeC,
          Cell::kCarry == Carry::kCellState,
          [](const ForwardArgs<T>& args, Scratch& scratch) {
            Forward<Cell, T>(Cell(args.activation), args, scratch).run();
          },
          [](const BackwardArgs<T>& args, Scratch& scratch) {
            Backward<Cell, T>(Cell(args.activation), args, scratch).run();
          },
          pack_weights<Cell, T>,
          [](const StepArgs<T>& args, int rank, int size) {
            step<Cell, T>(Cell(args.activation), args, rank, size);
          },
          step_scratch<Cell, T>,
          fill_step_table<Cell, T>};
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
