/* Takes steps with all calls of the operating system forbidden, and counts what they
 * ask of the C library: memory and locks. Ends with 0 if that is nothing.
 *
 *     steps WEIGHTS KIND NAME N
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fastrnn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int counting = 0;
static int counted = 0;

/* These stand in for the C library's own, in all libraries of this process. */
#define COUNTED(result, name, parameters, arguments)     \
  result name parameters {                               \
    static result(*next) parameters;                     \
    if (!next) *(void**)&next = dlsym(RTLD_NEXT, #name); \
    counted += counting;                                 \
    return next arguments;                               \
  }
extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void __libc_free(void*);
void* malloc(size_t n) { return counted += counting, __libc_malloc(n); }
void* calloc(size_t n, size_t m) { return counted += counting, __libc_calloc(n, m); }
void* realloc(void* p, size_t n) { return counted += counting, __libc_realloc(p, n); }
void free(void* p) { counted += counting, __libc_free(p); }
COUNTED(int, posix_memalign, (void** p, size_t a, size_t n), (p, a, n))
COUNTED(void*, aligned_alloc, (size_t a, size_t n), (a, n))
COUNTED(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
COUNTED(int, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
COUNTED(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t* m), (c, m))
COUNTED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l))
COUNTED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l))

/* From here on any call of the system but that to end kills the process. */
static void forbid_calls(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("seccomp");
    _exit(77);
  }
}

static void check(fastrnn_status status) {
  if (status == FASTRNN_OK) return;
  fprintf(stderr, "%s\n", fastrnn_message());
  _exit(3);
}

int main(int argc, char** argv) {
  fastrnn_layer layers[2] = {{FASTRNN_GRU, "", 0}, {FASTRNN_LINEAR, "head", 0}};
  fastrnn_file* file;
  fastrnn_model* model;
  fastrnn_stepper* stepper;
  if (argc != 5) return 2;
  layers[0].kind = (fastrnn_kind)atoi(argv[2]);
  layers[0].name = argv[3];
  const size_t N = (size_t)atoi(argv[4]);
  check(fastrnn_file_open(argv[1], &file));
  check(fastrnn_model_new(file, layers, 2, &model));
  check(fastrnn_stepper_new(model, N, &stepper));
  const size_t I = fastrnn_model_inputs(model), O = fastrnn_model_outputs(model);
  float* x = calloc(N * I, sizeof *x);
  float* y = calloc(N * O, sizeof *y);
  float* state = calloc(N * fastrnn_model_state_size(model), sizeof *state);
  int64_t* tokens = calloc(N, sizeof *tokens);
  if (!getenv("ALLOW_CALLS")) forbid_calls();
  if (getenv("CALL")) getppid(); /* so that the test sees what happens then */
  counting = 1;
  if (getenv("TAKE")) free(malloc(1));
  int failures = 0;
  for (int i = 0; i < 1000; ++i) {
    failures += fastrnn_step(stepper, x, y) != FASTRNN_OK;
    failures += fastrnn_step(stepper, x, NULL) != FASTRNN_OK;
    failures += fastrnn_step_tokens(stepper, tokens, y) != FASTRNN_OK;
    failures += fastrnn_stepper_get_state(stepper, state) != FASTRNN_OK;
    failures += fastrnn_stepper_set_state(stepper, state) != FASTRNN_OK;
  }
  counting = 0;
  _exit(failures ? 4 : counted ? 5 : 0);
}
