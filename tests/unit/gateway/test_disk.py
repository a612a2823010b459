import stat
from pathlib import Path

import pytest
from support.xds_client import cluster, endpoints
from tandem_contract.documents import Credential, Freshness
from tandem_contract.xds import Resource, from_dict, from_document
from tandem_serving.gateway import disk

RESOURCES = [from_dict(cluster("local|a/b", eds=True)), from_dict(endpoints("local|a/b", 1, 2))]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    disk.write(tmp_path / "state" / "snapshot", disk.encode(RESOURCES))
    assert disk.read(tmp_path / "state" / "snapshot") == RESOURCES


def test_nothing_written_is_nothing_read(tmp_path: Path) -> None:
    assert disk.read(tmp_path / "snapshot") == []


def test_only_we_can_read_it_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    disk.write(tmp_path / "snapshot", disk.encode(RESOURCES))
    disk.write(tmp_path / "snapshot", disk.encode(RESOURCES))
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]
    assert stat.S_IMODE((tmp_path / "snapshot").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "never",
    [
        pytest.param(
            from_document(Credential(endpoint="openai", destination="d", authorization="Bearer sk-secret")), id="a key"
        ),
        pytest.param(from_document(Freshness(observed_seconds=1)), id="the heartbeat"),
    ],
)
def test_what_lives_in_memory_alone_is_neither_written_nor_read(
    never: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = disk.encode([*RESOURCES, never])
    assert b"sk-secret" not in content
    assert disk.decode(content) == RESOURCES
    monkeypatch.setattr(disk, "NEVER_ON_DISK", frozenset())
    smuggled = disk.encode([*RESOURCES, never])
    monkeypatch.undo()
    assert disk.decode(smuggled) == RESOURCES


def test_every_flipped_byte_is_noticed() -> None:
    content = disk.encode(RESOURCES)
    for i in range(len(content)):
        with pytest.raises(disk.CorruptSnapshot):
            disk.decode(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])


def test_every_cut_is_noticed() -> None:
    content = disk.encode(RESOURCES)
    for i in range(len(content)):
        with pytest.raises(disk.CorruptSnapshot):
            disk.decode(content[:i])


def test_a_whole_file_of_something_else_is_noticed() -> None:
    with pytest.raises(disk.CorruptSnapshot, match="begin"):
        disk.decode(b"tandem-snapshot/2 sha256=00\n")


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snapshot"
    disk.write(path, disk.encode(RESOURCES))

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        disk.write(path, b"half")
    assert disk.read(path) == RESOURCES
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_in_its_place_is_a_corrupt_snapshot_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    with pytest.raises(disk.CorruptSnapshot):
        disk.read(tmp_path / "snapshot")
