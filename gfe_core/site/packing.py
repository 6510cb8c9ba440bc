"""The state of a view as text in a page: compressed, with binary data stored as bytes.

Data that many views share are stored once, beside the pages: scripts that are traits, and the
weights of decoders with which the browser computes flows.
"""

import base64
import hashlib
import json
import zlib
from typing import Any

from gfe_core.site.views import Part
from gfe_core.widgets.kit.bundles import script
from gfe_core.widgets.kit.page import in_base64
from gfe_core.widgets.kit.pictures import base64_of

TEXTS = {"actions_script": script("actions"), "preview_script": script("preview")}
"""Traits that are equal in many views."""


_WIDTH = 4
"""Bytes of a float32."""


class Packing:
    """Pack parts for a template, and keep the weights that they share.

    `weights` maps a name to the weights of a decoder as packed text.
    """

    def __init__(self) -> None:
        self.weights: dict[str, str] = {}

    def __call__(self, part: Part) -> Part:
        """Return a part with packed blocks: its state, then its recorded answers.

        Parts that are text or pictures stay as they are.
        """
        if "state" not in part:
            return part
        state = {name: one for name, one in part["state"].items() if one != TEXTS.get(name)}
        weights = self._share(state) if "recipes" in state.get("preview", {}) else ""
        answers = part.get("answers", {})
        blocks = [packed(block) for block in (state, answers.get("states")) if block]
        names = {"bundle": part["bundle"], "link": part.get("link"), "weights": weights}
        return names | {"blocks": blocks, "choices": answers.get("choices")}

    def _share(self, state: dict[str, Any]) -> str:
        """Move the weights out of the numbers of a preview; return their name."""
        numbers = base64.b64decode(state["preview_numbers"]["base64"])
        end = len(numbers) - 4 * state["preview"]["layers"][-1]["outputs"]
        state["preview_numbers"] = in_base64(numbers[end:])
        name = f"weights-{hashlib.sha256(numbers[:end]).hexdigest()[:12]}"
        if name not in self.weights:
            self.weights[name] = packed(in_base64(numbers[:end]))
        return name


def packed(state: Any) -> str:
    """Return JSON and the bytes in it as base64 of one compressed block.

    The block is the length of the JSON (four bytes, little-endian), the JSON, and all byte strings
    one after the other, with equal ones stored once. In the JSON a byte string is {"bytes":
    [offset, length, planes]}. With four planes, the first bytes of all numbers of four bytes come
    first, then the second ones, and so on, where that compresses better. kit/stored.js unpacks it.

    Args:
        state: JSON in which bytes are {"base64": text}, as `synced` returns it.
    """
    places: dict[bytes, list[int]] = {}
    content = json.dumps(_without_bytes(state, places), allow_nan=False).encode()
    stored = [_in_planes(data, planes) for data, (_, _, planes) in places.items()]
    whole = b"".join([len(content).to_bytes(4, "little"), content, *stored])
    return base64_of(zlib.compress(whole, 9))


def _without_bytes(part: Any, places: dict[bytes, list[int]]) -> Any:
    if isinstance(part, dict) and part.keys() == {"base64"}:
        data = base64.b64decode(part["base64"])
        if data not in places:
            places[data] = [sum(map(len, places)), len(data), _best_planes(data)]
        return {"bytes": places[data]}
    if isinstance(part, dict):
        return {key: _without_bytes(value, places) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_without_bytes(value, places) for value in part]
    return part


def _best_planes(data: bytes) -> int:
    """Four where numbers of four bytes compress better in planes, as their exponents do."""
    if len(data) % _WIDTH:
        return 1
    return min((1, _WIDTH), key=lambda planes: len(zlib.compress(_in_planes(data, planes), 9)))


def _in_planes(data: bytes, planes: int) -> bytes:
    return b"".join(data[k::planes] for k in range(planes))
