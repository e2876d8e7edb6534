"""What Helm refuses before anything is installed, and with which words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.chart.mistakes import (
    BAD_CONFIGURATIONS,
    BAD_VALUES,
    CONTRADICTIONS,
    GOOD_CONFIGURATIONS,
    PEM,
    TRIAL,
    WITHOUT_SCHEMA,
    entry,
)
from tests.chart.rendered import render
from tests.cluster.helm import CHART, HelmFailed, installable, run, template
from webhook.errors import ConfigurationInvalid
from webhook.files.configuration import API_VERSION, KIND, parse


def document(values: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": API_VERSION, "kind": KIND, **values})


@pytest.mark.parametrize("values", GOOD_CONFIGURATIONS, ids=json.dumps)
def test_what_the_program_accepts_helm_accepts(values: dict[str, Any]) -> None:
    expected = parse(document(values), "values")
    rendered = render(values).one("ConfigMap")["data"]["config.yaml"]
    assert parse(rendered, "config.yaml") == expected


def refusal(values: dict[str, Any]) -> str:
    """Return Helm's message, with paths as ``a.0.b`` whichever way this Helm or the chart writes them."""
    with pytest.raises(HelmFailed) as refused:
        render(values)
    return re.sub(r"\[(\d+)\]", r".\1", str(refused.value).replace("/", "."))


@pytest.mark.parametrize(("values", "words"), BAD_CONFIGURATIONS, ids=lambda value: json.dumps(value)[:80])
def test_what_the_program_refuses_helm_refuses_first(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        parse(document(values), "values")
    message = refusal(values)
    assert [word for word in words.split() if word not in message] == []


@pytest.mark.parametrize(("values", "words"), BAD_VALUES, ids=lambda value: json.dumps(value)[:80])
def test_wrong_values_are_refused_by_name(values: dict[str, Any], words: str) -> None:
    message = refusal(values)
    assert [word for word in words.split() if word not in message] == []


@pytest.mark.parametrize(("values", "sentence"), CONTRADICTIONS, ids=lambda value: json.dumps(value)[:80])
def test_contradictions_are_refused_with_the_way_out(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HelmFailed) as refused:
        render(values)
    assert sentence in str(refused.value)


def test_a_release_whose_name_no_service_can_have_is_told_what_to_set() -> None:
    with pytest.raises(HelmFailed, match=r'fullnameOverride: required, because the name of a Service \("psw\.eu-pull'):
        template("psw.eu", "default")
    assert template("psw.eu", "default", {"fullnameOverride": "psw"})


@pytest.mark.parametrize(("version", "refused"), [("1.33", True), ("1.34", False)])
def test_a_release_whose_name_begins_with_a_digit_is_told_what_to_set(version: str, *, refused: bool) -> None:
    """API servers before 1.34 always refuse the name of such a Service."""
    command = ["template", "2fa", str(CHART), "--kube-version", version, "--values", "-"]
    values = json.dumps(installable({}))
    if not refused:
        assert "2fa-pull-secret-webhook-webhook" in run(command, stdin=values)
        return
    with pytest.raises(HelmFailed, match=r"fullnameOverride: required.*must begin with a letter"):
        run(command, stdin=values)


def test_every_mistake_is_reported_at_once() -> None:
    message = refusal({**entry(pods="always"), "log": {"level": "loud"}, "webhook": {"replicas": 0}})
    for path in ("pullSecrets.0.pods", "log.level", "webhook.replicas"):
        assert path in message
    message = refusal({**entry(name="Upper"), "replicas": 3, "image": {"digest": "latest"}})
    for path in ("pullSecrets.0.name", "replicas", "image.digest"):
        assert path in message


@pytest.mark.parametrize("password", ["", 7, None], ids=repr)
def test_a_password_that_is_refused_is_not_repeated_with_the_rest(password: object) -> None:
    other = {**TRIAL, "name": "other", "password": "not-to-be-seen"}
    message = refusal({**entry(), "sourceSecrets": [other, {**TRIAL, "password": password}]})
    assert "sourceSecrets.1.password" in message
    assert "not-to-be-seen" not in message


@pytest.mark.parametrize("value", ["caBundle", "clientCA"])
@pytest.mark.parametrize("beside", [PEM, ""], ids=["beside a certificate", "alone"])
def test_a_private_key_among_certificates_is_refused_and_not_repeated(value: str, beside: str) -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"
    with pytest.raises(HelmFailed, match=rf"webhook\.{value}: contains a private key") as refused:
        render({"certificates": {"mode": "provided"}, "webhook": {value: beside + key}})
    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.parametrize(("values", "sentence"), WITHOUT_SCHEMA, ids=lambda value: json.dumps(value)[:80])
def test_what_rights_are_made_of_is_refused_without_the_schema_too(values: dict[str, Any], sentence: str) -> None:
    command = ["template", "psw", str(CHART), "--skip-schema-validation", "--values", "-"]
    with pytest.raises(HelmFailed) as refused:
        run(command, stdin=json.dumps(installable(values)))
    assert sentence in str(refused.value)
