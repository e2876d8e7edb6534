"""Ten years of rotation by a clock that is given, with openssl and cryptography as judges of all that is issued."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certs.bundle import parse
from certs.lifetimes import Lifetimes
from certs.rotation import (
    CertificateState,
    Nothing,
    PublishBundle,
    Step,
    StoreAuthority,
    StoreLeaf,
    is_published,
    next_step,
)

BEGIN = datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC)
NAME = "psw-webhook.pull-secrets.svc"
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
LAG = timedelta(seconds=90)
"""How late the replica that lags has a new certificate."""

MOST_STEPS = 10


@dataclass
class World:
    """What is stored, since when, and what was issued, with the moment and the bundle of it."""

    policy: Lifetimes
    now: datetime = BEGIN
    state: CertificateState = field(default_factory=lambda: CertificateState((NAME,), ca_bundles=(b"", b"")))
    authorities: list[tuple[datetime, bytes]] = field(default_factory=list)
    leaves: list[tuple[datetime, bytes, bytes]] = field(default_factory=list)
    until: datetime = BEGIN

    def look(self) -> None:
        """Carry out what is due now, as the process does that leads."""
        for _ in range(MOST_STEPS):
            published = is_published(self.state)
            since = (self.state.published_since or self.now) if published else None
            self.state = replace(self.state, published_since=since)
            step = next_step(self.state, self.now, self.policy)
            if isinstance(step, Nothing):
                self.until = step.until
                return
            self._carry_out(step)
        raise AssertionError(step)

    def _carry_out(self, step: Step) -> None:
        match step:
            case StoreAuthority(authority):
                pem, key = authority.certificate_pem, authority.private_key_pem
                self.state = replace(self.state, authority=pem, authority_key=key, published_since=None)
                self.authorities.append((self.now, pem))
            case PublishBundle(pem):
                self.state = replace(self.state, ca_bundles=(pem, pem))
            case StoreLeaf(leaf):
                pem, key = leaf.certificate_pem, leaf.private_key_pem
                self.state = replace(self.state, leaf=pem, leaf_key=key, leaf_authority=leaf.authority_pem)
                self.leaves.append((self.now, pem, self.state.ca_bundles[0]))

    def travel(self, until: datetime) -> None:
        self.look()
        while self.until < until:
            assert self.until > self.now
            self.now = self.until
            self.look()
        self.now = until


def travelled(years: float, **lifetimes: timedelta) -> World:
    world = World(Lifetimes(**lifetimes))
    world.travel(BEGIN + years * 365 * DAY)
    return world


@pytest.fixture(scope="module")
def ten_years() -> World:
    return travelled(10)


def verify(leaf: bytes, bundle: bytes, at: datetime) -> None:
    """Verify as a TLS client does; VerificationError."""
    store = Store(list(parse(bundle).certificates))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(NAME))
    verifier.verify(x509.load_pem_x509_certificate(leaf), [])


def openssl_verifies(folder: Path, leaf: bytes, bundle: bytes, at: datetime) -> str:
    (folder / "ca.pem").write_bytes(bundle)
    (folder / "leaf.pem").write_bytes(leaf)
    moment = str(int(at.timestamp()))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", NAME]
    done = subprocess.run(
        [*command, "-attime", moment, "-no-CApath", "-no-CAstore", "-CAfile", "ca.pem", "leaf.pem"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


def ends(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def in_service(world: World) -> list[tuple[bytes, datetime, datetime, bytes]]:
    """Return each leaf with the first and last moment of its service at a replica that lags, and the bundle then."""
    turns = zip(world.leaves, [*world.leaves[1:], (world.now, b"", world.state.ca_bundles[0])], strict=True)
    return [(leaf, begin, end + LAG, bundle) for (begin, leaf, _), (end, _, bundle) in turns]


def test_certificates_and_authorities_came_as_often_as_their_lifetimes_say(ten_years: World) -> None:
    # Of 30 days, renewed after 19 to 20; of a year, after 234 to 244, each with one more leaf.
    assert 180 <= len(ten_years.leaves) <= 215
    assert 15 <= len(ten_years.authorities) <= 17


def test_every_certificate_is_trusted_from_its_first_moment_to_the_last_of_its_service(ten_years: World) -> None:
    for leaf, begin, end, bundle in in_service(ten_years):
        at_first = next(known for since, pem, known in ten_years.leaves if pem == leaf and since == begin)
        verify(leaf, at_first, begin)
        verify(leaf, bundle, end)


def test_every_certificate_was_signed_by_an_authority_that_had_settled(ten_years: World) -> None:
    issued = {x509.load_pem_x509_certificate(pem).subject: since for since, pem in ten_years.authorities}
    for since, leaf, _ in ten_years.leaves[1:]:
        signed_by = issued[x509.load_pem_x509_certificate(leaf).issuer]
        assert since - signed_by >= ten_years.policy.settling


def test_openssl_agrees(ten_years: World, tmp_path: Path) -> None:
    """Beside each change of the authority, and between two of them: the others differ only in their times."""
    turns = in_service(ten_years)
    chosen = {index for index, turn in enumerate(turns) if turn[3] != turns[index - 1][3]}
    for leaf, _, end, bundle in [turns[index] for index in sorted(chosen | {0, len(turns) // 2, len(turns) - 1})]:
        assert openssl_verifies(tmp_path, leaf, bundle, end) == "leaf.pem: OK"


def test_the_judges_are_no_yes_men(ten_years: World, tmp_path: Path) -> None:
    since, leaf, bundle = ten_years.leaves[0]
    stranger = travelled(0.01).state.ca_bundles[0]
    for trusted, at in ((stranger, since), (bundle, ends(leaf) + SECOND), (bundle, since - DAY)):
        with pytest.raises(VerificationError):
            verify(leaf, trusted, at)
        assert "OK" not in openssl_verifies(tmp_path, leaf, trusted, at)


def test_no_certificate_outlives_its_authority_or_begins_before_it(ten_years: World) -> None:
    authorities = [x509.load_pem_x509_certificate(pem) for _, pem in ten_years.authorities]
    by_name = {certificate.subject: certificate for certificate in authorities}
    for _, pem, _ in ten_years.leaves:
        leaf = x509.load_pem_x509_certificate(pem)
        authority = by_name[leaf.issuer]
        assert authority.not_valid_before_utc <= leaf.not_valid_before_utc
        assert leaf.not_valid_after_utc <= authority.not_valid_after_utc


def test_no_serial_number_comes_twice(ten_years: World) -> None:
    pems = [pem for _, pem in ten_years.authorities] + [pem for _, pem, _ in ten_years.leaves]
    serials = {x509.load_pem_x509_certificate(pem).serial_number for pem in pems}
    assert len(serials) == len(pems)


def test_the_bundle_never_grows_beyond_what_may_be_in_service(ten_years: World) -> None:
    assert max(len(parse(bundle).certificates) for _, _, bundle in ten_years.leaves) == 2


@pytest.mark.parametrize(
    "lifetimes",
    [
        {"authority": 30 * DAY, "leaf": 30 * DAY},
        {"authority": DAY, "leaf": timedelta(minutes=10)},
        {"authority": timedelta(hours=1), "leaf": timedelta(minutes=59), "settling": timedelta(minutes=14)},
    ],
    ids=["as long as its authority", "minutes", "settling for a quarter of it"],
)
def test_other_lifetimes_leave_no_gap_either(lifetimes: dict[str, timedelta]) -> None:
    days = 20 * max(lifetimes["leaf"] / DAY, 0.02)
    world = travelled(days / 365, **lifetimes)
    assert len(world.authorities) > 1 or lifetimes["authority"] > days * DAY
    for leaf, begin, end, bundle in in_service(world)[:-1]:
        verify(leaf, bundle, begin)
        verify(leaf, bundle, end)


@pytest.mark.parametrize("asleep", [40 * DAY, 250 * DAY, 400 * DAY, 2000 * DAY], ids=lambda asleep: f"{asleep.days} d")
def test_a_machine_that_wakes_renews_whatever_expired_while_it_slept(asleep: timedelta) -> None:
    world = travelled(0.1)
    world.now += asleep
    world.look()
    verify(world.state.leaf, world.state.ca_bundles[0], world.now)
    world.travel(world.now + world.policy.settling)
    verify(world.state.leaf, world.state.ca_bundles[0], world.now)
    assert all(one.not_valid_after_utc >= world.now for one in parse(world.state.ca_bundles[0]).certificates)


@pytest.mark.parametrize("back", [timedelta(minutes=4), timedelta(hours=2), 3 * DAY], ids=str)
def test_a_clock_that_was_set_back_gets_what_is_valid_then(back: timedelta) -> None:
    world = travelled(0.1)
    world.state = World(world.policy).state
    world.look()  # all of it is new at this moment
    world.now -= back
    world.look()
    verify(world.state.leaf, world.state.ca_bundles[0], world.now)
