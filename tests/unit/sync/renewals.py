"""One pull secret of the fake provider, and the few words that tests of renewals are written in."""

from __future__ import annotations

from pathlib import Path

from tests.providers.folder import NAME
from tests.unit.fake_apiserver.server import FakeApiServer
from tests.unit.fake_apiserver.storage import Target
from tests.unit.sync.running import Running
from tests.unit.sync.world import RELEASE, copy_in, password_in, secret_path
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.renewing import RENEW, CredentialProvider

SECRET = "psw-issued-fake"  # noqa: S105 - a name
ISSUED = secret_path(RELEASE.namespace, SECRET)


def configuration(folder: Path, duration: str = "1h") -> Configuration:
    """Return a configuration with one pull secret of one provider."""
    env = (("FAKE_FOLDER", str(folder)), ("FAKE_DURATION", f"{duration_seconds(duration)}s"))
    provider = CredentialProvider("fake", SECRET, NAME, ("registry.example.com",), ("answer",), env)
    return Configuration((PullSecret("pull", (SECRET,)),), credential_providers=(provider,)).excluding(
        RELEASE.namespace
    )


def duration_seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "h": 3600}[text[-1]]


def answers(folder: Path) -> int:
    """Return how many credentials the provider has issued."""
    file = folder / "answers"
    return file.stat().st_size if file.exists() else 0


def number(api: FakeApiServer, namespace: str = "a") -> int:
    """Return the number of the answer in a copy; 0 without a copy."""
    password = password_in(copy_in(api, namespace))
    return int(password.partition("number-")[2].partition(" ")[0] or 0)


def behave(folder: Path, behaviour: str) -> None:
    (folder / "next").write_text(behaviour)
    (folder / "next").rename(folder / "behaviour")  # never read in half


def request(api: FakeApiServer, text: str) -> None:
    """Request a renewal, as a person does."""
    api.storage.merge_patch(Target.parse(ISSUED), {"metadata": {"annotations": {RENEW: text}}}, "kubectl-annotate")


def counted(running: Running) -> dict[str, float]:
    """Return the attempts by their result."""
    return {
        sample.labels["result"]: sample.value
        for family in running.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "pullsecrets_sync_renewals_total"
    }
