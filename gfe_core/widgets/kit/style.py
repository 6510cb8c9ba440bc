"""Colours, dashes and palettes, which the browser's scripts read from the same look.json."""

import json
from pathlib import Path

_LOOK = json.loads(Path(__file__).with_name("look.json").read_text(encoding="utf-8"))

COLOURS: tuple[str, ...] = tuple(_LOOK["colours"])
"""Okabe and Ito's, one for each track."""
DASHES: tuple[tuple[int, ...], ...] = tuple(map(tuple, _LOOK["dashes"]))
# Of lines that hold figures.
NUMBERS = "font-size: 13px; line-height: 1.5; font-variant-numeric: tabular-nums"
TOO_LITTLE: tuple[int, ...] = tuple(_LOOK["too_little"])
"""Red, green and blue of missing ink."""
TOO_MUCH: tuple[int, ...] = tuple(_LOOK["too_much"])
"""Of ink that should not be there."""
HATCH: dict[str, list[str]] = _LOOK["hatch"]
"""Ground and lines of hidden pixels: blue, because every grey is a value that a pixel may have."""
INKS: tuple[str, ...] = tuple(_LOOK["inks"])
"""Of classes; "fg" and "bg" are the theme's ink and paper, and the tenth class is drawn open."""
ON_INKS: tuple[str, ...] = tuple(_LOOK["on_inks"])
"""Of words on them."""
PALETTES: dict[str, tuple[tuple[int, ...], ...]] = {
    name: tuple(tuple(bytes.fromhex(one)) for one in stops.split())
    for name, stops in _LOOK["palettes"].items()
}

STYLE = """
.gfe-player{--fg:var(--jp-ui-font-color0,#1d1e22);--soft:var(--jp-ui-font-color2,#62656d);
 --bg:var(--jp-layout-color0,#fff);
 --rule:var(--jp-border-color2,#dcdde1);--brand:var(--jp-brand-color1,#1f6feb);color:var(--fg);background:var(--bg);
 font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif);
 font-variant-numeric:tabular-nums;padding:4px 2px;outline:none;max-width:1120px}
@media (prefers-color-scheme:dark){.gfe-player{--fg:var(--jp-ui-font-color0,#ececef);
 --soft:var(--jp-ui-font-color2,#a3a6ae);
 --bg:var(--jp-layout-color0,#16171a);--rule:var(--jp-border-color2,#36383e);--brand:var(--jp-brand-color1,#6cabff)}}
.gfe-player *{box-sizing:border-box}
.gfe-player p{margin:0}
.gfe-player p:empty,.gfe-player output:empty{display:none}
.gfe-player :focus-visible,.gfe-player:focus-visible{outline:2px solid var(--brand);outline-offset:2px}
.gfe-player .title{font-size:20px;font-weight:600;letter-spacing:-.01em;line-height:1.25;margin-bottom:6px}
.gfe-player .soft{color:var(--soft)}
.gfe-player .controls{display:flex;flex-wrap:wrap;gap:6px 28px;margin:0 0 6px}
.gfe-player .controls label{display:flex;align-items:center;gap:8px}
.gfe-player .controls output{min-width:2.5em}
.gfe-player .controls input[type=range]{width:130px}
.gfe-player input[type=number]{width:5.5em}
.gfe-player input,.gfe-player select,.gfe-player button{font:inherit;color:var(--fg);accent-color:var(--brand)}
.gfe-player select,.gfe-player input[type=number],.gfe-player .reset{background:transparent;
 border:1px solid var(--rule);
 border-radius:5px;padding:1px 6px;height:26px}
.gfe-player select option{background:var(--bg)}
.gfe-player .state{display:flex;flex-wrap:wrap;align-items:center;gap:4px 12px;margin-bottom:12px;font-size:12px;
 min-height:26px}
.gfe-player:has(.controls:empty):has(.start:disabled) .state{display:none}
.gfe-player .values{user-select:text;cursor:text}
.gfe-player .busy{color:var(--soft);visibility:hidden}
.gfe-player .busy.on{visibility:visible}
.gfe-player .grid{display:grid;gap:18px 32px;grid-template-columns:var(--columns)}
.gfe-player figure{margin:0;min-width:0}
.gfe-player .stage,.gfe-player .layers{position:relative;overflow:hidden}
.gfe-player .stage{border-radius:3px}
.gfe-player canvas{display:block}
.gfe-player .stage canvas,.gfe-player .layers canvas{position:absolute;left:0;top:0;width:100%;height:100%}
.gfe-player .layers{height:136px}
.gfe-player .layers canvas{cursor:ew-resize;touch-action:pan-y}
.gfe-player .start{position:absolute;width:32px;height:32px;margin:-16px;padding:0;border:0;border-radius:50%;
 background:none;
 cursor:grab;touch-action:none;display:grid;place-items:center}
.gfe-player .start::before{content:"";position:absolute;inset:3px;border-radius:50%;border:2px solid #fff;opacity:.55;
 transition:inset .12s,opacity .12s;box-shadow:0 0 3px #0008}
.gfe-player .start:hover::before,.gfe-player .start:focus-visible::before,.gfe-player .start.held::before{inset:-3px;
 opacity:1}
.gfe-player .start.held{cursor:grabbing}
.gfe-player .start:disabled{cursor:default}
.gfe-player .start:disabled::before{display:none}
.gfe-player .under{display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 16px;font-size:12px;
 color:var(--soft);margin-top:5px}
.gfe-player .scale{display:flex;align-items:center;gap:6px}
.gfe-player .scale i{width:84px;height:8px;border-radius:2px}
.gfe-player .tiles{display:grid;gap:10px 14px;align-content:start;justify-content:start}
.gfe-player .tile canvas{width:100%;image-rendering:pixelated;border-radius:3px}
.gfe-player .tile p{display:flex;gap:6px;align-items:center;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;
 margin-bottom:3px;font-size:12px;letter-spacing:-.02em}
.gfe-player .key{margin-top:10px;font-size:12px;color:var(--soft);display:flex;flex-wrap:wrap;gap:2px 12px}
.gfe-player .key i{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:5px}
.gfe-player svg{flex:none;overflow:visible}
.gfe-player .readout{border-collapse:collapse;margin:14px 0 16px;width:100%}
.gfe-player .readout td{padding:3px 20px 3px 0;border-top:1px solid var(--rule);vertical-align:baseline;
 background:none;text-align:left}
.gfe-player .readout td:not(:last-child){white-space:nowrap}
.gfe-player .readout td:last-child{width:100%;color:var(--soft);padding-right:0}
.gfe-player .readout tr:last-child td{border-bottom:1px solid var(--rule)}
.gfe-player .readout svg{margin-right:8px;vertical-align:-3px}
.gfe-player .transport{display:flex;align-items:center;gap:12px;margin-top:10px}
.gfe-player .buttons{display:flex;gap:2px}
.gfe-player .buttons button{width:32px;height:32px;border:0;border-radius:6px;background:none;padding:0;display:grid;
 place-items:center;cursor:pointer}
.gfe-player .buttons button:hover{background:var(--jp-layout-color2,color-mix(in srgb,var(--fg) 9%,transparent))}
.gfe-player .buttons .play{background:var(--fg);border-radius:50%;color:var(--bg);margin:0 4px}
.gfe-player .buttons .play:hover{background:var(--brand)}
.gfe-player .play path+path,.gfe-player.playing .play path{display:none}
.gfe-player.playing .play path+path{display:inline}
.gfe-player .transport input{flex:1;min-width:60px}
.gfe-player .count{white-space:nowrap;min-width:8.5em}
.gfe-player .caption{color:var(--soft);margin-top:8px;max-width:75ch}
.gfe-player .caption:empty{display:none}
.gfe-player details{margin-top:8px;font-size:12px;color:var(--soft)}
.gfe-player summary{cursor:pointer;width:max-content}
.gfe-player .numbers{max-height:260px;overflow:auto;margin-top:6px}
.gfe-player .numbers table{border-collapse:collapse}
.gfe-player .numbers th,.gfe-player .numbers td{text-align:right;padding:1px 14px 1px 0;font-weight:400;
 background:none}
.gfe-player .numbers th{color:var(--fg);position:sticky;top:0;background:var(--bg)}
.gfe-player.narrow .transport{flex-wrap:wrap}
.gfe-player.narrow .transport input{order:9;flex-basis:100%}
.gfe-player{container-type:inline-size}
@container (max-width:520px){.gfe-player .readout tr{display:flex;flex-wrap:wrap;border-top:1px solid var(--rule)}
 .gfe-player .readout tr:nth-child(n) td{border:0}}
"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
html {{ color-scheme: light dark; background: #fff }}
body {{ margin: 0 auto; max-width: 1112px; padding: 16px; box-sizing: border-box }}
@media (prefers-color-scheme: dark) {{ html {{ background: #16171a }} }}
{style}</style></head><body><main id="player"></main>
<script type="application/json" id="state">{state}</script>
<script type="module">
{script}
{model}
render({{ model: storedModel(JSON.parse(document.getElementById("state").textContent)),
  el: document.getElementById("player"), live: false }});
</script></body></html>
"""

STORED_MODEL = """
// A saved page has no kernel: the same model interface over the stored state.
function storedModel(state) {
  const handlers = [];
  for (const [key, value] of Object.entries(state)) {
    if (value && value.base64 !== undefined) {
      state[key] = new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
    }
  }
  return {
    get: (key) => state[key],
    set: (key, value) => { state[key] = value; handlers.forEach(([name, call]) => name === "change:" + key && call());
  },
    on: (name, call) => handlers.push([name, call]),
    off: () => {},
    save_changes: () => {},
  };
}
"""


def _icon(*drawings: str) -> str:
    """Draw a button's sign; a second drawing shows while the film plays."""
    paths = "".join(f'<path d="{drawing}"/>' for drawing in drawings)
    return (
        '<svg width="16" height="16" viewBox="0 0 16 16" fill="currentColor" '
        'stroke="currentColor" stroke-width="1.6" '
        f'stroke-linejoin="round" stroke-linecap="round" aria-hidden="true">{paths}</svg>'
    )


_ICONS = {
    "first step": ("first", "M4 3v10M13 3 6 8l7 5z"),
    "one step back": ("back", "M11 3 4 8l7 5z"),
    "play": ("play", "M4 2.5 13 8l-9 5.5z", "M5 3v10M11 3v10"),
    "one step on": ("next", "M5 3l7 5-7 5z"),
    "last step": ("last", "M12 3v10M3 3l7 5-7 5z"),
}
BUTTONS = "".join(
    (
        f'<button type="button" class="{name}" aria-label="{label}" '
        f'title="{label}">{_icon(*drawings)}</button>'
    )
    for label, (name, *drawings) in _ICONS.items()
)
_CHARTS = "".join(
    '<figure><p></p><div class="layers"><canvas aria-hidden="true"></canvas>'
    f'<canvas role="img" aria-label="{label}"></canvas></div></figure>'
    for label in ("energy against step", "step size against step")
)
MARKUP = f"""
<p class="title"></p><div class="controls"></div>
<div class="state"><span class="values"></span><button type="button" class="reset">Reset</button>
<span class="busy" role="status">computing …</span></div>
<div class="grid"><figure><div class="stage"><canvas aria-hidden="true"></canvas><canvas aria-hidden="true"></canvas>
<canvas role="img"></canvas><button type="button" class="start"
 aria-label="start point: arrow keys move it, Enter releases it"><svg width="16" height="16" viewBox="0 0 16 16"
 stroke-linecap="round"><path d="M2 2 14 14M14 2 2 14" stroke="#fff" stroke-width="5"/>
<path d="M2 2 14 14M14 2 2 14" stroke="#1d1e22" stroke-width="2.2"/></svg></button></div>
<div class="under"><span class="slice"></span>
<span class="scale">energy <span></span><i></i><span></span></span></div></figure><div><div class="tiles"></div>
<p class="key"><span><i style="background:rgb{TOO_LITTLE}"></i>too little ink</span>
<span><i style="background:rgb{TOO_MUCH}"></i>too much ink</span><span>shown ×2</span></p></div></div>
<div class="transport"><div class="buttons">{BUTTONS}</div>
<input type="range" class="frame" min="0" step="1" aria-label="frame"><span class="count"></span>
<select aria-label="speed" title="speed"><option value="0.25">0.25×</option><option value="0.5">0.5×</option>
<option value="1">1×</option><option value="2">2×</option><option value="4">4×</option></select></div>
<table class="readout"><tbody></tbody></table>
<div class="grid charts">{_CHARTS}</div><p class="caption" aria-live="polite"></p>
<details><summary>table of the numbers</summary><div class="numbers" tabindex="0"></div></details>
"""

LOOK = "".join(
    f"const {name} = {json.dumps(value)};\n"
    for name, value in {
        "MARKUP": MARKUP,
        "COLOURS": COLOURS,
        "DASHES": DASHES,
        "PALETTES": PALETTES,
        "TOO_LITTLE": TOO_LITTLE,
        "TOO_MUCH": TOO_MUCH,
    }.items()
)
