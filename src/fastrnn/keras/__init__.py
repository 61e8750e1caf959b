"""Keras's recurrent layers on fastrnn's kernels.

One line, before or after a model is made::

    fastrnn.keras.accelerate()

From then on `keras.layers.SimpleRNN`, `GRU` and `LSTM`, inside `Bidirectional` too, run
the kernels where Keras's backend is PyTorch; `restore` undoes it, and `report` says
layer by layer which are served and why others are not. Those run Keras's own code.
Classes, weights, configurations and saved files stay as they are.
"""

try:
    import keras as _keras
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise
    raise ModuleNotFoundError(
        "fastrnn.keras needs Keras 3: pip install 'fastrnn[keras]'", name="keras"
    ) from None

if not hasattr(_keras.layers.LSTM, "inner_loop"):
    raise ImportError(f"fastrnn.keras needs Keras 3, got {_keras.__version__}")

from fastrnn.keras._accelerate import Report, accelerate, report, restore

__all__ = ["Report", "accelerate", "report", "restore"]
