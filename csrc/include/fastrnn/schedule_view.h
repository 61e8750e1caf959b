// Which rows are at work at which step, and where each stands in [T, N, …].
//
// Rows are sorted by length, longest first, so that the active ones are always the
// first. Row i (sorted) does its s-th step at position
//
//   first[i] + s·stride        (an index into [T·N], to be scaled by a width)
//
// which covers both directions and both paddings; nothing is copied into another
// layout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastrnn {

struct ScheduleView {
  std::ptrdiff_t T, N;
  std::ptrdiff_t steps;          // the greatest length
  std::ptrdiff_t stride;         // +N, or −N in reverse
  const std::ptrdiff_t* row;     // [N]: batch row of sorted row i
  const std::ptrdiff_t* first;   // [N]: position of its step 0
  const std::ptrdiff_t* length;  // [N]: its steps
  const std::ptrdiff_t* active;  // [steps + 1]: rows with length > s; 0 at the end
  const std::uint8_t* resets;    // [T, N] or null
  bool reverse;
};

}  // namespace fastrnn
