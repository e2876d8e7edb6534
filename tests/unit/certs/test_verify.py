"""Chains are trusted as the API server trusts them: Go's crypto/x509 is the judge."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from certs.validity import check_pair
from certs.verify import is_for_servers, is_trusted
from tests.unit.certs.chains import (
    ANY,
    AUTHORITY,
    CLIENT,
    JUDGED,
    KEYS,
    LEAF,
    NOW,
    SERVER,
    Case,
    Made,
    built,
    leaf_key,
    pem,
)
from webhook.errors import CertificateInvalid

GO = shutil.which("go")
VERIFIER = Path(__file__).parent / "verifier" / "main.go"
RANDOM_CASES = 400

SHORT = Case((LEAF, AUTHORITY))
LONG = Case((LEAF, AUTHORITY, AUTHORITY))
ALONE = Case((LEAF,))

CASES: dict[str, tuple[Case, bool]] = {
    "a leaf of a root": (SHORT, True),
    "a leaf of an intermediate": (LONG, True),
    "two intermediates": (Case((LEAF, AUTHORITY, AUTHORITY, AUTHORITY)), True),
    "two intermediates in the wrong order": (Case((LEAF, AUTHORITY, AUTHORITY, AUTHORITY), sent=(0, 2, 1)), True),
    "the root sent too": (Case(LONG.certificates, sent=(0, 1, 2)), True),
    "the intermediate itself in the bundle": (Case(LONG.certificates, trusted=(1,)), True),
    "a certificate that signs itself, in the bundle": (ALONE, True),
    "the same, marked as an authority": (ALONE.changed(0, ca=True), True),
    "no intermediate": (Case(LONG.certificates, sent=(0,)), False),
    "nothing in the bundle": (Case(SHORT.certificates, trusted=()), False),
    "another authority in the bundle": (SHORT.changed(0, signer=7), False),
    "an intermediate that another key signed": (LONG.changed(1, signer=7), False),
    "an expired intermediate": (LONG.changed(1, ends=-1), False),
    "an intermediate that is not yet valid": (LONG.changed(1, starts=1), False),
    "an expired root": (LONG.changed(2, ends=-1), False),
    "an expired leaf": (LONG.changed(0, ends=-1), False),
    "an intermediate without CA:TRUE": (LONG.changed(1, ca=False), False),
    "an intermediate without basicConstraints": (LONG.changed(1, ca=None), False),
    "a root without CA:TRUE": (SHORT.changed(1, ca=False), False),
    "a root without basicConstraints": (SHORT.changed(1, ca=None), False),
    "an intermediate whose key must not sign": (LONG.changed(1, signs=False), False),
    "an intermediate whose key may sign": (LONG.changed(1, signs=True), True),
    "a root whose key must not sign": (SHORT.changed(1, signs=False), False),
    "a leaf with only clientAuth": (LONG.changed(0, purposes=(CLIENT,)), False),
    "a leaf with serverAuth": (LONG.changed(0, purposes=(SERVER,)), True),
    "a leaf with both": (LONG.changed(0, purposes=(CLIENT, SERVER)), True),
    "a leaf for any purpose": (LONG.changed(0, purposes=(ANY,)), True),
    "an intermediate for clients only": (LONG.changed(1, purposes=(CLIENT,)), False),
    "a root for clients only": (LONG.changed(2, purposes=(CLIENT,)), False),
    "a self-signed certificate for clients only": (ALONE.changed(0, purposes=(CLIENT,)), False),
    "a path that is longer than the root allows": (LONG.changed(2, path_length=0), False),
    "a path that is as long as the root allows": (LONG.changed(2, path_length=1), True),
    "a leaf with an unknown critical extension": (LONG.changed(0, odd=True), False),
    "an intermediate with an unknown critical extension": (LONG.changed(1, odd=True), False),
    "a root with an unknown critical extension": (LONG.changed(2, odd=True), False),
    "an unknown extension that is not critical": (LONG.changed(1, odd=False), True),
    "a root for other names": (LONG.changed(2, permitted="example.com"), False),
    "a root for these names": (LONG.changed(2, permitted="pull-secrets.svc"), True),
    "RSA, P-384 and P-521": (Case((Made(ca=None, key="RSA-2048"), Made(key="P-384"), Made(key="P-521"))), True),
}


@pytest.mark.parametrize(("case", "expected"), CASES.values(), ids=CASES)
def test_a_chain_is_trusted_or_is_not(case: Case, expected: bool) -> None:
    chain, trusted = built(case)
    assert is_trusted(chain, trusted, NOW) is expected


@pytest.mark.parametrize("key", ["Ed25519", "RSA-1024"])
@pytest.mark.parametrize("position", [1, 2])
def test_a_kind_of_key_that_is_not_judged_here_is_neither_trusted_nor_refused(key: str, position: int) -> None:
    chain, trusted = built(LONG.changed(position, key=key))
    assert is_trusted(chain, trusted, NOW) is None


def test_a_leaf_for_clients_is_not_served() -> None:
    chain, _ = built(LONG.changed(0, purposes=(CLIENT,)))
    assert not is_for_servers(chain[0])
    with pytest.raises(CertificateInvalid, match="not for servers"):
        check_pair(pem(chain), leaf_key(LONG), None, (), NOW)
    chain, _ = built(LONG.changed(0, purposes=(SERVER,)))
    check_pair(pem(chain), leaf_key(LONG), None, (), NOW)


@pytest.mark.skipif(GO is None, reason="there is no Go on PATH to ask crypto/x509 with")
def test_go_trusts_the_same_chains() -> None:
    draw = random.Random(20260301)  # noqa: S311 - test cases
    cases = [case for case, _ in CASES.values()] + [drawn(draw) for _ in range(RANDOM_CASES)]
    disagreed, trusted_cases = [], 0
    for case, judgement in zip(cases, judged_by_go(cases), strict=True):
        chain, trusted = built(case)
        ours = is_trusted(chain, trusted, NOW)
        trusted_cases += ours is True
        if ours is None:
            assert {made.key for made in case.certificates} - JUDGED
        elif ours is not (judgement == "trusted"):
            disagreed.append((case, ours, judgement))
    assert disagreed == []
    assert trusted_cases > len(CASES)


def drawn(draw: random.Random) -> Case:
    """Return a chain that is right in most places, so that many are right in all of them."""

    def made(ca: bool | None) -> Made:
        return Made(
            ca=ca if draw.random() < 0.9 else draw.choice([True, False, None]),
            path_length=draw.choice([None] * 8 + [0, 1]),
            signs=draw.choice([None, True] * 6 + [False]),
            purposes=draw.choice([(), (SERVER,), (SERVER, CLIENT), (ANY,)] * 3 + [(CLIENT,)]),
            starts=draw.choice([-10] * 15 + [1]),
            ends=draw.choice([10] * 15 + [-1]),
            odd=draw.choice([None] * 12 + [False, True]),
            permitted=draw.choice([""] * 12 + ["svc", "example.com"]) if ca else "",
            key=draw.choice(("P-256",) * 10 + KEYS),
            signer=draw.choice([None] * 25 + [7]),
        )

    count = draw.choice([1, 2, 2, 3, 3, 3, 4])
    certificates = (made(None), *(made(True) for _ in range(count - 1)))
    return Case(
        certificates,
        sent=draw.choice([None] * 8 + [(0,), tuple(range(count))]),
        trusted=draw.choice([None] * 8 + [tuple(range(count)), (draw.randrange(count),)]),
    )


def judged_by_go(cases: Iterable[Case]) -> list[str]:
    """Return Go's verdicts."""
    asked = []
    for case in cases:
        chain, trusted = built(case)
        document = {"chain": pem(chain).decode(), "bundle": pem(trusted).decode(), "at": NOW.isoformat()}
        asked.append(json.dumps(document))
    done = subprocess.run(
        [str(GO), "run", str(VERIFIER)], input="\n".join(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
