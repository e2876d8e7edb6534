from __future__ import annotations

from webhook.sync.writes import RETRY_SECONDS, WebhookReach


def test_a_webhook_that_does_not_answer_is_tried_again_after_a_while() -> None:
    now = [1000.0]
    reach = WebhookReach(lambda: now[0])
    expected = [reach.is_expected]
    reach.observe(added=False)
    expected.append(reach.is_expected)
    now[0] += RETRY_SECONDS
    expected.append(reach.is_expected)
    reach.observe(added=True)
    expected.append(reach.is_expected)

    assert expected == [True, False, True, True]
