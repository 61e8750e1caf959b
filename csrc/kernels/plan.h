// The cost model: how many threads a call is worth, and what they share out.
#pragma once

#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// A step whose product is smaller than this is over before a barrier is. Where the rows
// could be shared instead, without a barrier, it has to be larger.
constexpr double kWorthABarrier = 1e5;  // floating-point operations
constexpr double kWorthMoreThanRows = 2.5e5;

struct Plan {
  int threads;
  bool share_units;
};

FASTRNN_INLINE Size valid_steps(const ScheduleView& v) {
  Size valid = 0;
  for (Size s = 0; s < v.steps; ++s) valid += v.active[s];
  return valid;
}

// recurrent: the numbers in W_hh; vectors: the unit vectors to share.
template <class T>
Plan make_plan(int threads, const ScheduleView& v, double flops, Size recurrent,
               Size vectors) {
  if (threads <= 1 || v.N == 0) return {1, false};
  switch (get_sharing()) {
    case Sharing::kNone:
      return {1, false};
    case Sharing::kRows:
      return {int(at_most(threads, v.N)), false};
    case Sharing::kUnits:
      return {threads, true};
    case Sharing::kBest:
      break;
  }
  if (flops < kWorthATeam) return {1, false};
  // Of weights that do not stay in the private cache, threads that share the units read
  // each once, where threads that share the rows would each read them all.
  const bool worth_barrier = 2.0 * double(v.N * recurrent) >
                             (v.N < threads ? kWorthABarrier : kWorthMoreThanRows);
  const bool few_rows = v.N < 4 * Size(threads);
  const bool large =
      recurrent * Size(sizeof(T)) > kPrivateCache && v.N <= 32 * Size(threads);
  if (worth_barrier && (few_rows || large) && vectors >= threads)
    return {threads, true};
  return {int(at_most(threads, v.N)), false};
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
