"""From the app's args to vLLM's command line, or to one line that says why not."""

import pytest
from tandem_contract.documents import EngineConfig
from tandem_serving.replica import source, vllm_engine
from tandem_serving.replica.engine import CannotStartError
from tandem_serving.replica.engine_config import read_engine_config

ARGS = {"deployment": "ns/m", "prefix": "/app", "source": "hf://org/name"}


def test_every_field_becomes_its_flag():
    args = {**ARGS, "revision": "abc", "max_model_len": 1024, "quantization": "awq", "engine_args": {"seed": "1"}}
    assert vllm_engine.command_line(EngineConfig.model_validate(args)) == [
        "--model=org/name",
        "--served-model-name=ns/m",
        "--revision=abc",
        "--max-model-len=1024",
        "--quantization=awq",
        "--seed=1",
    ]


def test_what_is_not_set_is_not_said():
    assert vllm_engine.command_line(EngineConfig.model_validate(ARGS)) == [
        "--model=org/name",
        "--served-model-name=ns/m",
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"source": None}, "source: Input should be a valid string", id="wrong type"),
        pytest.param({"new_field": 1}, "new_field: Extra inputs", id="a newer operator"),
        pytest.param({"engine_args": {"mod": "x"}}, "engineArgs: mod: not a flag", id="an abbreviation"),
    ],
)
def test_args_that_are_not_understood_are_refused_in_one_line(changes, why):
    with pytest.raises(CannotStartError, match=why) as raised:
        read_engine_config({**ARGS, **changes})
    assert "\n" not in str(raised.value)


def test_a_folder_with_a_model_is_a_source(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "config.json").write_text("{}")
    assert source.resolve(f"file://{tmp_path}/a%20b") == f"{tmp_path}/a b"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("file:///nowhere/at/all", "no such folder on the Ray cluster's nodes"),
        ("file:///tmp", "no config.json"),
        ("pvc://claim/path", "takes file:// and hf:// sources only"),
        ("s3://bucket/path", "takes file:// and hf:// sources only"),
    ],
)
def test_a_source_that_is_not_there_says_so(where, why):
    with pytest.raises(CannotStartError, match=why):
        source.resolve(where)
