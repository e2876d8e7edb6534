from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_apiserver.faults import Answer
from tests.unit.fake_apiserver.server import FakeApiServer
from webhook.errors import UsageError
from webhook.files.watched_file import ConfigurationFile
from webhook.kube.client import Client
from webhook.rules.configuration import Configuration
from webhook.rules.versions import REVISION_ANNOTATION
from webhook.sync.configuration import UNDECIDED_SECONDS, ConfigurationCheck

CONFIG_MAP = "/api/v1/namespaces/system/configmaps/psw"
HEAD = "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n"
OLD, NEW = (f"{HEAD}pullSecrets: [{{name: {name}, sources: [{{secretName: s}}]}}]\n" for name in ("old", "new"))


class Mount:
    """A configuration file, the check of it, and the clock of the check."""

    def __init__(self, client: Client, path: Path) -> None:
        self.path = path
        self.path.write_text(OLD)
        self.file = ConfigurationFile(path, "system")
        self.file.load()
        self.now = 1000.0
        self.check = ConfigurationCheck(client, "system", "psw", self.file, lambda: self.now)

    def update(self, document: str) -> None:
        self.path.write_text(document)
        self.file.check(self._taken, self._refused)

    def _taken(self, _: Configuration) -> None:
        assert self.check.may_lead({}) is False, "the file counts before the configuration is in force"

    def _refused(self, _: UsageError) -> None:
        pass


@pytest.fixture
def mount(client: Client, tmp_path: Path) -> Mount:
    return Mount(client, tmp_path / "config.yaml")


def publish(api: FakeApiServer, document: str) -> None:
    api.put(CONFIG_MAP, {"data": {"config.yaml": document}})


def test_a_replica_leads_when_its_file_agrees_and_notes_the_revision(api: FakeApiServer, mount: Mount) -> None:
    publish(api, OLD)
    assert mount.check.may_lead({})
    assert mount.check.awaited == ""
    metadata = (api.read(CONFIG_MAP) or {})["metadata"]
    noted = mount.check.annotations()[REVISION_ANNOTATION]
    assert noted.startswith(f"{metadata['uid']}/{metadata['resourceVersion']}/")


def test_a_replica_whose_file_is_older_does_not_lead_until_the_file_is_updated(
    api: FakeApiServer, mount: Mount
) -> None:
    publish(api, NEW)
    assert not mount.check.may_lead({})
    assert "agrees with ConfigMap system/psw" in mount.check.awaited
    mount.now += 100 * UNDECIDED_SECONDS
    assert not mount.check.may_lead({})
    assert mount.check.annotations() == {}
    mount.update(NEW)
    assert mount.check.may_lead({})
    assert mount.check.awaited == ""


def test_a_document_that_is_refused_counts_as_updated(api: FakeApiServer, mount: Mount) -> None:
    """The configuration before it stays in force, as in each replica: waiting would not end."""
    publish(api, "nonsense")
    assert not mount.check.may_lead({})
    mount.update("nonsense")
    assert mount.check.may_lead({})


def test_the_leader_notes_a_new_revision(api: FakeApiServer, mount: Mount) -> None:
    publish(api, OLD)
    assert mount.check.may_lead({})
    before = dict(mount.check.annotations())
    publish(api, NEW)
    mount.check.file_changed()
    assert mount.check.annotations() == before
    mount.update(NEW)
    mount.check.file_changed()
    assert mount.check.annotations() != before


@pytest.mark.parametrize("status", [403, 404], ids=["forbidden", "absent"])
def test_a_config_map_that_cannot_be_had_keeps_no_replica_from_leading(
    api: FakeApiServer, mount: Mount, status: int
) -> None:
    publish(api, NEW)
    api.inject(Answer(status), plural="configmaps", times=None)
    assert mount.check.may_lead({})
    assert mount.check.annotations() == {}


def test_a_config_map_without_the_file_keeps_no_replica_from_leading(api: FakeApiServer, mount: Mount) -> None:
    api.put(CONFIG_MAP, {"data": {"other.yaml": NEW}})
    assert mount.check.may_lead({})


def test_an_outage_is_waited_for_but_not_for_ever(api: FakeApiServer, mount: Mount) -> None:
    publish(api, NEW)
    fault = api.inject(Answer(500), plural="configmaps", times=None)
    assert not mount.check.may_lead({})
    assert mount.check.awaited.startswith("the current ConfigMap system/psw: ")
    mount.now += UNDECIDED_SECONDS
    assert mount.check.may_lead({})
    # A takeover that comes much later has the same patience.
    mount.now += 10 * UNDECIDED_SECONDS
    assert not mount.check.may_lead({})
    fault.lift()
    assert not mount.check.may_lead({})
    publish(api, OLD)
    assert mount.check.may_lead({})


def test_an_older_answer_than_the_revision_on_the_lease_is_not_believed(api: FakeApiServer, mount: Mount) -> None:
    """The API server is behind: it returns the document that the file has, and the last leader had a newer one."""
    publish(api, OLD)
    metadata = (api.read(CONFIG_MAP) or {})["metadata"]
    newer = int(metadata["resourceVersion"]) + 1
    noted = {REVISION_ANNOTATION: f"{metadata['uid']}/{newer}/digest"}
    assert not mount.check.may_lead(noted)
    assert "an older version than the previous leader had" in mount.check.awaited
    mount.now += UNDECIDED_SECONDS
    assert mount.check.may_lead(noted)


def test_a_revision_of_another_object_on_the_lease_is_ignored(api: FakeApiServer, mount: Mount) -> None:
    publish(api, OLD)
    assert mount.check.may_lead({REVISION_ANNOTATION: "restored-from-another-cluster/999999/digest"})
