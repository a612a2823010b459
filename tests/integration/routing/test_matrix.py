"""Every state of local with every state of the cloud, on real Envoy, guard and gate: matrix.md says who answers."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from support.asking import Answer
from support.matrix_house import CLOUD, IMPATIENT, LOCAL, USUAL, WHEN, Cell, MatrixHouse, matrix_house
from tandem_operator.routing import Bounds

COLUMNS = ((False, False), (True, False), (False, True), (True, True))
"""(streamed, denied), as in the tables."""

AT_ONCE = 100


def read_tables() -> dict[Cell, str]:
    """Return what each cell of both tables says. The second column is a cloud's state, or what ``when`` allows."""
    lines = Path(__file__).with_name("matrix.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    table: dict[Cell, str] = {}
    for local, other, *said in rows:
        if local in LOCAL:
            cloud, when = ("ok", other) if other in WHEN else (other, USUAL)
            for (streamed, denied), outcome in zip(COLUMNS, said, strict=True):
                table[Cell(local, cloud, streamed, denied, when)] = outcome
    return table


TABLE = read_tables()
CROWDED = [Cell(local, "ok", False, False) for local in ("dead", "starting", "hanging before headers", "saturated")]

ROOMY = Cell("three of four saturated", "ok", False, False)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, dead_port: int) -> Iterator[MatrixHouse]:
    with matrix_house(tmp_path_factory.mktemp("matrix"), dead_port, IMPATIENT, TABLE) as running:
        yield running


@pytest.fixture(scope="module")
def answers(house: MatrixHouse) -> dict[Cell, Answer]:
    """Every cell's answer: all those with the guard first, then those without."""
    alive = asyncio.run(ask_all(house, [cell for cell in TABLE if cell.cloud != "guard dead"]))
    house.guard.stop()
    dead = asyncio.run(ask_all(house, [cell for cell in TABLE if cell.cloud == "guard dead"]))
    house.guard.start()
    return alive | dead


async def ask_all(house: MatrixHouse, cells: Collection[Cell]) -> dict[Cell, Answer]:
    room = asyncio.Semaphore(AT_ONCE)
    hanging_first = sorted(cells, key=lambda cell: not cell.local.startswith("hanging"))

    async def one(cell: Cell) -> Answer:
        async with room:
            return await house.ask(cell)

    return dict(zip(hanging_first, await asyncio.gather(*map(one, hanging_first)), strict=True))


def outcome(answer: Answer) -> str:
    said = (answer.destination or "nobody").partition("/")[0]
    notes = [*([answer.reason] if answer.reason else []), *(["cut"] if answer.cut else [])]
    return ", ".join([f"{answer.status} {said}", *notes])


def test_the_tables_are_complete() -> None:
    clouds = {Cell(local, cloud, *column) for local in LOCAL for cloud in CLOUD for column in COLUMNS}
    whens = {Cell(local, "ok", *column, when) for local in LOCAL for when in WHEN for column in COLUMNS}
    assert set(TABLE) == clouds | whens


@pytest.mark.parametrize("cell", TABLE, ids=[cell.name for cell in TABLE])
def test_who_answers(answers: dict[Cell, Answer], cell: Cell) -> None:
    assert outcome(answers[cell]) == TABLE[cell], answers[cell].text


def test_a_cloud_is_asked_once_at_most_and_never_against_the_policy(
    house: MatrixHouse, answers: dict[Cell, Answer]
) -> None:
    wrong = {}
    for cell, answer in answers.items():
        sent = house.sent_out(cell)
        forbidden = cell.denied or cell.cloud == "guard dead" or cell.when == "no cloud"
        if sent > (0 if forbidden else 1) or (answer.reason and sent != 1):
            wrong[cell] = sent
    assert wrong == {}


def test_every_answer_says_where_it_came_from(answers: dict[Cell, Answer]) -> None:
    for cell, answer in answers.items():
        assert answer.headers["x-request-id"] == answer.request_id, cell
        assert answer.destination in ("local", "cloud/up", "gateway"), cell
        assert answer.attempts >= 1, cell
        assert bool(answer.reason) == (answer.destination == "cloud/up"), cell


def test_every_failure_has_openais_shape_and_says_when_to_try_again(answers: dict[Cell, Answer]) -> None:
    failures = {cell: answer for cell, answer in answers.items() if answer.status != 200}
    assert {answer.destination for answer in failures.values()} == {"local", "gateway"}
    assert len(failures) > 100
    for cell, answer in failures.items():
        assert answer.error["message"], cell
        assert int(answer.headers["retry-after"]) > 0, cell


@pytest.mark.parametrize("cell", CROWDED, ids=[cell.local for cell in CROWDED])
async def test_200_at_once_are_all_answered_by_the_cloud(patient_house: MatrixHouse, cell: Cell) -> None:
    answers = await asyncio.gather(*(patient_house.ask(cell) for _ in range(200)))
    assert Counter((answer.status, answer.destination) for answer in answers) == {(200, "cloud/up"): 200}


async def test_nothing_overflows_while_one_replica_of_four_has_room(patient_house: MatrixHouse) -> None:
    answers = await asyncio.gather(*(patient_house.ask(ROOMY) for _ in range(40)))
    assert Counter((answer.status, answer.destination) for answer in answers) == {(200, "local"): 40}
    assert max(answer.attempts for answer in answers) > 2


@pytest.fixture(scope="module")
def patient_house(tmp_path_factory: pytest.TempPathFactory, dead_port: int) -> Iterator[MatrixHouse]:
    with matrix_house(tmp_path_factory.mktemp("patient"), dead_port, Bounds(), [*CROWDED, ROOMY]) as running:
        yield running
