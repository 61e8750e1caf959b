// Builds a ScheduleView from layout, lengths, padding, resets and direction.
#pragma once

#include <vector>

#include "fastrnn/schedule_view.h"

namespace fastrnn {

enum class Padding { kRight, kLeft };

// Time first: [T, N, …]. Batch first: [N, T, …]. Packed: the rows of time 0, then those
// of time 1, …: at each time the rows that are long enough, the longest first.
enum class Layout { kTimeFirst, kBatchFirst, kPacked };

class Schedule {
 public:
  // lengths: [N], each 0 … T, or null; packed: instead the number of rows at each time,
  // [T]. resets: by position or null; they are not copied.
  Schedule(Layout layout, std::ptrdiff_t T, std::ptrdiff_t N,
           const std::int64_t* lengths, Padding padding, const std::uint8_t* resets,
           bool reverse);
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  const ScheduleView& view() const { return view_; }

 private:
  void place(Layout layout, const std::int64_t* lengths, Padding padding, bool reverse);
  void place_packed(const std::int64_t* batch_sizes);

  std::vector<std::ptrdiff_t> row_, first_, length_, active_, offset_;
  ScheduleView view_;
};

}  // namespace fastrnn
