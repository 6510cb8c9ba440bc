"""Markup and look of a spectrum under the flow; emission_lines.js fills the markup.

The rest of the look is the player's.
"""

import json

from gfe_core.widgets.kit.style import BUTTONS, COLOURS, DASHES, STYLE

SPECTRUM_STYLE = (
    STYLE
    + """
.gfe-spectrum .plot{height:300px}
.gfe-spectrum .plot canvas{cursor:default}
.gfe-spectrum .chart{height:150px}
.gfe-spectrum .chart canvas{cursor:default}
.gfe-spectrum .heading{font-size:12px;margin:0 0 2px}
.gfe-spectrum .key{margin-top:4px}
.gfe-spectrum .key svg{margin-right:5px;vertical-align:middle}
.gfe-spectrum .words{margin:12px 0 10px}
.gfe-spectrum .below{--columns:minmax(0,1fr) minmax(0,1fr);align-items:start}
.gfe-spectrum .below.one,.gfe-spectrum.narrow .below{--columns:minmax(0,1fr)}
.gfe-spectrum .readings{border-collapse:collapse;margin:0}
.gfe-spectrum .readings th{font-weight:400;color:var(--soft);background:none}
.gfe-spectrum .readings th,.gfe-spectrum .readings td{padding:2px 22px 2px 0;text-align:right;background:none}
.gfe-spectrum .readings th:first-child{text-align:left}
.gfe-spectrum [hidden]{display:none!important}
"""
)


def _sign(drawing: str) -> str:
    return f'<svg width="26" height="10" viewBox="0 0 26 10" aria-hidden="true">{drawing}</svg>'


def _stroke(colour: str, dash: tuple[int, ...] = ()) -> str:
    pattern = ",".join(map(str, dash))
    return _sign(
        f'<path d="M0 5H26" stroke="{colour}" stroke-width="2.4" stroke-dasharray="{pattern}"/>'
    )


_HATCH = "".join(f"M{x} 10l8 -10" for x in range(0, 19, 6))
_KEY = "".join(
    f'<span class="{name}">{sign}{told}</span>'
    for name, sign, told in (
        (
            "dots",
            _sign(
                '<circle cx="7" cy="5" r="2" fill="var(--fg)"/><circle cx="19" cy="4" r="2" '
                'fill="var(--fg)"/>'
            ),
            "measured",
        ),
        ("gaps", _sign(f'<path d="{_HATCH}" stroke="var(--soft)" stroke-width="1"/>'), "lost"),
        ("flow", _stroke(COLOURS[0]), "what the code draws"),
        ("clean", _stroke(COLOURS[1], DASHES[1]), "the clean truth"),
    )
)

MARKUP = f"""
<p class="title"></p><div class="controls">
<label>sample <input type="range" class="sample" min="0" step="1" aria-label="sample"><output></output></label>
<label>solver <select class="solver" aria-label="solver"></select></label>
<label class="truth"><input type="checkbox" aria-label="show the clean truth">the clean truth</label></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button>
<span class="busy" role="status">computing …</span></div>
<figure><p class="heading soft"></p><div class="layers plot"><canvas aria-hidden="true"></canvas>
<canvas role="img"></canvas></div></figure><p class="key">{_KEY}</p>
<div class="transport"><div class="buttons">{BUTTONS}</div>
<input type="range" class="frame" min="0" step="1" aria-label="step"><span class="count"></span></div>
<p class="words"></p>
<div class="grid below"><figure><p class="heading soft">energy against step</p>
<div class="layers chart"><canvas role="img" aria-label="energy against step"></canvas></div></figure>
<table class="readings"></table></div><p class="caption" aria-live="polite"></p>
<details><summary>table of the numbers</summary><div class="numbers" tabindex="0"></div></details>
"""

LOOK = "".join(
    f"const {name} = {json.dumps(value)};\n"
    for name, value in {"MARKUP": MARKUP, "COLOURS": COLOURS, "DASHES": DASHES}.items()
)
