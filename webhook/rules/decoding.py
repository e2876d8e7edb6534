"""Name the exceptions of msgspec for content that cannot be decoded."""

from __future__ import annotations

from typing import Final

import msgspec

NOT_DECODED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""msgspec has no exception of its own for text that is not UTF-8, and for JSON that is nested too deeply."""
