// The errors of the C library, as exceptions until they reach its functions.
#pragma once

#include <stdexcept>
#include <string>

#include "fastrnn.h"

namespace fastrnn {

class Refused : public std::runtime_error {
 public:
  Refused(fastrnn_status why, const std::string& message)
      : std::runtime_error(message), status(why) {}
  fastrnn_status status;
};

inline void require(bool is_so, fastrnn_status status, const std::string& message) {
  if (!is_so) throw Refused(status, message);
}

}  // namespace fastrnn
