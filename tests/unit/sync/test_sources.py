from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.sync.world import docker_config
from webhook.errors import SourceInvalid
from webhook.kube.objects import SecretObject
from webhook.kube.wire import WrittenMeta
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.credential import SourceReason
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, Clash
from webhook.rules.objects import Copy
from webhook.rules.ownership import Mark, labels_for
from webhook.rules.versions import SourceVersion, encode_sources
from webhook.sync.source import Content, Source, absent_source, read_source
from webhook.sync.sources import SourceStore

CONFIGURATION = Configuration((PullSecret("pull", ("harbor", "ghcr")), PullSecret("alone", ("harbor",))))


class Book:
    """A source book, and what it told."""

    def __init__(self, configuration: Configuration = CONFIGURATION) -> None:
        self.changes = 0
        self.told: list[str] = []
        self.clashes: list[str] = []
        self.book = SourceStore(self._changed, lambda source: self.told.append(source.name), self._clashed)
        self.book.configure(configuration)
        self.changes = 0

    def _changed(self) -> None:
        self.changes += 1

    def _clashed(self, secret: str, clashes: Sequence[Clash]) -> None:
        self.clashes += [f"{secret}: {clash.registry} of {clash.winner}" for clash in clashes]

    def usable(self) -> Mapping[str, Content]:
        """Return the contents for a new namespace."""
        usable, _ = self.book.usable_contents("team", lambda _: None)
        return usable

    def contents(self) -> dict[str, bytes]:
        """Return what is copied now; a pull secret with an unusable source has none."""
        return {name: self.usable()[name].payload for name in self.book.hashes()}


@pytest.fixture
def book() -> Book:
    return Book()


def secret(name: str, password: str, version: int = 1, registry: str | None = None, **changes: object) -> SecretObject:
    config = docker_config(password, registry or f"{name}.example.com")
    metadata = WrittenMeta(name=name, namespace="psw-system", uid=f"uid-{name}", resource_version=str(version))
    return msgspec.structs.replace(SecretObject(metadata, COPY_TYPE, {COPY_KEY: config}), **changes)


def source(name: str, password: str = "1", version: int = 1, registry: str | None = None) -> Source:  # noqa: S107
    return read_source(secret(name, password, version, registry))


def invalid(name: str, version: int = 1) -> Source:
    return read_source(secret(name, "1", version, type="Opaque"))


def test_there_is_no_content_before_every_source_has_been_looked_at(book: Book) -> None:
    book.book.observe(source("ghcr"))
    assert book.contents() == {}
    assert not book.book.has_read(("harbor", "ghcr"))

    book.book.observe(source("harbor"))

    assert book.contents().keys() == {"pull", "alone"}
    assert book.book.has_read(("harbor", "ghcr"))
    assert book.changes == 1


def test_sources_are_merged_and_equal_credentials_give_equal_bytes(book: Book) -> None:
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name))
    before = book.contents()
    assert b"harbor.example.com" in before["pull"]
    assert b"ghcr.example.com" in before["pull"]

    book.book.observe(source("harbor", version=2))

    assert book.contents() == before
    assert book.changes == 2


def test_a_new_credential_is_a_change(book: Book) -> None:
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name))
    before = book.book.hashes()["pull"]

    book.book.observe(source("harbor", "2", version=2))

    assert book.book.hashes()["pull"] != before
    assert book.changes == 3


@pytest.mark.parametrize("problem", [absent_source("harbor"), invalid("harbor", 2)])
def test_a_source_that_fails_takes_the_content_away_and_says_why(book: Book, problem: Source) -> None:
    """No content means that copies stay as they are: there is nothing to write over them."""
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name))

    book.book.observe(problem)

    assert book.contents() == {}
    assert book.book.problems() == {"pull": problem.problem, "alone": problem.problem}


def test_the_last_good_content_is_kept_while_the_pull_secret_is_configured_in_the_same_way(book: Book) -> None:
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name))
    before = book.contents()
    assert book.book.last_good_hashes() == {}

    book.book.observe(absent_source("ghcr"))
    book.book.observe(source("harbor", "new", version=2))

    assert book.book.last_good_hashes().keys() == {"pull"}
    assert book.usable()["pull"].payload == before["pull"]
    book.book.configure(Configuration((PullSecret("pull", ("ghcr",)),)))
    assert book.book.last_good_hashes() == {}


def test_a_source_that_is_back_brings_the_new_content(book: Book) -> None:
    book.book.observe(source("ghcr"))
    book.book.observe(source("harbor", "old"))
    book.book.observe(absent_source("harbor"))
    changes = book.changes

    book.book.observe(source("harbor", "new", version=9))

    assert b'"password":"new"' in book.contents()["alone"]
    assert book.book.problems() == {}
    assert book.changes == changes + 1


def test_one_bad_source_is_a_matter_of_its_own_pull_secrets(book: Book) -> None:
    book.book.observe(source("harbor"))
    book.book.observe(invalid("ghcr"))

    assert book.contents().keys() == {"alone"}
    assert book.book.problems().keys() == {"pull"}


def test_the_first_source_to_name_a_registry_wins_and_the_clash_is_kept(book: Book) -> None:
    book.book.observe(source("harbor", "first", registry="quay.io"))
    book.book.observe(source("ghcr", "second", registry="quay.io"))

    content = book.usable()["pull"]
    assert b"first" in content.payload
    assert b"second" not in content.payload
    assert content.clashes == (Clash("quay.io", "harbor", ("ghcr",)),)


def test_a_source_is_told_of_when_it_differs_only(book: Book) -> None:
    book.book.observe(source("harbor"))
    book.book.observe(source("harbor"))
    book.book.observe(absent_source("harbor"))
    book.book.observe(absent_source("harbor"))

    assert book.told == ["harbor", "harbor"]


def test_a_new_configuration_is_made_of_what_is_known(book: Book) -> None:
    book.book.observe(source("harbor"))

    book.book.configure(Configuration((PullSecret("other", ("harbor",)),)))

    assert book.contents().keys() == {"other"}
    assert book.changes == 2


def test_a_source_that_was_not_watched_for_a_while_must_be_read_again(book: Book) -> None:
    book.book.observe(source("harbor", "stale"))
    book.book.configure(Configuration((PullSecret("other", ("ghcr",)),)))

    book.book.configure(CONFIGURATION)

    assert not book.book.has_read(("harbor",))
    assert book.contents() == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "Opaque"}, SourceReason.TYPE_UNSUPPORTED),
        ({"data": None}, SourceReason.KEY_ABSENT),
        ({"data": {COPY_KEY: b64encode(b"{").decode()}}, SourceReason.JSON_INVALID),
        ({"metadata": WrittenMeta("harbor", labels=labels_for("another", "x"))}, SourceReason.IS_A_COPY),
        ({"metadata": WrittenMeta("harbor", deletion_timestamp="2026-01-01T00:00:00Z")}, SourceReason.TERMINATING),
    ],
)
def test_a_source_that_must_not_be_copied_has_a_reason_and_no_credentials(
    changes: dict[str, object], reason: SourceReason
) -> None:
    found = read_source(secret("harbor", "1", **changes))  # type: ignore[arg-type]

    assert found.credentials is None
    assert found.problem is not None
    assert found.problem.reason == reason


def test_sources_that_are_too_large_together_are_a_problem_of_the_pull_secret() -> None:
    halves = [source(name, name[0] * 600_000) for name in ("harbor", "ghcr")]
    book = Book(replace(CONFIGURATION, pull_secrets=CONFIGURATION.pull_secrets[:1]))
    for half in halves:
        book.book.observe(half)

    assert book.contents() == {}
    assert book.book.problems()["pull"].reason == SourceReason.COPY_TOO_LARGE


def test_no_content_is_shown(book: Book) -> None:
    book.book.observe(source("harbor", "hunter2"))

    assert "hunter2" not in repr(book.usable()) + repr(book.book.source("harbor"))


def test_a_registry_in_two_sources_is_told_once_with_the_source_that_wins(book: Book) -> None:
    book.book.observe(source("harbor", registry="r.example.com"))
    book.book.observe(source("ghcr", registry="r.example.com"))
    book.book.observe(source("ghcr", password="2", version=2, registry="r.example.com"))  # noqa: S106
    assert book.clashes == ["pull: r.example.com of harbor"]


class SlowRegistry:
    """Judges a version when it is let go; refuses those that it is told to."""

    def __init__(self) -> None:
        self.reached: dict[str, threading.Event] = {}
        self.released: dict[str, threading.Event] = {}
        self.refused: set[str] = set()
        self.kept: list[str] = []

    def hold(self, version: str) -> threading.Event:
        """Have judgements of a version wait; return an event that is set when one does."""
        self.released[version] = threading.Event()
        return self.reached.setdefault(version, threading.Event())

    def judge(self, source: Source) -> Source:
        if source.resource_version in self.released:
            self.reached[source.resource_version].set()
            assert self.released[source.resource_version].wait(10)
        if source.resource_version in self.refused:
            return replace(
                source, credentials=None, problem=SourceInvalid(SourceReason.CREDENTIAL_REFUSED, "it is refused")
            )
        return source

    def remember(self, source: Source, judged: Source) -> None:
        assert source.name == judged.name
        self.kept.append(source.resource_version)


@pytest.mark.parametrize("newer", [source("harbor", "2", version=2), absent_source("harbor")], ids=["changed", "gone"])
def test_an_older_version_whose_login_answers_late_never_overwrites_a_newer_one(newer: Source) -> None:
    registry = SlowRegistry()
    book = SourceStore(lambda: None, lambda _: None, lambda *_: None, judge=registry)
    book.configure(Configuration((PullSecret("alone", ("harbor",)),)))
    older = source("harbor", "1", version=1)
    registry.refused = {"1"}
    book.observe(older)
    assert book.hashes() == {}
    registry.refused = set()
    reached = registry.hold("1")
    retry = threading.Thread(target=book.rejudge, args=(older,))
    retry.start()
    assert reached.wait(10)

    book.observe(newer)
    registry.released["1"].set()
    retry.join(10)

    assert book.source("harbor") == newer
    assert registry.kept == ["1", newer.resource_version]
    book.rejudge(older)
    assert book.source("harbor") == newer


def version_of(book: Book, name: str = "harbor") -> str | None:
    known = book.book.source(name)
    return None if known is None else known.resource_version


@pytest.mark.parametrize(
    ("arrived", "read", "taken"),
    [
        (source("harbor", version=8), source("harbor", version=9), True),
        (source("harbor", version=9), source("harbor", version=8), False),
        (source("harbor", version=9), source("harbor", version=9), True),
        (source("harbor", version=9), absent_source("harbor"), False),
        (absent_source("harbor"), absent_source("harbor"), True),
        (absent_source("harbor"), source("harbor", version=9), False),
        (replace(source("harbor", version=8), uid="recreated"), source("harbor", version=9), False),
    ],
    ids=["older", "newer", "same", "newer than its absence", "both absent", "deleted", "recreated"],
)
def test_a_read_that_was_overtaken_changes_nothing(book: Book, arrived: Source, read: Source, taken: bool) -> None:
    book.book.observe(source("harbor", version=7))
    begun = book.book.arrivals("harbor")
    book.book.observe(arrived)

    assert book.book.observe_read(read, begun) is taken

    assert version_of(book) == (read if taken else arrived).resource_version


@pytest.mark.parametrize("read", [source("harbor", version=6), source("harbor", version=9), absent_source("harbor")])
def test_a_read_that_was_not_overtaken_wins(book: Book, read: Source) -> None:
    """Also with an older version: etcd was restored, and the watch has not noticed it yet."""
    book.book.observe(source("harbor", version=7))

    assert book.book.observe_read(read, book.book.arrivals("harbor"))

    assert version_of(book) == read.resource_version


def test_a_read_that_another_read_has_overtaken_changes_nothing(book: Book) -> None:
    begun = book.book.arrivals("harbor")

    assert book.book.observe_read(source("harbor", version=9), begun)
    assert not book.book.observe_read(source("harbor", version=8), begun)

    assert version_of(book) == "9"


def test_a_late_event_of_a_watch_does_not_undo_a_read(book: Book) -> None:
    book.book.observe_read(source("harbor", "new", version=9), book.book.arrivals("harbor"))

    book.book.observe(source("harbor", "old", version=8), event_version="8")
    book.book.observe(absent_source("harbor"), event_version="8")
    assert version_of(book) == "9"
    book.book.observe(absent_source("harbor"), event_version="10")
    assert version_of(book) == ""


def test_a_list_takes_a_source_back_to_an_older_version(book: Book) -> None:
    book.book.observe(source("harbor", "new", version=9))
    book.book.observe(source("harbor", "old", version=8))
    assert version_of(book) == "8"


def a_copy(**numbers: int) -> Copy:
    made_from = [SourceVersion(name, f"uid-{name}", str(number)) for name, number in numbers.items()]
    return Copy("team", "pull", "uid", "1", Mark(), "sha256:other", sources=encode_sources(made_from))


def test_only_a_copy_of_newer_sources_needs_a_read_and_one_read_is_enough(book: Book) -> None:
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name, version=7))
    content = book.usable()["pull"]

    for harmless in (a_copy(), a_copy(harbor=7, ghcr=7), a_copy(harbor=6), a_copy(harbor=8, ghcr=6)):
        assert not book.book.unconfirmed(harmless, content)
    assert not book.book.unconfirmed(replace(a_copy(harbor=8), content_hash=content.hash), content)
    assert [newer.name for newer in book.book.unconfirmed(a_copy(harbor=8, ghcr=7), content)] == ["harbor"]

    book.book.observe_read(source("harbor", version=7), book.book.arrivals("harbor"), newer="8")

    assert not book.book.unconfirmed(a_copy(harbor=8, ghcr=7), content)
    assert book.book.unconfirmed(a_copy(harbor=9, ghcr=7), content)


def test_a_source_that_changes_only_its_version_changes_no_content_that_is_written(book: Book) -> None:
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name, version=7))
    before, changes = book.usable()["pull"], book.changes

    book.book.observe(source("harbor", version=8))

    after = book.usable()["pull"]
    assert (after.hash, book.changes) == (before.hash, changes)
    assert after.versions != before.versions


def test_the_last_good_content_names_the_versions_that_it_was_made_from(book: Book) -> None:
    for name in ("harbor", "ghcr"):
        book.book.observe(source(name, version=7))
    book.book.observe(absent_source("ghcr"))
    book.book.observe(source("harbor", version=8))

    last_good = book.usable()["pull"]
    assert encode_sources(last_good.versions) == "harbor/uid-harbor/7,ghcr/uid-ghcr/7"
