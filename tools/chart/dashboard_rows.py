"""Define the rows of panels of the Grafana dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.chart.panels import CLUSTER, OURS, Panel, per_pod, quantile, rate, remaining, stat

if TYPE_CHECKING:
    from collections.abc import Mapping

WEBHOOKS = f'{CLUSTER},name=~"(pods|serviceaccounts)[.]pullsecrets[.]webhook"'
RED_FROM_1 = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
RED_BELOW_1 = [{"color": "red", "value": None}, {"color": "green", "value": 1}]

REPLICAS = f'leader_election_master_status{{{OURS},name=~".+-sync"}}'

LEADING = f"{REPLICAS} == 1"
"""The Pod that leads: a standby keeps names in its queue, too, and they wait for nothing."""

NONE_OF_SYNC = f"0 * sum({REPLICAS})"
"""0 where Prometheus reads sync. Without sync nothing is known, and a number would claim that all is well."""

OPEN_ROWS = ("Overview", "Copies")
"""The rows that are open at first; the others open by a click."""

ANNOTATIONS = (
    (
        "Replica started",
        "blue",
        "{{pod}} started",
        f"pullsecrets_build_info{{{OURS}}} unless pullsecrets_build_info{{{OURS}}} offset 1m",
    ),
    (
        "Leader changed",
        "orange",
        "{{pod}} leads",
        f"leader_election_master_status{{{OURS}}} == 1 unless leader_election_master_status{{{OURS}}} offset 1m == 1",
    ),
)
"""Lines across all panels: name, colour, title and query."""

ROWS: Mapping[str, list[Panel]] = {
    "Overview": [
        stat(
            "Webhook replicas",
            f"count(pullsecrets_admission_in_flight_requests{{{OURS}}}) or vector(0)",
            steps=RED_BELOW_1,
            about="Replicas of the webhook that Prometheus reads. The API server gets no answer if there is none.",
        ),
        stat(
            "Leaders",
            f"sum({REPLICAS}) or vector(0)",
            steps=RED_BELOW_1,
            about="Sync replicas that lead. One is right; with 0, nothing is kept up to date.",
        ),
        stat(
            "Invalid sources",
            f"count(max by (source) (pullsecrets_sync_source_valid{{{OURS}}}) == 0) or {NONE_OF_SYNC}",
            steps=RED_FROM_1,
            about="Sources that are missing or cannot be read. Copies keep their last good content.",
        ),
        stat(
            "Copies not current",
            f'sum(pullsecrets_sync_copies{{{OURS},state!~"current|kept"}}) or {NONE_OF_SYNC}',
            steps=RED_FROM_1,
            about="Copies that are missing, outdated, refused, about to be removed, or occupied by another Secret.",
        ),
        stat(
            "Certificate expires in",
            f"min(pullsecrets_certificate_expiry_timestamp_seconds{{{OURS}}} > 0) - time()",
            unit="s",
            steps=[{"color": "red", "value": None}, {"color": "green", "value": 24 * 3600}],
            about="Shortest time until a serving certificate expires. A third of its lifetime is left at renewal.",
        ),
        stat(
            "Failed open",
            f"sum(increase(apiserver_admission_webhook_fail_open_count{{{WEBHOOKS}}}[$__range])) or vector(0)",
            steps=RED_FROM_1,
            about="API server calls without an answer in the selected time range, for all releases.",
        ),
    ],
    "Copies": [
        Panel(
            "Copies by state",
            {"{{pull_secret}} {{state}}": f"sum by (pull_secret, state) (pullsecrets_sync_copies{{{OURS}}}) > 0"},
            stacked=True,
            about="All copies by pull secret and state. Each state but current and kept needs a look.",
        ),
        Panel(
            "Writes",
            {"{{action}} {{result}}": rate("pullsecrets_sync_writes_total", "action, result")},
            unit="wps",
            about="Writes of copies and references by their result.",
        ),
        Panel(
            "Credentials expire in",
            {
                "{{source}} {{registry}}": "clamp_min(max by (source, registry) "
                f"(pullsecrets_sync_credential_expiry_timestamp_seconds{{{OURS}}}) - time(), 0)"
            },
            unit="s",
            about="Time until each credential of a source expires, if it is known. An expired one is at zero.",
        ),
        Panel(
            "Pull secrets ready",
            {"{{pull_secret}}": f"max by (pull_secret) (pullsecrets_sync_pull_secret_ready{{{OURS}}})"},
            about="1 if a pull secret has content to copy, 0 if not.",
        ),
        Panel(
            "Namespaces",
            {
                "waiting": f'sum(workqueue_depth{{{OURS},name="namespaces"}} and on (pod) {LEADING})',
                "failing": f"sum(pullsecrets_sync_failing_namespaces{{{OURS}}})",
            },
            about="Namespaces that wait for a worker, and those whose last write failed.",
        ),
        Panel(
            "Longest wait",
            {
                "unreconciled": f"max(pullsecrets_sync_oldest_unreconciled_seconds{{{OURS}}})",
                "since the last full resync": f"max(pullsecrets_sync_last_full_pass_seconds{{{OURS}}})",
            },
            unit="s",
            about="Age of the oldest unreconciled namespace, and time since the full resync, due every ten minutes.",
        ),
        Panel(
            "Queue: wait and work time, 99 %",
            {
                "waiting": quantile(0.99, "workqueue_queue_duration_seconds", f'{OURS},name="namespaces"'),
                "work": quantile(0.99, "workqueue_work_duration_seconds", f'{OURS},name="namespaces"'),
                "longest running": f'max(workqueue_longest_running_processor_seconds{{{OURS},name="namespaces"}})',
            },
            unit="s",
            about="Time of a namespace in the queue and in a worker.",
        ),
        Panel(
            "Queue: namespaces added",
            {
                "all": f'sum(rate(workqueue_adds_total{{{OURS},name="namespaces"}}[$__rate_interval])'
                f" and on (pod) {LEADING})",
                "after a failure": rate("workqueue_retries_total", "namespace", f'{OURS},name="namespaces"'),
            },
            unit="ops",
            about="Namespaces that entered the queue, and those of them that did so after a failure.",
        ),
        Panel(
            "Reverted by other writers",
            {
                "written again": rate("pullsecrets_sync_undone_writes_total", "namespace"),
                "{{kind}} contended": f"sum by (kind) (pullsecrets_sync_contended_objects{{{OURS}}})",
            },
            about="Changes of sync that another writer reverted. The managedFields of the object name the writer.",
        ),
        Panel(
            "Leader",
            {"{{pod}}": REPLICAS},
            about="1 for the replica that leads. Exactly one does.",
        ),
    ],
    "Admission": [
        Panel(
            "Reviews by decision",
            {"{{resource}} {{decision}}": rate("pullsecrets_admission_requests_total", "resource, decision")},
            unit="reqps",
            stacked=True,
            about="Requests of the API server by the kind of object and the answer: patched or unchanged.",
        ),
        Panel(
            "Reviews by reason",
            {"{{reason}}": rate("pullsecrets_admission_requests_total", "reason")},
            unit="reqps",
            about="Reason ids of the answers. `pullsecrets explain reason/ID` explains one.",
        ),
        Panel(
            "Response time",
            {
                "median": quantile(0.5, "pullsecrets_admission_duration_seconds"),
                "99 %": quantile(0.99, "pullsecrets_admission_duration_seconds"),
            },
            unit="s",
            about="Time of the webhook for one review, without the network.",
        ),
        Panel(
            "Response time seen by the API server",
            {
                "{{name}} 99 %": quantile(
                    0.99, "apiserver_admission_webhook_admission_duration_seconds", WEBHOOKS, "name, le"
                )
            },
            unit="s",
            about="Time of a call with network and TLS. It includes all releases.",
        ),
        Panel(
            "Unanswered calls seen by the API server",
            {
                "{{name}} admitted": rate("apiserver_admission_webhook_fail_open_count", "name", WEBHOOKS),
                "{{name}} rejected": rate("apiserver_admission_webhook_rejection_count", "name", WEBHOOKS),
            },
            unit="reqps",
            about="Calls without an answer, of all releases: admitted with failure policy Ignore, rejected with Fail.",
        ),
        Panel(
            "Rejected requests",
            {"{{code}}": rate("pullsecrets_admission_refused_total", "code")},
            unit="reqps",
            about="Requests rejected before a review was read, by status code. 429 means that it is overloaded.",
        ),
        Panel(
            "In flight: requests",
            per_pod("pullsecrets_admission_in_flight_requests"),
            about="Reviews that are answered at this moment.",
        ),
        Panel(
            "In flight: bytes",
            per_pod("pullsecrets_admission_in_flight_bytes"),
            unit="bytes",
            about="Bytes of the bodies in memory. Above the limit, the webhook answers 429.",
        ),
        Panel(
            "Bytes received",
            {"{{pod}}": rate("pullsecrets_admission_request_bytes_total", "pod")},
            unit="Bps",
            about="Bytes of request bodies.",
        ),
        Panel(
            "Connections", per_pod("pullsecrets_admission_connections"), about="Open connections to the admission port."
        ),
        Panel(
            "Failed connections",
            {
                "TLS": rate("pullsecrets_admission_tls_handshake_failures_total", "namespace"),
                "too many": rate("pullsecrets_admission_connections_refused_total", "namespace"),
                "caller not allowed": rate("pullsecrets_admission_callers_refused_total", "namespace"),
            },
            unit="cps",
            about="Connections that failed in the TLS handshake, or were refused.",
        ),
        Panel(
            "Age of namespace labels",
            per_pod("pullsecrets_namespaces_stale_seconds"),
            unit="s",
            about="Time since the watch of namespaces broke; 0 while it is open.",
        ),
    ],
    "Requests to the API server": [
        Panel(
            "By code",
            {"{{method}} {{code}}": rate("rest_client_requests_total", "method, code")},
            unit="reqps",
            about="Requests of the release to the API server, by status code.",
        ),
        Panel(
            "Time, 99 %",
            {"{{verb}}": quantile(0.99, "rest_client_request_duration_seconds", by="verb, le")},
            unit="s",
            about="Time of the API server for one request.",
        ),
        Panel(
            "Delayed writes",
            {
                "99 % of writes": quantile(0.99, "rest_client_rate_limiter_duration_seconds"),
                "pause after a 429": f"max(pullsecrets_sync_paused_seconds{{{OURS}}})",
            },
            unit="s",
            about="Time that a write waits for the write limit, and the pause that the API server asked for with 429.",
        ),
        Panel(
            "Watches down",
            per_pod("pullsecrets_sync_watches_down"),
            about="Watches of sync that are not open, so that its caches become outdated.",
        ),
        Panel(
            "Watches broken",
            {"{{resource}} {{cause}}": rate("pullsecrets_sync_watch_restarts_total", "resource, cause")},
            unit="ops",
            about="Watches that ended and were opened again, by cause.",
        ),
    ],
    "Certificates": [
        Panel(
            "Time to expiry",
            {
                "serving {{pod}}": remaining("pullsecrets_certificate_expiry_timestamp_seconds"),
                "authority {{pod}}": remaining("pullsecrets_certificate_authority_expiry_timestamp_seconds"),
                "callers {{pod}}": remaining("pullsecrets_client_ca_expiry_timestamp_seconds"),
            },
            unit="s",
            about="Time until each certificate expires, by Pod.",
        ),
        Panel(
            "Latest certificate in use",
            {
                "serving {{pod}}": f"pullsecrets_certificate_last_reload_successful{{{OURS}}}",
                "callers {{pod}}": f"pullsecrets_client_ca_last_reload_successful{{{OURS}}}",
            },
            about="1 if the newest certificate is loaded, 0 if it could not be used.",
        ),
        Panel(
            "Last change",
            {"{{what}} {{pod}}": f"time() - (pullsecrets_certificate_last_rotation_timestamp_seconds{{{OURS}}} > 0)"},
            unit="s",
            about="Time since the last change of a certificate.",
        ),
        Panel(
            "In the caBundle",
            {"{{kind}}": f"max by (kind) (pullsecrets_ca_bundle_certificates{{{OURS}}})"},
            about="Authorities that the API server trusts for the webhook. Two are normal during a rotation.",
        ),
        Panel(
            "Written",
            {"{{what}}": f"sum by (what) (increase(pullsecrets_certificate_writes_total{{{OURS}}}[$__rate_interval]))"},
            about="Writes of certificates and of the caBundle.",
        ),
        Panel(
            "Errors",
            {
                "not written": rate("pullsecrets_certificate_write_errors_total", "namespace"),
                "not loaded": rate("pullsecrets_certificate_reload_errors_total", "namespace"),
                "left out of the caBundle": rate("pullsecrets_ca_bundle_unreadable_total", "namespace"),
            },
            about="Errors with certificates: not written, not loaded, or left out of the caBundle.",
        ),
    ],
    "Processes": [
        Panel(
            "Version",
            {"{{pod}}: {{version}}, Python {{python}}": f"pullsecrets_build_info{{{OURS}}}"},
            about="Version of each Pod. They differ during a rollout.",
        ),
        Panel(
            "CPU",
            {"{{pod}}": f"{rate('process_cpu_seconds_total', 'pod')} and on (pod) pullsecrets_build_info"},
            about="CPU cores in use, by Pod.",
        ),
        Panel(
            "Memory",
            {"{{pod}}": f"process_resident_memory_bytes{{{OURS}}} and on (pod) pullsecrets_build_info"},
            unit="bytes",
            about="Memory of each process.",
        ),
        Panel(
            "Open files",
            {
                "{{pod}}": f"process_open_fds{{{OURS}}} and on (pod) pullsecrets_build_info",
                "{{pod}} at most": f"process_max_fds{{{OURS}}} and on (pod) pullsecrets_build_info",
            },
            about="Open files of each process, and their limit.",
        ),
        Panel(
            "Uptime",
            {"{{pod}}": f"time() - process_start_time_seconds{{{OURS}}} and on (pod) pullsecrets_build_info"},
            unit="s",
            about="Time since each process started.",
        ),
        Panel(
            "Configuration",
            {
                "{{pod}}: configurations loaded": f"pullsecrets_config_generation{{{OURS}}}",
                "{{pod}}: file is valid": f"pullsecrets_config_last_reload_successful{{{OURS}}}",
            },
            about="Configurations that a Pod has loaded, and 1 if its file is valid.",
        ),
    ],
}
