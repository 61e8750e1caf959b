"""Build `step_loop.pyx` against the installed fastrnn, as a user's build would."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).with_name("step_loop.pyx")


def build_step_loop(folder: Path) -> ModuleType:
    """Compile into `folder`, import, and return the module.

    Raises
    ------
    RuntimeError
        Cython or the compiler failed; the text is its output.
    """
    import fastrnn

    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise RuntimeError("step_loop: no C compiler (cc, gcc, clang)")
    site = Path(fastrnn.__file__).parents[1]
    c_file = folder / "step_loop.c"
    library = folder / f"step_loop{sysconfig.get_config_var('EXT_SUFFIX')}"
    cython = [sys.executable, "-m", "cython", "-I", site, SOURCE, "-o", c_file]
    include = sysconfig.get_paths()["include"]
    compile_c = [compiler, "-O2", "-shared", "-fPIC", f"-I{include}", c_file]
    for command in (cython, [*compile_c, "-o", library]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            words = " ".join(map(str, command))
            raise RuntimeError(
                f"step_loop: {words} failed:\n{done.stdout}{done.stderr}"
            )
    spec = importlib.util.spec_from_file_location("step_loop", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
