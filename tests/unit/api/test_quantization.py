"""The quantization methods of the API are methods of the vLLM that is installed."""

import ast
import importlib.util
from pathlib import Path
from typing import get_args

from tandem_operator.api.model import Quantization


def methods_of_vllm() -> set[str]:
    """Read them from vLLM's source: importing it takes many seconds."""
    found = importlib.util.find_spec("vllm")
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).parent / "model_executor" / "layers" / "quantization" / "__init__.py"
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "QuantizationMethods":
            return set(ast.literal_eval(node.value.slice)) if isinstance(node.value, ast.Subscript) else set()
    return set()


def test_vllm_knows_every_method_that_the_api_offers():
    assert set(get_args(Quantization)) <= methods_of_vllm()
