// A checked call of a sequence function, as Python hands it over.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "arrays.h"
#include "fastrnn/schedule.h"
#include "names.h"

namespace fastrnn {

// Where the fields of fastrnn._types.Sequence stand in it, found by their names once. A
// call may be a plain tuple in that order.
class SequenceFields {
  const py::tuple names_ = py::module_::import("fastrnn._types")
                               .attr("Sequence")
                               .attr("_fields")
                               .cast<py::tuple>();

  Py_ssize_t find(const char* name) const {
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (names_[i].cast<std::string_view>() == name) return i;
    }
    throw py::attribute_error(std::string("Sequence: expected a field ") + name);
  }

 public:
  const Py_ssize_t count = py::ssize_t(names_.size());
  const Py_ssize_t cell = find("cell");
  const Py_ssize_t T = find("T"), N = find("N"), I = find("I"), H = find("H");
  const Py_ssize_t V = find("V"), dtype = find("dtype");
  const Py_ssize_t x = find("x"), tokens = find("tokens");
  const Py_ssize_t embedding = find("embedding");
  const Py_ssize_t w_ih = find("w_ih"), w_hh = find("w_hh");
  const Py_ssize_t b_ih = find("b_ih"), b_hh = find("b_hh");
  const Py_ssize_t h0 = find("h0"), c0 = find("c0");
  const Py_ssize_t nonlinearity = find("nonlinearity");
  const Py_ssize_t reset = find("reset"), coupled = find("coupled");
  const Py_ssize_t peephole = find("peephole"), projection = find("projection");
  const Py_ssize_t P = find("P");
  const Py_ssize_t lengths = find("lengths"), padding = find("padding");
  const Py_ssize_t resets = find("resets"), reverse = find("reverse");
  const Py_ssize_t training = find("training");
  const Py_ssize_t recurrent_mask = find("recurrent_mask");
  const Py_ssize_t zoneout_h = find("zoneout_h"), zoneout_c = find("zoneout_c");
  const Py_ssize_t zoneout_rate = find("zoneout_rate");
  const Py_ssize_t layout = find("layout"), threads = find("threads");

  // Throws std::invalid_argument if the sequence has not as many fields.
  const SequenceFields& check(const py::tuple& sequence) const {
    if (py::ssize_t(sequence.size()) == count) return *this;
    throw std::invalid_argument("sequence: expected " + std::to_string(count) +
                                " fields, got " + std::to_string(sequence.size()));
  }

  // Made at the first call, and never destroyed. Not by pybind11's means, which would
  // give the GIL away: a thread might not get it back while the interpreter ends.
  static const SequenceFields& get() {
    static std::atomic<const SequenceFields*> fields{nullptr};
    const SequenceFields* found = fields.load(std::memory_order_acquire);
    if (found) return *found;
    auto made = std::make_unique<const SequenceFields>();
    if (fields.compare_exchange_strong(found, made.get())) return *made.release();
    return *found;
  }
};

class SequenceCall {
 public:
  explicit SequenceCall(const py::tuple& sequence)
      : sequence_(sequence),
        fields(SequenceFields::get().check(sequence)),
        cell(named("cell", kCellNames, text(fields.cell))),
        T(size(fields.T)),
        N(size(fields.N)),
        I(size(fields.I)),
        H(size(fields.H)),
        P(has(fields.projection) ? size(fields.P) : H),
        V(size(fields.V)),
        GH(kernels<float>().cell(cell).gates * H),
        zoneout_rate((*this)[fields.zoneout_rate].cast<double>()),
        layout_(named("layout", kLayoutNames, text(fields.layout))),
        schedule_(layout_, T, N, data<std::int64_t>((*this)[fields.lengths]),
                  named("padding", kPaddingNames, text(fields.padding)),
                  data<std::uint8_t>((*this)[fields.resets]), flag(fields.reverse)) {}

  py::handle operator[](Py_ssize_t field) const {
    return PyTuple_GET_ITEM(sequence_.ptr(), field);
  }
  bool has(Py_ssize_t field) const { return !(*this)[field].is_none(); }
  bool flag(Py_ssize_t field) const { return (*this)[field].cast<bool>(); }
  py::dtype dtype() const { return dtype_of(sequence_); }
  static py::dtype dtype_of(const py::tuple& sequence) {
    return sequence[SequenceFields::get().check(sequence).dtype].cast<py::dtype>();
  }

  // [T, N, width] in the call's layout.
  std::vector<Size> shape(Size width) const {
    if (layout_ == Layout::kPacked) return {schedule_.view().positions, width};
    if (layout_ == Layout::kBatchFirst) return {N, T, width};
    return {T, N, width};
  }

  // The arguments that forward and backward have in common; not forward's zoneout_rate,
  // which is to be rounded in a FloatEnvironment.
  template <class T, class Args>
  void fill(Args& args) const {
    const SequenceFields& f = fields;
    const SequenceCall& s = *this;
    args.schedule = schedule_.view();
    args.input = {I, V, data<T>(s[f.x]), data<std::int64_t>(s[f.tokens]),
                  data<T>(s[f.embedding])};
    args.weights = {H,
                    P,
                    data<T>(s[f.w_ih]),
                    data<T>(s[f.w_hh]),
                    data<T>(s[f.b_ih]),
                    data<T>(s[f.b_hh]),
                    data<T>(s[f.projection])};
    args.regularisers = {data<T>(s[f.recurrent_mask]),
                         data<std::uint8_t>(s[f.zoneout_h]),
                         data<std::uint8_t>(s[f.zoneout_c]), T(0)};
    args.options = {named("nonlinearity", kActivationNames, text(f.nonlinearity)),
                    named("reset", kResetNames, text(f.reset)) == Reset::kBefore,
                    flag(f.coupled), has(f.projection), data<T>(s[f.peephole])};
    args.h0 = data<T>(s[f.h0]);
    args.c0 = data<T>(s[f.c0]);
    args.threads = threads_or_default(s[f.threads].cast<int>());
  }

 private:
  Size size(Py_ssize_t field) const { return (*this)[field].cast<Size>(); }
  std::string_view text(Py_ssize_t field) const {
    return (*this)[field].cast<std::string_view>();
  }

  const py::tuple& sequence_;

 public:
  const SequenceFields& fields;
  const CellKind cell;
  const Size T, N, I, H, P, V, GH;
  const double zoneout_rate;

 private:
  const Layout layout_;
  const Schedule schedule_;
};

}  // namespace fastrnn
