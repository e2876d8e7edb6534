"""The order in which the kubelet tries credentials, from all Secrets of a Pod."""

from __future__ import annotations

import pytest

from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import Credentials
from webhook.rules.keyring import ReferencedSecret, is_same_login, offers

HUB = "https://index.docker.io/v1/"


def secret(name: str, *keys: str, password: str = "x") -> ReferencedSecret:  # noqa: S107 (invented)
    return ReferencedSecret(name, credentials=Credentials({key: Credential("robot", password) for key in keys}))


@pytest.mark.parametrize(
    ("image", "secrets", "expected"),
    [
        ("r.io/team/app", [secret("a", "r.io"), secret("b", "r.io/team")], ["b r.io/team", "a r.io"]),
        ("r.io/app", [secret("a", "r.io"), secret("b", "r.io")], ["a r.io", "b r.io"]),
        ("r.io/app", [secret("b", "r.io"), secret("a", "r.io")], ["b r.io", "a r.io"]),
        ("r.io/app", [secret("a", "r.io", "*.io"), secret("b", "r.io/other")], ["a r.io", "a *.io"]),
        ("nginx", [secret("a", HUB), secret("b", "docker.io/library")], ["b docker.io/library"]),
        ("nginx", [secret("a", HUB), secret("b", "r.io"), secret("c", HUB)], [f"a {HUB}", f"c {HUB}"]),
        ("r.io/app", [secret("a"), secret("b", "s.io")], []),
        ("Not An Image", [secret("a", "r.io")], []),
    ],
)
def test_every_credential_that_covers_the_image_is_tried_the_most_specific_first(
    image: str, secrets: list[ReferencedSecret], expected: list[str]
) -> None:
    assert [f"{offer.secret.name} {offer.key}" for offer in offers(secrets, image)] == expected


@pytest.mark.parametrize(
    ("key", "password", "others", "expected"),
    [
        ("r.io/team", "x", {"r.io": "x"}, True),
        ("r.io", "x", {"r.io": "y"}, False),
        ("*.io", "x", {"r.io": "x"}, True),
        ("r.io", "x", {"s.io": "x"}, False),
    ],
)
def test_a_login_is_the_same_with_another_key_of_its_registry(
    key: str, password: str, others: dict[str, str], expected: bool
) -> None:
    (offer,) = offers([secret("a", key, password=password)], "r.io/team/app")
    found = {name: Credential("robot", value) for name, value in others.items()}
    assert is_same_login(offer, "r.io/team/app", found) is expected
