from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from webhook.rules.actions import ApplyCopy, Finding, FindingReason
from webhook.rules.configuration import Configuration, PullSecret
from webhook.rules.copy_status import CopyState, copy_statuses
from webhook.rules.dockerconfig import content_hash
from webhook.rules.namespace_tokens import hash_for_copies, is_urgent, renewal_time, seal, token_accounts
from webhook.rules.objects import Copy, Namespace, NamespaceState, ServiceAccount
from webhook.rules.ownership import Mark
from webhook.rules.plan import plan_namespace
from webhook.rules.references import References
from webhook.rules.renewing import IssuedState, NamespaceToken

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(hours=1)
TOKEN = NamespaceToken("zot", "zot.example.com", "jwt", "zot", "puller")
ENTRY = PullSecret("pull", ("harbor",), tokens=(TOKEN,))
CONFIGURATION = Configuration((ENTRY,))
TEAM = Namespace("team", {"pullsecrets.webhook/inject": "enabled"}, uid="n")
OTHERS = b'{"auths":{}}'
BASIS = hash_for_copies(ENTRY, OTHERS)
UIDS = {"puller": "u"}


def issued(content: str = "c", uid: str = "u", basis: str = BASIS, at: datetime = NOW) -> IssuedState:
    expires = at + LIFETIME
    return IssuedState(issued_at=at, expires_at=expires, issued_for=seal(basis, [uid], content, at, expires))


def a_copy(content: str = "c", state: IssuedState | None = None) -> Copy:
    return Copy("team", "pull", "uid", "7", Mark("n"), content, issued=state or issued())


def state(copy: Copy | None = None, uids: dict[str, str] | None = UIDS) -> NamespaceState:
    return NamespaceState(TEAM, {} if copy is None else {"pull": copy}, (), uids)


def writes(before: NamespaceState, now: datetime | None = NOW) -> tuple[ApplyCopy, ...]:
    return plan_namespace(before, CONFIGURATION, {"pull": BASIS}, now=now).copies


def test_a_copy_is_right_whatever_its_content_if_its_seal_is() -> None:
    assert writes(state(a_copy())) == ()
    assert writes(state()) == (ApplyCopy("pull"),)


@pytest.mark.parametrize(
    "copy",
    [
        a_copy("edited"),
        a_copy(state=issued(uid="of the account before")),
        a_copy(state=issued(basis=hash_for_copies(ENTRY, b"rotated"))),
        a_copy(state=replace(issued(), expires_at=NOW + 2 * LIFETIME)),
        a_copy(state=IssuedState()),
    ],
    ids=["edited", "recreated account", "other sources", "time edited", "no seal"],
)
def test_any_other_copy_is_made_again(copy: Copy) -> None:
    assert writes(state(copy), None) == (ApplyCopy("pull", updates=copy),)


def test_a_token_is_renewed_before_half_of_its_lifetime_with_a_time_of_each_namespace() -> None:
    copy = a_copy()
    due = renewal_time(copy, NOW)

    assert NOW + 0.4 * LIFETIME <= due <= NOW + 0.5 * LIFETIME
    assert due != renewal_time(replace(copy, namespace="other"), NOW)
    assert writes(state(copy), due - timedelta(seconds=1)) == ()
    assert writes(state(copy), due) == (ApplyCopy("pull", updates=copy),)
    assert writes(state(copy), None) == (), "plan does not predict the time"


def test_a_namespace_without_the_account_keeps_its_copy_and_gets_no_new_one() -> None:
    found = (Finding(FindingReason.TOKEN_ACCOUNT_ABSENT, "pull", "puller"),)

    for before in (state(uids={}), state(a_copy("edited"), {})):
        plan = plan_namespace(before, CONFIGURATION, {"pull": BASIS}, now=NOW)
        assert (plan.copies, plan.findings) == ((), found)


def test_an_unusable_source_is_reported_as_such() -> None:
    plan = plan_namespace(state(uids={}), CONFIGURATION, {"pull": None}, now=NOW)

    assert plan.findings == (Finding(FindingReason.SOURCE_UNAVAILABLE, "pull"),)


def test_without_the_accounts_an_existing_copy_is_not_judged() -> None:
    assert writes(state(a_copy("edited"), None)) == ()
    assert writes(state(uids=None)) == (ApplyCopy("pull"),)


def test_the_status_of_a_right_copy_has_what_all_right_copies_share_until_it_expires() -> None:
    def status(copy: Copy, now: datetime = NOW) -> CopyState:
        (found,) = copy_statuses(state(copy), CONFIGURATION, {"pull": BASIS}, now)
        return found.current_state(BASIS)

    assert status(a_copy()) is CopyState.CURRENT
    assert status(a_copy("edited")) is CopyState.STALE
    assert status(a_copy(), NOW + LIFETIME) is CopyState.STALE


def test_the_settings_of_a_token_are_a_part_of_what_copies_share() -> None:
    changed = replace(ENTRY, tokens=(replace(TOKEN, audience="other"),))

    assert hash_for_copies(changed, OTHERS) != BASIS
    assert hash_for_copies(replace(ENTRY, tokens=()), OTHERS) == content_hash(OTHERS)


def test_only_a_token_near_its_end_does_not_wait() -> None:
    assert not is_urgent(issued(), NOW + 0.7 * LIFETIME)
    assert is_urgent(issued(), NOW + 0.8 * LIFETIME)
    assert is_urgent(IssuedState(), NOW)


def test_an_account_that_is_being_deleted_is_gone() -> None:
    def account(name: str, *, terminating: bool = False) -> ServiceAccount:
        return ServiceAccount("team", name, "1", {}, References(), terminating, uid=f"of {name}")

    accounts = [account("puller"), account("default"), account("leaving", terminating=True)]
    assert token_accounts(accounts, {"puller", "leaving"}) == {"puller": "of puller"}
