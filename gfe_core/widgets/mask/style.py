"""Markup and look of the mask painter; mask_painter.js fills the markup.

The rest of the look is the player's.
"""

import json

from gfe_core.widgets.kit.style import COLOURS, PALETTES, STYLE

N_DRAWS = 8
HATCH = {"light": ("#dce6f2", "#88a3c7"), "dark": ("#22324a", "#5d7fb0")}
"""Ground and lines of hidden pixels: blue, because every grey is a value that a pixel may have."""

MASK_STYLE = (
    STYLE
    + """
.gfe-mask .grid{--columns:minmax(0,1fr) minmax(0,2.15fr);align-items:start}
.gfe-mask:not(:has(.panels)) .grid,.gfe-mask.narrow .grid{--columns:minmax(0,1fr)}
.gfe-mask:not(:has(.panels)) .truths{display:none}
.gfe-mask:not(:has(.panels)) .grid>figure,.gfe-mask.narrow .grid>figure{max-width:340px}
.gfe-mask button{font:inherit;color:var(--fg);background:transparent;border:1px solid var(--rule);border-radius:5px;
 padding:1px 9px;height:26px;cursor:pointer}
.gfe-mask button:hover{border-color:var(--fg)}
.gfe-mask button[aria-pressed=true]{background:var(--fg);color:var(--bg);border-color:var(--fg)}
.gfe-mask .paper{position:relative;touch-action:none;cursor:crosshair;border:1px solid var(--rule);overflow:hidden;
 border-radius:3px;user-select:none}
.gfe-mask .paper canvas,.gfe-mask .cloud canvas{position:absolute;inset:0;width:100%;height:100%}
.gfe-mask .tools{display:flex;flex-wrap:wrap;align-items:center;gap:6px;margin-top:8px}
.gfe-mask .tools label{display:flex;align-items:center;gap:6px;margin-left:4px}
.gfe-mask .tools input{width:74px}
.gfe-mask .heading{margin:0 0 4px;font-size:12px}
.gfe-mask .where{margin-top:6px;font-size:12px;min-height:1.45em}
.gfe-mask .tiles{grid-template-columns:repeat(auto-fit,minmax(92px,1fr));justify-content:stretch}
.gfe-mask .tile{max-width:190px}
.gfe-mask .tile canvas,.gfe-mask .draws canvas{width:100%;image-rendering:pixelated;border:1px solid var(--rule);
 border-radius:3px}
.gfe-mask .tile p{display:block;letter-spacing:0}
.gfe-mask .tile .soft{margin:3px 0 0}
.gfe-mask .below{display:grid;gap:18px 24px;grid-template-columns:minmax(0,1.15fr) minmax(0,1fr);margin-top:16px}
.gfe-mask.narrow .below{grid-template-columns:minmax(0,1fr)}
.gfe-mask .draws{display:grid;gap:8px;grid-template-columns:repeat(4,minmax(0,1fr))}
.gfe-mask .cloud{position:relative;aspect-ratio:1.55;border:1px solid var(--rule);border-radius:3px}
.gfe-mask .key i{border-radius:50%}
.gfe-mask .key .whole{background:none;border:2px solid var(--fg)}
.gfe-mask [hidden]{display:none!important}
"""
)

MARKUP = """
<p class="title"></p><div class="controls"><label class="which">sample<input type="range" class="sample" min="0"
 step="1" aria-label="sample"><output></output></label>
<label class="priors"><input type="checkbox" class="prior">prior</label>
<label class="truths"><input type="checkbox" class="truth">show the truth</label></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button>
<span class="busy" role="status">computing …</span></div>
<div class="grid"><figure><p class="heading soft">paint what is missing</p>
<div class="paper" tabindex="0" role="application"><canvas aria-hidden="true"></canvas></div>
<div class="tools" role="group" aria-label="tool"><button type="button" data-tool="brush">brush</button>
<button type="button" data-tool="eraser">eraser</button>
<label>size<input type="range" class="brush" min="1" step="1" aria-label="brush size in pixels"><output></output>
</label></div><div class="tools" role="group" aria-label="ready masks">
<button type="button" data-mask="clear">clear</button>
<button type="button" data-mask="half">left half</button>
<button type="button" data-mask="random">random 75 %%</button></div>
<p class="where soft" role="status"></p></figure>
%s</div><p class="caption" aria-live="polite"></p>
"""

_CANVAS = '<canvas role="img" aria-label="a draw"></canvas>'
PANELS = f"""
<div class="panels"><div class="tiles"></div><div class="below">
<figure><p class="heading soft">eight draws that agree with what is seen</p>
<div class="draws">{_CANVAS * N_DRAWS}</div></figure>
<figure><p class="heading soft">codes, along their two widest directions</p><div class="cloud">
<canvas role="img" aria-label="codes drawn for this image, over those of training images"></canvas></div>
<p class="key"><span><i style="background:var(--rule)"></i>training images</span>
<span><i style="background:{COLOURS[0]}"></i>drawn for what is seen</span>
<span><i class="whole"></i>the whole image</span></p></figure></div></div>
"""


def look(panels: str = "") -> str:
    """Return the constants that the scripts read.

    Args:
        panels: markup of what stands beside the painter.
    """
    constants = {
        "MARKUP": MARKUP % panels,
        "HATCH": HATCH,
        "COLOURS": COLOURS,
        "PALETTES": PALETTES,
    }
    return "".join(f"const {name} = {json.dumps(value)};\n" for name, value in constants.items())
