#include "fastrnn/schedule.h"

#include <algorithm>
#include <numeric>

namespace fastrnn {

Schedule::Schedule(std::ptrdiff_t T, std::ptrdiff_t N, const std::int64_t* lengths,
                   Padding padding, const std::uint8_t* resets, bool reverse)
    : row_(N), first_(N), length_(N) {
  auto length_of = [&](std::ptrdiff_t n) {
    return lengths ? std::ptrdiff_t(lengths[n]) : T;
  };
  std::iota(row_.begin(), row_.end(), std::ptrdiff_t{0});
  if (lengths) {
    std::stable_sort(row_.begin(), row_.end(), [&](std::ptrdiff_t a, std::ptrdiff_t b) {
      return length_of(a) > length_of(b);
    });
  }
  for (std::ptrdiff_t i = 0; i < N; ++i) {
    const std::ptrdiff_t n = row_[i], length = length_of(n);
    const std::ptrdiff_t begin = padding == Padding::kRight ? 0 : T - length;
    const std::ptrdiff_t t = reverse ? begin + length - 1 : begin;
    length_[i] = length;
    first_[i] = t * N + n;
  }
  const std::ptrdiff_t steps = N > 0 ? length_[0] : 0;
  active_.assign(steps + 1, 0);
  for (std::ptrdiff_t i = 0; i < N && length_[i] > 0; ++i) ++active_[length_[i] - 1];
  for (std::ptrdiff_t s = steps - 1; s >= 0; --s) active_[s] += active_[s + 1];
  view_ = ScheduleView{T,
                       N,
                       steps,
                       reverse ? -N : N,
                       row_.data(),
                       first_.data(),
                       length_.data(),
                       active_.data(),
                       resets,
                       reverse};
}

}  // namespace fastrnn
