"""A reference page's tables beside what the code says: metrics by name, labels and kind."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
_METRIC = re.compile(r"^\| `(tandem_[a-z_]+)(?:\{([a-z_,]+)\})?` \| (counter|gauge|histogram) \| \S", re.MULTILINE)


def metrics_told(page: str) -> set[tuple[str, tuple[str, ...], str]]:
    """Return name, labels and kind of every metric that a page has a row for."""
    return {
        (name, tuple(sorted(filter(None, labels.split(",")))), kind) for name, labels, kind in _METRIC.findall(page)
    }


def metrics_there(registry: CollectorRegistry) -> set[tuple[str, tuple[str, ...], str]]:
    """Return the same of a registry; labels are known of what has a sample, so touch everything before."""
    return {
        (
            f"{family.name}_total" if family.type == "counter" else family.name,
            tuple(sorted({label for sample in family.samples for label in sample.labels} - {"le"})),
            family.type,
        )
        for family in registry.collect()
    }
