"""Makes PyTorch report bfloat16 instructions or none, whatever the processor has (pytest's option `--bf16`).

`conftest.py` applies it to the tests' own process. Python imports a module of this name when it starts, so with this
folder on PYTHONPATH it also holds in every Python that a test starts.
"""

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

VARIABLE = "STENCILNET_TESTS_BF16"
"""``yes`` or ``no``, set by `conftest.py`."""


def report_bf16(module: ModuleType, answer: str) -> None:
    """Replace ``get_capabilities`` of the module `torch.cpu`; imitated bfloat16 gives the same numbers, slowly."""
    module.get_capabilities = lambda: {"avx512_bf16": answer == "yes"}  # type: ignore[attr-defined]


class _Finder:
    """Finds `torch.cpu` as Python would, and changes it once it is imported: importing torch here takes too long."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "torch.cpu":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            report_bf16(module, os.environ[VARIABLE])

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if VARIABLE in os.environ and "torch" not in sys.modules:
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
