#include "fastrnn/schedule.h"

#include <algorithm>
#include <numeric>

namespace fastrnn {

Schedule::Schedule(Layout layout, std::ptrdiff_t T, std::ptrdiff_t N,
                   const std::int64_t* lengths, Padding padding,
                   const std::uint8_t* resets, bool reverse)
    : row_(N), first_(N), length_(N), view_{} {
  view_.T = T;
  view_.N = N;
  std::iota(row_.begin(), row_.end(), std::ptrdiff_t{0});
  if (layout == Layout::kPacked) {
    place_packed(lengths);
  } else {
    place(layout, lengths, padding, reverse);
  }
  const std::ptrdiff_t steps = N > 0 ? length_[0] : 0;
  active_.assign(steps + 1, 0);
  for (std::ptrdiff_t i = 0; i < N && length_[i] > 0; ++i) ++active_[length_[i] - 1];
  for (std::ptrdiff_t s = steps - 1; s >= 0; --s) active_[s] += active_[s + 1];
  view_.steps = steps;
  view_.row = row_.data();
  view_.first = first_.data();
  view_.length = length_.data();
  view_.active = active_.data();
  view_.resets = resets;
  view_.reverse = reverse;
}

void Schedule::place(Layout layout, const std::int64_t* lengths, Padding padding,
                     bool reverse) {
  const std::ptrdiff_t T = view_.T, N = view_.N;
  const bool time_first = layout == Layout::kTimeFirst;
  const std::ptrdiff_t step = time_first ? N : 1, row = time_first ? 1 : T;
  auto length_of = [&](std::ptrdiff_t n) {
    return lengths ? std::ptrdiff_t(lengths[n]) : T;
  };
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
    first_[i] = t * step + n * row;
  }
  view_.positions = T * N;
  view_.stride = reverse ? -step : step;
  view_.row_stride = row;
}

void Schedule::place_packed(const std::int64_t* batch_sizes) {
  offset_.resize(view_.T);
  for (std::ptrdiff_t t = 0; t < view_.T; ++t) {
    offset_[t] = view_.positions;
    view_.positions += batch_sizes[t];
    for (std::ptrdiff_t i = 0; i < batch_sizes[t]; ++i) length_[i] = t + 1;
  }
  view_.offset = offset_.data();
}

}  // namespace fastrnn
