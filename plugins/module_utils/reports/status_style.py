# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How the page of status looks: light or dark as the reader's system is, from a phone to a desktop."""

from __future__ import annotations

# Text stands on these backgrounds with a contrast of at least 4.5 (WCAG AA), which a test computes.
LIGHT = {
    "page": "#f4f6f8",
    "card": "#ffffff",
    "inset": "#f4f6f8",
    "line": "#d8dee6",
    "text": "#18212e",
    "muted": "#556070",
    "link": "#0b57b7",
    "ok": "#0f6b3a",
    "ok-back": "#e4f4ea",
    "ok-line": "#2f9e62",
    "warning": "#7a4b00",
    "warning-back": "#fdf0d2",
    "warning-line": "#d99a1c",
    "failure": "#a31d1d",
    "failure-back": "#fde8e8",
    "failure-line": "#d64545",
}
DARK = {
    "page": "#0e131a",
    "card": "#171e28",
    "inset": "#111821",
    "line": "#2c3644",
    "text": "#e6ebf2",
    "muted": "#9dabbd",
    "link": "#84b8ff",
    "ok": "#74dba1",
    "ok-back": "#11301f",
    "ok-line": "#3aa76d",
    "warning": "#f3c566",
    "warning-back": "#352a10",
    "warning-line": "#b9862a",
    "failure": "#ff9d96",
    "failure-back": "#401a1b",
    "failure-line": "#d65a55",
}


def variables(colors: dict[str, str]) -> str:
    return "".join(f"--{name}:{color};" for name, color in colors.items())


RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
h1,h2,h3,h4,h5,p,ul,ol,dl,dd,pre{margin:0;padding:0}
ul,ol{list-style:none}
a{color:var(--link)}
a:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:4px}
time{white-space:nowrap}
small,.muted{color:var(--muted);font-size:.875rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.8125rem}
header>div,main,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}
header{border-bottom:1px solid var(--line);background:var(--card);border-top:6px solid var(--ok-line)}
header.warning{border-top-color:var(--warning-line)}
header.failure{border-top-color:var(--failure-line)}
header>div{padding-top:1.25rem;padding-bottom:1.5rem}
header p{color:var(--muted)}
.name{font-size:.8125rem;font-weight:600;letter-spacing:.08em;text-transform:uppercase}
h1{display:flex;gap:.75rem;align-items:center;font-size:clamp(1.375rem,4.5vw,2rem);line-height:1.2;
margin:.375rem 0;text-wrap:balance}
h1 .icon{width:1.25em;height:1.25em}
h2{font-size:1.125rem;margin:2.25rem 0 .875rem}
h3{font-size:1.0625rem;display:flex;gap:.5rem;align-items:center}
h4{font-size:1rem}
h5{font-size:.75rem;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--muted);
margin:1.25rem 0 .5rem}
footer{padding-top:2rem;padding-bottom:2rem;color:var(--muted);font-size:.875rem}
.icon{flex:none;width:1.125rem;height:1.125rem;fill:none;stroke-width:1.8;stroke-linecap:round;
stroke-linejoin:round;vertical-align:-.2em}
.icon circle{stroke:none}
.icon.ok{stroke:var(--ok)}.icon.ok circle{fill:var(--ok-back)}
.icon.warning{stroke:var(--warning)}.icon.warning circle{fill:var(--warning-back)}
.icon.failure{stroke:var(--failure)}.icon.failure circle{fill:var(--failure-back)}
.pill{display:inline-block;padding:.0625rem .5625rem;border-radius:.75rem;font-size:.8125rem;font-weight:600;
line-height:1.5}
.pill.ok{background:var(--ok-back);color:var(--ok)}
.pill.warning{background:var(--warning-back);color:var(--warning)}
.pill.failure{background:var(--failure-back);color:var(--failure)}
.problems{display:grid;gap:.5rem}
.problems li,.note{display:flex;gap:.625rem;padding:.625rem .875rem;border-radius:.5rem;border-left:4px solid}
.problems li>div,.note span{min-width:0}
.problems .icon,.note .icon{margin-top:.1875rem}
.problems li.warning,.note.warning{background:var(--warning-back);border-color:var(--warning-line)}
.problems li.failure,.note.failure{background:var(--failure-back);border-color:var(--failure-line)}
.problems a{color:inherit}
.problems b span{font-weight:400}
.note{margin-top:.5rem;font-size:.9375rem}
.tiles{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr))}
.tile,.card,.host{background:var(--card);border:1px solid var(--line);border-radius:.75rem}
.tile{display:block;padding:.875rem 1rem;color:inherit;text-decoration:none;border-top:4px solid var(--ok-line)}
.tile.warning{border-top-color:var(--warning-line)}
.tile.failure{border-top-color:var(--failure-line)}
.tile:hover{border-color:var(--link)}
.tile .head{display:flex;gap:.5rem;align-items:flex-start}
.tile .head .icon{margin-top:.1875rem}
.tile .head b{min-width:0}
.tile .pill{margin-left:-.125rem}
.tile .domain{display:block;color:var(--muted);font-size:.875rem;margin:.125rem 0 .375rem}
.tile .pairs{margin-top:.625rem}
.pairs{display:grid;grid-template-columns:1fr 1fr;gap:.25rem .75rem;font-size:.875rem}
.pairs>span{min-width:0}
.pairs i{display:block;font-style:normal;color:var(--muted);font-size:.75rem;line-height:1.3}
.diagram{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.25rem;display:flex;
flex-direction:column;align-items:center}
.row{display:flex;flex-wrap:wrap;gap:1rem;justify-content:center;align-items:flex-start;width:100%}
.host{padding:1rem;background:var(--inset);flex:1 1 18rem;max-width:44rem;min-width:0;display:flex;
flex-direction:column;align-items:center}
.host h3{align-self:flex-start;margin-bottom:.75rem}
.host.failure{border-color:var(--failure-line)}
.host.warning{border-color:var(--warning-line)}
.host.elsewhere{border-style:dashed;flex:0 1 18rem}
.box{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--ok-line);
border-radius:.5rem;padding:.5rem .75rem;min-width:0;display:flex;flex-wrap:wrap;gap:.125rem .625rem;
align-items:baseline;font-size:.875rem}
.box b{font-size:.9375rem}
.box.warning{border-left-color:var(--warning-line)}
.box.failure{border-left-color:var(--failure-line)}
.visitors{border-left-width:1px;border-left-color:var(--line);border-radius:1.5rem;padding:.5rem 1.125rem;
justify-content:center;color:var(--muted);background:var(--inset)}
.visitors b{color:var(--text)}
.boxes{display:flex;flex-wrap:wrap;gap:.625rem;justify-content:center}
.group{border:1.5px dashed var(--line);border-radius:.625rem;padding:.5rem .75rem .75rem;width:100%}
.group>p{font-size:.8125rem;color:var(--muted);margin-bottom:.5rem}
.group .box{flex:1 1 11rem;flex-direction:column;gap:.125rem}
.box.unknown{border-left-color:var(--muted);color:var(--muted)}
.clock{width:.875rem;height:.875rem;fill:none;stroke:currentColor;stroke-width:1.5;stroke-linecap:round;
vertical-align:-.125rem}
.host>p{margin-bottom:.625rem;font-size:.875rem}
.bad{color:var(--failure)}
.arrow{width:2px;height:1.5rem;background:var(--muted);margin:.25rem 0 .5rem;position:relative;flex:none}
.arrow::after{content:"";position:absolute;left:-4px;bottom:-2px;border:5px solid transparent;border-bottom:0;
border-top:7px solid var(--muted)}
.arrow span{position:absolute;left:.875rem;top:0;width:max-content;max-width:calc(50vw - 3.5rem);
line-height:1.2;font-size:.8125rem;color:var(--muted)}
.squares{display:inline-flex;flex-wrap:wrap;gap:3px;vertical-align:-1px;align-items:center;font-size:.75rem}
.squares i{width:.75rem;height:.75rem;border-radius:3px;border:2px solid var(--ok-line)}
.squares .up{background:var(--ok-line)}
.squares .asleep{border-color:var(--muted);border-style:dotted}
.squares .old{background:var(--warning-line);border-color:var(--warning-line)}
.squares .down{border-color:var(--failure-line);background:linear-gradient(45deg,transparent 42%,var(--failure-line)
42%,var(--failure-line) 58%,transparent 58%)}
.legend{margin-top:.625rem;color:var(--muted);font-size:.8125rem}
.legend .squares:not(:first-child){margin-left:.75rem}
.card{padding:1.125rem 1.25rem;border-left:5px solid var(--ok-line)}
.card.warning{border-left-color:var(--warning-line)}
.card.failure{border-left-color:var(--failure-line)}
.card+.card{margin-top:1rem}
.title{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline;justify-content:space-between}
.title h3{font-size:1.1875rem}
.on{margin-top:1rem;padding-top:1rem;border-top:1px solid var(--line)}
.where{display:flex;flex-wrap:wrap;gap:.375rem .75rem;align-items:center}
.columns{display:grid;gap:0 2.5rem;grid-template-columns:minmax(0,3fr) minmax(0,2fr)}
.columns.single{grid-template-columns:minmax(0,1fr)}
.facts{display:grid;gap:.75rem 1.5rem;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));margin-top:1.25rem}
.facts dt{font-size:.75rem;color:var(--muted);line-height:1.3}
.facts dd{font-size:.9375rem}
.facts small{display:block;font-size:.8125rem;line-height:1.35}
.rows li{display:flex;flex-wrap:wrap;gap:.125rem .75rem;align-items:baseline;padding:.375rem 0;font-size:.9375rem;
border-top:1px solid var(--line)}
.rows li:first-child{border-top:0}
.rows .icon,.rows .squares{align-self:center}
.rows p{flex-basis:100%;font-size:.875rem}
.timeline li{position:relative;padding:0 0 .875rem 1.75rem;font-size:.9375rem}
.timeline li::before{content:"";position:absolute;left:.5rem;top:1.375rem;bottom:-.125rem;width:2px;
background:var(--line)}
.timeline li:last-child::before{display:none}
.timeline .icon{position:absolute;left:0;top:.1875rem}
.timeline pre{margin-top:.375rem;padding:.5rem .625rem;background:var(--inset);border:1px solid var(--line);
border-radius:.375rem;white-space:pre-wrap}
summary{cursor:pointer;color:var(--link);font-size:.875rem;margin-bottom:.75rem}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr))}
.grid .card+.card{margin-top:0}
.meter{margin-top:.75rem;font-size:.875rem}
.meter p{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .75rem}
.meter p span:last-child{color:var(--muted)}
.meter div{height:.5rem;border-radius:.25rem;background:var(--line);overflow:hidden;margin-top:.25rem}
.meter i{display:block;height:100%;border-radius:.25rem;background:var(--ok-line)}
.meter.warning i{background:var(--warning-line)}
.meter.failure i{background:var(--failure-line)}
.pills{display:flex;flex-wrap:wrap;gap:.375rem;margin:1rem 0 .75rem}
@media(max-width:52rem){.columns{grid-template-columns:minmax(0,1fr)}}
@media(max-width:30rem){header>div,main,footer{padding-left:.875rem;padding-right:.875rem}
.diagram{padding:.875rem .625rem}.host{padding:.75rem .625rem}.card{padding:1rem}.facts{grid-template-columns:1fr 1fr}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
"""

STYLE = (
    f":root{{color-scheme:light dark;{variables(LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}{RULES}"
)
