// A matrix product by tiles:  c_m[n] = or +=  Σ_k a_m[k] · b[k][n]
#pragma once

#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
struct Product {
  // [M] rows of K numbers; or, with a_step, M columns: pointers to their first numbers,
  // neighbours in a matrix of that row length. a_step is 0 for rows.
  const T* const* a;
  Size a_step;
  const T* b;   // [columns / lanes][K][lanes], packed
  T* const* c;  // [M] rows of `columns` numbers; may not overlap a or b
  Size M, K, columns;
  bool accumulate;  // += instead of =
  // Data in far memory that is prefetched meanwhile.
  const T* next = nullptr;
  Size next_count = 0;
};

// The given column vectors of the product. Its tiles are instantiated only in
// product.cpp: in every file that multiplies, they would be half of the compile time.
template <class T>
void multiply(const Product<T>& x, Range column_vectors);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
