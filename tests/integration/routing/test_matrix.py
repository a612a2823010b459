"""Every state of local with every state of the cloud, on real Envoy and the real guard: matrix.md says who answers."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from support.asking import Answer
from support.matrix_house import CLOUD, IMPATIENT, LOCAL, MatrixHouse, matrix_house
from tandem_operator.routing import Bounds

COLUMNS = ((False, False), (True, False), (False, True), (True, True))
"""(streamed, denied), as in the table."""

AT_ONCE = 60

Cell = tuple[str, str, bool, bool]
"""(local, cloud, streamed, denied)"""


def read_table() -> dict[tuple[str, str], list[str]]:
    lines = Path(__file__).with_name("matrix.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {(local, cloud): cells for local, cloud, *cells in rows[2:]}


TABLE = read_table()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, dead_port: int) -> Iterator[MatrixHouse]:
    with matrix_house(tmp_path_factory.mktemp("matrix"), dead_port, IMPATIENT) as running:
        yield running


@pytest.fixture(scope="module")
def answers(house: MatrixHouse) -> dict[Cell, Answer]:
    """Every cell's answer: all those with the guard first, then those without."""
    alive = asyncio.run(ask_all(house, (cloud for cloud in CLOUD if cloud != "guard dead")))
    house.guard.stop()
    dead = asyncio.run(ask_all(house, ["guard dead"]))
    house.guard.start()
    return alive | dead


async def ask_all(house: MatrixHouse, clouds: Iterable[str]) -> dict[Cell, Answer]:
    cells = [(local, cloud, streamed, denied) for cloud in clouds for local in LOCAL for streamed, denied in COLUMNS]
    room = asyncio.Semaphore(AT_ONCE)

    async def one(cell: Cell) -> Answer:
        local, cloud, streamed, denied = cell
        async with room:
            return await house.ask(local, cloud, stream=streamed, denied=denied, mark=str(cell))

    return dict(zip(cells, await asyncio.gather(*map(one, cells)), strict=True))


def outcome(answer: Answer) -> str:
    said = (answer.destination or "nobody").partition("/")[0]
    notes = [*([answer.reason] if answer.reason else []), *(["cut"] if answer.cut else [])]
    return ", ".join([f"{answer.status} {said}", *notes])


def test_the_table_is_complete() -> None:
    assert set(TABLE) == {(local, cloud) for local in LOCAL for cloud in CLOUD}
    assert {len(cells) for cells in TABLE.values()} == {len(COLUMNS)}


@pytest.mark.parametrize(("local", "cloud"), TABLE, ids=[f"local {local}, cloud {cloud}" for local, cloud in TABLE])
def test_who_answers(answers: dict[Cell, Answer], local: str, cloud: str) -> None:
    assert [outcome(answers[local, cloud, *column]) for column in COLUMNS] == TABLE[local, cloud]


def test_a_cloud_is_asked_once_at_most_and_never_against_the_policy(
    house: MatrixHouse, answers: dict[Cell, Answer]
) -> None:
    wrong = {}
    for cell, answer in answers.items():
        _, cloud, _, denied = cell
        sent = house.sent_out(str(cell))
        if sent > (0 if denied or cloud == "guard dead" else 1) or (answer.reason and sent != 1):
            wrong[cell] = sent
    assert wrong == {}


def test_every_answer_says_where_it_came_from(answers: dict[Cell, Answer]) -> None:
    for cell, answer in answers.items():
        assert answer.headers["x-request-id"] == answer.request_id, cell
        assert answer.destination in ("local", "cloud/up", "gateway"), cell
        assert answer.attempts >= 1, cell
        assert bool(answer.reason) == (answer.destination == "cloud/up"), cell


def test_every_503_of_the_gateway_says_when_to_try_again(answers: dict[Cell, Answer]) -> None:
    refused = [answer for answer in answers.values() if answer.destination == "gateway"]
    assert len(refused) > 30
    for answer in refused:
        assert answer.error["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("local", ["dead", "starting", "hanging before headers", "saturated"])
async def test_200_at_once_are_all_answered_by_the_cloud(patient_house: MatrixHouse, local: str) -> None:
    asked = (patient_house.ask(local, "ok", stream=number % 2 == 0, denied=False) for number in range(200))
    answers = await asyncio.gather(*asked)
    assert Counter((answer.status, answer.destination) for answer in answers) == {(200, "cloud/up"): 200}


@pytest.fixture(scope="module")
def patient_house(tmp_path_factory: pytest.TempPathFactory, dead_port: int) -> Iterator[MatrixHouse]:
    with matrix_house(tmp_path_factory.mktemp("patient"), dead_port, Bounds()) as running:
        yield running
