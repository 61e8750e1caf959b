"""The recurrent functions on JAX arrays, by the same kernels.

`rnn`, `gru` and `lstm` work under ``jit``, ``grad`` and ``vmap``, and inside ``scan``,
``checkpoint`` and ``shard_map``. XLA calls the kernels directly, on the CPU.
"""

try:
    import jax as _jax  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    raise ModuleNotFoundError(
        "fastrnn.jax needs JAX: pip install 'fastrnn[jax]'", name="jax"
    ) from None

from fastrnn.jax._functions import gru, lstm, rnn

__all__ = ["gru", "lstm", "rnn"]
