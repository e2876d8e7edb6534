"""The three ways to a certificate: each renders what it needs, and nothing of the others."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.chart.rendered import FULLNAME, NAMESPACE, Rendered, render

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CERT_MANAGER = "cert-manager.io/v1"


def of_mode(mode: str, webhook: dict[str, Any] | None = None, **certificates: Any) -> Rendered:  # noqa: ANN401
    return render({"certificates": {"mode": mode, **certificates}, "webhook": webhook or {}})


def certificate(rendered: Rendered, suffix: str = "-webhook") -> dict[str, Any]:
    spec: dict[str, Any] = rendered.one("Certificate", suffix)["spec"]
    return spec


def issuing_flags(rendered: Rendered) -> list[str]:
    flags: list[str] = rendered.container("sync")["args"]
    return [flag for flag in flags if flag.startswith(("--tls", "--ca-", "--webhook"))]


@pytest.mark.parametrize(("bundle", "rendered"), [(PEM, PEM), ("", None)], ids=["of a private CA", "of the system"])
def test_a_provided_bundle_may_be_left_to_the_roots_of_the_system(bundle: str, rendered: str | None) -> None:
    config = of_mode("provided", {"caBundle": bundle}).webhook("pods")["clientConfig"]
    found = config.get("caBundle")
    assert (base64.b64decode(found).decode() if found else None) == rendered


@pytest.mark.parametrize("name", ["corporate", "1e3", "null"])
def test_an_issuer_of_ones_own_is_used_instead(name: str) -> None:
    issuer = {"name": name, "kind": "ClusterIssuer", "group": "cert-manager.io"}
    rendered = of_mode("cert-manager", issuerRef=issuer)
    assert [item["kind"] for item in rendered.objects if item["apiVersion"] == CERT_MANAGER] == ["Certificate"]
    assert certificate(rendered)["issuerRef"] == issuer


def test_cert_manager_renews_after_two_thirds_of_the_lifetimes_with_a_new_key() -> None:
    rendered = of_mode("cert-manager", lifetime="1d2h3m", caLifetime="60d")
    for spec, seconds in ((certificate(rendered), 93_780), (certificate(rendered, "-ca"), 60 * 86_400)):
        assert (spec["duration"], spec["renewBefore"]) == (f"{seconds}s", f"{seconds // 3}s")
        assert spec["privateKey"] == {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}


def test_a_certificate_that_an_old_authority_signed_is_renewed_before_the_alert_of_that_authority() -> None:
    rendered = of_mode("cert-manager", lifetime="90d", caLifetime="720d")
    serving, authority = (
        {key: int(str(certificate(rendered, suffix)[key]).removesuffix("s")) for key in ("duration", "renewBefore")}
        for suffix in ("-webhook", "-ca")
    )
    waiting = serving["duration"] - serving["renewBefore"]
    assert authority["renewBefore"] - waiting >= authority["duration"] // 4


@pytest.mark.parametrize(
    "certificates", [{"mode": "self-managed"}, {"mode": "cert-manager", "issuerRef": {"name": "own"}}]
)
def test_elsewhere_a_certificate_may_live_as_long_as_its_authority(
    certificates: dict[str, Any],
) -> None:
    assert render({"certificates": {**certificates, "lifetime": "90d", "caLifetime": "90d"}}).objects


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("", {"dnsNames": [f"{FULLNAME}-webhook.{NAMESPACE}.svc"]}),
        ("https://Webhook.example.com:9443", {"dnsNames": ["webhook.example.com"]}),
        ("https://127.0.0.1:9443", {"ipAddresses": ["127.0.0.1"]}),
        ("https://[::1]:9443", {"ipAddresses": ["::1"]}),
    ],
)
def test_the_certificate_is_for_the_name_that_the_api_server_calls(url: str, names: dict[str, list[str]]) -> None:
    spec = certificate(of_mode("cert-manager", {"url": url}))
    assert {kind: spec[kind] for kind in ("dnsNames", "ipAddresses") if kind in spec} == names


def test_the_lifetimes_are_those_of_the_values() -> None:
    flags = issuing_flags(of_mode("self-managed", caLifetime="90d", lifetime="7d", caSettle="1m"))
    assert {"--ca-lifetime=90d", "--tls-lifetime=7d", "--ca-settle=1m"} <= set(flags)
