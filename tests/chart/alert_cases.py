"""For each alert: series as they should alarm, and series as they should not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.chart.rendered import FULLNAME, NAMESPACE

MINUTES = 40
DAY = 24 * 3600
OURS = f'namespace="{NAMESPACE}"'
LEASE = f'leader_election_master_status{{{OURS},name="{FULLNAME}-sync",pod='
NO_SERIES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Case:
    """Series by their names, in promtool's notation, once as they should alarm and once as they should not."""

    firing: Mapping[str, str]
    quiet: Mapping[str, str]
    by: Mapping[str, str] = field(default_factory=dict)


def gauge(name: str, labels: str = "", *, bad: str, good: str, **by: str) -> Case:
    series = f"{name}{{{OURS}{labels and ','}{labels}}}"
    return Case({series: bad}, {series: good}, by=by)


def leaders(*values: int) -> dict[str, str]:
    return {f'{LEASE}"sync-{index}"}}': f"{value}x{MINUTES}" for index, value in enumerate(values)}


def expiry(
    seconds: int, name: str = "pullsecrets_certificate_expiry_timestamp_seconds", pod: str = "a"
) -> dict[str, str]:
    return {f'{name}{{{OURS},pod="{pod}"}}': f"{MINUTES * 60 + seconds}x{MINUTES}"}


def on_api_server(metric: str, *, counted: str, watched: str) -> dict[str, str]:
    """One counter of the API server, and since when Prometheus has been looking at that."""
    target = 'job="apiserver",instance="10.0.0.1"'
    return {
        f'{metric}{{name="pods.pullsecrets.webhook",{target}}}': counted,
        f'{metric}{{name="pods.example.com",{target}}}': f"0+1x{MINUTES}",
        f"up{{{target}}}": watched,
    }


def on_replica(series: str, *, counted: str, watched: str) -> dict[str, str]:
    return {series: counted, f'pullsecrets_build_info{{{OURS},pod="a"}}': watched}


ALWAYS = f"1x{MINUTES}"
SINCE_NOW = f"_x35 1x{MINUTES}"
NEW = f"_x38 1x{MINUTES}"
OLD = f"7x{MINUTES}"
RISING = f"7x35 9x{MINUTES}"
FAILED_OPEN = "apiserver_admission_webhook_fail_open_count"
REFUSED = "apiserver_admission_webhook_rejection_count"
FULL = f'pullsecrets_admission_refused_total{{{OURS},pod="a",code="429"}}'
DEFECT = f'pullsecrets_admission_requests_total{{{OURS},pod="a",resource="pods",reason="internal-error"}}'
COPIES = 'pull_secret="x",pod="a",state='
CLIENT_CA = "pullsecrets_client_ca_expiry_timestamp_seconds"
AUTHORITY = "pullsecrets_certificate_authority_expiry_timestamp_seconds"

FAILURES = "pullsecrets_sync_renewal_failures"
HOUR = 3600


def credential(left: int, lifetime: int = 0, registry: str = "ghcr.io", pod: str = "a") -> dict[str, str]:
    """Return the series of a credential with so many seconds left at the end, perhaps with a known lifetime."""
    labels = f'{{{OURS},source="harbor",registry="{registry}",pod="{pod}"}}'
    found = {f"pullsecrets_sync_credential_expiry_timestamp_seconds{labels}": f"{MINUTES * 60 + left}x{MINUTES}"}
    if lifetime:
        found[f"pullsecrets_sync_credential_lifetime_seconds{labels}"] = f"{lifetime}x{MINUTES}"
    return found


CASES: dict[str, list[Case]] = {
    "PullSecretsWebhookDown": [
        Case(NO_SERIES, {f'pullsecrets_admission_in_flight_requests{{{OURS},pod="a"}}': f"0x{MINUTES}"}),
    ],
    "PullSecretsFailedOpen": [
        Case(
            on_api_server(FAILED_OPEN, counted=counted, watched=ALWAYS),
            on_api_server(FAILED_OPEN, counted=OLD, watched=SINCE_NOW),
            by={"name": "pods.pullsecrets.webhook"},
        )
        for counted in (RISING, NEW)
    ],
    "PullSecretsRequestsRefused": [
        Case(
            on_api_server(REFUSED, counted=counted, watched=ALWAYS),
            on_api_server(REFUSED, counted=OLD, watched=SINCE_NOW),
            by={"name": "pods.pullsecrets.webhook"},
        )
        for counted in (RISING, NEW)
    ],
    "PullSecretsOverloaded": [
        Case(on_replica(FULL, counted=counted, watched=ALWAYS), on_replica(FULL, counted=OLD, watched=SINCE_NOW))
        for counted in (RISING, NEW)
    ],
    "PullSecretsInternalError": [
        Case(on_replica(DEFECT, counted=counted, watched=ALWAYS), on_replica(DEFECT, counted=OLD, watched=SINCE_NOW))
        for counted in (RISING, NEW)
    ],
    "PullSecretsNamespacesStale": [
        gauge("pullsecrets_namespaces_stale_seconds", 'pod="a"', bad=f"0+60x{MINUTES}", good=f"30x{MINUTES}", pod="a"),
    ],
    "PullSecretsNoLeader": [Case(leaders(0, 0), leaders(1, 0)), Case(NO_SERIES, leaders(0, 1))],
    "PullSecretsSourceInvalid": [
        gauge(
            "pullsecrets_sync_source_valid", 'source="harbor",pod="a"', bad=f"0x{MINUTES}", good=ALWAYS, source="harbor"
        ),
        gauge("pullsecrets_sync_source_valid", 'source="harbor",pod="a"', bad=f"0x{MINUTES}", good=f"1x35 0x{MINUTES}"),
    ],
    "PullSecretsCredentialExpiring": [
        Case(credential(13 * DAY), credential(15 * DAY), by={"registry": "ghcr.io"}),
        Case(credential(13 * DAY), credential(-60)),
        Case(credential(2 * HOUR, lifetime=12 * HOUR), credential(4 * HOUR, lifetime=12 * HOUR)),
        Case(credential(13 * DAY, lifetime=365 * DAY), credential(15 * DAY, lifetime=365 * DAY)),
        # A short lifetime of one credential does not silence the other.
        Case(
            {**credential(6 * HOUR, lifetime=12 * HOUR), **credential(13 * DAY, registry="quay.io")},
            {**credential(6 * HOUR, lifetime=12 * HOUR), **credential(15 * DAY, registry="quay.io")},
            by={"registry": "quay.io"},
        ),
        # Of two replicas, the one that has read the newest source counts.
        Case(credential(13 * DAY), {**credential(13 * DAY), **credential(90 * DAY, pod="b")}),
    ],
    "PullSecretsCredentialExpiresVerySoon": [
        Case(credential(2 * DAY), credential(4 * DAY), by={"source": "harbor"}),
        Case(credential(2 * DAY), credential(-60)),
        Case(credential(HOUR, lifetime=12 * HOUR), credential(2 * HOUR, lifetime=12 * HOUR)),
    ],
    "PullSecretsCredentialExpired": [
        Case(credential(-60), credential(60), by={"registry": "ghcr.io"}),
        Case(credential(0, lifetime=60), credential(30, lifetime=60)),
    ],
    "PullSecretsCredentialNotRenewed": [
        gauge(FAILURES, 'source="ecr",pod="a"', bad=f"1+1x{MINUTES}", good=f"0x{MINUTES}", source="ecr"),
        # A renewal that succeeds at the second attempt is no reason to wake a person.
        gauge(FAILURES, 'source="ecr",pod="a"', bad=f"1x{MINUTES}", good="0x36 1 2 1 0"),
        # A standby has no failures.
        Case(
            {
                f'{FAILURES}{{{OURS},source="ecr",pod="{pod}"}}': f"{value}x{MINUTES}"
                for pod, value in (("a", 0), ("b", 3))
            },
            {f'{FAILURES}{{{OURS},source="ecr",pod="{pod}"}}': f"0x{MINUTES}" for pod in "ab"},
        ),
    ],
    "PullSecretsNotReady": [
        Case(
            {
                f'pullsecrets_sync_pull_secret_ready{{{OURS},pull_secret="x",pod="a"}}': f"0x{MINUTES}",
                f'pullsecrets_sync_source_valid{{{OURS},source="harbor",pod="a"}}': ALWAYS,
            },
            {
                f'pullsecrets_sync_pull_secret_ready{{{OURS},pull_secret="x",pod="a"}}': f"0x{MINUTES}",
                f'pullsecrets_sync_source_valid{{{OURS},source="harbor",pod="a"}}': f"0x{MINUTES}",
            },
            by={"pull_secret": "x"},
        ),
    ],
    "PullSecretsCopiesNotCurrent": [
        gauge(
            "pullsecrets_sync_copies", f'{COPIES}"{state}"', bad=f"3x{MINUTES}", good=f"0x30 3x{MINUTES}", state=state
        )
        for state in ("stale", "missing", "failing", "leaving")
    ],
    "PullSecretsCopiesConflicting": [
        gauge(
            "pullsecrets_sync_copies",
            f'{COPIES}"conflicting"',
            bad=f"1x{MINUTES}",
            good=f"0x{MINUTES}",
            pull_secret="x",  # noqa: S106 (a name)
        ),
    ],
    "PullSecretsContended": [
        gauge("pullsecrets_sync_contended_objects", 'kind="Secret"', bad=f"2x{MINUTES}", good=f"2x20 0x{MINUTES}"),
    ],
    "PullSecretsRemovalHeld": [
        gauge("pullsecrets_sync_held_removals", bad=f"60x{MINUTES}", good=f"0x{MINUTES}"),
    ],
    "PullSecretsNamespaceTokensOverdue": [
        gauge(
            "pullsecrets_sync_namespace_tokens_overdue",
            'pull_secret="x"',
            bad=f"3x{MINUTES}",
            good=f"3x4 0x{MINUTES}",
            pull_secret="x",  # noqa: S106 (a name)
        ),
    ],
    "PullSecretsRotationHeld": [
        gauge(
            "pullsecrets_sync_rollout_stage",
            'pull_secret="x",stage="held"',
            bad=f"1x{MINUTES}",
            good=f"1x4 0x{MINUTES}",
            pull_secret="x",  # noqa: S106 (a name)
        ),
    ],
    "PullSecretsHealingStuck": [
        gauge("pullsecrets_sync_healing_stalled_seconds", 'pod="a"', bad=f"700x{MINUTES}", good=f"500x{MINUTES}"),
        gauge("pullsecrets_sync_healing_pods", 'reason="healing-stopped"', bad=f"1x{MINUTES}", good=f"0x{MINUTES}"),
    ],
    "PullSecretsNamespaceWaits": [
        gauge("pullsecrets_sync_oldest_unreconciled_seconds", bad=f"0+60x{MINUTES}", good=f"120x{MINUTES}"),
    ],
    "PullSecretsLoopStandsStill": [
        gauge("pullsecrets_sync_last_full_pass_seconds", bad=f"0+60x{MINUTES}", good=f"600x{MINUTES}"),
    ],
    "PullSecretsWatchDown": [
        gauge("pullsecrets_sync_watches_down", 'pod="a"', bad=f"1x{MINUTES}", good=f"0x38 1x{MINUTES}", pod="a"),
    ],
    "PullSecretsCertificateExpiring": [
        Case(expiry(7 * DAY), expiry(8 * DAY)),
        Case({**expiry(20 * DAY), **expiry(2 * DAY, pod="b")}, {**expiry(20 * DAY), **expiry(-MINUTES * 60, pod="b")}),
    ],
    "PullSecretsCertificateExpired": [Case(expiry(-60), expiry(60))],
    "PullSecretsAuthorityExpiring": [Case(expiry(90 * DAY, AUTHORITY), expiry(92 * DAY, AUTHORITY))],
    "PullSecretsCallersAuthorityExpiring": [
        Case(expiry(13 * DAY, CLIENT_CA), expiry(15 * DAY, CLIENT_CA)),
        Case(expiry(-60, CLIENT_CA), {f'{CLIENT_CA}{{{OURS},pod="a"}}': f"0x{MINUTES}"}),
    ],
    "PullSecretsCertificateRefused": [
        gauge("pullsecrets_certificate_last_reload_successful", 'pod="a"', bad=f"0x{MINUTES}", good=ALWAYS, pod="a"),
        Case(
            {
                f'pullsecrets_client_ca_last_reload_successful{{{OURS},pod="a"}}': f"0x{MINUTES}",
                **expiry(DAY, CLIENT_CA),
            },
            {
                f'pullsecrets_client_ca_last_reload_successful{{{OURS},pod="a"}}': f"0x{MINUTES}",
                f'{CLIENT_CA}{{{OURS},pod="a"}}': f"0x{MINUTES}",
            },
        ),
    ],
    "PullSecretsCertificatesDiffer": [
        Case(
            {**expiry(20 * DAY), **expiry(30 * DAY, pod="b")},
            {**expiry(30 * DAY), **expiry(30 * DAY, pod="b"), **expiry(-MINUTES * 60, pod="standby")},
        ),
    ],
    "PullSecretsConfigurationRefused": [
        gauge("pullsecrets_config_last_reload_successful", 'pod="a"', bad=f"0x{MINUTES}", good=ALWAYS, pod="a"),
    ],
}
