// The table of cells, one row each: ROW(CellKind, name).
//
// Python passes the name. The file csrc/kernels/<name>.cpp defines <name>_f32 and
// <name>_f64 (see kernels/cell_kernels.h); without them the module does not link.
// Everything else about a cell (gates, states, tape) is a member of those.
#pragma once

namespace fastrnn {

#define FASTRNN_CELLS(ROW) \
  ROW(kRnn, rnn)           \
  ROW(kGru, gru)           \
  ROW(kLstm, lstm)

#define FASTRNN_CELL_KIND(kind, name) kind,
enum class CellKind { FASTRNN_CELLS(FASTRNN_CELL_KIND) };
#undef FASTRNN_CELL_KIND

#define FASTRNN_COUNT_CELL(kind, name) +1  // NOLINT(bugprone-macro-parentheses)
constexpr int kCells = 0 FASTRNN_CELLS(FASTRNN_COUNT_CELL);
#undef FASTRNN_COUNT_CELL

}  // namespace fastrnn
