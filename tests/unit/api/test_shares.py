"""What only a share of a GPU excludes is allowed on whole GPUs, and on the CPU."""

import pytest
from support.builders import a_model_deployment
from tandem_operator.api.v1alpha1 import ModelDeployment


@pytest.mark.parametrize(
    ("gpus", "flags"),
    [
        ("0", {"kv-cache-memory-bytes": "268435456"}),
        ("1", {"kv-cache-memory-bytes": "268435456", "gpu-memory-utilization": "0.9"}),
        ("2", {"tensor-parallel-size": "2"}),
        ("0.5", {"tensor-parallel-size": "1", "max-num-seqs": "8"}),
    ],
)
def test_flags_that_fit_are_let_in(gpus, flags):
    local = {"resources": {"gpus": gpus}, "engineArgs": flags}
    found = ModelDeployment.model_validate(a_model_deployment(spec={"local": local}))
    assert found.spec.local.engine_args == flags
