"""The tour itself: commands that a shell takes, asked for at their moment."""

import json
import shlex
import subprocess
from pathlib import Path

from tandem_lab.demo import coordinates
from tandem_lab.demo.steps import Result
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
