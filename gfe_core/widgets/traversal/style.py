"""Markup and look of the traversals; traversal.js fills the markup. The rest is the player's."""

import json

from gfe_core.widgets.kit.style import COLOURS, STYLE

N_TILES = 9
"""Pictures of a row."""
HEADING = "share of the latent's variance that a factor explains alone"

TRAVERSAL_STYLE = (
    STYLE
    + """
.gfe-player.gfe-traversal .grid{--columns:minmax(0,190px) minmax(0,1fr);align-items:start}
.gfe-player.gfe-traversal.narrow .grid{--columns:minmax(0,1fr)}
.gfe-player.gfe-traversal .large canvas{width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:3px}
.gfe-player.gfe-traversal .large input{width:100%;margin-top:8px}
.gfe-player.gfe-traversal .heading{font-size:12px;margin:0 0 4px}
.gfe-player.gfe-traversal .rows{overflow-x:auto;padding:2px}
.gfe-player.gfe-traversal table{border-collapse:collapse;width:100%;table-layout:fixed}
.gfe-player.gfe-traversal th,.gfe-player.gfe-traversal td{padding:3px 4px;text-align:center;font-weight:400;
 background:none;font-size:12px}
.gfe-player.gfe-traversal th.of-latent{width:44px;text-align:left;white-space:nowrap}
.gfe-player.gfe-traversal th.of-strip{width:58%}
.gfe-player.gfe-traversal td.share{border-radius:3px}
.gfe-player.gfe-traversal tr.chosen th{font-weight:600}
.gfe-player.gfe-traversal .strip{position:relative;touch-action:none;cursor:ew-resize;display:block;border-radius:3px}
.gfe-player.gfe-traversal .strip canvas{width:100%;image-rendering:pixelated;border-radius:3px}
.gfe-player.gfe-traversal .strip i{position:absolute;top:-3px;bottom:-3px;width:0;border-left:2px solid var(--brand);
 pointer-events:none;display:none}
.gfe-player.gfe-traversal tr.chosen .strip i{display:block}
.gfe-player.gfe-traversal tr.chosen .strip{outline:2px solid var(--brand);outline-offset:1px}
.gfe-player.gfe-traversal [hidden]{display:none!important}
"""
)

MARKUP = f"""
<p class="title"></p><div class="controls"><label class="of-model">threshold <select class="model"
 aria-label="model"></select></label><label>start from <select class="base" aria-label="image to start from"></select>
</label><label>latent <select class="latent" aria-label="latent"></select></label></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button></div>
<div class="grid"><figure class="large"><canvas role="img" aria-label="what the code draws"></canvas>
<input type="range" class="frame" min="0" step="1" aria-label="value of the latent"></figure>
<div><p class="heading soft">each latent moved alone: drag along a row; right: {HEADING}</p>
<div class="rows"><table><thead></thead><tbody></tbody></table></div></div></div>
"""

LOOK = "".join(
    f"const {name} = {json.dumps(value)};\n"
    for name, value in {"MARKUP": MARKUP, "N_TILES": N_TILES, "BLUE": COLOURS[0]}.items()
)
