// Which rows are active at which step, and where each lies in [T, N, …] or in PyTorch's
// two other layouts.
//
// Rows are sorted by length, longest first, so that the active ones are always the
// first. Row i (sorted) does its s-th step at position
//
//   first[i] + s·stride        (an index into [T·N] or [N·T], to be scaled by a width)
//
// which covers both directions and both paddings; packed, without any padding, at
//
//   offset[t] + i              t = s, or length[i] − 1 − s in reverse
//
// Nothing is copied into another layout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastrnn {

struct ScheduleView {
  std::ptrdiff_t T, N;
  std::ptrdiff_t steps;          // the greatest length
  std::ptrdiff_t positions;      // their number: T·N, or packed the valid steps
  std::ptrdiff_t stride;         // +N (batch first: +1), negative in reverse
  std::ptrdiff_t row_stride;     // 1 (batch first: T)
  const std::ptrdiff_t* row;     // [N]: batch row of sorted row i
  const std::ptrdiff_t* first;   // [N]: position of its step 0
  const std::ptrdiff_t* length;  // [N]: its steps
  const std::ptrdiff_t* active;  // [steps + 1]: rows with length > s; 0 at the end
  const std::ptrdiff_t* offset;  // packed: [T], position of time t's first row. Or null
  const std::uint8_t* resets;    // by position, or null
  bool reverse;
};

}  // namespace fastrnn
