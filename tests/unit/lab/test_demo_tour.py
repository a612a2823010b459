"""The tour itself: commands that a shell takes, asked for at their moment."""

import json
import shlex
import subprocess
from pathlib import Path

from tandem_lab.demo import coordinates
from tandem_lab.demo.steps import Result, Step
from tandem_lab.demo.tour import chat, tour


class Notebook:
    """A place that notes when it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def replica_pid(self) -> int:
        self.asked.append("pid")
        return 4711

    def requests_sent(self) -> int:
        self.asked.append("sent")
        return 7


def test_every_command_is_one_that_bash_takes_and_every_step_can_fail() -> None:
    steps = list(tour(Notebook()))

    for step in steps:
        parsed = subprocess.run(["bash", "-n", "-c", step.command], capture_output=True, text=True, check=False)
        assert parsed.returncode == 0, parsed.stderr
        assert step.judge(Result(1, "curl: (7) Failed to connect")), step.title
    assert len({step.title for step in steps}) == len(steps)


def test_what_only_the_moment_knows_is_asked_at_that_moment() -> None:
    place = Notebook()
    seen = [(step.command, list(place.asked)) for step in tour(place)]

    assert next(asked for command, asked in seen if command.startswith("kubectl apply")) == []
    assert next(asked for command, asked in seen if command == "kill -9 4711") == ["pid"]
    counted = [step for step in tour(place) if "requests, as before" in step.title]
    assert counted[0].judge(Result(0, "7\n")) == []
    assert counted[0].judge(Result(0, "8\n"))


def step_called(title: str) -> Step:
    return next(step for step in tour(Notebook()) if title in step.title)


def a_list(reason: str, ready: str) -> Result:
    header = "NAME    MODEL           READY   REASON    LOCAL   CLOUD   URL        AGE\n"
    return Result(0, f"{header}hello   file:///gemma   True    {reason}   {ready}       True    http://g   4s\n")


def test_a_replica_that_is_ready_before_its_time_is_seen() -> None:
    step = step_called("no replica is ready yet")

    assert step.judge(a_list("Bridged", "0")) == []
    assert step.judge(a_list("Bridged", "1"))
    assert step.judge(a_list("Bridged", " "))
    assert step.judge(a_list("LocalAnswers", "0"))


def test_an_edit_that_is_still_on_its_way_is_seen() -> None:
    step = step_called("on its way")

    assert step.judge(Result(0, "2 2 Ready LocalAvailable CloudReachable RoutesProgrammed")) == []
    assert step.judge(Result(0, "2 1 Ready LocalAvailable CloudReachable RoutesProgrammed"))
    assert step.judge(Result(0, "2 2 Ready LocalAvailable CloudReachable RoutesProgrammed Reconciling"))


def test_a_replica_that_an_edit_restarted_is_seen() -> None:
    step = step_called("Nothing restarted")

    assert step.judge(Result(0, '"state": "RUNNING", "pid": 4711\n')) == []
    assert step.judge(Result(0, '"state": "RUNNING", "pid": 4712\n'))
    assert step.judge(Result(0, '"state": "RUNNING", "pid": 47110\n'))
    assert step.judge(Result(0, '"state": "RUNNING", "pid": 4711\n"state": "RUNNING", "pid": 4712\n'))
    assert step.judge(Result(1, ""))


def test_the_process_is_asked_for_before_the_edit() -> None:
    place = Notebook()

    asked = next(list(place.asked) for step in tour(place) if "second name" in step.title)

    assert asked.count("pid") == 2


def test_processes_are_found_in_what_ray_serve_says() -> None:
    replicas = [{"state": "RUNNING", "pid": 4711, "port": 1}, {"state": "STOPPED", "pid": 1}, {"state": "RUNNING"}]
    told = json.dumps({"replicas": replicas, "proxies": {"n": {"actor_id": "a"}}})
    command = step_called("Nothing restarted").command.partition("|")[2]

    found = subprocess.run(["bash", "-c", command], input=told, capture_output=True, text=True, check=True)

    assert found.stdout == '"state": "RUNNING", "pid": 4711\n'


def test_a_chat_is_valid_json_with_the_headers_that_were_asked_for() -> None:
    words = shlex.split(chat("support", stream=True, headers={"x-tandem-data-class": "Restricted"}))

    body = json.loads(words[words.index("-d") + 1])
    assert (body["model"], body["stream"], body["stop"]) == ("support", True, "\n")
    assert "x-tandem-data-class: Restricted" in words


def test_the_coordinates_can_be_sourced_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "env"
    coordinates.write(path, {"URL": "http://127.0.0.1:1/v1", "RAY_TOKEN": "it's a $token"}, Path("/opt/programs"))

    said = subprocess.run(
        ["bash", "-c", f'. {path}; echo "$URL"; echo "$RAY_TOKEN"; echo "${{PATH%%:*}}"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.splitlines() == ["http://127.0.0.1:1/v1", "it's a $token", "/opt/programs"]
    assert path.stat().st_mode & 0o077 == 0
