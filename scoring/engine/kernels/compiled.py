"""Machine code for this processor from the committed LLVM IR, by llvmlite.

IR rather than a decorated Python loop: the first call comes 0.1 s after the interpreter's start,
where numba needs 1.6 s with a warm cache, and no cache folder is needed (decision 010).
"""

from __future__ import annotations

import os
import sys
from ctypes import CFUNCTYPE, c_char_p, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from scoring.engine.kernels import choice

if os.environ.get(choice.VARIABLE) != choice.PLAIN:
    # Now, before a scorer limits its memory, of which this library would take much.
    import llvmlite.binding  # noqa: F401  (the plain kernels do without it)

# C types of the kernels' parameters and results.
BYTES, ADDRESS, SIZE, INT32 = c_char_p, c_void_p, c_int64, c_int32


def function(ir_name: str, function_name: str, result: Any, *parameters: Any) -> Any:
    """The function of ``<ir_name>.ll`` in this folder, callable from Python by ctypes.

    It releases the interpreter's lock while it runs. Raises RuntimeError on a big-endian processor.
    """
    if sys.byteorder != "little":
        raise RuntimeError("compiled kernels need a little-endian processor: SCORING_KERNELS=plain")
    engine = _machine_code(ir_name)
    found: Any = CFUNCTYPE(result, *parameters)(engine.get_function_address(function_name))
    found.engine = engine  # the machine code lives as long as its engine
    return found


@cache
def _machine_code(ir_name: str) -> Any:
    """An llvmlite execution engine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    ir = Path(__file__).with_name(f"{ir_name}.ll").read_text(encoding="utf-8")
    module = llvm.parse_assembly(ir)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
