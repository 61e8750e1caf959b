"""The optimizers: one pass over memory per step, in place."""

from __future__ import annotations

from fastrnn._gate.arguments import check_flag, check_number
from fastrnn._training.optim.base import Optimizer
from fastrnn._training.optim.targets import LayersOrArrays


class SGD(Optimizer):
    """Gradient descent: ``p -= lr * g``.

    With momentum, ``u = momentum * u + g`` replaces ``g``; with ``nesterov`` as well,
    ``g + momentum * u`` does.

    Parameters
    ----------
    params, lr
        As in `Optimizer`.
    momentum : float
        At least 0.
    nesterov : bool
        Requires momentum.
    weight_decay : float
        At least 0.

    Examples
    --------
    >>> model = fastrnn.GRU(2, 4, seed=0)
    >>> sgd = fastrnn.SGD(model, lr=0.1, momentum=0.9)
    >>> y, h = model(np.ones((3, 1, 2), np.float32))
    >>> dx, dh = model.backward(y)
    >>> sgd.step()
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        params: LayersOrArrays,
        lr: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        momentum = check_number("momentum", momentum)
        if check_flag("nesterov", nesterov) and momentum == 0:
            raise ValueError("momentum: expected momentum > 0 with nesterov, got 0")
        super().__init__(
            params,
            lr,
            "sgd",
            ("u",) if momentum else (),
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=check_number("weight_decay", weight_decay),
        )


class RMSprop(Optimizer):
    """Steps relative to the gradient's recent size.

    ``v = alpha * v + (1 - alpha) * g**2``, ``p -= lr * g / (sqrt(v) + eps)``; with
    momentum ``u = momentum * u + g / (sqrt(v) + eps)``, ``p -= lr * u``.

    Parameters
    ----------
    params, lr
        As in `Optimizer`.
    alpha : float
        ``0 <= alpha < 1``.
    eps, momentum, weight_decay : float
        At least 0.

    References
    ----------
    T. Tieleman, G. Hinton, "Lecture 6.5 - RMSprop", Coursera, 2012.
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        params: LayersOrArrays,
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        momentum = check_number("momentum", momentum)
        super().__init__(
            params,
            lr,
            "rmsprop",
            ("u", "v") if momentum else ("v",),
            beta2=check_number("alpha", alpha, below=1),
            eps=check_number("eps", eps),
            momentum=momentum,
            weight_decay=check_number("weight_decay", weight_decay),
        )


class Adagrad(Optimizer):
    """Steps that shrink as gradients accumulate.

    ``v += g**2``, ``p -= lr * g / (sqrt(v) + eps)``.

    Parameters
    ----------
    params, lr
        As in `Optimizer`.
    eps, weight_decay : float
        At least 0.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", 2011.
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        params: LayersOrArrays,
        lr: float = 1e-2,
        *,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            lr,
            "adagrad",
            ("v",),
            eps=check_number("eps", eps),
            weight_decay=check_number("weight_decay", weight_decay),
        )


class Adam(Optimizer):
    """Steps from running means of the gradient and of its square.

    At step ``t``, counted from 1: ``m = beta1 * m + (1 - beta1) * g``,
    ``v = beta2 * v + (1 - beta2) * g**2``, and
    ``p -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Parameters
    ----------
    params, lr
        As in `Optimizer`.
    betas : pair of float
        ``beta1`` and ``beta2``, each at least 0 and below 1.
    eps, weight_decay : float
        At least 0.

    References
    ----------
    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015.

    Examples
    --------
    >>> model = fastrnn.GRU(2, 4, seed=0)
    >>> adam = fastrnn.Adam(model, lr=0.01)
    >>> y, h = model(np.ones((3, 1, 2), np.float32))
    >>> model.zero_grad()
    >>> dx, dh = model.backward(y)
    >>> adam.step()

    Of an array, with a gradient at hand:

    >>> p = np.array([1.0])
    >>> fastrnn.Adam(p, lr=0.1).step(np.array([5.0]))
    >>> p.round(4)
    array([0.9])
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        params: LayersOrArrays,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not isinstance(betas, (tuple, list)):
            raise TypeError(f"betas: expected a pair, got {type(betas).__name__}")
        if len(betas) != 2:
            raise ValueError(f"betas: expected a pair, got {len(betas)} numbers")
        super().__init__(
            params,
            lr,
            "adam",
            ("m", "v"),
            beta1=check_number("betas[0]", betas[0], below=1),
            beta2=check_number("betas[1]", betas[1], below=1),
            eps=check_number("eps", eps),
            weight_decay=check_number("weight_decay", weight_decay),
        )


class AdamW(Adam):
    """`Adam` with decoupled weight decay: first ``p *= 1 - lr * weight_decay``.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay
        As in `Adam`.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019.
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        params: LayersOrArrays,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self._constants["decoupled"] = True
