from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from tests.unit.polling import DEADLINE
from webhook.errors import ConfigurationInvalid, UsageError
from webhook.files.watched_file import ConfigurationFile
from webhook.rules.configuration import Configuration

HEAD = "apiVersion: pullsecrets.webhook/v1alpha1\nkind: Configuration\n"
INTERVAL = 0.005


def document(*names: str) -> str:
    return HEAD + "pullSecrets:\n" + "".join(f"- {{name: {name}, sources: [{{secretName: s}}]}}\n" for name in names)


class Watched:
    """A watch in a thread, with what it called back in order."""

    def __init__(self, file: ConfigurationFile) -> None:
        self.calls: SimpleQueue[tuple[str, ...] | str] = SimpleQueue()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=file.watch, args=(self._changed, self._invalid, self.stop, INTERVAL))

    def _changed(self, configuration: Configuration) -> None:
        self.calls.put(tuple(entry.name for entry in configuration.pull_secrets))

    def _invalid(self, error: UsageError) -> None:
        self.calls.put(str(error))

    def next(self) -> tuple[str, ...] | str:
        return self.calls.get(timeout=DEADLINE)


@contextmanager
def watching(file: ConfigurationFile) -> Iterator[Watched]:
    watched = Watched(file)
    watched.thread.start()
    try:
        yield watched
    finally:
        watched.stop.set()
        watched.thread.join(DEADLINE)
    assert not watched.thread.is_alive()
    with pytest.raises(Empty):
        watched.calls.get_nowait()


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A ConfigMap as the kubelet mounts it: config.yaml → ..data/config.yaml, ..data → ..1."""
    swap(tmp_path, "1", document("a"))
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    return tmp_path / "config.yaml"


def swap(directory: Path, generation: str, text: str) -> None:
    (directory / f"..{generation}").mkdir()
    (directory / f"..{generation}" / "config.yaml").write_text(text)
    (directory / "..tmp").symlink_to(f"..{generation}")
    (directory / "..tmp").replace(directory / "..data")


def test_the_release_namespace_is_excluded(mounted: Path) -> None:
    assert "psw" in ConfigurationFile(mounted, "psw").load().excluded_namespaces


@pytest.mark.parametrize("name", ["absent.yaml", ".", "config.yaml/x"])
def test_a_file_that_cannot_be_read_is_one_sentence(mounted: Path, name: str) -> None:
    path = mounted.parent / name

    with pytest.raises(UsageError, match=f"the configuration file {path} cannot be read"):
        ConfigurationFile(path, "psw").load()


def test_a_file_that_is_not_utf8_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(document("a").encode("utf-16"))

    with pytest.raises(ConfigurationInvalid, match="not UTF-8"):
        ConfigurationFile(tmp_path / "config.yaml", "psw").load()


def test_a_symlink_swap_is_noticed(mounted: Path) -> None:
    file = ConfigurationFile(mounted, "psw")
    file.load()
    with watching(file) as watched:
        swap(mounted.parent, "2", document("a", "b"))
        assert watched.next() == ("a", "b")
        swap(mounted.parent, "3", document("c"))
        assert watched.next() == ("c",)


def test_a_change_between_load_and_watch_is_noticed(mounted: Path) -> None:
    file = ConfigurationFile(mounted, "psw")
    file.load()
    swap(mounted.parent, "2", document("b"))
    with watching(file) as watched:
        assert watched.next() == ("b",)


def test_a_write_of_the_same_length_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(document("a"))
    file = ConfigurationFile(path, "psw")
    file.load()
    with watching(file) as watched:
        path.with_suffix(".new").write_text(document("b"))
        path.with_suffix(".new").replace(path)
        assert watched.next() == ("b",)


def test_an_invalid_document_is_reported_once_and_the_old_one_announced_when_it_returns(mounted: Path) -> None:
    file = ConfigurationFile(mounted, "psw")
    file.load()
    with watching(file) as watched:
        swap(mounted.parent, "2", HEAD + "nonsense: 1\n")
        assert "nonsense: unknown field" in watched.next()
        swap(mounted.parent, "3", HEAD + "nonsense: 1\n")
        swap(mounted.parent, "4", document("a"))
        assert watched.next() == ("a",)


def test_a_change_of_comments_alone_is_no_change(mounted: Path) -> None:
    file = ConfigurationFile(mounted, "psw")
    file.load()
    with watching(file) as watched:
        swap(mounted.parent, "2", "# a comment\n" + document("a"))
        swap(mounted.parent, "3", document("b"))
        assert watched.next() == ("b",)


def test_a_file_that_is_gone_is_reported_once_and_its_return_announced(mounted: Path) -> None:
    file = ConfigurationFile(mounted, "psw")
    file.load()
    with watching(file) as watched:
        (mounted.parent / "..data").unlink()
        assert "cannot be read" in watched.next()
        deadline = time.monotonic() + 10 * INTERVAL
        while time.monotonic() < deadline:
            assert watched.calls.empty()
        swap(mounted.parent, "2", document("a"))
        assert watched.next() == ("a",)


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _through_a_file(path: Path) -> None:
    (path.parent / "file").write_text("x")
    path.symlink_to(path.parent / "file" / "config.yaml")


TRICKS: dict[str, Callable[[Path], None]] = {
    "a link to nowhere": _dangling,
    "a link to itself": _circle,
    "a link through a file": _through_a_file,
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_a_file_that_is_none_is_one_sentence_at_the_start_and_harmless_later(
    tmp_path: Path, trick: Callable[[Path], None]
) -> None:
    path = tmp_path / "config.yaml"
    trick(path)
    with pytest.raises(UsageError, match="cannot be read") as refused:
        ConfigurationFile(path, "psw").load()
    assert str(refused.value).isprintable()

    good = tmp_path / "good.yaml"
    good.write_text(document("first"))
    file = ConfigurationFile(good, "psw")
    file.load()
    good.unlink()
    path.rename(good)
    with watching(file) as watched:
        assert "cannot be read" in watched.next()


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path) -> None:
    endless = tmp_path / "config.yaml"
    endless.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="1 problem"):
        ConfigurationFile(endless, "psw").load()
