// The cost model: how many threads a call is worth, and what they share.
#pragma once

#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// The product of a step must be larger than this, or it is over before a barrier is;
// larger still if the rows could be shared instead, without a barrier.
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

// Threads for work of so many operations that divides evenly.
FASTRNN_INLINE int team_for(int threads, double flops) {
  return flops < kWorthATeam ? 1 : threads;
}

// recurrent: numbers in W_hh; vectors: unit vectors to share.
template <class T>
Plan make_plan(int threads, const ScheduleView& v, double flops, Size recurrent,
               Size vectors) {
  const Sharing way = get_sharing();
  if (threads <= 1 || v.N == 0 || way == Sharing::kNone) return {1, false};
  if (way == Sharing::kBest && flops < kWorthATeam) return {1, false};
  threads = startable_members(threads);
  if (way == Sharing::kRows) return {int(at_most(threads, v.N)), false};
  if (way == Sharing::kUnits) return {threads, true};
  // If the weights do not stay in the private cache, threads that share the units read
  // each of them once; threads that share the rows would each read them all.
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
