// Positions of rows at a step, and shares of rows, units and columns.
#pragma once

#include "fastrnn/kernels.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

FASTRNN_INLINE Size divide_up(Size a, Size b) { return (a + b - 1) / b; }
FASTRNN_INLINE Size at_most(Size a, Size b) { return a < b ? a : b; }

// Bytes that stay in a core's private cache from one sweep over them to the next.
constexpr Size kPrivateCache = Size(1) << 20;

// The position of step s of sorted row i, to be multiplied by a width.
FASTRNN_INLINE Size position(const ScheduleView& v, Size i, Size s) {
  if (v.offset) return v.offset[v.reverse ? v.length[i] - 1 - s : s] + i;
  return v.first[i] + s * v.stride;
}

// Whether a reset cuts step s of row i off from the state before it. A reset at time t
// lies between t − 1 and t in either direction; in reverse the initial state enters at
// the other end, and no reset cuts it off.
FASTRNN_INLINE bool is_cut(const ScheduleView& v, Size i, Size s) {
  if (!v.resets) return false;
  if (!v.reverse) return v.resets[position(v, i, s)] != 0;
  return s > 0 && v.resets[position(v, i, s - 1)] != 0;
}

// to[at] = 0, a row of `width` numbers, unless the array is absent.
template <class T>
FASTRNN_INLINE void clear_row(T* to, Size at, Size width) {
  if (to) __builtin_memset(to + at * width, 0, std::size_t(width) * sizeof(T));
}

// Calls clear(position) for the padding in a member's share of time.
template <class Clear>
FASTRNN_INLINE void for_padding(const ScheduleView& v, Team team, const Clear& clear) {
  const Size step = v.reverse ? -v.stride : v.stride;
  for (Size t = v.T * team.rank / team.size; t < v.T * (team.rank + 1) / team.size;
       ++t) {
    for (Size i = 0; i < v.N; ++i) {
      const Size at = t * step + v.row[i] * v.row_stride, steps = v.length[i] * step;
      const Size begin = v.reverse ? v.first[i] - steps + step : v.first[i];
      if (at < begin || at >= begin + steps) clear(at);
    }
  }
}

// The share [begin, end) of n things that one of `size` members has, in runs of
// `grain`.
struct Range {
  Size begin, end;
};
FASTRNN_INLINE Range share_of(Size n, int rank, int size, Size grain = 1) {
  const Size grains = divide_up(n, grain);
  return {at_most(n, grains * rank / size * grain),
          at_most(n, grains * (rank + 1) / size * grain)};
}

// n things in tiles of at most `most`, as even as possible: a small last tile would run
// at a third of the speed.
struct Tiles {
  Size count, small, larger;  // `larger` of them have small + 1 and come first

  FASTRNN_INLINE Size size(Size i) const { return small + (i < larger); }
  FASTRNN_INLINE Size first(Size i) const { return i * small + at_most(i, larger); }
};
FASTRNN_INLINE Tiles split(Size n, Size most) {
  const Size count = divide_up(n, most);
  return {count, count ? n / count : 0, count ? n % count : 0};
}

// A thread's share of a step: rows are shared among `row_ways` threads, or units among
// `unit_ways`. Sorted rows are dealt out in turn, so that every thread gets long and
// short ones: local row j is sorted row rank + j·ways.
struct Slice {
  int row_rank, row_ways, unit_rank, unit_ways;

  FASTRNN_INLINE Size sorted(Size j) const { return row_rank + j * row_ways; }
  FASTRNN_INLINE Size count(Size active) const {
    return active > row_rank ? divide_up(active - row_rank, row_ways) : 0;
  }
};
FASTRNN_INLINE Slice slice_of(Team team, bool share_units) {
  if (share_units) return {0, 1, team.rank, team.size};
  return {team.rank, team.size, 0, 1};
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
