#include "apps/report/html.h"

namespace tern {

// Shows values under the pointer, hides and sorts runs. After kChartScript.
const char* const kPageScript = R"JS(// --- the pointer ---

const tip = document.body.appendChild(document.createElement('div'));
tip.id = 'tip'; tip.hidden = true;
const emphasis = document.head.appendChild(document.createElement('style'));

// the other runs fade; null: none does
function emphasise(run) {
  emphasis.textContent = run === null ? '' :
    `.plot g[data-run]:not([data-run="${run}"]) { opacity:.13 }` +
    `.many .plot g[data-run="${run}"] path { opacity:1; stroke-width:2.4 }`;
}

// the series' value at x: between two points of a line, the last one of dots; null outside
function valueAt(series, x) {
  const points = pointsOf(series);
  if (!points.length || x < points[0][0] * 0.999 || x > points[points.length - 1][0] * 1.001)
    return null;
  let a = 0, b = points.length - 1;
  while (b - a > 1) {
    const middle = (a + b) >> 1;
    if (points[middle][0] <= x) a = middle; else b = middle;
  }
  if (series.mark === 'dots') return points[x >= points[b][0] * 0.999 ? b : a][1];
  const part = b > a ? (x - points[a][0]) / (points[b][0] - points[a][0] || 1) : 0;
  return points[a][1] + Math.min(1, Math.max(0, part)) * (points[b][1] - points[a][1]);
}

function place(event) {
  tip.hidden = false;
  const box = tip.getBoundingClientRect(), page = document.documentElement.clientWidth;
  let x = event.clientX + 16;
  if (x + box.width > page - 8) x = event.clientX - 16 - box.width;
  const y = Math.min(event.clientY + 14, innerHeight - box.height - 8);
  tip.style.left = Math.max(8, x) + scrollX + 'px';
  tip.style.top = Math.max(8, y) + scrollY + 'px';
}

function hover(figure, event) {
  const g = figure.geometry, svg = figure.querySelector('svg'), chart = data.charts[figure.dataset.chart];
  if (!g) return;
  const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) * g.width / box.width;
  const part = (at - g.left) / g.across;
  if (part < 0 || part > 1.01) return leave(figure);
  const height = (event.clientY - box.top) * g.width / box.width;
  const x = g.x.log ? g.x.low * (g.x.high / g.x.low) ** part : g.x.low + part * (g.x.high - g.x.low);
  const hair = svg.querySelector('.hair');
  hair.removeAttribute('hidden');
  hair.setAttribute('d', `M${at.toFixed(1)} ${g.top}V${g.base}`);
  const rows = new Map();
  for (const s of shown(chart)) {
    if (s.mark === 'faint') continue;
    const value = valueAt(s, x);
    if (value === null) continue;
    if (!rows.has(s.run)) rows.set(s.run, {});
    rows.get(s.run)[s.mark] = value;
  }
  const both = chart.wide, sorted = [...rows].sort((a, b) =>
    (b[1].line ?? b[1].dots) - (a[1].line ?? a[1].dots));
  const cell = v => `<td>${v === undefined ? '' : both ? v.toFixed(3) : shortNumber(v)}</td>`;
  const distance = ([, v]) => Math.abs(g.atY(v.line ?? v.dots) - height);
  const nearest = sorted.reduce((a, b) => distance(b) < distance(a) ? b : a, sorted[0] || [null]);
  if (data.runs.length > 8) emphasise(nearest[0]);
  const line = ([run, v]) => `<tr${run === nearest[0] ? ' class="nearest"' : ''}><td><svg class="key" viewBox="0 0 26 10"><path ${stroke(run)} ` +
    `d="M1 5H25"/></svg>${escaped(data.runs[run].name)}</td>` +
    (both ? cell(v.line) + cell(v.dots) : cell(v.line ?? v.dots)) + '</tr>';
  const head = both ? '<tr><th></th><th>training</th><th>validation</th></tr>' : '';
  const columns = Math.min(Math.ceil(sorted.length / 20), Math.max(1, Math.floor(innerWidth / 280)));
  const most = Math.ceil(sorted.length / columns), tables = [];
  for (let i = 0; i < sorted.length; i += most)
    tables.push(`<table>${head}${sorted.slice(i, i + most).map(line).join('')}</table>`);
  tip.innerHTML = `<b>${shortNumber(x / g.unit.size)} ${g.unit.name}</b>` +
    `<div class="tables">${tables.join('')}</div>`;
  place(event);
}

function leave(figure) {
  tip.hidden = true;
  emphasise(null);
  figure.querySelector('.hair')?.setAttribute('hidden', '');
}

// --- heat maps: a value is read from its colour, to half a percent of the scale ---

const colours = new Map();
for (let i = 0; i < 255; ++i) colours.set(parseInt(data.palette.substr(6 * i, 6), 16), i);

function cellUnder(image, event) {
  if (!image.pixels) {
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    image.pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  }
  const box = image.getBoundingClientRect(), w = image.naturalWidth, h = image.naturalHeight;
  const inside = (x, n) => Math.max(0, Math.min(n - 1, Math.floor(x * n)));
  const column = inside((event.clientX - box.left) / box.width, w);
  const row = inside((event.clientY - box.top) / box.height, h);
  const [r, g, b, a] = image.pixels.slice(4 * (row * w + column), 4 * (row * w + column) + 4);
  return {column, row, index: a ? colours.get(r << 16 | g << 8 | b) : undefined};
}

function showCell(image, event) {
  const {low, high, log, steps} = image.closest('figure').dataset;
  const {column, row, index} = cellUnder(image, event);
  const part = index / 254, layer = image.dataset.layers.split(' ')[row];
  const value = log === '1' ? low * (high / low) ** part : Number(low) + part * (high - low);
  tip.innerHTML = `<b>${escaped(image.alt)}</b>${layer ? ' of layer ' + escaped(layer) : ''}, step ` +
    `${steps.split(' ')[column]}: ${index === undefined ? 'missing' : 'about ' + shortNumber(value, 3)}`;
  place(event);
}

// --- controls ---

const press = (button, on) => button.setAttribute('aria-pressed', on);
const axes = [...document.querySelectorAll('[data-axis]')];
for (const button of axes) {
  if (button.dataset.axis === 'flop' && data.runs.every(r => r.flop === null)) button.disabled = true;
  button.onclick = () => {
    view.axis = button.dataset.axis;
    axes.forEach(b => press(b, b === button));
    for (const l of labels) {
      const unknown = view.axis === 'flop' && data.runs[l.dataset.run].flop === null;
      l.classList.toggle('unknown', unknown);
      l.title = unknown ? 'no FLOP known' : '';
    }
    drawAll();
  };
}
document.getElementById('logx').onclick = event => {
  view.log = !view.log;
  press(event.target, view.log);
  drawAll();
};

const labels = [...document.querySelectorAll('.legend label')];
function update() {
  view.hidden.clear();
  for (const l of labels) {
    const run = Number(l.dataset.run), off = !l.querySelector('input').checked;
    l.classList.toggle('off', off);
    if (off) view.hidden.add(run);
  }
  for (const d of document.querySelectorAll('details.run'))
    d.hidden = !d.classList.contains('one') && view.hidden.has(Number(d.dataset.run));
  drawAll();
}
for (const l of labels) l.querySelector('input').onchange = update;
for (const [id, on] of [['all', true], ['none', false]]) {
  const button = document.getElementById(id);
  if (button) button.onclick = () => {
    labels.forEach(l => { l.querySelector('input').checked = on; });
    update();
  };
}

for (const part of document.querySelectorAll('.legend label,.runs tbody tr')) {
  part.addEventListener('pointerenter', () => emphasise(Number(part.dataset.run)));
  part.addEventListener('pointerleave', () => emphasise(null));
}

// a click on the heading of a column sorts the runs by its values
const body = document.querySelector('.runs tbody');
for (const heading of document.querySelectorAll('.runs th[data-column]'))
  heading.onclick = () => {
    const column = Number(heading.dataset.column), down = heading.getAttribute('aria-sort') === 'ascending';
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)], numbers = x !== '' && y !== '' && !isNaN(x) && !isNaN(y);
      if (x === '' || y === '') return (x === '') - (y === '');  // unknown: last
      return (down ? -1 : 1) * (numbers ? x - y : x.localeCompare(y));
    };
    document.querySelectorAll('.runs th[aria-sort]').forEach(h => h.removeAttribute('aria-sort'));
    heading.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    body.append(...[...body.rows].sort(order));
  };

// of many runs each part shows one, the same in all that have it
const selects = [];
for (const section of document.querySelectorAll('section')) {
  const parts = [...section.querySelectorAll(':scope > details.run')];
  if (parts.length <= 8) continue;
  const select = document.createElement('select');
  select.setAttribute('aria-label', 'run');
  for (const d of parts) {
    select.add(new Option(d.querySelector('summary').textContent, d.dataset.run));
    d.classList.add('one');
  }
  section.insertBefore(select, parts[0]);
  const choose = run => {
    if (!parts.some(d => d.dataset.run === run)) return;
    select.value = run;
    for (const d of parts) {
      d.classList.toggle('unchosen', d.dataset.run !== run);
      if (d.dataset.run === run) d.open = true;
    }
  };
  selects.push(choose);
  select.onchange = () => selects.forEach(other => other(select.value));
  choose(select.value);
}
for (const figure of figures) {
  const plot = figure.querySelector('.plot'), log = figure.querySelector('.log');
  log.onclick = () => {
    const chart = data.charts[figure.dataset.chart];
    chart.log = !chart.log;
    press(log, chart.log);
    draw(figure);
  };
  plot.addEventListener('pointermove', event => hover(figure, event));
  plot.addEventListener('pointerleave', () => leave(figure));
  onScreen.observe(figure);
  onSize.observe(plot);
}
for (const image of document.querySelectorAll('.cells img')) {
  image.addEventListener('pointermove', event => showCell(image, event));
  image.addEventListener('pointerleave', () => { tip.hidden = true; });
}
)JS";

}  // namespace tern
