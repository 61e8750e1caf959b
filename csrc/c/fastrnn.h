/* Recurrent networks in C: one step at a time, or whole sequences, in float.
 *
 *   fastrnn_file* file;
 *   fastrnn_model* model;
 *   fastrnn_stepper* stepper;
 *   const fastrnn_layer layers[] = {{FASTRNN_GRU, "gru", 0}, {FASTRNN_LINEAR, "head",
 * 0}}; fastrnn_file_open("weights.safetensors", &file); fastrnn_model_new(file, layers,
 * 2, &model); fastrnn_stepper_new(model, 1, &stepper); while (…) fastrnn_step(stepper,
 * x, y);
 *
 * Arrays are in C order: N rows, T steps, time first. Results have the bits of the
 * Python package, whatever the instruction set (with fused multiply-add), threads and
 * N.
 *
 * Every function that can fail returns a status, and then has done nothing;
 * fastrnn_message() tells what was wrong. Objects that were made are freed with the
 * function of their name, in any order; NULL is allowed there. A file and a model do
 * not change, so any number of threads may use them; a stepper is for one at a time.
 */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

#if !defined(_WIN32)
#define FASTRNN_API __attribute__((visibility("default")))
#elif defined(FASTRNN_BUILDS)
#define FASTRNN_API __declspec(dllexport)
#else
#define FASTRNN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fastrnn_status {
  FASTRNN_OK = 0,
  FASTRNN_BAD_ARGUMENT = 1,
  FASTRNN_BAD_FILE = 2, /* unreadable, damaged, or not of these layers */
  FASTRNN_NO_MEMORY = 3,
  FASTRNN_NO_KERNELS = 4 /* for the instruction sets that this machine has */
} fastrnn_status;

/* What was wrong in this thread's last call that failed. Valid until the next one. */
FASTRNN_API const char* fastrnn_message(void);

FASTRNN_API const char* fastrnn_version(void); /* "0.1.0" */
FASTRNN_API const char* fastrnn_isa(void);     /* "avx2": the instruction set in use */

/* Threads that a call may use, 1 to 1024. At first 1. A stepper has the number of the
 * time it was made, and shares only long steps (millions of weights) among them. */
FASTRNN_API fastrnn_status fastrnn_set_num_threads(int threads);

/* --- Weights -----------------------------------------------------------------------
 */

/* A safetensors file, as fastrnn.save and PyTorch's users write it. */
typedef struct fastrnn_file fastrnn_file;

FASTRNN_API fastrnn_status fastrnn_file_open(const char* path, fastrnn_file** file);
/* The content of such a file; it is copied. */
FASTRNN_API fastrnn_status fastrnn_file_from_memory(const void* content, size_t size,
                                                    fastrnn_file** file);
FASTRNN_API void fastrnn_file_free(fastrnn_file* file);

typedef enum fastrnn_kind {
  FASTRNN_EMBEDDING = 0, /* the first layer only; takes tokens */
  FASTRNN_RNN_TANH = 1,
  FASTRNN_RNN_RELU = 2,
  FASTRNN_GRU = 3,
  FASTRNN_LSTM = 4,
  FASTRNN_LINEAR = 5,
  FASTRNN_RELU = 6,
  FASTRNN_TANH = 7,
  FASTRNN_SIGMOID = 8,
  FASTRNN_GELU = 9,
  FASTRNN_LAYER_NORM = 10,
  FASTRNN_BATCH_NORM = 11
} fastrnn_kind;

/* A layer, or several recurrent ones on top of each other. The file has its tensors
 * under the names that PyTorch gives them, after `name` and a dot: "gru.weight_ih_l0",
 * …; "" for a file of one layer. Activations have no tensors, and ignore the name. */
typedef struct fastrnn_layer {
  fastrnn_kind kind;
  const char* name;
  double eps; /* of norms; 0 for 1e-5 */
} fastrnn_layer;

/* --- Models ------------------------------------------------------------------------
 */

typedef struct fastrnn_model fastrnn_model;

/* The file has float32 tensors. All that it has under a layer's name is used, or it is
 * refused: reverse directions and projections are not known here. */
FASTRNN_API fastrnn_status fastrnn_model_new(const fastrnn_file* file,
                                             const fastrnn_layer* layers, size_t count,
                                             fastrnn_model** model);
FASTRNN_API void fastrnn_model_free(fastrnn_model* model);

/* I: numbers of an input, or how many tokens there are. */
FASTRNN_API size_t fastrnn_model_inputs(const fastrnn_model* model);
/* O: numbers of an output. */
FASTRNN_API size_t fastrnn_model_outputs(const fastrnn_model* model);
/* Numbers of a row's state. A state of N rows has N times as many: of each recurrent
 * layer in order h [its layers, N, H], and of an LSTM then c likewise. */
FASTRNN_API size_t fastrnn_model_state_size(const fastrnn_model* model);

/* Whole sequences: y [T, N, O] from x [T, N, I], or from tokens [T, N], each below I.
 * The first layer being recurrent, tokens are one-hot rows.
 *
 * lengths [N], each 0 … T, or NULL: all have T steps. Beyond a row's length, x is not
 * read by the first layer, and y is not specified. state, state_n: before the first
 * step, NULL for zeros, and after the last one, or NULL. They may be the same. y may
 * not be x. */
FASTRNN_API fastrnn_status fastrnn_forward(const fastrnn_model* model, size_t T,
                                           size_t N, const float* x,
                                           const int64_t* lengths, const float* state,
                                           float* y, float* state_n);
FASTRNN_API fastrnn_status fastrnn_forward_tokens(const fastrnn_model* model, size_t T,
                                                  size_t N, const int64_t* tokens,
                                                  const int64_t* lengths,
                                                  const float* state, float* y,
                                                  float* state_n);

/* --- Steppers ----------------------------------------------------------------------
 */

/* A model with the state of N rows, zeros at first. */
typedef struct fastrnn_stepper fastrnn_stepper;

FASTRNN_API fastrnn_status fastrnn_stepper_new(const fastrnn_model* model, size_t N,
                                               fastrnn_stepper** stepper);
FASTRNN_API void fastrnn_stepper_free(fastrnn_stepper* stepper);

/* One step: y [N, O] from x [N, I], or from tokens [N]. y may be NULL, if only the
 * state is wanted, but not x. With one thread, a step takes no memory, no lock, and
 * calls nothing of the operating system. */
FASTRNN_API fastrnn_status fastrnn_step(fastrnn_stepper* stepper, const float* x,
                                        float* y);
FASTRNN_API fastrnn_status fastrnn_step_tokens(fastrnn_stepper* stepper,
                                               const int64_t* tokens, float* y);

/* Neither takes memory. */
FASTRNN_API fastrnn_status fastrnn_stepper_get_state(fastrnn_stepper* stepper,
                                                     float* state);
FASTRNN_API fastrnn_status fastrnn_stepper_set_state(
    fastrnn_stepper* stepper, const float* state); /* NULL: zeros */

#ifdef __cplusplus
}
#endif

#endif
