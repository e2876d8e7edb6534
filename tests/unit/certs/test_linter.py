"""A linter for certificates, which knows RFC 5280 better than we do, has nothing to say about ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from pkilint.bin import lint_pkix_cert, lint_pkix_signer_signee_cert_chain

from certs.authority import Authority, Leaf, issue_authority, issue_leaf

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIFETIMES = [
    (timedelta(days=365), timedelta(days=30)),
    (timedelta(seconds=16), timedelta(seconds=4)),
    (timedelta(days=365 * 30), timedelta(days=365 * 30)),  # past 2049, where the encoding of times changes
]
NAMES = [["psw-webhook.pull-secrets.svc"], ["127.0.0.1", "::1"], [f"{'a' * 63}.{'b' * 63}.example.com"]]

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::PendingDeprecationWarning")


def written(folder: Path, authority: Authority, leaf: Leaf) -> tuple[str, str]:
    authority_file, leaf_file = folder / "ca.pem", folder / "leaf.pem"
    authority_file.write_bytes(authority.certificate_pem)
    leaf_file.write_bytes(leaf.certificate_pem)
    return str(authority_file), str(leaf_file)


def findings(linter: ModuleType, capsys: pytest.CaptureFixture[str], *files: str) -> str:
    """Return what the linter says, empty for nothing."""
    count = linter.main(["lint", "--severity", "WARNING", *files])
    said = capsys.readouterr()
    assert bool(count) == bool(said.out.strip())
    return (said.out + said.err).strip()


@pytest.mark.parametrize("names", NAMES, ids=["of a Service", "addresses", "long"])
@pytest.mark.parametrize("lifetimes", LIFETIMES, ids=["usual", "seconds", "past 2049"])
def test_the_linter_finds_nothing_in_what_we_issue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lifetimes: tuple[timedelta, timedelta], names: list[str]
) -> None:
    authority = issue_authority(NOW, lifetimes[0])
    issued = written(tmp_path, authority, issue_leaf(authority, names, NOW, lifetimes[1]))
    assert [findings(lint_pkix_cert, capsys, file) for file in issued] == ["", ""]
    assert findings(lint_pkix_signer_signee_cert_chain, capsys, *issued) == ""


def test_the_linter_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or else the test above would prove nothing."""
    authority, other = issue_authority(NOW, LIFETIMES[0][0]), issue_authority(NOW, LIFETIMES[0][0])
    issued = written(tmp_path, other, issue_leaf(authority, ["localhost"], NOW, LIFETIMES[0][1]))
    assert "Invalid domain name syntax" in findings(lint_pkix_cert, capsys, issued[1])
    assert "ERROR" in findings(lint_pkix_signer_signee_cert_chain, capsys, *issued)
