"""What is on the Grafana dashboard: rows of panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.chart.panels import OURS, Panel, per_pod, quantile, rate, remaining, stat

if TYPE_CHECKING:
    from collections.abc import Mapping

WEBHOOKS = 'name=~"(pods|serviceaccounts)[.]pullsecrets[.]webhook"'
RED_FROM_1 = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
RED_BELOW_1 = [{"color": "red", "value": None}, {"color": "green", "value": 1}]

ROWS: Mapping[str, list[Panel]] = {
    "Overview": [
        stat(
            "Webhook replicas",
            f"count(pullsecrets_admission_in_flight_requests{{{OURS}}}) or vector(0)",
            steps=RED_BELOW_1,
        ),
        stat(
            "Leaders", f'sum(leader_election_master_status{{{OURS},name=~".+-sync"}}) or vector(0)', steps=RED_BELOW_1
        ),
        stat(
            "Invalid sources",
            f"count(max by (source) (pullsecrets_sync_source_valid{{{OURS}}}) == 0) or vector(0)",
            steps=RED_FROM_1,
        ),
        stat(
            "Copies not current",
            f'sum(pullsecrets_sync_copies{{{OURS},state!~"current|kept"}}) or vector(0)',
            steps=RED_FROM_1,
        ),
        stat(
            "Certificate expires in",
            f"min(pullsecrets_certificate_expiry_timestamp_seconds{{{OURS}}} > 0) - time()",
            unit="s",
            steps=[{"color": "red", "value": None}, {"color": "green", "value": 24 * 3600}],
        ),
        stat(
            "Failed open",
            f"sum(increase(apiserver_admission_webhook_fail_open_count{{{WEBHOOKS}}}[$__range])) or vector(0)",
            steps=RED_FROM_1,
            about="API server calls without an answer in the selected time range, for all releases.",
        ),
    ],
    "Admission": [
        Panel(
            "Reviews by decision",
            {"{{resource}} {{decision}}": rate("pullsecrets_admission_requests_total", "resource, decision")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Reviews by reason", {"{{reason}}": rate("pullsecrets_admission_requests_total", "reason")}, unit="reqps"
        ),
        Panel(
            "Response time",
            {
                "median": quantile(0.5, "pullsecrets_admission_duration_seconds"),
                "99 %": quantile(0.99, "pullsecrets_admission_duration_seconds"),
            },
            unit="s",
        ),
        Panel(
            "Response time seen by the API server",
            {
                "{{name}} 99 %": quantile(
                    0.99, "apiserver_admission_webhook_admission_duration_seconds", WEBHOOKS, "name, le"
                )
            },
            unit="s",
        ),
        Panel(
            "Unanswered calls seen by the API server",
            {
                "{{name}} admitted": rate("apiserver_admission_webhook_fail_open_count", "name", WEBHOOKS),
                "{{name}} rejected": rate("apiserver_admission_webhook_rejection_count", "name", WEBHOOKS),
            },
            unit="reqps",
        ),
        Panel("Rejected requests", {"{{code}}": rate("pullsecrets_admission_refused_total", "code")}, unit="reqps"),
        Panel("In flight: requests", per_pod("pullsecrets_admission_in_flight_requests")),
        Panel("In flight: bytes", per_pod("pullsecrets_admission_in_flight_bytes"), unit="bytes"),
        Panel("Bytes received", {"{{pod}}": rate("pullsecrets_admission_request_bytes_total", "pod")}, unit="Bps"),
        Panel("Connections", per_pod("pullsecrets_admission_connections")),
        Panel(
            "Failed connections",
            {
                "TLS": rate("pullsecrets_admission_tls_handshake_failures_total", "namespace"),
                "too many": rate("pullsecrets_admission_connections_refused_total", "namespace"),
                "caller not allowed": rate("pullsecrets_admission_callers_refused_total", "namespace"),
            },
            unit="cps",
        ),
        Panel("Age of namespace labels", per_pod("pullsecrets_namespaces_stale_seconds"), unit="s"),
    ],
    "Copies": [
        Panel(
            "Copies by state",
            {"{{pull_secret}} {{state}}": f"sum by (pull_secret, state) (pullsecrets_sync_copies{{{OURS}}}) > 0"},
            stacked=True,
        ),
        Panel("Writes", {"{{action}} {{result}}": rate("pullsecrets_sync_writes_total", "action, result")}, unit="wps"),
        Panel(
            "Pull secrets ready",
            {"{{pull_secret}}": f"max by (pull_secret) (pullsecrets_sync_pull_secret_ready{{{OURS}}})"},
        ),
        Panel(
            "Namespaces",
            {
                "waiting": f'sum(workqueue_depth{{{OURS},name="namespaces"}})',
                "failing": f"sum(pullsecrets_sync_failing_namespaces{{{OURS}}})",
            },
        ),
        Panel(
            "Longest wait",
            {
                "unreconciled": f"max(pullsecrets_sync_oldest_unreconciled_seconds{{{OURS}}})",
                "since the last full resync": f"max(pullsecrets_sync_last_full_pass_seconds{{{OURS}}})",
            },
            unit="s",
        ),
        Panel(
            "Queue: wait and work time, 99 %",
            {
                "waiting": quantile(0.99, "workqueue_queue_duration_seconds", f'{OURS},name="namespaces"'),
                "work": quantile(0.99, "workqueue_work_duration_seconds", f'{OURS},name="namespaces"'),
                "longest running": f'max(workqueue_longest_running_processor_seconds{{{OURS},name="namespaces"}})',
            },
            unit="s",
        ),
        Panel(
            "Queue: namespaces added",
            {
                "all": rate("workqueue_adds_total", "namespace", f'{OURS},name="namespaces"'),
                "after a failure": rate("workqueue_retries_total", "namespace", f'{OURS},name="namespaces"'),
            },
            unit="ops",
        ),
        Panel(
            "Reverted by other writers",
            {
                "written again": rate("pullsecrets_sync_undone_writes_total", "namespace"),
                "{{kind}} contended": f"sum by (kind) (pullsecrets_sync_contended_objects{{{OURS}}})",
            },
        ),
        Panel("Leader", {"{{pod}}": f'leader_election_master_status{{{OURS},name=~".+-sync"}}'}),
    ],
    "Requests to the API server": [
        Panel("By code", {"{{method}} {{code}}": rate("rest_client_requests_total", "method, code")}, unit="reqps"),
        Panel(
            "Time, 99 %",
            {"{{verb}}": quantile(0.99, "rest_client_request_duration_seconds", by="verb, le")},
            unit="s",
        ),
        Panel(
            "Delayed writes",
            {
                "99 % of writes": quantile(0.99, "rest_client_rate_limiter_duration_seconds"),
                "pause after a 429": f"max(pullsecrets_sync_paused_seconds{{{OURS}}})",
            },
            unit="s",
        ),
        Panel("Watches down", per_pod("pullsecrets_sync_watches_down")),
        Panel(
            "Watches broken",
            {"{{resource}} {{cause}}": rate("pullsecrets_sync_watch_restarts_total", "resource, cause")},
            unit="ops",
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
        ),
        Panel(
            "Latest certificate in use",
            {
                "serving {{pod}}": f"pullsecrets_certificate_last_reload_successful{{{OURS}}}",
                "callers {{pod}}": f"pullsecrets_client_ca_last_reload_successful{{{OURS}}}",
            },
        ),
        Panel(
            "Last change",
            {"{{what}} {{pod}}": f"time() - (pullsecrets_certificate_last_rotation_timestamp_seconds{{{OURS}}} > 0)"},
            unit="s",
        ),
        Panel("In the caBundle", {"{{kind}}": f"max by (kind) (pullsecrets_ca_bundle_certificates{{{OURS}}})"}),
        Panel(
            "Written",
            {"{{what}}": f"sum by (what) (increase(pullsecrets_certificate_writes_total{{{OURS}}}[$__rate_interval]))"},
        ),
        Panel(
            "Errors",
            {
                "not written": rate("pullsecrets_certificate_write_errors_total", "namespace"),
                "not loaded": rate("pullsecrets_certificate_reload_errors_total", "namespace"),
                "left out of the caBundle": rate("pullsecrets_ca_bundle_unreadable_total", "namespace"),
            },
        ),
    ],
    "Processes": [
        Panel("Version", {"{{pod}}: {{version}}, Python {{python}}": f"pullsecrets_build_info{{{OURS}}}"}),
        Panel("CPU", {"{{pod}}": f"{rate('process_cpu_seconds_total', 'pod')} and on (pod) pullsecrets_build_info"}),
        Panel(
            "Memory",
            {"{{pod}}": f"process_resident_memory_bytes{{{OURS}}} and on (pod) pullsecrets_build_info"},
            unit="bytes",
        ),
        Panel(
            "Open files",
            {
                "{{pod}}": f"process_open_fds{{{OURS}}} and on (pod) pullsecrets_build_info",
                "{{pod}} at most": f"process_max_fds{{{OURS}}} and on (pod) pullsecrets_build_info",
            },
        ),
        Panel(
            "Uptime",
            {"{{pod}}": f"time() - process_start_time_seconds{{{OURS}}} and on (pod) pullsecrets_build_info"},
            unit="s",
        ),
        Panel(
            "Configuration",
            {
                "{{pod}}: configurations loaded": f"pullsecrets_config_generation{{{OURS}}}",
                "{{pod}}: file is valid": f"pullsecrets_config_last_reload_successful{{{OURS}}}",
            },
        ),
    ],
}
