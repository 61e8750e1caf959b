// A matrix product by tiles:  c_m[n] = or +=  Σ_k a_m[k] · b[k][n]
#pragma once

#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
struct Product {
  const T* const* a;  // [M] rows; or, with a_step, M neighbours in the first row of a
  Size a_step;        //   matrix of that row length, whose columns they head. Else 0
  const T* b;         // [columns / lanes][K][lanes], packed
  T* const* c;        // [M] rows of `columns` numbers; may not overlap a or b
  Size M, K, columns;
  bool accumulate;  // += instead of =
  // What will be read after it, in far memory: it sets out meanwhile.
  const T* next = nullptr;
  Size next_count = 0;
};

// The given column vectors of the product. Its tiles are instantiated in product.cpp
// alone: they are half of what there is to compile.
template <class T>
void multiply(const Product<T>& x, Range column_vectors);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
