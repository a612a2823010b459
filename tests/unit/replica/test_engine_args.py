"""The allow-list of vLLM flags: exact names, values of a kind, nothing that runs code or reads files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem_contract import engine_args


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("mod", "x", id="an abbreviation of --model"),
        pytest.param("max_num_seqs", "64", id="underscores, which vLLM would take"),
        pytest.param("--max-num-seqs", "64", id="dashes in front"),
        pytest.param("max-num-seqs=1 --model", "x", id="two flags in one name"),
        pytest.param("trust-remote-code", "true", id="runs code from the checkpoint"),
        pytest.param("middleware", "os.system", id="imports anything"),
        pytest.param("chat-template", "/etc/passwd", id="reads a file"),
        pytest.param("sse-keep-alive-interval", "1", id="would be a first chunk before the first token"),
        pytest.param("disable-log-stats", "true", id="silences what admission lives on"),
        pytest.param("root-path", "/", id="the gateway's"),
        pytest.param("max-num-seqs", "0", id="not even one"),
        pytest.param("max-num-seqs", "64\n", id="a newline at the end"),
        pytest.param("max-num-seqs", "6 4", id="a space"),
        pytest.param("gpu-memory-utilization", "1.5", id="more than all"),
        pytest.param("gpu-memory-utilization", "0.0", id="nothing"),
        pytest.param("gpu-memory-utilization", "nan", id="not a number"),
        pytest.param("enforce-eager", "yes", id="not true or false"),
        pytest.param("generation-config", "/tmp", id="a path where a word is meant"),
        pytest.param("tool-call-parser", "../x", id="a path where a name is meant"),
        pytest.param("limit-mm-per-prompt", '{"image": {"count": 1}}', id="a nested object"),
        pytest.param("default-chat-template-kwargs", '{"chat_template": "{{ x }}"}', id="a template smuggled in"),
    ],
)
def test_refused(name, value):
    (why,) = engine_args.problems({name: value})
    assert why.startswith(f"{name}: ")
    with pytest.raises(ValueError, match="engineArgs: "):
        engine_args.command_line({name: value})


@pytest.mark.parametrize("name", sorted(engine_args.OWNED))
def test_a_flag_with_a_field_of_its_own_names_the_field(name):
    assert engine_args.problem(name, "1") == f"{name}: set {engine_args.OWNED[name]} instead"


def test_flags_become_one_argument_each_so_that_no_value_is_read_as_a_flag():
    args = {"max-num-seqs": "64", "enforce-eager": "true", "enable-prefix-caching": "false"}
    assert engine_args.command_line(args) == ["--no-enable-prefix-caching", "--enforce-eager", "--max-num-seqs=64"]


def test_every_problem_is_told_at_once():
    assert len(engine_args.problems({"model": "x", "port": "1", "seed": "-1"})) == 3


def test_too_many_flags_are_refused_without_a_list_of_each():
    assert engine_args.problems({f"x{number}": "1" for number in range(33)}) == ("at most 32 flags may be set",)


@given(st.dictionaries(st.text(max_size=60), st.text(max_size=300), max_size=3))
def test_nothing_gets_through_that_is_not_listed(args):
    if not engine_args.problems(args):
        assert args.keys() <= engine_args.ALLOWED.keys()
        assert all(
            flag.removeprefix("--no-").removeprefix("--").split("=")[0] in args
            for flag in engine_args.command_line(args)
        )


def test_kinds_cover_every_flag_once():
    names = [name for group in engine_args.names_by_kind().values() for name in group]
    assert sorted(names) == sorted(engine_args.ALLOWED)


def test_every_name_fits_the_schema():
    assert max(map(len, engine_args.ALLOWED)) <= engine_args.MAX_NAME_LENGTH
