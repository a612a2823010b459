"""The allow-list against vLLM's real parser: every name is a flag of its own, and takes what the list lets through."""

import json
import subprocess
import sys
from typing import Any

import pytest
from tandem_contract import engine_args

EXAMPLES = {
    engine_args.SWITCH: ["true", "false"],
    engine_args.COUNT: ["64"],
    engine_args.COUNT_OR_ZERO: ["0", "2"],
    engine_args.FRACTION: ["0.85", "1"],
    engine_args.SWITCHES: ['{"enable_thinking": false}'],
    engine_args.LIMITS: ['{"image": 2}'],
}
NAMES = {
    "attention-backend": ["FLASH_ATTN", "TRITON_ATTN", "FLASHINFER"],
    "tool-call-parser": ["hermes", "pythonic"],
    "reasoning-parser": ["qwen3"],
}

PROGRAM = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

class Parser(FlexibleArgumentParser):
    def error(self, message):
        raise ValueError(message)

parser = make_arg_parser(Parser(allow_abbrev=False))
options = [option for action in parser._actions for option in action.option_strings]
problems = {}
for line in json.load(sys.stdin):
    try:
        parser.parse_args(line)
    except BaseException as error:
        problems[" ".join(line)] = repr(error)
print("RESULT" + json.dumps({"options": options, "problems": problems}))
"""


def values(name: str, kind: engine_args.Kind) -> list[str]:
    if kind is engine_args.NAME:
        return NAMES[name]
    return EXAMPLES.get(kind) or kind.pattern.split("|")


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """Ask the parser once: importing vLLM takes 20 s and much memory, so it is done in a process of its own."""
    lines = [
        engine_args.command_line({name: value})
        for name, kind in engine_args.ALLOWED.items()
        for value in values(name, kind)
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    result = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert result, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(result[0].removeprefix("RESULT"))
    return answer


@pytest.mark.timeout(600)
def test_every_allowed_name_is_exactly_a_flag_of_vllm(parsed):
    assert {f"--{name}" for name in engine_args.ALLOWED} - set(parsed["options"]) == set()
    assert {f"--{name}" for name in engine_args.OWNED} - set(parsed["options"]) == set()


def test_every_value_that_the_list_lets_through_is_one_that_vllm_takes(parsed):
    assert parsed["problems"] == {}
