"""One request on the short way: from the bytes of its body to its reply, without a task, an event or a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.admission.endpoint import check_body
from webhook.admission.reply import Refusal

if TYPE_CHECKING:
    from webhook.admission.protocol import AdmissionProtocol
    from webhook.admission.reply import Reply


class DirectRequest:
    """Gathers a body as it comes, and has it answered when it is complete, or too much.

    It has what uvicorn's protocol asks of its own cycles: ``response_complete``, ``keep_alive``, ``disconnected`` and
    ``message_event``, which is this object itself.
    """

    __slots__ = ("_chunks", "_connection", "_size", "disconnected", "keep_alive", "response_complete")

    def __init__(self, connection: AdmissionProtocol, *, keep_alive: bool) -> None:
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = keep_alive
        connection.traffic.requests += 1

    @property
    def message_event(self) -> DirectRequest:
        return self

    def set(self) -> None:
        """Have a look at ``disconnected``: uvicorn calls this when the client has gone."""
        if not self.response_complete:
            self._end()

    def feed(self, chunk: bytes) -> None:
        """Take a part of the body."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        try:
            check_body(self._size, self._connection.traffic)
        except Refusal as refusal:
            self.refuse(refusal)

    def finish(self) -> None:
        """Take the end of the body, and answer."""
        body = b"".join(self._chunks)
        self._chunks.clear()
        self._write(self._connection.mutate.reply(body))
        if not self.keep_alive:
            self._connection.close()

    def refuse(self, refusal: Refusal) -> None:
        """Answer although the body is not complete; what still comes is not looked at."""
        self._write(self._connection.mutate.refuse(refusal))
        self._connection.linger()

    def _write(self, reply: Reply) -> None:
        self.keep_alive = self.keep_alive and not reply.closes
        closing = reply if self.keep_alive or reply.closes else reply.closing()
        self._connection.transport.write(closing.on_the_wire())
        self._end()
        self._connection.on_direct_response()

    def _end(self) -> None:
        self.response_complete = True
        self._chunks.clear()
        self._connection.traffic.requests -= 1
