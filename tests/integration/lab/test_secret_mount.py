"""The lab in the kubelet's place: a Secret's entries as files that follow it."""

from pathlib import Path

from support.wait import eventually
from tandem_lab.control_plane import ControlPlane
from tandem_lab.secret_mount import SecretMount


def secret(namespace: str, **entries: str) -> dict[str, object]:
    meta = {"name": "mounted", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": entries}


def test_files_follow_the_secret(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    control_plane.apply(secret(namespace, **{"tls.crt": "first"}))

    with SecretMount(control_plane, namespace, "mounted", tmp_path / "tls") as mount:
        assert (mount.folder / "tls.crt").read_text() == "first"
        assert (mount.folder / "tls.crt").stat().st_mode & 0o077 == 0

        control_plane.apply(secret(namespace, **{"tls.crt": "second"}))
        eventually(lambda: (mount.folder / "tls.crt").read_text() == "second", within_seconds=30)

        control_plane.kubectl("delete", "secret", "mounted", "-n", namespace)
        assert not mount.refresh()
        assert (mount.folder / "tls.crt").read_text() == "second"
