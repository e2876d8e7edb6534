"""A real Prometheus on loopback that reads a release and its API server, and judges the chart's rules."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast
from urllib.parse import urlencode

from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.cluster.programs import LOOPBACK
from tests.cluster.supervise import Program

PROMETHEUS = shutil.which("prometheus")
READY_SECONDS = 90.0
_ANSWER_SECONDS = 30.0
_EVERY = "1s"


def target(address: str, **labels: str) -> dict[str, Any]:
    """Return a target, with the labels that an operator's PodMonitor would give it."""
    return {"targets": [address], "labels": labels}


class Prometheus:
    """A running Prometheus; ended by leaving the ``with`` block."""

    def __init__(self, cluster: Cluster, targets: Iterable[Mapping[str, Any]], rules: Mapping[str, Any]) -> None:
        self._port = free_port()
        self._directory = cluster.directory / f"prometheus-{self._port}"
        self._directory.mkdir()
        configuration = self._written("prometheus", self._configuration(cluster, list(targets), rules))
        self._program: Program = cluster.keeper.start(
            f"prometheus-{self._port}",
            [
                str(PROMETHEUS),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address={LOOPBACK}:{self._port}",
            ],
        )

    def _configuration(
        self, cluster: Cluster, targets: list[Mapping[str, Any]], rules: Mapping[str, Any]
    ) -> dict[str, Any]:
        admin = {
            kind: str(cluster.directory / f"admin.{end}") for kind, end in (("cert_file", "crt"), ("key_file", "key"))
        }
        api_server = {
            "job_name": "apiserver",
            "scheme": "https",
            "tls_config": {"ca_file": str(cluster.ca_file), **admin},
            "static_configs": [target(cluster.url.removeprefix("https://"))],
        }
        return {
            "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
            "rule_files": [self._written("rules", rules)],
            "scrape_configs": [{"job_name": "release", "static_configs": targets}, api_server],
        }

    def _written(self, name: str, document: Mapping[str, Any]) -> str:
        path = self._directory / f"{name}.yml"
        path.write_text(json.dumps(document))
        return str(path)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query; a query that Prometheus refuses is an error."""
        return cast("list[dict[str, Any]]", self._get("query", query=expression)["result"])

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return every alert that is firing or about to, by its name."""
        return {alert["labels"]["alertname"]: alert for alert in self._get("alerts")["alerts"]}

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = json.load(connection.getresponse())
        finally:
            connection.close()
        assert answer["status"] == "success", answer.get("error")
        return cast("dict[str, Any]", answer["data"])

    def _answers(self) -> bool:
        try:
            return bool(self.query("vector(1)"))
        except (OSError, ValueError):  # not listening yet, or not ready to answer in JSON
            return False

    def __enter__(self) -> Self:
        self._program.wait_ready(self._answers, READY_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
