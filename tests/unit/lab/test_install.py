"""``lab/install.sh`` on machines that lack something; every program that it could call is a stand-in."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tandem_lab import paths

SCRIPT = paths.REPOSITORY / "lab" / "install.sh"
FOUND = {"dirname", "cat", "sh", "grep", "env"}


class Machine:
    """A folder of programs that is all of ``PATH``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in FOUND:
            (folder / name).symlink_to(Path("/usr/bin") / name)
        (folder / "python3").symlink_to(sys.executable)
        self.has("id", "echo 1000")
        self.has("ldconfig", "echo '\tlibnuma.so.1 (libc6,x86-64) => /lib/libnuma.so.1'")
        for name in ("curl", "g++"):
            self.has(name, "exit 0")
        self.has("uv", f'echo "uv $*" >> {folder}.log')
        self.has("apt-get", f'echo "apt-get $*" >> {folder}.log')

    def has(self, name: str, script: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def lacks(self, name: str) -> None:
        (self.folder / name).unlink()

    def install(self, *programs: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.folder), "HOME": str(self.folder / "home")}
        return subprocess.run(["/bin/sh", SCRIPT, *programs], env=env, capture_output=True, text=True, check=False)

    @property
    def log(self) -> list[str]:
        log = Path(f"{self.folder}.log")
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "bin")


def test_a_machine_that_has_everything_gets_the_locked_environment_only(machine: Machine) -> None:
    done = machine.install()

    assert done.returncode == 0, done.stderr
    assert [line for line in machine.log if not line.startswith("uv --version")] == ["uv sync --locked --quiet"]


def test_a_user_without_root_is_told_in_one_line_what_is_missing(machine: Machine) -> None:
    machine.lacks("curl")
    machine.lacks("g++")

    done = machine.install()

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "sudo apt-get install curl g++" in line
    assert "uv sync --locked --quiet" not in machine.log


def test_root_gets_the_missing_packages_installed(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("ldconfig", "exit 0")

    done = machine.install()

    assert done.returncode == 0, done.stderr
    assert "apt-get update -qq" in machine.log
    assert "apt-get install -y -qq --no-install-recommends libnuma1" in machine.log


def test_a_program_that_was_asked_for_is_installed_only_where_it_is_missing(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("here", "exit 0")

    done = machine.install("here", "wrk")

    assert done.returncode == 0, done.stderr
    assert "apt-get install -y -qq --no-install-recommends wrk" in machine.log


def test_a_user_who_may_use_sudo_needs_no_root_shell(machine: Machine) -> None:
    machine.lacks("g++")
    machine.has("sudo", f'[ "$1" = -n ] && shift; echo "sudo $1" >> {machine.folder}.log; exec "$@"')
    machine.has("true", "exit 0")

    done = machine.install()

    assert done.returncode == 0, done.stderr
    assert "apt-get install -y -qq --no-install-recommends g++" in machine.log
    assert "sudo env" in machine.log


def with_python(machine: Machine, version: str) -> subprocess.CompletedProcess[str]:
    """Install where ``python3`` is of another version."""
    pretend = f"import sys; sys.version_info = ({version.replace('.', ', ')}); exec(sys.argv[1])"
    machine.lacks("python3")
    machine.has("python3", f'[ "$1" = -V ] && echo "Python {version}" || exec {sys.executable} -c "{pretend}" "$2"')
    return machine.install()


@pytest.mark.parametrize("version", ["3.11.0", "3.12.9", "3.13.1"])
def test_each_python_that_the_environment_is_locked_for_will_do(machine: Machine, version: str) -> None:
    done = with_python(machine, version)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["2.7.18", "3.10.12", "3.14.0"])
def test_any_other_python_is_named_in_one_line(machine: Machine, version: str) -> None:
    done = with_python(machine, version)

    assert done.returncode == 1
    assert done.stderr == (
        f"install: Python 3.11, 3.12 or 3.13 is needed as python3 (found: Python {version})."
        " Put one first in PATH and run this again.\n"
    )


def test_script_readme_and_project_ask_for_the_same_python() -> None:
    project = tomllib.loads((paths.REPOSITORY / "pyproject.toml").read_text())["project"]

    assert project["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11, 3.12 or 3.13 " in (paths.REPOSITORY / "README.md").read_text()
