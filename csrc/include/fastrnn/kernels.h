// The kernels' entry points: plain structs of pointers, and one table of functions per
// instruction set and dtype. Arrays [T, N, …] are in C order; null means absent.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fastrnn/cells.h"
#include "fastrnn/runtime.h"
#include "fastrnn/schedule_view.h"

namespace fastrnn {

using Size = std::ptrdiff_t;

// A build for inference in float alone (FASTRNN_INFERENCE_ONLY) has no kernels that
// train, no bfloat16, and of double only apply_math. What is left out is null in the
// tables.
#if defined(FASTRNN_INFERENCE_ONLY)
constexpr bool kTrains = false;
#else
constexpr bool kTrains = true;
#endif
template <class T>
constexpr bool kHasKernels = kTrains || sizeof(T) == sizeof(float);

enum class Activation { kTanh, kRelu, kElu };

using Bfloat16 = std::uint16_t;  // the upper half of a float

// The input of a layer: floating rows, tokens (one-hot), or tokens with an embedding.
template <class T>
struct Input {
  Size I;                      // width; with one-hot tokens I = V
  Size V;                      // vocabulary size, with tokens
  const T* x;                  // [T, N, I]
  const std::int64_t* tokens;  // [T, N]; read at valid steps only
  const T* embedding;          // [V, I]
};

// H units; h has P numbers, which are as many unless an LSTM has a projection.
template <class T>
struct Weights {
  Size H, P;
  const T* w_ih;  // [G·H, I]
  const T* w_hh;  // [G·H, P]
  const T* b_ih;  // [G·H] or null
  const T* b_hh;  // [G·H] or null
  const T* w_hr;  // [P, H] or null (LSTM): the projection
};

// Recurrent dropout and zoneout; all absent in most calls. Under zoneout a unit whose
// byte is not 0 leaves the step with the state that it entered with.
template <class T>
struct Regularisers {
  const T* mask;                  // [N, P] or null: W_hh multiplies mask ⊙ h_{t−1}
  const std::uint8_t* zoneout_h;  // [T, N, P] or null
  const std::uint8_t* zoneout_c;  // [T, N, H] or null (LSTM)
  T rate;  // the expected share of such units: without bytes, forward only
};

// What a cell does beside its plain equations. A cell reads its own and no others.
template <class T>
struct CellOptions {
  Activation activation;  // RNN
  bool reset_before;      // GRU
  bool coupled;           // LSTM: f = 1 − i, and nothing of f in the weights is read
  bool projection;        // LSTM: h = W_hr·(o ⊙ tanh c)
  const T* peephole;      // [3, H] or null (LSTM): of i, f and o
};

// A layer's weights in the order in which one instruction set reads them. The matrices
// hold T, or with `bfloat16` Bfloat16; sums are in T all the same.
template <class T>
struct PackedWeights {
  Size I, H, P;
  void* w_ih;   // [unit vectors][I][G][lanes]
  void* w_hh;   // [unit vectors][P][G][lanes], one phase of a step after the other
  void* w_hr;   // [vectors of h][H][lanes], or null
  T* bias;      // [unit vectors][G][lanes]: b_ih + b_hh; GRU's candidate: b_ih alone
  T* b_hidden;  // [unit vectors][lanes]: b_hh of the last gate
  T* peephole;  // [3, H] as it is, or null
  bool bfloat16;
};

template <class T>
struct ForwardArgs {
  ScheduleView schedule;
  Input<T> input;
  Weights<T> weights;
  Regularisers<T> regularisers;
  CellOptions<T> options;
  const T* h0;  // [N, P] or null
  const T* c0;  // [N, H] or null (LSTM)
  T* y;         // = [T, N, P], 0 on padding
  T* h_n;       // = [N, P]
  T* c_n;       // = [N, H] (LSTM)
  // The tape, or null; on padding nothing is written. c: GRU's W_hn·h + b_hn or, with
  // the reset before the product, r ⊙ h.
  T* gates;  // = [T, N, tape_gates·H] (RNN: null, y serves)
  T* c;      // = [T, N, H]
  int threads;
  const PackedWeights<T>* packed;  // the same weights, or null: packed in the call
};

template <class T>
struct BackwardArgs {
  ScheduleView schedule;
  Input<T> input;
  Weights<T> weights;
  Regularisers<T> regularisers;
  CellOptions<T> options;
  const T* h0;  // as in forward
  const T* c0;
  const T* y;  // the tape of forward, and its output
  const T* gates;
  const T* c;
  const T* dy;    // [T, N, P] or null; not read on padding
  const T* dh_n;  // [N, P] or null
  const T* dc_n;  // [N, H] or null (LSTM)
  const T* dc;    // [T, N, H] or null (LSTM): gradient of c; not read on padding
  T* dx;          // = [T, N, I] or null: not wanted, as everything below that may be
  T* dembedding;  // = [V, I] or null
  T* dw_ih;       // = [G·H, I] or null
  T* dw_hh;       // = [G·H, P] or null
  T* db_ih;       // = [G·H] or null
  T* db_hh;       // = [G·H] or null
  T* dh0;         // = [N, P]
  T* dc0;         // = [N, H] (LSTM)
  T* dw_hr;       // = [P, H] or null
  T* dpeephole;   // = [3, H] or null
  T* dh;          // = [T, N, P] or null: the gradient that reaches h_t
  int threads;
};

// One step of one layer and all its rows. It takes no memory: `scratch` is allocated
// beforehand.
template <class T>
struct StepArgs {
  const PackedWeights<T>* weights;
  CellOptions<T> options;
  Size N;
  const T* x;                  // [N, I], or null with tokens
  const std::int64_t* tokens;  // [N], each < I: one-hot rows
  const T* h_prev;             // [N, P]
  T* h;                        // = [N, P]; not h_prev
  T* c;                        // [N, H], read and written (LSTM)
  void* scratch;               // of step_scratch bytes
  bool backwards;              // begin with the last units: see forward.h
  const T* table;   // in place of x and W_ih: W_ih·x + b of every token, or null
  Size vocabulary;  // tokens in the table
};

// y[r] = x[r]·wᵀ + b
template <class T>
struct LinearArgs {
  Size rows, I, O;
  const T* x;  // [rows, I]
  const T* w;  // [O, I]
  const T* b;  // [O] or null
  T* y;        // = [rows, O]
  int threads;
};

// The weights of a linear layer in the order in which one instruction set reads them.
template <class T>
struct PackedLinear {
  Size I, O;
  T* w;     // [output vectors][I][lanes]
  T* bias;  // [output vectors][lanes]
};

// The same with packed weights, for one step of a few rows. It takes no memory.
template <class T>
struct LinearStepArgs {
  const PackedLinear<T>* weights;
  Size N;
  const T* x;      // [N, I]
  T* y;            // = [N, O]
  void* scratch;   // of 2·N pointers for each thread; with one row not needed
  bool backwards;  // begin with the last outputs
};

template <class T>
struct LinearBackwardArgs {
  Size rows, I, O;
  const T* x;   // [rows, I]
  const T* w;   // [O, I]
  const T* dy;  // [rows, O]
  T* dx;        // = [rows, I]
  T* dw;        // = [O, I]
  T* db;        // = [O] or null
  int threads;
};

// loss[r] = −log softmax(y[r]·wᵀ + b)[target[r]]; the gradients are those of
// Σ_r scale·loss[r]. A row with a negative target is left out of both. For weights and
// smoothing see cross_entropy.cpp; there is no smoothing without weights.
template <class T>
struct CrossEntropyArgs {
  Size rows, H, V;
  const T* y;                   // [rows, H]
  const T* w;                   // [V, H]
  const T* b;                   // [V] or null
  const std::int64_t* targets;  // [rows], each < V
  const T* weights;             // [rows] or null: of the target's part of a loss
  const T* smoothing;           // [V] or null
  const T* shares;              // [rows], with smoothing: of its part of a loss
  T scale;
  T* loss;  // = [rows]
  T* dy;    // = [rows, H] or null: not wanted, as below
  T* dw;    // = [V, H] or null
  T* db;    // = [V] or null
  int threads;
};

enum class LossRule { kSquared, kAbsolute, kHuber, kQuantile, kBinary };

// Losses of numbers; the equations are in losses.cpp. The weights are those of runs of
// `width` numbers.
template <class T>
struct LossArgs {
  LossRule rule;
  Size count, width;
  const T* y;        // [count]
  const T* targets;  // [count]
  const T* weights;  // [count / width] or null: all 1
  T scale;           // of the gradients; kSquared's holds the 2
  double parameter;  // δ of kHuber, q of kQuantile
  T* dy;             // = [count]
  int threads;
};

// The loss of each row and scale·its gradient; see ctc.cpp.
template <class T>
struct CtcArgs {
  Size steps, N, V, S;                 // steps: T
  const T* logits;                     // [T, N, V]
  const std::int64_t* targets;         // [N, S], each < V, up to target_lengths
  const std::int64_t* lengths;         // [N], each 0 … T
  const std::int64_t* target_lengths;  // [N], each 0 … S
  std::int64_t blank;
  const T* scale;  // [N]
  double* loss;    // = [N]; infinite where the targets do not fit
  T* dlogits;      // = [T, N, V], 0 on padding and in rows with an infinite loss
  int threads;
};

// One id of each row; see sample.cpp.
template <class T>
struct DrawArgs {
  Size N, V;               // V < 2³¹
  const T* logits;         // [N, V]
  const double* uniforms;  // [N], each in [0, 1)
  double temperature;      // 0: the likeliest
  Size top_k;              // 0: all
  double top_p;
  std::int64_t* ids;  // = [N]
};

enum class OptimizerRule { kSgd, kRmsprop, kAdagrad, kAdam };

// One step of an optimizer over a flat array; the equations are in optim.cpp. State
// that a rule does not have is null.
template <class T>
struct OptimizerArgs {
  OptimizerRule rule;
  Size count;
  T* params;       // += [count]
  const T* grads;  // [count]
  T* velocity;     // = [count]: u (SGD and RMSprop, with momentum)
  T* mean;         // = [count]: m (Adam)
  T* squares;      // = [count]: v (RMSprop, Adagrad, Adam)
  double lr;
  double momentum;                  // μ
  double beta1, beta2;              // Adam; β2 is also RMSprop's α
  double eps;                       // ε
  double weight_decay;              // λ
  double correction1, correction2;  // Adam: 1 − β1ᵗ, 1 − β2ᵗ
  bool decoupled;                   // weight decay as in AdamW
  bool nesterov;
  int threads;
};

// Digest of an array's bytes. A change of one number always shows; a change of several
// goes unnoticed with a chance of 1 in 2³² per word.
struct Digest {
  std::uint32_t words[64];
};

// A cell: its sizes and its kernels.
template <class T>
struct CellKernels {
  Size gates;       // G: rows of the weights in blocks of H
  Size tape_gates;  // blocks of H in the tape's gates; 0: the tape has no gates
  bool tape_c;      // whether the tape has c
  bool has_c;       // whether the state has c beside h
  void (*forward)(const ForwardArgs<T>&, Scratch&);
  void (*backward)(const BackwardArgs<T>&, Scratch&);
  void (*pack)(const Weights<T>&, Size I, const CellOptions<T>&, PackedWeights<T>* to);
  // The team's members share the units of a step.
  void (*step)(const StepArgs<T>&, Team);
  Size (*step_scratch)(Size N, const PackedWeights<T>&, const CellOptions<T>&,
                       int threads);
  // table = [unit vectors][V][G][lanes], W_ih·x + b of each x of vectors [V, I].
  void (*fill_table)(const PackedWeights<T>&, const CellOptions<T>&, const T* vectors,
                     Size V, T* table, Scratch&);
};

template <class T>
struct Kernels {
  const CellKernels<T>* cells[kCells];  // by CellKind
  const CellKernels<T>& cell(CellKind kind) const { return *cells[int(kind)]; }
  void (*linear_forward)(const LinearArgs<T>&, Scratch&);
  void (*linear_backward)(const LinearBackwardArgs<T>&, Scratch&);
  void (*pack_linear)(const T* w, const T* b, PackedLinear<T>* to);  // b may be null
  // `size` threads share the outputs of a step.
  void (*linear_step)(const LinearStepArgs<T>&, int rank, int size);
  void (*cross_entropy)(const CrossEntropyArgs<T>&, Scratch&);
  double (*loss)(const LossArgs<T>&, Scratch&);  // Σ weight·loss
  void (*softmax)(const T* x, Size rows, Size width, bool log, T* to, int threads);
  void (*ctc)(const CtcArgs<T>&, Scratch&);
  // Returns the first row whose largest logit is not finite, or -1.
  Size (*draw_ids)(const DrawArgs<T>&, Scratch&);
  void (*optimizer_step)(const OptimizerArgs<T>&);
  double (*sum_of_squares)(const T* values, Size count, int threads, Scratch&);
  void (*scale)(T* values, Size count, T factor, int threads);
  void (*clip)(T* values, Size count, T bound, int threads);
  // flags = [count], 1 with probability threshold / 2^16, below 1; state [4][16], see
  // random.cpp.
  void (*draw_flags)(const std::uint32_t* state, std::uint32_t threshold,
                     std::uint8_t* flags, Size count);
  void (*digest)(const T* values, Size count, Digest* to);
  bool (*has_digest)(const T* values, Size count, const Digest&);
  Size lanes;
  // name: "exp", "sigmoid", "tanh", "expm1" or "log1p"; for the accuracy tests.
  bool (*apply_math)(const char* name, const T* x, T* y, Size count);
};

}  // namespace fastrnn
