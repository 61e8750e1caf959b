// Threads that wait for teams to join.
#pragma once

namespace fastrnn {

// Calls work(rank, size, context) once on each of up to `threads` threads, the calling
// one with rank 0, and returns when all are done. There are fewer where the system
// starts no more; with 1, the calling thread works alone.
void run_on_pool(int threads, void (*work)(int rank, int size, void* context),
                 void* context);

}  // namespace fastrnn
