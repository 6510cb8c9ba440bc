"""What a widget sends to the browser, kept for a test."""

import json
from typing import Any


class Wire:
    """Stands in for the comm: keeps what was sent."""

    comm_id = "wire"

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, Any], int]] = []

    def send(self, data: dict[str, Any], buffers: list[Any] | None = None, **_: Any) -> None:
        self.sent.append(
            (data, len(json.dumps(data)) + sum(memoryview(b).nbytes for b in buffers or []))
        )

    def on_msg(self, _: Any) -> None: ...

    def close(self, **_: Any) -> None: ...

    def answers(self) -> list[dict[str, Any]]:
        return [
            data["state"]
            for data, _ in self.sent
            if data.get("method") == "update" and "reply" in data["state"]
        ]
