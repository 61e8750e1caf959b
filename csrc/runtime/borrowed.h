// Teams on the threads of another library's OpenMP.
#pragma once

namespace fastrnn {

// As run_on_pool; false, and nothing is done, if no library's threads are borrowed.
bool run_on_borrowed(int threads, void (*work)(int rank, int size, void* context),
                     void* context);

}  // namespace fastrnn
