from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import pytest

from certs.files import LARGEST_FILE, READS, CertificateFiles
from certs.files import _content as read_content
from webhook.errors import CertificateInvalid

DEADLINE = 5.0
INTERVAL = 0.005


def swap(directory: Path, generation: str) -> None:
    (directory / f"..{generation}").mkdir()
    (directory / f"..{generation}" / "tls.crt").write_text(f"certificate {generation}")
    (directory / f"..{generation}" / "tls.key").write_text(f"key {generation}")
    (directory / "..tmp").symlink_to(f"..{generation}")
    (directory / "..tmp").replace(directory / "..data")


def replace(path: Path, text: str) -> None:
    """Write a file in one step, so that no look sees an empty one."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A Secret as the kubelet mounts it: tls.crt → ..data/tls.crt, ..data → ..0."""
    swap(tmp_path, "0")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    return tmp_path


def files(directory: Path) -> CertificateFiles:
    return CertificateFiles(directory / "tls.crt", directory / "tls.key")


@contextmanager
def watching(watched: CertificateFiles) -> Iterator[SimpleQueue[str]]:
    """A watch in a thread; yields what it served, and what it found invalid, in order. ``bad`` is not served."""
    calls: SimpleQueue[str] = SimpleQueue()
    stop = threading.Event()

    def serve(certificate: bytes, key: bytes) -> None:
        if certificate == b"bad":
            raise CertificateInvalid("not servable")
        calls.put(f"{certificate.decode()}, {key.decode()}")

    def on_invalid(error: CertificateInvalid) -> None:
        calls.put(str(error))

    thread = threading.Thread(target=watched.watch, args=(serve, on_invalid, stop, INTERVAL))
    thread.start()
    try:
        yield calls
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert calls.empty()


def load(watched: CertificateFiles) -> None:
    watched.load(lambda _certificate, _key: None)


def test_both_files_are_read(mounted: Path) -> None:
    assert files(mounted).read() == (b"certificate 0", b"key 0")


def test_a_file_that_cannot_be_read_is_named(mounted: Path) -> None:
    (mounted / "tls.key").unlink()

    with pytest.raises(CertificateInvalid, match=f"{mounted}/tls.key cannot be read"):
        files(mounted).read()


@pytest.mark.parametrize("trick", ["nowhere", "tls.key", "/"])
def test_a_file_that_is_none_is_named(mounted: Path, trick: str) -> None:
    (mounted / "tls.key").unlink()
    (mounted / "tls.key").symlink_to(trick)
    with pytest.raises(CertificateInvalid, match=f"{mounted}/tls.key cannot be read"):
        files(mounted).read()


def test_a_file_without_an_end_is_not_read_to_it(mounted: Path) -> None:
    (mounted / "tls.key").unlink()
    (mounted / "tls.key").symlink_to("/dev/zero")
    assert len(files(mounted).read()[1]) == LARGEST_FILE


@pytest.fixture
def swaps_during_reads(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Call it with a number: that many times, a swap happens after a certificate is read and before its key is."""
    generations = count(1)
    left = 0

    def read_then_swap(path: Path) -> bytes:
        nonlocal left
        content = read_content(path)
        if path.name == "tls.crt" and left:
            left -= 1
            swap(mounted, str(next(generations)))
        return content

    def set_left(number: int) -> None:
        nonlocal left
        left = number

    monkeypatch.setattr("certs.files._content", read_then_swap)
    return set_left


def test_a_pair_is_never_of_two_swaps(mounted: Path, swaps_during_reads: Callable[[int], None]) -> None:
    swaps_during_reads(READS - 1)
    assert files(mounted).read() == (f"certificate {READS - 1}".encode(), f"key {READS - 1}".encode())


def test_files_that_never_stop_changing_are_named(mounted: Path, swaps_during_reads: Callable[[int], None]) -> None:
    swaps_during_reads(READS)
    with pytest.raises(CertificateInvalid, match=f"{mounted}/tls.crt and {mounted}/tls.key change faster than"):
        files(mounted).read()


def test_a_swap_is_served(mounted: Path) -> None:
    watched = files(mounted)
    load(watched)
    with watching(watched) as calls:
        swap(mounted, "1")
        assert calls.get(timeout=DEADLINE) == "certificate 1, key 1"


def test_what_cannot_be_served_is_reported_once_and_the_next_good_pair_served(mounted: Path) -> None:
    watched = files(mounted)
    load(watched)
    with watching(watched) as calls:
        replace(mounted / "tls.crt", "bad")
        assert calls.get(timeout=DEADLINE) == "not servable"
        replace(mounted / "tls.crt", "good")
        assert calls.get(timeout=DEADLINE) == "good, key 0"
