from __future__ import annotations

import re
from pathlib import Path

from webhook.core.actions import FindingReason
from webhook.core.credential import SourceReason
from webhook.core.model import Reason
from webhook.core.preview.row import PreviewReason

PAGE = Path(__file__).parents[3] / "docs" / "reasons.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


def test_the_page_of_reason_ids_lists_each_once_in_the_order_of_the_code() -> None:
    documented = ROW.findall(PAGE.read_text())

    assert documented == [*Reason, *SourceReason, *FindingReason, *PreviewReason]
