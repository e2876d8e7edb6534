"""The local cluster itself: what every other test on a real API server stands on."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import cluster as module
from tests.cluster import programs
from tests.cluster.api import Api
from tests.cluster.binaries import Binaries
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.pki import Pair
from tests.cluster.ports import free_port
from tests.cluster.supervise import wait_until
from tests.integration.site.playground import eventually

ROOT = Path(__file__).parents[2]
SECONDS = 90.0
"""For what takes a moment on a machine that has nothing else to do."""

OWNER = """
import sys, time
from tests.cluster.cluster import Cluster
cluster = Cluster.start()
print(cluster.directory, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def own_cluster(control_plane: Binaries) -> Iterator[Cluster]:  # noqa: ARG001 (built before it is started)
    """A cluster that a test may break."""
    with Cluster.start() as started:
        yield started


def processes_that_mention(text: Path) -> list[str]:
    listed = subprocess.run(["ps", "-Aww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(text) in line]


def test_a_token_kubeconfig_has_its_own_identity_and_no_other_right(cluster: Cluster, namespace: str) -> None:
    kubeconfig = cluster.kubeconfig_for("default", namespace)
    as_account = ("--kubeconfig", str(kubeconfig))
    name = cluster.kubectl(*as_account, "auth", "whoami", "--output=jsonpath={.status.userInfo.username}")
    assert name == f"system:serviceaccount:{namespace}:default"
    with pytest.raises(ClusterFailed, match="Forbidden"):
        cluster.kubectl(*as_account, "get", "secrets", "--namespace", namespace)
    assert kubeconfig.stat().st_mode & 0o777 == 0o600


def test_the_audit_log_tells_who_did_what_and_no_secret_content(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        "create", "secret", "generic", "marked", "--from-literal=key=marked-credential", "--namespace", namespace
    )
    events = eventually(
        lambda: [event for event in cluster.audit_events() if event.get("objectRef", {}).get("name") == "marked"]
    )
    assert [(event["verb"], event["user"]["username"]) for event in events] == [("create", "admin")]
    assert "marked-credential" not in str(events)


def test_kubectl_leaves_the_home_folder_alone(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "kube-system" in cluster.kubectl("get", "namespaces")
    assert list(tmp_path.iterdir()) == []
    assert (cluster.directory / ".kube" / "cache").is_dir()


def test_everything_listens_on_loopback_only(cluster: Cluster) -> None:
    flags = [line for line in processes_that_mention(cluster.directory) if "--bind-address" in line]
    assert len(flags) == 1
    assert "--bind-address=127.0.0.1" in flags[0]
    assert cluster.url.startswith("https://127.0.0.1:")


def test_etcd_answers_the_api_server_and_no_client_of_the_cluster(cluster: Cluster) -> None:
    eventually(lambda: cluster.etcd.answers("/version"))
    admin = Pair(cluster.directory / "admin.crt", cluster.directory / "admin.key")
    stranger = Api(cluster.etcd.url, cluster.directory / "etcd-ca.crt", admin)
    # An alert, a reset, or the end of the connection: by how far each side is with the handshake.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stranger.request("GET", "/version")


def test_clusters_started_at_the_same_time_do_not_disturb_each_other(own_cluster: Cluster) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: Cluster.start(), range(2))
    with first, second:
        assert len({own_cluster.url, first.url, second.url}) == 3
        first.create_namespace("only-here")
        eventually(lambda: first.api.answers("/api/v1/namespaces/only-here"))
        assert not second.api.answers("/api/v1/namespaces/only-here")
        assert not own_cluster.api.answers("/api/v1/namespaces/only-here")
    assert not first.directory.exists()
    assert not processes_that_mention(second.directory)


@pytest.mark.usefixtures("control_plane")
@pytest.mark.parametrize("program", [programs.ETCD, programs.API_SERVER])
def test_a_port_that_somebody_else_takes_first_is_replaced(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as somebody:
        taken = somebody.getsockname()[1]
        first = [taken, free_port()] if program == programs.ETCD else [free_port(), taken]
        ports = itertools.chain(first, iter(free_port, None))
        monkeypatch.setattr(module, "free_port", lambda: next(ports))
        with Cluster.start() as cluster:
            eventually(lambda: cluster.api.answers("/readyz"))


def test_a_restarted_api_server_still_knows_everything(own_cluster: Cluster) -> None:
    own_cluster.create_namespace("kept")
    uid = own_cluster.api.call("GET", "/api/v1/namespaces/kept")["metadata"]["uid"]
    own_cluster.stop_program(programs.API_SERVER)
    assert not own_cluster.api.answers("/readyz")
    own_cluster.start_program(programs.API_SERVER)
    own_cluster.wait_ready()
    assert own_cluster.api.call("GET", "/api/v1/namespaces/kept")["metadata"]["uid"] == uid


def test_a_stopped_api_server_is_silent_and_a_continued_one_answers(own_cluster: Cluster) -> None:
    def is_silent() -> bool:
        try:
            own_cluster.api.request("GET", "/readyz", timeout=0.5)
        except TimeoutError:
            return True
        return False

    own_cluster.signal_program(programs.API_SERVER, signal.SIGSTOP)
    try:
        # Each of its threads stops when it next enters the kernel: one may answer once more.
        assert wait_until(is_silent, SECONDS)
    finally:
        own_cluster.signal_program(programs.API_SERVER, signal.SIGCONT)
    own_cluster.wait_ready()


def test_a_program_that_does_not_start_shows_the_end_of_its_log(own_cluster: Cluster) -> None:
    broken = own_cluster.keeper.start("broken", [str(own_cluster.kubectl_path), "no-such-command"])
    with pytest.raises(ClusterFailed, match=r'broken ended with code 1:\n  .*unknown command "no-such-command"'):
        broken.wait_ready(lambda: False, SECONDS)


@pytest.mark.usefixtures("control_plane")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_its_owner_leaves_no_process_and_no_file(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        directory = Path(owner.stdout.readline().strip())
        running = processes_that_mention(directory)
        owner.send_signal(number)
    assert len(running) == 4
    assert wait_until(lambda: not processes_that_mention(directory) and not directory.exists(), SECONDS)


@pytest.mark.usefixtures("control_plane")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a program whose keeper is killed")
def test_the_death_of_the_keeper_takes_its_programs_along() -> None:
    with Cluster.start() as doomed:
        os.kill(doomed.keeper.pid, signal.SIGKILL)
        assert wait_until(lambda: not processes_that_mention(doomed.directory), SECONDS)
        with pytest.raises(ClusterFailed, match="the keeper has ended unexpectedly"):
            doomed.stop_program(programs.ETCD)
    assert not doomed.directory.exists()
