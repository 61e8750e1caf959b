// Builds a ScheduleView out of lengths, padding, resets and direction.
#pragma once

#include <vector>

#include "fastrnn/schedule_view.h"

namespace fastrnn {

enum class Padding { kRight, kLeft };

class Schedule {
 public:
  // lengths [N] (each 0 … T) or null; resets [T, N] or null, kept without copying.
  Schedule(std::ptrdiff_t T, std::ptrdiff_t N, const std::int64_t* lengths,
           Padding padding, const std::uint8_t* resets, bool reverse);
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  const ScheduleView& view() const { return view_; }

 private:
  std::vector<std::ptrdiff_t> row_, first_, length_, active_;
  ScheduleView view_;
};

}  // namespace fastrnn
