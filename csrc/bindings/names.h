// Names that Python passes, as the enums that the kernels take.
#pragma once

#include <cctype>
#include <stdexcept>
#include <string>
#include <string_view>

#include "fastrnn/kernels.h"
#include "fastrnn/schedule.h"

namespace fastrnn {

template <class Value>
struct Name {
  std::string_view name;
  Value value;
};

#define FASTRNN_CELL_NAME(kind, name) {#name, CellKind::kind},
constexpr Name<CellKind> kCellNames[] = {FASTRNN_CELLS(FASTRNN_CELL_NAME)};
#undef FASTRNN_CELL_NAME
constexpr Name<Activation> kActivationNames[] = {{"tanh", Activation::kTanh},
                                                 {"relu", Activation::kRelu},
                                                 {"elu", Activation::kElu}};
enum class Reset { kAfter, kBefore };
constexpr Name<Reset> kResetNames[] = {{"after", Reset::kAfter},
                                       {"before", Reset::kBefore}};
constexpr Name<Layout> kLayoutNames[] = {{"time", Layout::kTimeFirst},
                                         {"batch", Layout::kBatchFirst},
                                         {"packed", Layout::kPacked}};
constexpr Name<Padding> kPaddingNames[] = {{"right", Padding::kRight},
                                           {"left", Padding::kLeft}};
constexpr Name<OptimizerRule> kRuleNames[] = {{"sgd", OptimizerRule::kSgd},
                                              {"rmsprop", OptimizerRule::kRmsprop},
                                              {"adagrad", OptimizerRule::kAdagrad},
                                              {"adam", OptimizerRule::kAdam}};
constexpr Name<LossRule> kLossNames[] = {{"squared", LossRule::kSquared},
                                         {"absolute", LossRule::kAbsolute},
                                         {"huber", LossRule::kHuber},
                                         {"quantile", LossRule::kQuantile},
                                         {"binary", LossRule::kBinary}};
constexpr Name<Sharing> kSharingNames[] = {{"best", Sharing::kBest},
                                           {"none", Sharing::kNone},
                                           {"rows", Sharing::kRows},
                                           {"units", Sharing::kUnits}};

// The value of `name`. Throws std::invalid_argument if it is not in the table.
template <class Value, std::size_t count>
Value named(const char* argument, const Name<Value> (&names)[count],
            std::string_view name) {
  for (const Name<Value>& known : names) {
    if (known.name == name) return known.value;
  }
  std::string expected(names[0].name);
  for (std::size_t i = 1; i < count; ++i) {
    expected += i + 1 < count ? ", " : " or ";
    expected += names[i].name;
  }
  throw std::invalid_argument(std::string(argument) + ": expected " + expected +
                              ", got " + std::string(name));
}

// The name of the layer with this cell: LSTM.
inline std::string layer_name(CellKind cell) {
  std::string name;
  for (const Name<CellKind>& n : kCellNames) {
    if (n.value == cell) name = n.name;
  }
  for (char& c : name) c = char(std::toupper(c));
  return name;
}

}  // namespace fastrnn
