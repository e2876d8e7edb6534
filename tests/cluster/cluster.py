"""One control plane on loopback: etcd, kube-apiserver, kube-controller-manager; without root, gone with its owner.

::

    with Cluster.start() as cluster:
        cluster.kubectl("create", "namespace", "team-a")

Several run side by side. Everything they write is in one directory that goes with them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.cluster import binaries, kubeconfig, pki, programs
from tests.cluster.api import Api
from tests.cluster.binaries import Binaries
from tests.cluster.errors import ClusterFailed, PortTaken
from tests.cluster.ports import free_port
from tests.cluster.supervise import Keeper, Program, last_lines

READY_SECONDS = 180.0
"""A deadline for a machine that is busy with other things; on an idle one a cluster is ready in a few seconds."""

TOKEN_SECONDS = 7 * 24 * 3600
_GARBAGE_PERCENT = "400"
"""Of the control plane. It has little to remember: with more memory than by default it takes less CPU."""

_PORT_ATTEMPTS = 5
_PORT_TAKEN = re.compile("address already in use", re.IGNORECASE)
_KUBECTL_SECONDS = 120


class Cluster:
    """A running control plane; made by `start`, ended by `stop` or by leaving the ``with`` block."""

    def __init__(
        self,
        found: Binaries,
        keeper: Keeper,
        node_address: str | None = None,
        controllers: tuple[str, ...] = programs.CONTROLLERS,
    ) -> None:
        self.keeper = keeper
        self.directory = keeper.directory
        self._binaries = found
        self._programs: dict[str, Program] = {}
        self._plurals: dict[str, dict[str, str]] = {}
        self._pki = pki.create(self.directory, programs.SERVICE_IP)
        self._layout = programs.Layout(self.directory, self._pki, free_port(), free_port(), controllers, node_address)
        self.url = self._layout.api_url
        self.ca_file = self._pki.ca
        self.api = Api(self.url, self.ca_file, self._pki.admin)
        self.etcd = Api(self._layout.etcd_url, self._pki.etcd_ca, self._pki.etcd)
        self.kubeconfig = self._client_kubeconfig("admin", self._pki.admin)

    @classmethod
    def start(cls, node_address: str | None = None, *, controllers: tuple[str, ...] = programs.CONTROLLERS) -> Cluster:
        """Find or build the programs, start them, and return when Pods and ServiceAccounts can be created.

        ``controllers`` are those of the controller manager; with a node it runs all. With the address of a node in a
        network namespace of its own, Pods can be run too: see `tests.cluster.node`.
        """
        found = binaries.find(binaries.PROGRAMS if node_address else binaries.CONTROL_PLANE)
        for _ in range(_PORT_ATTEMPTS - 1):
            try:
                return cls._start(found, node_address, controllers)
            except PortTaken:
                continue
        return cls._start(found, node_address, controllers)

    @classmethod
    def _start(cls, found: Binaries, node_address: str | None, controllers: tuple[str, ...]) -> Cluster:
        keeper = Keeper()
        try:
            cluster = cls(found, keeper, node_address, controllers)
            for name in (programs.ETCD, programs.API_SERVER):
                cluster.start_program(name)
            cluster.wait_ready()
            cluster.start_program(programs.CONTROLLER_MANAGER)
            cluster._await(programs.CONTROLLER_MANAGER, "/api/v1/namespaces/default/serviceaccounts/default")
        except BaseException:
            keeper.close()
            raise
        return cluster

    def start_program(self, name: str, *more_flags: str) -> Program:
        """Start a program of the control plane, for the first time or again; see `wait_ready`."""
        argv = [str(self._binaries.path(name)), *self._flags(name), *more_flags]
        environment = {"GOGC": _GARBAGE_PERCENT, **os.environ}
        self._programs[name] = self.keeper.start(name, argv, environment)
        return self._programs[name]

    def stop_program(self, name: str) -> None:
        """End a program by SIGTERM, or by SIGKILL if that takes too long; its data stays."""
        self._program(name).stop()

    def signal_program(self, name: str, number: int) -> None:
        """Send a signal to a program: SIGKILL, or SIGSTOP and SIGCONT."""
        self._program(name).signal(number)

    def wait_ready(self) -> None:
        """Wait until the API server answers ``/readyz``."""
        self._await(programs.API_SERVER, "/readyz")

    def pid(self, name: str) -> int:
        """Return the process id of a program."""
        return self._program(name).pid

    def log(self, name: str) -> Path:
        """Return the log of a program."""
        return self._program(name).log

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002 (as in subprocess)
        """Run kubectl, as cluster-admin unless told otherwise, and return its standard output."""
        done = subprocess.run(
            [self._binaries.path(programs.KUBECTL), *arguments],
            # The home folder is the cluster's: nothing of the user's is read, no cache is left there. Without garbage
            # collection kubectl takes half of the CPU; it ends before its memory matters.
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "KUBECONFIG": str(self.kubeconfig),
                "GOGC": "off",
            },
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=_KUBECTL_SECONDS,
        )
        if check and done.returncode != 0:
            raise ClusterFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @property
    def kubectl_path(self) -> Path:
        """The kubectl that fits this cluster."""
        return self.program_path(programs.KUBECTL)

    def program_path(self, name: str) -> Path:
        """Return where a program of this cluster's version is."""
        return self._binaries.path(name)

    def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace and wait for its ``default`` ServiceAccount, without which it admits no Pod."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.api.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self._await(programs.CONTROLLER_MANAGER, f"/api/v1/namespaces/{name}/serviceaccounts/default")

    def apply(self, items: Iterable[Mapping[str, Any]], manager: str) -> None:
        """Write objects by a forced server-side apply, in their order. To start kubectl would take most of the CPU."""
        with closing(self.connect()) as connection:
            for item in items:
                path = f"{self._path(item)}?fieldManager={manager}&force=true"
                headers = {"Content-Type": "application/apply-patch+yaml"}
                connection.request("PATCH", path, json.dumps(item), headers)
                _expect(connection.getresponse(), f"PATCH {path}", 200, 201)

    def delete(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Begin to delete objects, in their order; those that are gone already are passed over."""
        with closing(self.connect()) as connection:
            for item in items:
                path = self._path(item)
                connection.request("DELETE", path)
                _expect(connection.getresponse(), f"DELETE {path}", 200, 202, 404)

    def may(self, user: str, verb: str, resource: str, groups: Sequence[str] = (), **more: str) -> bool:
        """Return whether a user in these groups has a right now, with its ``group``, ``namespace`` and ``name``."""
        asked = {"verb": verb, "resource": resource, **more}
        body = {"spec": {"user": user, "groups": list(groups), "resourceAttributes": asked}}
        review = self.api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool(review["status"]["allowed"])

    def _path(self, item: Mapping[str, Any]) -> str:
        """Return the path of an object, by the API server's own list of resources."""
        version, metadata = item["apiVersion"], item["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._plurals:
            resources = self.api.call("GET", root)["resources"]
            self._plurals[version] = {each["kind"]: each["name"] for each in resources if "/" not in each["name"]}
        namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        return f"{root}{namespace}/{self._plurals[version][item['kind']]}/{metadata['name']}"

    def delete_namespace(self, name: str) -> None:
        """Begin to delete a namespace."""
        self.api.call("DELETE", f"/api/v1/namespaces/{name}")

    def kubeconfig_for(self, service_account: str, namespace: str) -> Path:
        """Return a kubeconfig with a fresh token of a ServiceAccount, and nothing else."""
        file = self.directory / f"{namespace}.{service_account}.kubeconfig"
        return kubeconfig.with_token(file, self.url, self.ca_file, self._token(service_account, namespace))

    def api_as(self, service_account: str, namespace: str) -> Api:
        """Return requests with a fresh token of a ServiceAccount."""
        return Api(self.url, self.ca_file, None, self._token(service_account, namespace))

    def kubeconfig_with_client_certificate(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Return a kubeconfig with a client certificate for that user name and those groups."""
        file = re.sub(r"[^a-z0-9.-]", "-", f"user-{user}")
        return self._client_kubeconfig(file, self._pki.authority.issue(file, user, groups))

    def issue_serving(self, name: str, *hosts: str) -> pki.Pair:
        """Return a certificate for a server on loopback, and of those names, that every kubeconfig here trusts."""
        return self._pki.authority.issue(f"serving-{name}", name, hosts=hosts)

    def connect(self) -> HTTPConnection:
        """Return a connection to the API server, as its administrator."""
        return self.api.connect()

    def metrics(self) -> str:
        """Return the API server's own metrics, in the Prometheus text format."""
        return self.api.request("GET", "/metrics").text

    @property
    def audit_log(self) -> Path:
        """The API server's audit log; see `programs.AUDIT_POLICY` for what is in it."""
        return self._layout.audit_log

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """Yield the API server's audit log so far, oldest first."""
        with self.audit_log.open("rb") as log:
            for line in log:
                if line.endswith(b"\n"):  # a line without is still being written
                    yield msgspec.json.decode(line)

    def save_etcd(self) -> Path:
        """Return a copy of what etcd holds now; etcd is away for a moment."""
        saved = self.directory / f"etcd-saved-{time.monotonic_ns()}"
        self.stop_program(programs.ETCD)
        shutil.copytree(self._layout.etcd_data, saved)
        self.start_program(programs.ETCD)
        self.wait_ready()
        return saved

    def restore_etcd(self, saved: Path) -> None:
        """Put an older copy of etcd's data back, and restart all programs, as the manual says.

        Revisions go on from those of the copy: https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/
        """
        for name in (programs.CONTROLLER_MANAGER, programs.API_SERVER, programs.ETCD):
            self.stop_program(name)
        shutil.rmtree(self._layout.etcd_data)
        shutil.copytree(saved, self._layout.etcd_data)
        for name in (programs.ETCD, programs.API_SERVER, programs.CONTROLLER_MANAGER):
            self.start_program(name)
        self.wait_ready()

    @contextmanager
    def second_api_server(self, etcd_port: int) -> Iterator[int]:
        """Run another API server, which reaches etcd by that port; yields its own port."""
        layout = replace(self._layout, api_port=free_port(), etcd_port=etcd_port)
        argv = [str(self._binaries.path(programs.API_SERVER)), *programs.api_server(layout)]
        program = self.keeper.start(f"{programs.API_SERVER}-{layout.api_port}", argv)
        api = Api(layout.api_url, self.ca_file, self._pki.admin)
        try:
            program.wait_ready(lambda: api.answers("/readyz"), READY_SECONDS)
            yield layout.api_port
        finally:
            program.kill()

    @property
    def api_port(self) -> int:
        """The port of the API server on loopback."""
        return self._layout.api_port

    @property
    def etcd_port(self) -> int:
        """The port of etcd on loopback."""
        return self._layout.etcd_port

    def compact(self) -> None:
        """Compact etcd up to now: who comes with an older resourceVersion that is not cached is told 410 Gone."""
        revision = self.etcd.call("POST", "/v3/maintenance/status", {})["header"]["revision"]
        self.etcd.call("POST", "/v3/kv/compaction", {"revision": revision, "physical": True})

    def stop(self) -> None:
        """End every program and remove every file; harmless when done twice."""
        self.keeper.close()

    def _flags(self, name: str) -> list[str]:
        match name:
            case programs.ETCD:
                return programs.etcd(self._layout)
            case programs.API_SERVER:
                return programs.api_server(self._layout)
            case programs.CONTROLLER_MANAGER:
                return programs.controller_manager(self._layout, self._controller_manager_kubeconfig)
        raise ClusterFailed(f"{name} is none of the programs of a control plane")

    @cached_property
    def _controller_manager_kubeconfig(self) -> Path:
        return self._client_kubeconfig(programs.CONTROLLER_MANAGER, self._pki.controller_manager)

    def _token(self, service_account: str, namespace: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self.api.call("POST", path, {**request, "spec": {"expirationSeconds": TOKEN_SECONDS}})
        token: str = answer["status"]["token"]
        return token

    def _client_kubeconfig(self, file: str, pair: pki.Pair) -> Path:
        path = self.directory / f"{file}.kubeconfig"
        return kubeconfig.with_client_certificate(path, self.url, self.ca_file, pair)

    def _program(self, name: str) -> Program:
        try:
            return self._programs[name]
        except KeyError:
            raise ClusterFailed(f"{name} is none of {', '.join(self._programs)}") from None

    def _await(self, name: str, path: str) -> None:
        """Wait for 200 from a path of the API server; the end of a program it needs is the end of the waiting."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.api.answers(path):
            for program in self._programs.values():
                if program.exit_code is not None:
                    error = PortTaken if _PORT_TAKEN.search(program.output) else ClusterFailed
                    raise error(f"{program.name} ended with code {program.exit_code}:{last_lines(program.log)}")
            if time.monotonic() > deadline:
                log = last_lines(self.log(name))
                raise ClusterFailed(f"{name} is not ready after {READY_SECONDS:g} s ({path} does not answer):{log}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def _expect(response: HTTPResponse, request: str, *statuses: int) -> None:
    """Read a response, so that its connection can be used again, and raise `ClusterFailed` for another status."""
    text = response.read().decode()
    if response.status not in statuses:
        raise ClusterFailed(f"{request}: {response.status} {text[:500]}")
