"""The uses of a credential as lines: the rules for one image, and the sums."""

from __future__ import annotations

import pytest

from webhook.report.pod_groups import PodGroup, owners_of
from webhook.report.usage import anonymous_totals, credential_totals, usage_of
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.credential import Credential
from webhook.rules.dockerconfig import Credentials
from webhook.rules.keyring import ReferencedSecret, SecretState

LOGIN = Credential("robot", "x")
HUB = "https://index.docker.io/v1/"
CONFIGURATION = Configuration((PullSecret("ours", ("harbor", "hub")), PullSecret("more", ("spare",))))
OWNERS = owners_of(
    CONFIGURATION,
    {"harbor": Credentials({"r.io": LOGIN}), "hub": Credentials({"r.io": LOGIN, "docker.io": LOGIN})},
)
OURS = ReferencedSecret("ours", credentials=Credentials({"r.io": LOGIN, HUB: LOGIN}), copy_of="ours")
MORE = ReferencedSecret("more", credentials=Credentials({"q.io": LOGIN}), copy_of="more")
THEIRS = ReferencedSecret("regcred", credentials=Credentials({"r.io/team": LOGIN}))
UNREAD = ReferencedSecret("ours", SecretState.UNREAD)
HIDDEN = ReferencedSecret("hidden", SecretState.UNREAD)
ABSENT = ReferencedSecret("gone", SecretState.ABSENT)
BROKEN = ReferencedSecret("broken", SecretState.MALFORMED)


def group(*secrets: ReferencedSecret, images: tuple[str, ...] = ("r.io/team/app",), pods: int = 2) -> PodGroup:
    return PodGroup("team-a", "Deployment/web", images, secrets, pods)


@pytest.mark.parametrize(
    ("name", "secrets", "image", "expected"),
    [
        ("harbor", [OURS], "r.io/team/app", "used for r.io"),
        ("ours", [OURS], "r.io/team/app", "used for r.io"),
        ("hub", [OURS], "r.io/team/app", ""),
        ("hub", [OURS], "nginx", f"used for {HUB}"),
        ("spare", [MORE], "q.io/app", "used for q.io"),
        ("harbor", [OURS, THEIRS], "r.io/team/app", "fallback tried if it is refused with Secret regcred of the "),
        ("regcred", [OURS, THEIRS], "r.io/team/app", "used for r.io/team, and harbor of ours if it is refused"),
        ("harbor", [ABSENT], "r.io/team/app", ""),
        ("harbor", [UNREAD], "r.io/team/app", "unknown Secret ours cannot be read with your rights"),
        ("harbor", [HIDDEN], "r.io/team/app", ""),
        ("hidden", [HIDDEN], "r.io/team/app", "unknown Secret hidden cannot be read with your rights"),
    ],
)
def test_each_image_is_judged_by_all_secrets_of_its_pods(
    name: str, secrets: list[ReferencedSecret], image: str, expected: str
) -> None:
    found = usage_of(name, [group(*secrets, images=(image,))], OWNERS, CONFIGURATION).images
    assert [use.pods for use in found] == ([2] if expected else [])
    assert not expected or f"{found[0].result} {found[0].message}".startswith(expected)


def test_pods_of_one_workload_with_the_same_result_are_one_line_and_the_sentence_counts_workloads() -> None:
    found = usage_of("harbor", [group(OURS, pods=3), group(OURS, ABSENT), group(UNREAD)], OWNERS, CONFIGURATION)
    assert [(use.pods, use.result) for use in found.images] == [(5, "used"), (2, "unknown")]
    assert found.summary() == "1 workload in 1 namespace uses harbor; 1 image unknown"
    assert usage_of("harbor", [], OWNERS, CONFIGURATION).summary() == "0 workloads use harbor"


def test_the_source_of_a_key_is_unknown_if_two_sources_cannot_be_read() -> None:
    owners = owners_of(CONFIGURATION, {})
    found = usage_of("ours", [group(OURS)], owners, CONFIGURATION)
    assert found.images[0].tried == ("a source of ours (r.io)",)
    assert found.images[0].result == "used"
    assert usage_of("spare", [group(MORE, images=("q.io/app",))], owners, CONFIGURATION).images[0].result == "used"


READABLE = {
    "neither": {},
    "the second, which has the key": {"hub": Credentials({"r.io": LOGIN})},
    "both, which lack the key": {"harbor": Credentials({"s.io": LOGIN}), "hub": Credentials({"t.io": LOGIN})},
}


@pytest.mark.parametrize("readable", READABLE)
def test_a_source_that_may_have_given_a_credential_is_never_called_unused(readable: str) -> None:
    owners = owners_of(CONFIGURATION, READABLE[readable])
    for name in ("harbor", "hub"):
        found = usage_of(name, [group(OURS)], owners, CONFIGURATION)
        message = "it is not known which source of ours the credential for r.io is from"
        assert [(use.result, use.message, use.pods) for use in found.images] == [("unknown", message, 2)]
        assert found.summary() == f"0 workloads are known to use {name}; 1 image unknown"
    totals = credential_totals([group(OURS)], owners, CONFIGURATION)
    assert [line.cells for line in totals.lines()] == [
        ("ours", "harbor", "unknown", "0", "0", "0"),
        ("ours", "hub", "unknown", "0", "0", "0"),
        ("more", "spare", "unused", "0", "0", "0"),
        ("ours", "<unknown>", "used", "1", "1", "2"),
    ]
    assert totals.summary() == "Pods use at least 1 credential"


def test_a_source_that_is_known_not_to_have_given_a_credential_is_unused() -> None:
    owners = owners_of(CONFIGURATION, {"harbor": Credentials({"r.io": LOGIN})})  # the first one wins
    totals = credential_totals([group(OURS)], owners, CONFIGURATION)
    assert [line.cells[:3] for line in totals.lines()][:2] == [("ours", "harbor", "used"), ("ours", "hub", "unused")]
    assert usage_of("hub", [group(OURS)], owners, CONFIGURATION).images == ()


def test_every_configured_source_has_a_line_and_a_pod_counts_once() -> None:
    images = ("r.io/team/app", "r.io/team/other", "nginx", "q.io/public")
    totals = credential_totals([group(OURS, THEIRS, images=images)], OWNERS, CONFIGURATION)
    assert [line.cells for line in totals.lines()] == [
        ("ours", "harbor", "used", "1", "1", "2"),
        ("ours", "hub", "used", "1", "1", "2"),
        ("more", "spare", "unused", "0", "0", "0"),
        ("<none>", "Secret regcred", "used", "1", "1", "2"),
        ("<none>", "<none>", "used", "1", "1", "2"),
    ]
    assert totals.summary() == "Pods use 3 credentials"


def test_a_source_whose_copies_cannot_be_read_is_not_called_unused() -> None:
    totals = credential_totals([group(UNREAD, HIDDEN)], OWNERS, CONFIGURATION)
    assert [(line.cells[:3]) for line in totals.lines()] == [
        ("ours", "harbor", "unknown"),
        ("ours", "hub", "unknown"),
        ("more", "spare", "unused"),
        ("<none>", "Secret hidden", "unknown"),
        ("ours", "<unknown>", "unknown"),
    ]
    assert totals.summary().endswith("; 2 names of Secrets that cannot be read with your rights")


def test_images_of_docker_hub_are_counted_by_the_pods_that_pull_them_without_a_credential() -> None:
    groups = [
        group(images=("nginx", "r.io/app", "busybox"), pods=3),
        group(ABSENT, images=("nginx",)),
        group(OURS, images=("nginx",), pods=50),
        group(BROKEN, images=("nginx",), pods=50),
        group(HIDDEN, images=("redis",)),
    ]
    totals = anonymous_totals(groups)
    assert [line.cells for line in totals.lines()] == [
        ("nginx", "anonymous", "1", "1", "5"),
        ("busybox", "anonymous", "1", "1", "3"),
        ("redis", "unknown", "1", "1", "2"),
    ]
    assert totals.summary().startswith("2 images of Docker Hub are pulled without a credential, in 8 pulls if every")
