"""How the tour reads what a command printed, and what it calls held."""

import pytest
from tandem_lab.demo import steps
from tandem_lab.demo.steps import Result, Step

ANSWER = Result(
    0,
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nX-Tandem-Destination: cloud/example-cloud\r\n"
    'x-tandem-reason: failover\r\n\r\n{"choices": [{"message": {"content": "x-tandem-destination: local\\n\\n"}}]}',
)
STREAM = Result(0, 'HTTP/1.1 200 OK\r\n\r\ndata: {"delta": "a"}\r\n\r\ndata: {"delta": "b"}\r\n\r\ndata: [DONE]\r\n')
REFUSED = Result(7, "curl: (7) Failed to connect")


def test_status_headers_and_body_are_what_curl_printed() -> None:
    assert ANSWER.status == 200
    assert ANSWER.headers["x-tandem-destination"] == "cloud/example-cloud"
    assert ANSWER.body.startswith('{"choices"')


def test_a_body_cannot_pass_for_a_header() -> None:
    lying = Result(0, "HTTP/1.1 200 OK\r\n\r\nx-tandem-destination: local\n")

    assert steps.header("x-tandem-destination", "local")(lying) is not None


def test_output_without_http_has_no_status() -> None:
    assert REFUSED.status is None
    assert steps.status(200)(REFUSED) == "HTTP status None instead of 200"


@pytest.mark.parametrize(
    ("check", "result", "holds"),
    [
        pytest.param(steps.succeeds, ANSWER, True, id="exit code 0"),
        pytest.param(steps.succeeds, REFUSED, False, id="another exit code"),
        pytest.param(steps.status(200), ANSWER, True, id="status"),
        pytest.param(steps.status(503), ANSWER, False, id="another status"),
        pytest.param(steps.header("x-tandem-reason", "failover", "bridge"), ANSWER, True, id="one of two values"),
        pytest.param(steps.header("x-tandem-reason", "bridge"), ANSWER, False, id="another value"),
        pytest.param(steps.header("x-tandem-attempts", "1"), ANSWER, False, id="header missing"),
        pytest.param(steps.prints("choices"), ANSWER, True, id="pattern found"),
        pytest.param(steps.prints("nothing of it"), ANSWER, False, id="pattern missing"),
        pytest.param(steps.prints_nothing, Result(0, " \n"), True, id="blank is nothing"),
        pytest.param(steps.prints_nothing, ANSWER, False, id="something"),
        pytest.param(steps.prints_times("^data: ", 3), STREAM, False, id="without MULTILINE a caret is the start"),
        pytest.param(steps.prints_times("data: ", 3), STREAM, True, id="three chunks"),
        pytest.param(steps.prints_times("data: ", 4), STREAM, False, id="not four"),
    ],
)
def test_checks(check: steps.Check, result: Result, holds: bool) -> None:
    assert (check(result) is None) is holds


def test_a_step_tells_everything_that_did_not_hold() -> None:
    step = Step("Answered", "curl", (steps.succeeds, steps.status(200), steps.prints("hello")))

    assert step.judge(REFUSED) == [
        "the command ended with 7",
        "HTTP status None instead of 200",
        "the output does not match 'hello'",
    ]
    assert step.judge(Result(0, "HTTP/1.1 200 OK\r\n\r\nhello")) == []
