// A cell as the drivers over time (forward.h, backward.h) use it, a struct with:
//
//   Cell(Activation)   from the activation of the call, which most cells ignore
//   G                  gates
//   kGrads             blocks of H numbers that backward writes per row and step
//   kTape              blocks of H numbers in the tape's gates; 0: h is enough
//   kTapeC             whether the tape has c
//   kCarry             passes between steps beside h: nothing (RNN); the cell state c,
//                      and backward its gradient dc (LSTM); nothing forward, and
//                      backward the part of dh that does not go through W_hh (GRU)
//   kInputGrads        first of the G blocks that multiply W_ih
//   kHiddenGrads       first of the G blocks that multiply W_hh
//   input_block(gate)  which of the input's blocks belongs to that gate's rows of W_ih
//   kOnlyInputBias     first gate whose b_hh is not part of the input product, or G.
//                      Only the last gate may have its b_hh apart
//   forward, backward  the pointwise part, for the units [j, j + lanes) of one row
#pragma once

#include "fastrnn/kernels.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

enum class Carry { kNothing, kCellState, kHidden };

// The operands of one row at one step, forward.
template <class T>
struct ForwardRow {
  const T* z;       // W_ih·x + b of this row, [unit vectors] apart, each [G][lanes]
  const T* h_prev;  // [H]
  const T* h_in;    // [H]: the operand of W_hh, h_prev or mask ⊙ h_prev
  const T* c_prev;  // [H] (LSTM); may be c itself
  T* h;             // = [H]
  T* c;             // = [H] (LSTM: cell state; GRU: W_hn·h + b_hn, for the tape)
  T* gates;         // = [kTape·H] or null
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
