/* Streams audio through a GRU: one sample in, one sample out, with what it heard in
 * mind.
 *
 *     stream denoiser.safetensors < noisy.f32 > clean.f32
 *
 * Samples are native floats without a header; `sox` and `ffmpeg -f f32le` write them.
 * The weights are those of a PyTorch module with a GRU named gru and a Linear named
 * head, as train.py makes them.
 */
#include <fastrnn.h>
#include <stdio.h>
#include <stdlib.h>

static void check(fastrnn_status status) {
  if (status == FASTRNN_OK) return;
  fprintf(stderr, "stream: %s\n", fastrnn_message());
  exit(1);
}

int main(int argc, char** argv) {
  const fastrnn_layer layers[] = {{FASTRNN_GRU, "gru", 0}, {FASTRNN_LINEAR, "head", 0}};
  fastrnn_file* file;
  fastrnn_model* model;
  fastrnn_stepper* stepper;
  float in, out;

  if (argc != 2) {
    fprintf(stderr, "usage: stream WEIGHTS < SAMPLES > SAMPLES\n");
    return 2;
  }
  check(fastrnn_file_open(argv[1], &file));
  check(fastrnn_model_new(file, layers, 2, &model));
  fastrnn_file_free(file); /* the model has copies */
  if (fastrnn_model_inputs(model) != 1 || fastrnn_model_outputs(model) != 1) {
    fprintf(stderr, "stream: expected a model from one number to one number\n");
    return 1;
  }
  check(fastrnn_stepper_new(model, 1, &stepper));

  while (fread(&in, sizeof in, 1, stdin) == 1) {
    check(fastrnn_step(stepper, &in, &out));
    if (fwrite(&out, sizeof out, 1, stdout) != 1) return 1;
  }

  fastrnn_stepper_free(stepper);
  fastrnn_model_free(model);
  return fflush(stdout) == 0 ? 0 : 1;
}
