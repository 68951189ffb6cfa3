#include "apps/report/html.h"

namespace tern {

// Colours of runs: Okabe and Ito's palette, lighter on a dark page.
const char* const kReportStyle = R"CSS(
:root { color-scheme: light dark; --page:#fff; --ink:#1d2126; --soft:#5c6570; --line:#d9dde2;
  --grid:#eceef1; --card:#fff; --fill:#f5f6f8; --accent:#0072b2; --bad:#b53a00; --good:#00734f;
  --c0:#0072b2; --c1:#d55e00; --c2:#009e73; --c3:#cc79a7; --c4:#e69f00; --c5:#56b4e9; --c6:#30343a }
@media screen and (prefers-color-scheme: dark) { :root { --page:#14171b; --ink:#e4e7eb; --soft:#9aa3ae;
  --line:#343a42; --grid:#252a31; --card:#1a1e23; --fill:#20252b; --accent:#5cb3ec; --bad:#ff9a5c;
  --good:#4cd1a4; --c0:#3b9be0; --c1:#f07c2a; --c2:#22bf92; --c3:#e094bf; --c4:#f2b53c;
  --c5:#86ccf5; --c6:#d5d9de } }
* { box-sizing:border-box }
body { margin:0; background:var(--page); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif }
header,main { max-width:1360px; margin:0 auto; padding:0 24px }
header { padding-top:28px }
section { scroll-margin-top:56px }
h1 { font-size:28px; line-height:1.2; margin:0; font-weight:650; overflow-wrap:anywhere }
h2 { font-size:19px; margin:36px 0 12px; font-weight:650 }
h3 { font-size:15px; margin:20px 0 8px; font-weight:650 }
p { margin:0 0 12px }
.fine,.when,figcaption span,.note { color:var(--soft); font-size:13px }
.note { border-left:3px solid var(--line); padding:2px 12px; margin:8px 0 12px; list-style:none;
  overflow-wrap:anywhere }
bdi { unicode-bidi:isolate }
.js { display:none }
.scripted .js { display:revert }
.scripted .axes.js { display:flex }
.scroll { overflow-x:auto; margin-bottom:12px }
table { border-collapse:collapse; font-size:13px; font-variant-numeric:tabular-nums }
th,td { padding:6px 12px; text-align:right; white-space:nowrap; border-bottom:1px solid var(--line) }
thead th { color:var(--soft); font-weight:500; vertical-align:bottom; padding:4px 12px }
tr:first-child th:first-child,th[scope],.text { text-align:left }
td.long { white-space:normal; overflow-wrap:anywhere; min-width:220px }
tbody th,.values th { font-weight:600 }
table.runs { width:100% }
.runs thead th[colspan] { text-align:center; border-bottom:0 }
.values th:first-child,.runs th[scope] { position:sticky; left:0; background:var(--page);
  max-width:360px; overflow:hidden; text-overflow:ellipsis }
.values td { font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; font-size:12px }
.state { padding:1px 8px; border-radius:9px; background:var(--fill); font-size:12px }
.state.failed { color:var(--bad); font-weight:600 }
.state.finished { color:var(--good) }
.state.running { color:var(--accent); font-weight:600 }
svg.key { width:26px; height:10px; margin-right:8px; vertical-align:middle; flex:none }
.bar { position:sticky; top:0; z-index:3; background:var(--page); padding:10px 0; margin-top:20px;
  border-bottom:1px solid var(--line); display:flex; flex-wrap:wrap; gap:8px 24px;
  align-items:flex-start }
.axes { align-items:center }
.axes span { color:var(--soft); font-size:13px; margin-right:8px }
button { font:inherit; font-size:13px; color:var(--ink); background:var(--fill);
  border:1px solid var(--line); padding:2px 10px; margin:0; border-radius:5px; cursor:pointer }
.axes button { border-radius:0; margin-left:-1px }
.axes button:nth-of-type(1) { border-radius:5px 0 0 5px }
.axes button:nth-of-type(4) { border-radius:0 5px 5px 0 }
#logx { border-radius:5px; margin-left:8px }
button[aria-pressed=true] { background:var(--accent); border-color:var(--accent);
  color:var(--page); position:relative }
button:focus-visible,summary:focus-visible,input:focus-visible { outline:2px solid var(--accent);
  outline-offset:1px }
.legend { display:flex; flex-wrap:wrap; gap:4px 18px; align-items:center; font-size:13px;
  max-height:128px; overflow-y:auto; flex:1 1 300px; min-width:0; padding-top:3px }
.legend label { display:inline-flex; align-items:center; max-width:100%; cursor:pointer }
.legend bdi { overflow:hidden; text-overflow:ellipsis; white-space:nowrap; max-width:320px }
.legend input { margin:0 6px 0 0; accent-color:var(--accent) }
.legend label.off,.legend label.unknown { opacity:.45 }
.legend label.unknown bdi { text-decoration:line-through }
.legend button { padding:0 8px }
.charts { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,380px),1fr));
  gap:20px 24px }
figure { margin:0; position:relative; min-width:0; break-inside:avoid }
figure.wide { grid-column:1/-1 }
figcaption { font-size:14px; margin-bottom:4px; padding-right:52px; overflow-wrap:anywhere }
figcaption b { font-weight:600 }
figcaption .log { position:absolute; right:0; top:0; padding:0 8px; font-size:12px }
.plot { overflow-x:auto }
.plot svg { display:block; width:100%; min-width:360px; height:auto; touch-action:pan-y }
.wide .plot svg { min-width:720px }
.scripted .plot { overflow:hidden }
.scripted .plot svg { min-width:0 }
.plot text { font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
  fill:var(--soft); font-variant-numeric:tabular-nums }
.grid path { stroke:var(--grid); fill:none }
.axis path { stroke:var(--soft); fill:none }
.line path { fill:none; stroke-width:1.8; stroke-linejoin:round }
.faint path { fill:none; stroke-width:1; opacity:.22; stroke-dasharray:none }
.dots path { fill:none; stroke-width:6; stroke-linecap:round; stroke-dasharray:none }
.many .line path { stroke-width:1.2; opacity:.8 }
.runs th[data-column] { cursor:pointer }
.runs th[aria-sort]::after { content:" \2191" }
.runs th[aria-sort=descending]::after { content:" \2193" }
.many .legend { display:grid; grid-template-columns:repeat(auto-fill,minmax(150px,1fr)) }
.many .legend button { width:60px }
.many .scroll { max-height:640px; overflow:auto }
.many thead { position:sticky; top:0; background:var(--page); z-index:2 }
.many .dots path { stroke-width:3.5 }
.event path { stroke:var(--page); stroke-width:1 }
.hair { stroke:var(--soft); stroke-dasharray:3 3 }
.key path { stroke-width:3; fill:none }
.c0 { stroke:var(--c0) } .c1 { stroke:var(--c1) } .c2 { stroke:var(--c2) } .c3 { stroke:var(--c3) }
.c4 { stroke:var(--c4) } .c5 { stroke:var(--c5) } .c6 { stroke:var(--c6) }
.fill.c0 { fill:var(--c0) } .fill.c1 { fill:var(--c1) } .fill.c2 { fill:var(--c2) }
.fill.c3 { fill:var(--c3) } .fill.c4 { fill:var(--c4) } .fill.c5 { fill:var(--c5) }
.fill.c6 { fill:var(--c6) }
#tip { position:absolute; z-index:5; pointer-events:none; background:var(--card); color:var(--ink);
  border:1px solid var(--line); border-radius:6px; box-shadow:0 3px 14px #0003; padding:7px 10px;
  font-size:12px; line-height:1.45; font-variant-numeric:tabular-nums; max-width:min(94vw,900px) }
#tip[hidden] { display:none }
#tip table { font-size:12px } #tip td,#tip th { border:0; padding:0 0 0 10px }
#tip td:first-child { padding:0; text-align:left; max-width:230px; overflow:hidden;
  text-overflow:ellipsis }
#tip .nearest td { font-weight:650 }
#tip .key { margin-right:6px; width:18px }
.tables { display:flex; gap:20px; align-items:flex-start }
details.run { border:1px solid var(--line); border-radius:6px; margin:0 0 8px; padding:0 14px }
details.run[open] { padding-bottom:12px }
summary { cursor:pointer; padding:7px 0; font-size:14px; overflow-wrap:anywhere }
select { font:inherit; font-size:14px; color:var(--ink); background:var(--fill);
  border:1px solid var(--line); border-radius:5px; padding:4px 8px; margin-bottom:10px;
  max-width:100% }
.unchosen { display:none }
details details summary { color:var(--soft); font-size:13px }
pre { font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; background:var(--fill);
  border-radius:6px; padding:10px 12px; margin:0 0 8px; overflow-x:auto }
pre.sample { white-space:pre-wrap; overflow-wrap:anywhere; max-width:100ch }
.sample b { color:var(--accent); font-weight:650 }
.when { margin:8px 0 4px }
.heats { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,540px),1fr));
  gap:24px 32px; padding-top:6px }
.map { display:grid; grid-template-columns:max-content minmax(0,1fr); gap:2px 8px }
.kind { font-size:12px; line-height:1.25; text-align:right; align-self:center; max-width:120px;
  overflow-wrap:anywhere }
.kind b { font-weight:500 } .kind span { display:block; color:var(--soft); font-size:11px }
.cells img { display:block; width:100%; image-rendering:pixelated }
.cells.gaps { background:repeating-linear-gradient(45deg,var(--line) 0 2px,var(--page) 2px 6px) }
.steps { position:relative; height:18px; font-size:12px; color:var(--soft); margin:2px 0 0 }
.steps span { position:absolute; transform:translateX(-50%); white-space:nowrap }
.scale { max-width:260px; margin:8px 24px 0 auto }
.scale i { display:block; height:9px; border-radius:2px }
@media (max-width:600px) { header,main { padding:0 14px } header { padding-top:18px }
  h1 { font-size:22px } .runs th[scope] { max-width:46vw } .bar { position:static } .scale { margin-right:14px } }
@media print { .many .scroll,.legend { max-height:none } .bar { position:static }
  .js,.scripted .js,.scripted .axes.js { display:none } table { font-size:10px }
  .state { font-size:inherit; padding:0 } .runs svg.key { width:16px; margin-right:4px }
  th,td,thead th { padding:3px 5px }
  body { font-size:12px } header,main { max-width:none; padding:0 } h2 { break-after:avoid }
  * { print-color-adjust:exact; -webkit-print-color-adjust:exact }
  .charts { grid-template-columns:1fr 1fr } }
)CSS";

}  // namespace tern
