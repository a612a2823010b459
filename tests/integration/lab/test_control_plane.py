"""The control plane that all integration tests stand on."""

from pathlib import Path

import pytest
from support.wait import eventually
from tandem_lab.control_plane import ControlPlane, KubectlError


def test_a_service_account_has_its_own_rights_and_no_more(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    control_plane.kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps", "-n", namespace)
    control_plane.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader", "-n", namespace
    )

    reader = control_plane.service_account_kubeconfig(namespace, "reader")

    assert reader.stat().st_mode & 0o077 == 0

    def listed() -> bool:
        found = control_plane.run_kubectl("--kubeconfig", reader, "get", "configmaps", "-n", namespace)
        return "kube-root-ca.crt" in found.stdout

    eventually(listed, within_seconds=60)  # a controller puts it there, and the authorizer has to hear of the role
    with pytest.raises(KubectlError, match="Forbidden"):
        control_plane.kubectl("--kubeconfig", reader, "get", "secrets", "-n", namespace)


def test_pod_security_is_enforced(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")

    root = ("run", "root", "--image=any", "-n", namespace)
    eventually(lambda: "violates PodSecurity" in control_plane.run_kubectl(*root, "--dry-run=server").stderr, 60)
    refused = control_plane.run_kubectl(*root)

    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr


def test_the_api_server_comes_back_from_an_outage_with_what_it_knew(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as cluster:
        cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        url = cluster.url

        cluster.stop_api_server()
        assert cluster.run_kubectl("get", "configmap", "kept").returncode != 0
        cluster.start_api_server()

        assert cluster.url == url
        assert cluster.get_json("configmap", "kept")["data"] == {"a": "b"}


def test_nothing_runs_after_it_was_stopped(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as cluster:
        assert programs_of(tmp_path)
        cluster.kubectl("get", "namespaces")

    assert not programs_of(tmp_path)


def test_the_audit_log_tells_who_wrote_what(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "configmap", "told", "--from-literal=a=b", "-n", namespace)

    def told() -> bool:
        refs = [
            (e["verb"], e.get("objectRef", {}).get("name"))
            for e in control_plane.audit_events()
            if e["user"]["username"] == "admin"
        ]
        return ("create", "told") in refs

    eventually(told, within_seconds=60)


def programs_of(folder: Path) -> list[str]:
    """Return the command lines of this machine that name ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended while we looked
            continue
        if str(folder) in line:
            found.append(line)
    return found
