"""ONNX Runtime's literal cases: lengths, initial states, reverse, both directions."""

from typing import Any

import numpy as np
import pytest

from tests.sequence.onnxruntime_cases import CASES

# Our gates by their position in ONNX's order.
ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 2, 3, 1]}
TOLERANCE = 1e-4  # as the tests there


def reorder(a: Any, cell: str) -> Any:
    """Reorder the gates along the first axis into our order."""
    gates = np.split(a, len(ORDER[cell]))
    return np.ascontiguousarray(np.concatenate([gates[k] for k in ORDER[cell]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, dtype: Any, module: Any) -> None:
    case = CASES[name]
    cell = case["op"]
    forward = getattr(module, f"{cell}_forward")
    directions = {
        "forward": [False],
        "reverse": [True],
        "bidirectional": [False, True],
    }[case["direction"]]
    for d, reverse in enumerate(directions):
        arrays = {
            "x": np.array(case["X"], dtype),
            "w_ih": reorder(np.array(case["W"][d], dtype), cell),
            "w_hh": reorder(np.array(case["R"][d], dtype), cell),
        }
        if "B" in case:
            b_ih, b_hh = np.split(np.array(case["B"][d], dtype), 2)
            arrays |= {"b_ih": reorder(b_ih, cell), "b_hh": reorder(b_hh, cell)}
        for s in "hc":
            if f"initial_{s}" in case:
                arrays[f"{s}0"] = np.array(case[f"initial_{s}"][d], dtype)
        options = {"lengths": case.get("sequence_lens"), "reverse": reverse}
        if cell == "rnn":
            options["nonlinearity"] = case["activations"][d]
        y, final, _ = forward(**arrays, **options)
        final = final if isinstance(final, tuple) else (final,)
        got = {"Y": y, **dict(zip(("Y_h", "Y_c"), final, strict=False))}
        for key, a in got.items():
            if key not in case:
                continue
            expected = np.array(case[key])
            expected = expected[:, d] if key == "Y" else expected[d]
            np.testing.assert_allclose(
                a, expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key
            )
