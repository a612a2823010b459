"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, controller-manager, scheduler.

RBAC and PodSecurity admission are on. It has no node: the lab plays the kubelet where one is needed.
"""

import json
import os
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tandem_lab import kubeconfig, tools
from tandem_lab.process import Process, free_port

_START_SECONDS = 120  # a busy machine; about 4 in peace
_USERS = {
    "admin": "admin",
    "system:kube-controller-manager": "kube-controller-manager",
    "system:kube-scheduler": "kube-scheduler",
}  # user -> name of its kubeconfig
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["get", "list", "watch"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}]},
        {"level": "RequestResponse"},
    ],
}


class KubectlError(RuntimeError):
    """kubectl refused; the message is what it printed."""


class ControlPlane:
    """Started with ``with``; everything that it writes is in ``folder``."""

    def __init__(self, folder: Path, *, audit: bool = False, programs: Path | None = None) -> None:
        self.folder = folder
        self.audit_log = folder / "audit.log" if audit else None
        self._programs = programs or tools.cluster_programs()
        self._tokens = {user: secrets.token_hex(16) for user in _USERS}
        self._port = free_port()
        self._etcd_port = free_port()
        self._processes: list[Process] = []
        self._api_server: Process | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; a part under test gets one from ``service_account_kubeconfig``."""
        return self.folder / "admin.kubeconfig"

    @property
    def certificate_authority(self) -> Path:
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def kubectl_program(self) -> Path:
        return self._programs / "kubectl"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; returns when a pod could be created (the default ServiceAccount exists)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_secrets()
        self._start_etcd()
        self.start_api_server()
        self._write_kubeconfigs()
        self._start_controllers()
        self._wait_for("/api/v1/namespaces/default/serviceaccounts/default")

    def stop(self) -> None:
        """Stop everything, clients first; safe to call twice."""
        self.stop_api_server()
        for process in reversed(self._processes):
            process.stop(grace_seconds=3)
        self._processes.clear()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def start_api_server(self) -> None:
        """Start the API server, always on the same port; returns when it is ready."""
        self._api_server = self._process("kube-apiserver", self._api_server_command())
        self._wait_for("/readyz")

    def stop_api_server(self) -> None:
        """Take the API server away, as an outage; etcd and the controllers stay."""
        if self._api_server is not None:
            self._api_server.stop(grace_seconds=1)  # it would wait for open watches
            self._api_server = None

    def run_kubectl(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator and return whatever came of it."""
        command = [str(self.kubectl_program), *map(str, arguments)]
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False)

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and return its output; raises ``KubectlError``."""
        done = self.run_kubectl(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get_json(self, *arguments: str | Path) -> Any:
        """Return what ``kubectl get ... -o json`` says."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects, server side, as a user with kubectl would."""
        objects = {"apiVersion": "v1", "kind": "List", "items": manifests}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(objects))

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig that has the rights of this ServiceAccount and no more (TokenRequest)."""
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration", "24h").strip()
        path = self.folder / f"{namespace}.{name}.kubeconfig"
        kubeconfig.write(path, server=self.url, certificate_authority=self.certificate_authority, token=token)
        return path

    def audit_events(self) -> list[dict[str, Any]]:
        """Return what the API server was asked so far, with the bodies of writes (but those of Secrets)."""
        if self.audit_log is None:
            raise ValueError("start the control plane with audit=True")
        lines = self.audit_log.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"
        command = [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._processes.append(self._process("etcd", command))

    def _api_server_command(self) -> list[str]:
        key = self.folder / "service-accounts.key"
        command = [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # a loopback address is not a valid endpoint
            f"--secure-port={self._port}",
            f"--cert-dir={self.folder / 'certificates'}",
            "--authorization-mode=Node,RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--profiling=false",
        ]
        if self.audit_log is not None:
            command += [
                f"--audit-policy-file={self.folder / 'audit-policy.json'}",
                f"--audit-log-path={self.audit_log}",
                "--audit-log-mode=blocking",  # what was answered has been written
            ]
        return command

    def _start_controllers(self) -> None:
        manager = [
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            f"--root-ca-file={self.certificate_authority}",
        ]
        for name, arguments in (("kube-controller-manager", manager), ("kube-scheduler", [])):
            common = [
                f"--kubeconfig={self.folder / name}.kubeconfig",
                f"--cert-dir={self.folder / name}",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                "--leader-elect=false",
                "--profiling=false",
                "--kube-api-qps=100",
                "--kube-api-burst=200",
            ]
            self._processes.append(self._process(name, [*common, *arguments]))

    def _process(self, program: str, arguments: Sequence[str]) -> Process:
        return Process(program, [self._programs / program, *arguments], log=self.folder / "log" / f"{program}.log")

    def _write_secrets(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        groups = {"admin": ",system:masters"}
        rows = [f"{token},{user},{user}{groups.get(user, '')}\n" for user, token in self._tokens.items()]
        kubeconfig.write_private(self.folder / "service-accounts.key", pem.decode())
        kubeconfig.write_private(self.folder / "tokens.csv", "".join(rows))
        (self.folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))

    def _write_kubeconfigs(self) -> None:
        authority = self.certificate_authority
        for user, name in _USERS.items():
            path = self.folder / f"{name}.kubeconfig"
            kubeconfig.write(path, server=self.url, certificate_authority=authority, token=self._tokens[user])

    def _wait_for(self, path: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers(path):
            for process in [*self._processes, *([self._api_server] if self._api_server else [])]:
                process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url}{path} does not answer; see {self.folder / 'log'}")
            time.sleep(0.1)

    def _answers(self, path: str) -> bool:
        if not self.certificate_authority.exists():
            return False
        headers = {"Authorization": f"Bearer {self._tokens['admin']}"}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310  our own https URL
        try:
            context = ssl.create_default_context(cafile=str(self.certificate_authority))
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:  # noqa: S310  our own https URL
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


if __name__ == "__main__":
    # A control plane to play with: python -m tandem_lab.control_plane FOLDER
    import sys

    with ControlPlane(Path(sys.argv[1]).resolve()) as running:
        print(f"export KUBECONFIG={running.kubeconfig}", flush=True)
        try:
            time.sleep(1e9)
        except KeyboardInterrupt:
            print("stopping")
