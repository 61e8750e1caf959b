"""Ends of processes and of calls: an exit code of 0 or an exception, never a crash."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.processes import run_program, run_python

SETUP = """
import sys, threading, time
import numpy as np
import fastrnn

rng = np.random.default_rng(0)
x, w, u = (rng.standard_normal(n).astype(np.float32) / 8
           for n in [(30, 40, 23), (228, 23), (228, 57)])
flat, slope = np.ones((2, 1 << 21), np.float32)
adam = fastrnn.Adam([flat])
layer = fastrnn.LSTM(23, 57, 2, seed=0)
both = fastrnn.GRU(23, 200, bidirectional=True, dropout=0.5, seed=0)
frozen = fastrnn.LSTM(23, 57, 2, seed=0).eval()
memory_rnn = fastrnn.LSTM(512, 512, seed=0)
own = threading.local()
y = rng.standard_normal((4000, 16)).astype(np.float32)
head = rng.standard_normal((600, 16)).astype(np.float32)

def train(layer):
    out, _ = layer(x)
    layer.backward(out)

def step():
    if not hasattr(own, "stepper"):
        own.stepper = fastrnn.Stepper(memory_rnn)
    own.stepper.step(np.ones((1, 512), np.float32))

CALLS = {
    "forward": lambda: fastrnn.lstm_forward(x, w, u),
    "layer": lambda: train(layer),
    "directions": lambda: train(both),
    "eval": lambda: frozen(x),
    "stepper": step,
    "optimizer": lambda: adam.step([slope]),
    "clip": lambda: fastrnn.clip_grad_norm(flat, 1.0),
    "loss": lambda: fastrnn.linear_cross_entropy(y, head, None, np.zeros(4000, int)),
    "linear": lambda: fastrnn.linear_backward(y, head, y @ head.T),
}
CALLS["everything"] = lambda: [call() for name, call in CALLS.items()
                               if name != "everything"]

def loop(call):
    while True:
        call()

def start(name, count=1):
    for _ in range(count):
        threading.Thread(target=loop, args=(CALLS[name],), daemon=True).start()
"""

KINDS = [
    "forward", "layer", "directions", "eval", "stepper", "optimizer", "clip", "loss",
    "linear",
]  # fmt: skip


def require_clean_end(program: str, **variables: str) -> None:
    done = run_python("-c", SETUP + program, timeout=120, **variables)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_daemon_threads_in_kernels(kind: str, threads: str) -> None:
    """They are left where they are, whether they wait for the GIL or do not yet."""
    require_clean_end(
        f"start({kind!r}, 3)\ntime.sleep(0.2)", FASTRNN_NUM_THREADS=threads
    )


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1])
def test_daemon_threads_at_any_moment(seconds: float) -> None:
    for _ in range(4):
        program = f"start('everything', 2)\ntime.sleep({seconds})"
        require_clean_end(program, FASTRNN_NUM_THREADS="2")


INTERRUPT = """
import os, signal, sys, threading, time
import numpy as np
import fastrnn

signal.signal(signal.SIGINT, signal.default_int_handler)  # even in the background
rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape, np.float32) / 16

def forward(T):
    x, w, u = draw(T, 32, 256), draw(2048, 256), draw(2048, 512)
    return lambda: fastrnn.lstm_forward(x, w, u, training=False)

def few_rows(T):
    x, w, u = draw(7 * T, 1, 64), draw(2048, 64), draw(2048, 512)
    return lambda: fastrnn.lstm_forward(x, w, u, training=False)

def backward(T):
    x, w, u = draw(T // 4, 32, 256), draw(2048, 256), draw(2048, 512)
    y, _, tape = fastrnn.lstm_forward(x, w, u)
    return lambda: fastrnn.lstm_backward(tape, y)

def embedding(T):
    x, w, u = rng.integers(0, 100, (T // 4, 32)), draw(1536, 256), draw(1536, 512)
    y, _, tape = fastrnn.gru_forward(x, w, u, embedding=draw(100, 256))
    return lambda: fastrnn.gru_backward(tape, y)

def layer(T):
    layer = fastrnn.GRU(256, 512, 3, seed=0).eval()
    x = draw(T, 16, 256)
    return lambda: layer(x)

def train(T):
    layer = fastrnn.LSTM(256, 512, 2, seed=0)
    y, _ = layer(draw(T // 4, 16, 256))

    def call():
        try:
            layer.backward(y)
        finally:
            assert not layer.flat_grads.any()

    return call

def directions(T):
    layer = fastrnn.LSTM(256, 512, bidirectional=True, seed=0)
    x = draw(2 * T, 6, 256)
    return lambda: layer(x)

def loss(T):
    y, w, targets = draw(7 * T, 512), draw(10000, 512), rng.integers(0, 99, 7 * T)
    return lambda: fastrnn.linear_cross_entropy(y, w, None, targets)

def linear(T):
    x, w = draw(14 * T, 1024), draw(1024, 1024)
    return lambda: fastrnn.linear_forward(x, w)

def linear_backward(T):
    x, w = draw(7 * T, 1024), draw(1024, 1024)
    return lambda: fastrnn.linear_backward(x, w, x)

def interrupt(call, after):
    sent = []
    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    timer = threading.Timer(after, send)
    timer.start()
    try:
        call()
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]
    sys.exit("the call was over too soon")

def digest():
    small = draw(20, 40, 64), draw(400, 64), draw(400, 100)
    y, _, tape = fastrnn.lstm_forward(*small)
    return y.tobytes() + fastrnn.lstm_backward(tape, y).dw_hh.tobytes()

rng = np.random.default_rng(1)
before = digest()
call = globals()[sys.argv[1]](6000)  # over a second on two fast cores
answers = [interrupt(call, after) for after in (0.1, 0.2)]
rng = np.random.default_rng(1)
assert digest() == before
print(max(answers))
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(
    "kind",
    ["forward", "few_rows", "backward", "embedding", "layer", "train", "directions",
     "loss", "linear", "linear_backward"],
)  # fmt: skip
def test_a_long_call_is_interrupted(kind: str, threads: str) -> None:
    """Within 0.2 s on an idle machine; then all is as before."""
    done = run_python("-c", INTERRUPT, kind, FASTRNN_NUM_THREADS=threads, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1


FORKED = """
pid = os.fork()  # the pool of threads stays behind
if pid == 0:
    print(interrupt(call, 0.3), flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_long_call_of_a_forked_process_is_interrupted() -> None:
    program = INTERRUPT.replace("answers = ", FORKED + "answers = ")
    done = run_python("-c", program, "forward", FASTRNN_NUM_THREADS="2", timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1


HANDLER = """
import signal, time
import numpy as np
import fastrnn

rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape, np.float32) / 16
x, w, u, small = draw(300, 32, 256), draw(2048, 256), draw(2048, 512), draw(5, 1, 256)
run = lambda x: fastrnn.lstm_forward(x, w, u, training=False)[0].tobytes()
expected, inside = run(x), run(small)
stepper = fastrnn.Stepper(fastrnn.LSTM(4, 4, seed=0))
h = stepper.clone().step(1).tobytes()

def handle(*_):
    assert run(small) == inside
    assert stepper.clone().step(1).tobytes() == h
    assert np.float32(1e-40) * np.ones(8, np.float32)[0] != 0
    handled.append(time.perf_counter())

handled = []
signal.signal(signal.SIGALRM, handle)
begin = time.perf_counter()
while len(handled) < 3 and time.perf_counter() < begin + 30:
    signal.setitimer(signal.ITIMER_REAL, 0.03, 0.1)
    found = run(x)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert found == expected
print(bool(handled))
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_handlers_of_signals_run_within_a_call(threads: str) -> None:
    """They may use the library; the call goes on to the same bits."""
    assert run_program(HANDLER, FASTRNN_NUM_THREADS=threads) == "True"


@pytest.mark.skipif(
    find_spec("_xxsubinterpreters") is None, reason="this Python has another module"
)
def test_subinterpreters_are_refused() -> None:
    """With NumPy in the main interpreter, and without."""
    program = """
import _xxsubinterpreters as subinterpreters
{first}
subinterpreters.run_string(subinterpreters.create(), '''
try:
    import fastrnn
except ImportError as error:
    print(error)
''')
"""
    for first in ("", "import fastrnn"):
        assert run_program(program.format(first=first), timeout=60) == (
            "fastrnn: expected the main interpreter of the process, "
            "got a subinterpreter"
        )


AT_EXIT = """
import atexit
import numpy as np
import fastrnn

fastrnn.set_num_threads(2)
fastrnn._layers.walk.WORTH_A_THREAD = 0  # a thread for each direction
layer = fastrnn.GRU(8, 60, bidirectional=True, seed=0)
x = np.random.default_rng(0).standard_normal((12, 2, 8)).astype(np.float32)

def run():
    layer.zero_grad()
    y, _ = layer(x)
    layer.backward(y)
    return y.tobytes() + layer.flat_grads.tobytes()

if {before}:
    expected = run()
    atexit.register(lambda: print(run() == expected))
else:
    atexit.register(lambda: print(len(run()) > 0))
"""


@pytest.mark.parametrize("before", [True, False])
def test_two_directions_at_exit(before: bool) -> None:
    """Whether or not their threads are there already."""
    assert run_program(AT_EXIT.format(before=before)) == "True"


FORK_IN_A_THREAD = """
expected = run()

def loop():
    while not done:
        assert run() == expected

def fork():
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if run() == expected else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

done, codes = False, []
worker = threading.Thread(target=loop)
forker = threading.Thread(target=fork)
worker.start(), forker.start()
forker.join()
done = True
worker.join()
print(codes)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_in_a_thread_beside_a_kernel() -> None:
    from tests.runtime.test_concurrency import RUN

    program = "import threading\n" + RUN + FORK_IN_A_THREAD
    assert run_program(program, FASTRNN_NUM_THREADS="2") == "[0, 0, 0, 0, 0]"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_processes(method: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(SPAWN)
    done = run_python(str(file), method, FASTRNN_NUM_THREADS="2")
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


SPAWN = """
import multiprocessing, sys
import numpy as np
import fastrnn

def run(layer):
    y, _ = layer(np.ones((50, 4, 8), np.float32))
    layer.backward(y)
    return y.tobytes() + layer.flat_grads.tobytes()

if __name__ == "__main__":
    layer = fastrnn.LSTM(8, 100, seed=0)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        found = pool.map(run, [layer, layer])
    print(found == [run(layer)] * 2)
"""


LIMITED = """
import concurrent.futures.thread, os, resource
import numpy as np
import fastrnn

rng = np.random.default_rng(0)
x, w, u = (rng.standard_normal(n).astype(np.float32) / 8
           for n in [(12, 1100, 23), (228, 23), (228, 57)])

def run():
    y, _, tape = fastrnn.lstm_forward(x, w, u)
    return y.tobytes() + fastrnn.lstm_backward(tape, y).dw_hh.tobytes()

fastrnn.set_num_threads(1)
expected = run()
before = len(os.listdir("/proc/self/task"))
{limit}
fastrnn.set_num_threads({threads})
assert run() == expected
assert run() == expected
both = fastrnn.GRU(8, 300, bidirectional=True, seed=0)
both(rng.standard_normal((200, 2, 8)).astype(np.float32))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_few_threads_for_lack_of_memory() -> None:
    """Half of those that the limit allows: 300 of them would fill the memory."""
    limit = """
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20),) * 2)
"""
    found = int(run_program(LIMITED.format(limit=limit, threads=1024)))
    assert 1 <= found < 200


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_few_threads_for_a_limit_on_them() -> None:
    """Root has no limit, so the program becomes a user of its own."""
    limit = """
if os.getuid() == 0:
    os.setuid(54321)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
"""
    assert run_program(LIMITED.format(limit=limit, threads=2)) == "0"
