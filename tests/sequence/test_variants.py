"""Variants of the cells against others' definitions of them, in float64."""

from typing import Any

import numpy as np
import pytest

from tests.problems import Problem, make_problem

TOLERANCE = 1e-12
VARIANTS = ("gru-before", "lstm-peephole", "lstm-coupled", "lstm-projection")
VARIANTS += ("lstm-coupled-peephole-projection",)
SIZES = ((6, 4, 3, 5), (9, 1, 7, 33), (12, 7, 40, 17))


def near(got: Any, expected: Any) -> None:
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * scale)


# --- a loop in PyTorch, with its own derivatives --------------------------------------


def gru_before(torch: Any, a: dict[str, Any], x: Any, state: Any, o: Any) -> Any:
    """Cho et al. (2014): equations 5 to 8, with z for 1 - z."""
    (h,) = state
    w_r, w_z, w_n = a["w_ih"].chunk(3)
    u_r, u_z, u_n = a["w_hh"].chunk(3)
    b_r, b_z, b_n = (a["b_ih"] + a["b_hh"]).chunk(3)
    r = torch.sigmoid(x @ w_r.T + h @ u_r.T + b_r)
    z = torch.sigmoid(x @ w_z.T + h @ u_z.T + b_z)
    n = torch.tanh(x @ w_n.T + (r * h) @ u_n.T + b_n)
    return ((1 - z) * n + z * h,)


def lstm(torch: Any, a: dict[str, Any], x: Any, state: Any, o: Any) -> Any:
    """Greff et al. (2017): section II, with peepholes or CIFG; Sak et al. (2014)."""
    h, c = state
    z = x @ a["w_ih"].T + a["b_ih"] + h @ a["w_hh"].T + a["b_hh"]
    z_i, z_f, z_g, z_o = z.chunk(4, dim=-1)
    p_i, p_f, p_o = a.get("peephole", torch.zeros(3, 1, dtype=z.dtype))
    i = torch.sigmoid(z_i + p_i * c)
    f = 1 - i if o.get("coupled") else torch.sigmoid(z_f + p_f * c)
    c = f * c + i * torch.tanh(z_g)
    h = torch.sigmoid(z_o + p_o * c) * torch.tanh(c)
    return (h @ a["projection"].T if "projection" in a else h), c


def run_torch(problem: Problem) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    a = {k: torch.tensor(v, requires_grad=True) for k, v in problem.arrays.items()}
    step = gru_before if problem.cell == "gru" else lstm
    states = ("h", "c") if problem.cell == "lstm" else ("h",)
    state = tuple(a[f"{s}0"] for s in states)
    y = []
    for x in a["x"]:
        state = step(torch, a, x, state, problem.options)
        y.append(state[0])
    found = {"y": torch.stack(y)}
    found |= {f"{s}_n": b for s, b in zip(states, state, strict=True)}
    upstream = {name[1:]: torch.tensor(b) for name, b in problem.upstream.items()}
    sum((found[name] * b).sum() for name, b in upstream.items()).backward()
    gradients = {
        f"d{name}": torch.zeros_like(b) if b.grad is None else b.grad
        for name, b in a.items()
    }
    return {k: b.detach().numpy() for k, b in (found | gradients).items()}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_loop_in_pytorch(variant: str, size: Any, module: Any) -> None:
    problem = make_problem(variant, *size)
    got = problem.run(module)
    for name, expected in run_torch(problem).items():
        near(got[name], expected)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pytorch_with_a_projection(size: Any, reverse: bool, module: Any) -> None:
    """``proj_size`` of PyTorch's own layer."""
    torch = pytest.importorskip("torch")
    p = make_problem("lstm-projection", *size, reverse=reverse)
    a = {k: torch.tensor(v, requires_grad=True) for k, v in p.arrays.items()}
    P, H = p.arrays["projection"].shape
    layer = torch.nn.LSTM(size[2], H, proj_size=P, dtype=torch.float64)
    names = ("w_ih", "w_hh", "b_ih", "b_hh", "projection")
    for parameter, name in zip(layer.parameters(), names, strict=True):
        parameter.data[...] = a[name]
    x = a["x"].flip(0) if reverse else a["x"]
    y, (h_n, c_n) = layer(x, (a["h0"][None], a["c0"][None]))
    y = y.flip(0) if reverse else y
    up = {name: torch.tensor(b) for name, b in p.upstream.items()}
    loss = (y * up["dy"]).sum() + (h_n[0] * up["dh_n"]).sum()
    (loss + (c_n[0] * up["dc_n"]).sum()).backward()
    got = p.run(module)
    near(got["y"], y.detach().numpy())
    near(got["c_n"], c_n[0].detach().numpy())
    for parameter, name in zip(layer.parameters(), names, strict=True):
        near(got[f"d{name}"], parameter.grad.numpy())
    for name in ("x", "h0", "c0"):
        near(got[f"d{name}"], a[name].grad.numpy())


# --- ONNX -----------------------------------------------------------------------------


def run_onnx(problem: Problem) -> list[Any]:
    """Run a node of the standard's own evaluator; return Y and the final states."""
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    a = problem.arrays
    G = 4 if problem.cell == "lstm" else 3
    order = [0, 3, 1, 2] if problem.cell == "lstm" else [1, 0, 2]  # iofc, zrh

    def arrange(w: Any) -> Any:
        return np.concatenate([np.split(w, G)[g] for g in order])[None]

    bias = np.concatenate([arrange(a["b_ih"]), arrange(a["b_hh"])], axis=1)
    inputs = [a["x"], arrange(a["w_ih"]), arrange(a["w_hh"]), bias, None, a["h0"][None]]
    names = ["X", "W", "R", "B", "", "H0"]
    outputs = ["Y", "Y_h"]
    options: dict[str, Any] = {"hidden_size": a["w_hh"].shape[1]}
    if problem.cell == "lstm":
        inputs += [a["c0"][None], a["peephole"][[0, 2, 1]].reshape(1, -1)]
        names += ["C0", "P"]
        outputs += ["Y_c"]
    else:
        options["linear_before_reset"] = 0
    node = onnx.helper.make_node(problem.cell.upper(), names, outputs, **options)
    feeds = {k: b for k, b in zip(names, inputs, strict=True) if k}

    def describe(name: str) -> Any:
        shape = feeds[name].shape if name in feeds else None
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, shape)

    graph = onnx.helper.make_graph(
        [node], "one", [*map(describe, feeds)], [*map(describe, outputs)]
    )
    model = onnx.helper.make_model(graph)
    found: list[Any] = reference.ReferenceEvaluator(model).run(None, feeds)
    return found


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", ["gru-before", "lstm-peephole"])
def test_onnx(variant: str, size: Any, module: Any) -> None:
    problem = make_problem(variant, *size)
    y, final, _ = problem.forward(module)
    expected, *states = run_onnx(problem)
    near(y, expected[:, 0])
    # The evaluator's Y_h has the directions first; some versions of it leave out Y_c.
    near(final[0], states[0][0])


# --- what is promised -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["floating", "onehot", "embedding"])
def test_coupled_gates_do_not_read_those_of_f(kind: str, module: Any) -> None:
    """NaN there changes no bit, and the gradients there are exactly 0."""
    problem = make_problem("lstm-coupled-peephole-projection", 7, 5, 4, 19, kind=kind)
    spoilt = {k: v.copy() for k, v in problem.arrays.items()}
    for name in ("w_ih", "w_hh", "b_ih", "b_hh"):
        spoilt[name][19:38] = np.nan
    spoilt["peephole"][1] = np.nan
    expected = problem.run(module)
    got = problem._replace(arrays=spoilt).run(module)
    for name, a in expected.items():
        assert a.tobytes() == got[name].tobytes(), name
        if name in ("dw_ih", "dw_hh", "db_ih", "db_hh"):
            assert not a[19:38].any(), name
    assert not got["dpeephole"][1].any()
    i, f, _, _ = np.split(got["gates"], 4, axis=-1)
    np.testing.assert_allclose(f, 1 - i, rtol=0, atol=1e-15)


def test_without_steps(module: Any) -> None:
    for T, N in ((0, 3), (4, 0)):
        problem = make_problem("lstm-coupled-peephole-projection", T, N)
        got = problem.run(module)
        assert got["dpeephole"].shape == (3, 5)
        assert not got["dpeephole"].any()
        assert not got["dw_hh"].any()
