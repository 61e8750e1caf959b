"""The layer `Activation`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastrnn import _core
from fastrnn._gate.arguments import (
    check_any_floating,
    check_choice,
    check_floating,
    check_shape,
    require_countable,
)
from fastrnn._layers.base import Layer
from fastrnn._layers.masks import multiply
from fastrnn._types import FloatArray


class Activation(Layer):
    """One function of every element: ``y = act(x)``.

    =========== ==========================================================
    name        function
    =========== ==========================================================
    ``relu``    ``max(x, 0)``
    ``tanh``    ``tanh(x)``
    ``sigmoid`` ``1 / (1 + exp(-x))``
    ``gelu``    ``x * P(x)``, where P is the standard normal distribution
                function (the exact form, without the tanh approximation)
    =========== ==========================================================

    Attributes
    ----------
    name : str
        The function.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> fastrnn.Activation("relu")(np.array([-1.0, 2.0], np.float32))
    array([0., 2.], dtype=float32)
    """

    __module__ = "fastrnn"

    def __init__(self, name: str) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        name : {"relu", "tanh", "sigmoid", "gelu"}
            The function.

        Raises
        ------
        TypeError
            The name is not a string.
        ValueError
            It is another string.
        """
        check_choice("name", name, tuple(FUNCTIONS))
        self.name = name
        super().__init__({})

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the function of every element.

        Parameters
        ----------
        x : array
            float32 or float64, of any shape.

        Returns
        -------
        array
            A new one, of the shape and dtype of ``x``.

        Raises
        ------
        TypeError
            Another dtype, or not an array.
        """
        x = check_any_floating("x", x)
        require_countable("x", x, 1)
        self._forget()
        y, slope = FUNCTIONS[self.name](x, self.training)
        self._remember(slope)
        return y

    def backward(self, dy: FloatArray | None) -> FloatArray | None:
        """Return the gradient of ``x``; None for None.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            Another dtype than that of ``x``, or not an array.
        ValueError
            Another shape than that of ``x``.
        """
        slope = self._recall("backward")
        if dy is None:
            return None
        dy = check_floating("dy", dy, slope.dtype, "x")
        check_shape("dy", dy, "(...) of x", slope.shape)
        return multiply(dy, slope)


# Each returns act(x) and, if wanted, its derivative. exp, tanh and sigmoid are those of
# the kernels: the same bits from every instruction set, which NumPy does not promise.


def relu(x: FloatArray, wanted: bool) -> tuple[FloatArray, FloatArray | None]:
    y = np.maximum(x, 0)
    return y, np.where(y <= 0, x.dtype.type(0), x.dtype.type(1)) if wanted else None


def tanh(x: FloatArray, wanted: bool) -> tuple[FloatArray, FloatArray | None]:
    y = of_each("tanh", x)
    return y, 1 - y * y if wanted else None


def sigmoid(x: FloatArray, wanted: bool) -> tuple[FloatArray, FloatArray | None]:
    y = of_each("sigmoid", x)
    return y, y * (1 - y) if wanted else None


@np.errstate(all="ignore")  # NaN and Inf pass through
def gelu(x: FloatArray, wanted: bool) -> tuple[FloatArray, FloatArray | None]:
    """Computed in float64 for float32 too: it costs less than the loss of digits."""
    a = x.astype(np.float64)
    density = of_each("exp", -0.5 * a * a)
    below = normal_distribution(a, density)
    y = (a * below).astype(x.dtype)
    if not wanted:
        return y, None
    slope = below + a * density * (2 * np.pi) ** -0.5
    return y, slope.astype(x.dtype)


FUNCTIONS: dict[
    str, Callable[[FloatArray, bool], tuple[FloatArray, FloatArray | None]]
] = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid, "gelu": gelu}


def of_each(function: str, x: FloatArray) -> FloatArray:
    y: FloatArray = _core.apply_math(function, x.ravel()).reshape(x.shape)
    return y


# Of t^0, t^1, ...: a Chebyshev interpolation, worked out to 50 digits, that is within
# 5e-17 of the function it stands for.
TAIL = (
    0.47205320650984467,
    -0.09670347732652579,
    0.013999634724430356,
    0.02860036405355274,
    -0.0321978374283102,
    0.01793609747950764,
    -0.005002378587116524,
    -0.0002856230944321861,
    0.0006948970697612711,
    -9.443028888601637e-05,
    -8.785300671505195e-05,
    2.1250241889757066e-05,
    1.3626321688909283e-05,
    -3.4328382916146516e-06,
    -2.611858307579318e-06,
    4.0580524875156294e-07,
    5.507887683089697e-07,
    -2.2103572445430463e-10,
    -1.10233768116029e-07,
    -1.8643150877103823e-08,
    1.744682183478039e-08,
    5.758385702078858e-09,
    -1.5463815545201715e-09,
    -7.255460695851768e-10,
)


def normal_distribution(a: FloatArray, density: FloatArray) -> FloatArray:
    """Return P(a), the share of a standard normal distribution that lies below a.

    ``density`` is ``exp(-a^2 / 2)``. The tail beyond ``|a|`` is that times a smooth
    function, which is nearly ``1 / (1 + |a|)``; the rest is a polynomial in
    ``t = (|a| - 4) / (|a| + 4)``, which lies in -1 .. 1 (the substitution of
    M. Shepherd and J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2)
    erfc(x)", 1981). Small results for negative ``a`` keep their relative accuracy.
    """
    distance = np.minimum(np.abs(a), 40)  # beyond, the density is 0
    t = (distance - 4) / (distance + 4)
    tail = np.full_like(t, TAIL[-1])
    for coefficient in TAIL[-2::-1]:
        tail *= t
        tail += coefficient
    tail *= density / (1 + distance)
    below: FloatArray = np.where(a < 0, tail, 1 - tail)
    return below
