"""What calls itself pure is held to it by import-linter."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = [REPOSITORY / name for name in ("operator", "serving", "lab")]
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(contract for contract in CONTRACTS if contract["name"] == "Decisions are pure")["source_modules"]


def modules() -> dict[str, str]:
    """Return the docstring of every module, by the module's name."""
    return {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): docstring
        for source in SOURCES
        for file in source.rglob("tandem_*/**/*.py")
        if (docstring := ast.get_docstring(ast.parse(file.read_text())))
    }


CLAIM = [name for name, docstring in modules().items() if re.search(r"\bPure[.:;]", docstring)]


@pytest.mark.parametrize("name", CLAIM)
def test_a_module_that_says_pure_is_in_the_contract(name):
    assert any(name == listed or name.startswith(f"{listed}.") for listed in PURE)


def test_modules_that_say_pure_were_found():
    assert "tandem_operator.plan" in CLAIM
    assert "tandem_operator.routing" in CLAIM
