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
// Most cells have one phase, and are it. Others list theirs in PhasesOf (gru.cpp,
// lstm.cpp). A phase has the members above that its product and its ending need, and
//
//   kFirst       the first of its gates among the cell's
//   kInner       its operand is row.inner, which the phase before has written, instead
//                of h_in; backward, it multiplies its own block of this step's dz
//   kProjection  its matrix is W_hr in place of W_hh, its units are those of h, and its
//                sums begin at 0
//   kForwardH, kForwardC, kBackwardC
//                whether forward leaves h or c as it will be, and whether backward
//                takes the gradient of c: zoneout acts there
#pragma once

#include "fastrnn/kernels.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

enum class Carry { kNothing, kCellState, kHidden };

// What most cells have in common.
struct OnePhase {
  static constexpr int kFirst = 0;
  static constexpr bool kInner = false, kProjection = false;
  static constexpr bool kForwardH = true, kForwardC = true, kBackwardC = true;
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
  static constexpr bool kProjects = (Phase::kProjection || ...);
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
template <class Cell>
constexpr bool kHasProjection = PhasesOf<Cell>::Type::kProjects;

// Blocks of H rows in the weights, as the caller has them.
template <class Cell>
constexpr int kWeightBlocks = Cell::G + (Cell::kUnread >= 0);

// The operands of one row at one step, forward. Those of P numbers are h, its gradient
// and what acts on it.
template <class T>
struct ForwardRow {
  const T* z;       // W_ih·x + b of this row, [unit vectors] apart, each [G][lanes]
  const T* h_prev;  // [P]
  const T* h_in;    // [P]: the operand of W_hh, h_prev or mask ⊙ h_prev
  const T* c_prev;  // [H] (LSTM); may be c itself
  T* h;             // = [P]
  T* c;      // = [H] (LSTM: cell state; GRU: W_hn·h + b_hn, for the tape, or null)
  T* inner;  // = [H]: the operand of an inner phase (GRU with the reset before:
             // r ⊙ h_in, for the tape; LSTM with a projection: o ⊙ tanh c)
  T* gates;  // = [kTape·H] or null
  // Used by the driver: see Regularisers.
  const std::uint8_t* zoneout_h;  // [P] or null
  const std::uint8_t* zoneout_c;  // [H] or null
};

// The same, backward. dz_next and cut belong to the step after this one.
template <class T>
struct BackwardRow {
  const T* dz_next;  // [G·H] of the next step: times W_hh, its part of dh
  const T* dy;       // [P] or null
  const T* dh_n;     // [P] or null; at the row's last step only
  const T* dc;       // [H] or null (LSTM): the gradient of c from outside
  const T* gates;    // [kTape·H]
  const T* h;        // [P]
  const T* h_prev;   // [P]
  const T* c;        // [H] (GRU)
  const T* c_prev;   // [H] (LSTM)
  T* dz;  // = [kGrads·H]; null before the first step: dh goes to dh_out alone. With a
          // projection dh [P] follows
  T* inner;  // = [unit vectors, inner_step apart][lanes] (LSTM with a projection)
  Size inner_step;
  T* carry;   // read, then = [H]
  T* dh_out;  // = [P] or null
  bool cut;   // nothing comes back from the next step
  // Used by the driver: see Regularisers.
  const T* mask;                  // [P] or null
  const std::uint8_t* zoneout_h;  // [P] or null
  const std::uint8_t* zoneout_c;  // [H] or null
  T* held;  // read, then = [P]: the part of dh that passes by the cell; or null
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
