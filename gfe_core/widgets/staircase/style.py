"""Markup and look of the staircase; staircase.js fills the markup. The rest is the player's."""

import json

from gfe_core.widgets.kit.style import COLOURS, DASHES, STYLE

CHARTS = (
    ("gates", "open gates, and below them each gate's probability to be open: blue is 1", 236),
    ("error", "", 170),
    ("multiplier", "λ, the weight of the error against everything else", 100),
)
"""Name, heading and height of each chart; the error's heading says its unit."""
ERROR_HEADING = "moving average of the {unit}; dashed: the threshold at the time"

STAIRCASE_STYLE = (
    STYLE
    + """
.gfe-player.gfe-staircase .controls{align-items:center}
.gfe-player.gfe-staircase .controls input[type=range]{width:240px}
.gfe-player.gfe-staircase .controls output{min-width:4em}
.gfe-player.gfe-staircase .controls button{font:inherit;background:transparent;
 border:1px solid var(--rule);border-radius:5px;padding:1px 12px;height:28px;cursor:pointer}
.gfe-player.gfe-staircase .controls button.train{min-width:7em;border-color:var(--brand);font-weight:600}
.gfe-player.gfe-staircase .controls button:disabled{opacity:.45;cursor:default}
.gfe-player.gfe-staircase .heading{font-size:12px;margin:0 0 2px}
.gfe-player.gfe-staircase figure{margin-bottom:14px}
.gfe-player.gfe-staircase .layers canvas{cursor:default;touch-action:auto}
.gfe-player.gfe-staircase .error canvas{cursor:ns-resize;touch-action:none}
"""
)

_CHARTS = "".join(
    f'<figure class="{name}"><p class="heading soft">{told}</p><div class="layers" '
    f'style="height:{height}px">'
    f'<canvas role="img" aria-label="{told}"></canvas></div></figure>'
    for name, told, height in CHARTS
)
MARKUP = f"""
<p class="title"></p><div class="controls">
<label>threshold <input type="range" class="threshold" min="0" max="200" step="1" aria-label="threshold"><output>
</output></label><span><button type="button" class="train"></button>
<button type="button" class="anew" title="Fresh weights, open gates, this threshold">Start anew</button></span></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button>
<span class="busy" role="status">computing …</span></div>
{_CHARTS}<p class="caption" aria-live="polite"></p>
"""

LOOK = "".join(
    f"const {name} = {json.dumps(value)};\n"
    for name, value in {
        "MARKUP": MARKUP,
        "COLOURS": COLOURS,
        "DASHES": DASHES,
        "ERROR_HEADING": ERROR_HEADING,
    }.items()
)
