"""Markup and look of the explorer of implicit decoders; siren.js fills the markup.

The rest is the player's.
"""

import json

from gfe_core.widgets.kit.style import COLOURS, DASHES, STYLE, TOO_LITTLE, TOO_MUCH
from gfe_core.widgets.mask.style import HATCH

LIMITS = (-0.4, 1.4)
"""Of the values along a cut."""
HONEST = (
    "blue: darker than bilinear,",
    "orange: brighter. Nobody",
    "measured between pixels:",
    "what is added is invented.",
)
NAMES = ("the code", "bilinear", "nearest pixel", "code − bilinear, ×2")

SIREN_STYLE = (
    STYLE
    + """
.gfe-siren .grid{--columns:minmax(0,1fr) minmax(0,2fr);align-items:start}
.gfe-siren.narrow .grid{--columns:minmax(0,1fr)}
.gfe-siren .controls button{font:inherit;background:transparent;border:1px solid var(--rule);border-radius:5px;
 padding:1px 9px;height:26px;cursor:pointer}
.gfe-siren .controls button:disabled{opacity:.45;cursor:default}
.gfe-siren .heading{font-size:12px;margin:0 0 4px}
.gfe-siren .paper{position:relative;aspect-ratio:1;max-width:340px;touch-action:none;cursor:move;overflow:hidden;
 border:1px solid var(--rule);border-radius:3px;user-select:none}
.gfe-siren .paper canvas{position:absolute;inset:0;width:100%;height:100%}
.gfe-siren .tiles{grid-template-columns:repeat(4,minmax(0,1fr));justify-content:stretch}
.gfe-siren .tile.large{grid-column:span 2;grid-row:span 2}
.gfe-siren.narrow .tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
.gfe-siren .tile canvas{aspect-ratio:1;border:1px solid var(--rule)}
.gfe-siren .chart{height:170px;margin-top:2px}
.gfe-siren .chart canvas{cursor:default;touch-action:auto}
.gfe-siren .cut{margin-top:14px}
.gfe-siren .key{margin-top:4px}
.gfe-siren .key svg{margin-right:5px;vertical-align:middle}
.gfe-siren .honest{align-self:center;font-size:12px}
.gfe-siren .where{margin-top:6px;font-size:12px}
.gfe-siren [hidden]{display:none!important}
"""
)


def _sign(drawing: str) -> str:
    return f'<svg width="26" height="10" viewBox="0 0 26 10" aria-hidden="true">{drawing}</svg>'


def _stroke(colour: str, dash: tuple[int, ...]) -> str:
    pattern = ",".join(map(str, dash))
    return _sign(
        f'<path d="M0 5H26" stroke="{colour}" stroke-width="2.4" stroke-dasharray="{pattern}"/>'
    )


def _select(name: str, label: str) -> str:
    return (
        f'<label class="of-{name}">{label} <select class="{name}" '
        f'aria-label="{label}"></select></label>'
    )


_KEY = "".join(
    f"<span>{sign}{told}</span>"
    for sign, told in (
        (_stroke(COLOURS[0], DASHES[0]), "the code"),
        (_stroke(COLOURS[1], DASHES[1]), "bilinear"),
        (_sign('<circle cx="13" cy="5" r="3.4" fill="var(--fg)"/>'), "pixel"),
        (
            _sign(
                '<circle cx="13" cy="5" r="3.4" fill="none" stroke="var(--fg)" stroke-width="1.4"/>'
            ),
            "pixel not seen",
        ),
    )
)
_TILES = "".join(
    (
        f'<div class="tile{"" if k else " large"}"><p>{name}</p><canvas role="img" '
        f'aria-label="{name}"></canvas></div>'
    )
    for k, name in enumerate(NAMES)
)
_TILES += f'<p class="soft honest">{" ".join(HONEST)}</p>'
MARKUP = f"""
<p class="title"></p><div class="controls">{_select("decoder", "decoder")}
<label>sample <input type="range" class="sample" min="0" step="1" aria-label="sample"><output></output></label>
{_select("resolution", "resolution")}{_select("half", "window")}{_select("by", "found by")}
{_select("share", "pixels seen")}<button type="button" class="other">other pixels</button></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button>
<span class="busy" role="status">computing …</span></div>
<div class="grid"><figure><p class="heading soft trained"></p>
<div class="paper" tabindex="0" role="application"><canvas aria-hidden="true"></canvas></div>
<p class="where soft"></p></figure><div class="tiles">{_TILES}</div></div>
<figure class="cut"><p class="heading soft"></p><div class="layers chart"><canvas role="img"
 aria-label="values along a row of pixels"></canvas></div><p class="key">{_KEY}</p></figure>
<p class="caption" aria-live="polite"></p>
"""

LOOK = "".join(
    f"const {name} = {json.dumps(value)};\n"
    for name, value in {
        "MARKUP": MARKUP,
        "COLOURS": COLOURS,
        "DASHES": DASHES,
        "HATCH": HATCH,
        "LIMITS": LIMITS,
        "TOO_LITTLE": TOO_LITTLE,
        "TOO_MUCH": TOO_MUCH,
    }.items()
)
