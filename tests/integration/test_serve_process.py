"""The real ``pullsecrets serve`` over TLS, without any cluster."""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.mounted import MountedConfigMap
from tests.cluster.processes import clean_environment
from tests.integration.site.serving import (
    CONFIGURATION,
    DEADLINE,
    LOOPBACK,
    Files,
    Serving,
    exchange,
    is_closed,
    new_leaf,
    post,
    serving,
    until,
)

REVIEW = json.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "team-a",
            "operation": "CREATE",
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"}, "spec": {}},
        },
    }
).encode()

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One process for the tests that leave it as it is."""
    with serving(tmp_path_factory.mktemp("serve")) as process:
        yield process


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serving]:
    """A process for one test."""
    with serving(tmp_path) as process:
        yield process


def names_added(body: bytes) -> list[str]:
    response = json.loads(body)["response"]
    assert response["allowed"] is True
    patch = json.loads(base64.b64decode(response["patch"]))
    return [entry["name"] for entry in patch[0]["value"]]


def test_a_pod_is_injected_and_the_connection_stays_open(running: Serving) -> None:
    with running.connected() as connection:
        for _ in range(3):
            response = exchange(connection, post(REVIEW))
            assert response.status == 200
            assert response.headers["content-type"] == "application/json"
            assert "connection" not in response.headers
            assert names_added(response.body) == ["registry"]


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
def test_only_post_is_answered(running: Serving, method: str) -> None:
    with running.connected() as connection:
        response = exchange(connection, f"{method} /mutate HTTP/1.1\r\nHost: x\r\n\r\n".encode(), method)
        assert (response.status, response.headers["connection"]) == (405, "close")
        assert is_closed(connection)


def test_a_review_of_three_megabytes_is_answered_well_within_the_timeout(running: Serving) -> None:
    body = REVIEW.replace(b'"web-"', b'"web-", "annotations": {"a": "%s"}' % (b"x" * 3 * MIB))
    assert names_added(running.post(body).body) == ["registry"]


def test_slow_clients_do_not_delay_others(running: Serving) -> None:
    with running.connected() as slow, socket.create_connection((LOOPBACK, running.secure_port)):
        slow.sendall(post(REVIEW)[:-1])
        assert running.post(REVIEW).status == 200
        assert exchange(slow, REVIEW[-1:]).status == 200


def test_the_plain_port_tells_of_health_and_of_requests(running: Serving) -> None:
    running.post(REVIEW)
    assert running.plain("/livez").body == b"ok\n"
    report = running.plain("/readyz?verbose").body.decode()
    checks = ("shutdown", "certificate", "rights", "configuration")
    assert report.splitlines() == [*(f"[+]{check} ok" for check in checks), "readyz check passed"]
    labels = 'decision="patched",operation="CREATE",reason="injected",resource="pods"'
    assert running.metric(f"pullsecrets_admission_requests_total{{{labels}}}") >= 1
    assert running.metric("pullsecrets_certificate_expiry_timestamp_seconds") > time.time()


def test_another_configuration_comes_into_force_without_a_restart(own: Serving) -> None:
    own.files.configure(CONFIGURATION.replace("NAME", "other"))
    until(lambda: own.metric("pullsecrets_config_generation") == 2, "the new configuration")
    assert names_added(own.post(REVIEW).body) == ["other"]


def test_a_bad_configuration_leaves_the_old_one_in_force_until_a_valid_one_comes(own: Serving) -> None:
    own.files.configure("kind: Nonsense")
    until(lambda: own.metric("pullsecrets_config_last_reload_successful") == 0, "the refusal")
    assert len(own.files.logged("configuration refused")) == 1
    assert names_added(own.post(REVIEW).body) == ["registry"]
    assert own.plain("/readyz").status == 200
    own.files.configure(CONFIGURATION.replace("NAME", "other"))
    until(lambda: own.metric("pullsecrets_config_last_reload_successful") == 1, "the good one")
    assert own.metric("pullsecrets_config_generation") == 2
    assert names_added(own.post(REVIEW).body) == ["other"]


def test_each_answer_is_by_one_configuration_while_a_mounted_one_is_swapped_under_load(tmp_path: Path) -> None:
    def document(team: str) -> dict[str, str]:
        pull_secrets = [{"name": f"{team}-{number}", "sources": [{"secretName": "harbor"}]} for number in range(3)]
        head = {"apiVersion": "pullsecrets.webhook/v1alpha1", "kind": "Configuration"}
        return {"config.yaml": json.dumps({**head, "pullSecrets": pull_secrets})}

    mounted = MountedConfigMap(tmp_path / "mounted", document("a"))
    with serving(tmp_path, f"--config={mounted.directory / 'config.yaml'}") as server, server.connected() as connection:
        answers: list[tuple[str, ...]] = []

        def generation_after_some_reviews() -> float:
            answers.extend(tuple(names_added(exchange(connection, post(REVIEW)).body)) for _ in range(50))
            return server.metric("pullsecrets_config_generation")

        for number, team in enumerate(["b", "a", "b"], 2):
            mounted.publish(document(team))
            until(lambda number=number: generation_after_some_reviews() == number, "the new configuration")  # type: ignore[misc]
            answers.append(tuple(names_added(exchange(connection, post(REVIEW)).body)))
            assert answers[-1] == tuple(f"{team}-{index}" for index in range(3))
    assert set(answers) == {("a-0", "a-1", "a-2"), ("b-0", "b-1", "b-2")}


def test_another_certificate_is_served_without_a_restart_or_a_broken_connection(own: Serving) -> None:
    def served() -> bytes | None:
        with own.connected() as connection:
            return connection.getpeercert(binary_form=True)

    leaf = new_leaf()
    wanted = ssl.PEM_cert_to_DER_cert(leaf.certificate_pem.decode())
    with own.connected() as old:
        own.files.certify(leaf)
        until(lambda: served() == wanted, "the new certificate")
        assert exchange(old, post(REVIEW)).status == 200


def test_a_key_that_does_not_fit_leaves_the_old_certificate_in_service(own: Serving) -> None:
    (own.files.folder / "tls.key").write_bytes(new_leaf().private_key_pem)
    until(lambda: own.metric("pullsecrets_certificate_last_reload_successful") == 0, "the refusal")
    assert own.post(REVIEW).status == 200


def test_after_sigterm_requests_are_answered_and_connections_closed_until_the_drain_is_over(tmp_path: Path) -> None:
    # The drain outlasts the test, however slow that is: the test ends it.
    with serving(tmp_path, "--drain-seconds=600") as own:
        with own.connected() as idle:
            own.process.send_signal(signal.SIGTERM)
            until(lambda: own.plain("/readyz").status == 503, "no longer ready")
            assert "[-]shutdown failed: draining" in own.plain("/readyz").body.decode()
            for response in (exchange(idle, post(REVIEW)), own.post(REVIEW)):
                assert (response.status, response.headers["connection"]) == (200, "close")
            assert is_closed(idle)
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(DEADLINE) == 0


def test_the_drain_ends_of_itself(own: Serving) -> None:
    own.process.send_signal(signal.SIGTERM)
    assert own.process.wait(DEADLINE) == 0


def test_the_drain_takes_as_long_as_the_flag_says(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    with serving(tmp_path, "--drain-seconds=0") as short, serving(tmp_path / "long", "--drain-seconds=600") as long:
        for each in (short, long):
            each.process.send_signal(signal.SIGTERM)
        assert short.process.wait(DEADLINE) == 0
        until(lambda: long.plain("/readyz").status == 503, "no longer ready")
        assert long.process.poll() is None


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT]])
def test_a_second_sigterm_or_an_interrupt_stops_at_once(tmp_path: Path, signals: list[signal.Signals]) -> None:
    with serving(tmp_path, "--drain-seconds=600") as own:
        log = own.files.folder / "log"
        for number in signals:
            own.process.send_signal(number)
            until(lambda: '"draining"' in log.read_text(), "draining")
        assert own.process.wait(DEADLINE) == 0


def refused(arguments: list[str]) -> str:
    """Run a command that must not start, and return what it says."""
    result = subprocess.run(
        arguments, capture_output=True, text=True, timeout=DEADLINE, check=False, env=clean_environment()
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """What ``serve`` reads, all in order."""
    files = Files(tmp_path)
    files.configure(CONFIGURATION.replace("NAME", "registry"))
    files.certify(new_leaf())
    return files


def test_a_port_in_use_is_one_sentence(files: Files) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(files.arguments(secure_port=port)) == (
            f"error: cannot listen on {LOOPBACK} port {port} (Address already in use): "
            "change --bind-address or --secure-port\n"
        )
        assert "--metrics-port" in refused(files.arguments(metrics_port=port))


def test_five_errors_in_the_configuration_are_five_lines_and_what_to_do(files: Files) -> None:
    files.configure(
        "apiVersion: pullsecrets.webhook/v1\nkind: Configuration\nsurprise: 1\n"
        "pullSecrets:\n  - name: UPPER\n    sources: []\n    pods: Sometimes\n"
    )
    lines = refused(files.arguments()).splitlines()
    assert lines[0] == f"error: {files.configuration}: the configuration has 5 problems:"
    assert len(lines[1:-1]) == 5
    assert lines[-1] == "correct it; docs/configuration.md describes each field"


@pytest.mark.parametrize("absent", ["config.yaml", "tls.crt", "tls.key"])
def test_a_missing_file_is_one_sentence(files: Files, absent: str) -> None:
    (files.folder / absent).unlink()
    message = refused(files.arguments())
    assert message.startswith("error: ")
    assert str(files.folder / absent) in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "flag",
    ["--secure-port=70000", "--log-level=loud", "--colour", "--tls-secret=a/b", "--bind-address=300.0.0.1", "surplus"],
)
def test_a_wrong_flag_is_one_sentence(files: Files, flag: str) -> None:
    message = refused([*files.arguments(), flag])
    assert message.startswith("error: ")
    assert message.count("\n") == 1


def test_without_need_of_a_cluster_its_client_is_not_even_imported() -> None:
    code = "import sys, webhook.serve.process; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=DEADLINE).returncode == 0
