from __future__ import annotations

from webhook.ops.health import Health


def test_a_process_is_ready_when_every_check_has_passed() -> None:
    health = Health()
    certificate, caches = health.check("certificate"), health.check("caches")
    readiness = [health.ready]
    for step in (certificate.passes, caches.passes, lambda: certificate.fails("expired")):
        step()
        readiness.append(health.ready)
    assert readiness == [False, False, True, False]


def test_a_check_is_one_check_however_often_it_is_asked_for() -> None:
    health = Health()
    health.check("certificate").passes()
    assert health.check("certificate").problem is None
    assert health.ready


def test_a_check_can_be_added_while_readiness_is_read() -> None:
    health = Health()
    for name in ("a", "b"):
        health.check(name).follows(lambda: health.check("c").passes())
    assert health.ready


def test_the_report_has_a_line_for_each_check_in_the_order_they_came() -> None:
    health = Health()
    health.check("b").passes()
    health.check("a")
    assert health.report() == "[+]b ok\n[-]a failed: starting\nreadyz check failed\n"


def test_a_check_that_follows_says_what_holds_when_somebody_asks() -> None:
    health = Health()
    problems: list[str | None] = [None, "expired", None]
    health.check("certificate").follows(lambda: problems[0])
    reports = []
    while problems:
        reports.append(health.report().splitlines()[0])
        del problems[0]
    assert reports == ["[+]certificate ok", "[-]certificate failed: expired", "[+]certificate ok"]
