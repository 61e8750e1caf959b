// A cell as the drivers over time (forward.h, backward.h) use it, a struct with:
//
//   Cell(options)      from the options of the call, which many cells ignore
//   G                  gates
//   kGrads             blocks of H numbers that backward writes per row and step
//   kTape              blocks of H numbers in the tape's gates; 0: h is enough
//   kTapeC             whether the tape has c
//   kCarry             passes between steps beside h: nothing (RNN); the cell state c,
//                      and backward its gradient dc (LSTM); nothing forward, and
//                      backward the part of dh that does not go through W_hh (GRU)
//   kInputGrads        first of the G blocks that multiply W_ih
//   kHiddenGrads       first of the G blocks that multiply W_hh
//   kOnlyInputBias     first gate whose b_hh is not part of the input product, or G.
//                      Only the last gate may have its b_hh apart
//   forward, backward  the pointwise part, for the units [j, j + lanes) of one row
//
// and, unless it takes them from OnePhase:
//
//   input_block(gate)   which of the input's blocks in dz belongs to that gate
//   weight_block(gate)  which block of H rows in the weights that gate has
//   kUnread             a block of H rows in the weights that no gate has, or −1
//   serves(options)     whether it is the one for these; see cell_kernels.h
//
// A step is a list of phases, each a product with a pointwise ending:
//
//   z = W_hh[gates of the phase] · its operand, then forward
//   dh = dz[gates of the phase] · W_hh[gates of the phase], then backward
//
// Most cells have one phase, and are it. Others list theirs in PhasesOf (gru.cpp). A
// phase has the members above that its product and its ending need, and
//
//   kFirst  the first of its gates among the cell's
//   kInner  its operand is row.c, which the phase before has written, instead of h_in;
//           backward, it multiplies its own block of this step's dz
#pragma once

#include "fastrnn/kernels.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

enum class Carry { kNothing, kCellState, kHidden };

// What most cells have in common.
struct OnePhase {
  static constexpr int kFirst = 0;
  static constexpr bool kInner = false;
  static constexpr int kUnread = -1;
  static constexpr int input_block(int gate) { return gate; }
  static constexpr int weight_block(int gate) { return gate; }
  template <class T>
  static bool serves(const CellOptions<T>&) {
    return true;
  }
};

template <class... Phase>
struct Phases {
  static constexpr int kCount = sizeof...(Phase);
  // The first gate of an inner phase, or the number of gates.
  static constexpr int kInnerGate = (0 + ... + (Phase::kInner ? 0 : Phase::G));

  // Calls call(phase, whether it is the last) for each, until one returns true; returns
  // whether one did.
  template <class Cell, class Call>
  static FASTRNN_INLINE bool each(const Cell& cell, const Call& call) {
    int left = kCount;
    return (call(Phase(cell), --left == 0) || ...);
  }
};

template <class Cell>
struct PhasesOf {
  using Type = Phases<Cell>;
};

template <class Cell, class Call>
FASTRNN_INLINE bool for_phases(const Cell& cell, const Call& call) {
  return PhasesOf<Cell>::Type::each(cell, call);
}

template <class Cell>
constexpr bool kSeveralPhases = PhasesOf<Cell>::Type::kCount > 1;

// Blocks of H rows in the weights, as the caller has them.
template <class Cell>
constexpr int kWeightBlocks = Cell::G + (Cell::kUnread >= 0);

// The operands of one row at one step, forward.
template <class T>
struct ForwardRow {
  const T* z;       // W_ih·x + b of this row, [unit vectors] apart, each [G][lanes]
  const T* h_prev;  // [H]
  const T* h_in;    // [H]: the operand of W_hh, h_prev or mask ⊙ h_prev
  const T* c_prev;  // [H] (LSTM); may be c itself
  T* h;             // = [H]
  T* c;      // = [H] (LSTM: cell state; GRU: W_hn·h + b_hn, for the tape, or null;
             // GRU with the reset before: r ⊙ h_in)
  T* gates;  // = [kTape·H] or null
  // Used by the driver: see Regularisers.
  const std::uint8_t* zoneout_h;  // [H] or null
  const std::uint8_t* zoneout_c;  // [H] or null
};

// The same, backward. dz_next and cut belong to the step after this one.
template <class T>
struct BackwardRow {
  const T* dz_next;  // [G·H] of the next step: times W_hh, its part of dh
  const T* dy;       // [H] or null
  const T* dh_n;     // [H] or null; at the row's last step only
  const T* dc;       // [H] or null (LSTM): the gradient of c from outside
  const T* gates;    // [kTape·H]
  const T* h;        // [H]
  const T* h_prev;   // [H]
  const T* c;        // [H] (GRU)
  const T* c_prev;   // [H] (LSTM)
  T* dz;      // = [kGrads·H]; null before the first step: dh goes to dh_out alone
  T* carry;   // read, then = [H]
  T* dh_out;  // = [H] or null
  bool cut;   // nothing comes back from the next step
  // Used by the driver: see Regularisers.
  const T* mask;                  // [H] or null
  const std::uint8_t* zoneout_h;  // [H] or null
  const std::uint8_t* zoneout_c;  // [H] or null
  T* held;  // read, then = [H]: the part of dh that passes by the cell; or null
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
