"""Markup and look of the map of points; map.js fills the markup.

The rest of the look is the player's.
"""

import json

from gfe_core.widgets.kit.style import COLOURS, DASHES, STYLE

# Okabe-Ito and grey; "fg" and "bg" are the theme's ink and paper, and the tenth class is drawn open
INKS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c8f98",
    "fg",
    "#f0e442",
    "bg",
)
ON = (
    "#ffffff",
    "#1d1e22",
    "#ffffff",
    "#1d1e22",
    "#1d1e22",
    "#ffffff",
    "#ffffff",
    "bg",
    "#1d1e22",
    "fg",
)  # words there
CURVES = ("codes mixed, as A", "as B", "pixels mixed, own code")

MAP_STYLE = (
    STYLE
    + """
.gfe-map .grid{--columns:minmax(0,1.12fr) minmax(0,1fr)}
.gfe-map.narrow .grid{--columns:minmax(0,1fr)}
.gfe-map .choices{display:flex;align-items:center;gap:4px;border:0;margin:0;padding:0}
.gfe-map .choices span{margin-right:4px}
.gfe-map button{font:inherit;color:var(--fg);background:transparent;border:1px solid var(--rule);border-radius:5px;
 padding:1px 9px;height:26px;cursor:pointer}
.gfe-map button[aria-pressed=true]{background:var(--fg);color:var(--bg);border-color:var(--fg)}
.gfe-map .stage{aspect-ratio:1;border:1px solid var(--rule);border-radius:4px;overflow:visible;touch-action:pan-y}
.gfe-map .main{cursor:crosshair}
.gfe-map .top{display:grid;gap:14px;grid-template-columns:minmax(0,2.1fr) minmax(0,1fr);align-items:start}
.gfe-map .tiles{grid-template-columns:1fr;justify-content:stretch}
.gfe-map .tile canvas{border:1px solid var(--rule)}
.gfe-map .row{display:grid;gap:12px;grid-template-columns:repeat(4,minmax(0,1fr))}
.gfe-map .near .row{grid-template-columns:repeat(5,minmax(0,1fr))}
.gfe-map .near{margin-top:14px}
.gfe-map .near p:empty{display:none}
.gfe-map .mixer{display:flex;align-items:center;gap:10px;margin:12px 0}
.gfe-map .mixer input{flex:1;min-width:60px}
.gfe-map .mixer output{min-width:4.5em}
.gfe-map .words{min-height:1.45em;margin-top:12px}
.gfe-map .heading{margin:0 0 4px;font-size:12px}
.gfe-map .chart{height:150px;position:relative}
.gfe-map .key svg{margin-right:5px;vertical-align:middle}
.gfe-map [hidden]{display:none!important}
"""
)

_TILE = '<div class="tile"><p>{}</p><canvas role="img" aria-label="{}"></canvas></div>'
_KEY = "".join(
    f'<span><svg width="26" height="8" viewBox="0 0 26 8" aria-hidden="true"><path d="M0 4H26" '
    f'stroke="{colour}" '
    f'stroke-width="2" stroke-dasharray="{",".join(map(str, dash))}"/></svg>{name}</span>'
    for name, colour, dash in zip(CURVES, COLOURS, DASHES, strict=False)
)
MARKUP = f"""
<p class="title"></p><div class="controls"><div class="choices" role="group" aria-label="what is mapped"></div>
<label class="level"><span>perplexity</span><input type="range" class="frame" min="0" step="1" aria-label="perplexity">
<output></output></label></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button></div>
<div class="grid"><figure><p class="heading soft"></p><div class="stage main" tabindex="0" role="application">
<canvas aria-hidden="true"></canvas><canvas aria-hidden="true"></canvas></div></figure>
<div><div class="top about"><figure><p class="heading soft">the same points by PCA</p><div class="stage side">
<canvas aria-hidden="true"></canvas><canvas aria-hidden="true"></canvas></div></figure>
<div class="tiles">{_TILE.format("image", "image")}{_TILE.format("from its code", "reconstruction from its code")}</div>
</div><div class="near"><p class="heading soft">its five nearest in all dimensions; lines lead to them</p>
<div class="row">{_TILE.format("", "a near image") * 5}</div></div>
<div class="between"><div class="row">{_TILE.format("A", "image A")}
{_TILE.format("codes mixed", "mixed codes")}{_TILE.format("pixels mixed", "mixed pixels")}
{_TILE.format("B", "image B")}</div>
<div class="mixer"><span>A</span><input type="range" class="mix" min="0" step="1" aria-label="t, from A to B">
<span>B</span><output></output></div>
<p class="heading soft"></p>
<div class="chart layers"><canvas role="img" aria-label="energies between A and B"></canvas></div>
<p class="key">{_KEY}</p></div><p class="words" aria-live="polite"></p><p class="caption"></p></div></div>
"""

LOOK = "".join(
    f"const {name} = {json.dumps(value)};\n"
    for name, value in {
        "MARKUP": MARKUP,
        "INKS": INKS,
        "ON": ON,
        "COLOURS": COLOURS,
        "DASHES": DASHES,
    }.items()
)
