#include "apps/report/html.h"

namespace tern {

// Draws the charts again, over another axis or at another width, as chart.cpp and axis.cpp do. The
// page has all its parts without it.
const char* const kChartScript = R"JS('use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const figures = [...document.querySelectorAll('figure.chart')];
const view = {axis: 'tokens', log: false, hidden: new Set()};
document.documentElement.classList.add('scripted');

const escaped = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const decades = x => Math.floor(Math.log10(x) + 1e-9);
const prefixes = [[1e24, 'Y'], [1e21, 'Z'], [1e18, 'E'], [1e15, 'P'], [1e12, 'T'], [1e9, 'G'],
  [1e6, 'M'], [1e3, 'k']];
const prefixFor = x => x >= 1e4 ? prefixes.find(p => x >= p[0]) : [1, ''];

function shortNumber(x, digits = 4) {
  const size = Math.abs(x);
  if (size === 0) return '0';
  if (size < 1e-3) {
    const e = decades(size);
    return Number((x / 10 ** e).toPrecision(digits)) + 'e' + e;
  }
  const [unit, name] = prefixFor(size);
  return Number((x / unit).toPrecision(digits)) + name;
}

// --- axes: as in axis.cpp ---

function label(x, step, largest) {
  if (Math.abs(x) < step * 1e-6) return '0';
  const places = s => Math.max(0, Math.min(12, -decades(s)));
  if (largest >= 1e27) return x.toExponential(0).replace('+', '');
  if (largest < 1e-2) {
    const e = decades(largest), unit = 10 ** e;
    return (x / unit).toFixed(places(step / unit)) + 'e' + e;
  }
  const [unit, name] = prefixFor(largest);
  return (x / unit).toFixed(places(step / unit)) + name;
}

function evenMarks(low, high, count) {
  const least = (high - low) / count, decade = 10 ** Math.floor(Math.log10(least));
  const step = decade * ([1, 2, 5].find(m => m * decade >= least * (1 - 1e-9)) || 10);
  const largest = Math.max(Math.abs(low), Math.abs(high)), marks = [];
  if (!(step > 0) || largest / step > 1e12) return marks;
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; ++n)
    marks.push([n * step, label(n * step, step, largest)]);
  return marks;
}

function marksOf(axis, count) {
  const {low, high} = axis;
  if (!axis.log || high / low < 7) return evenMarks(low, high, count);
  const range = Math.log10(high / low), stride = Math.max(1, Math.floor(range / count));
  const factors = range < 1.5 ? [1, 2, 5] : range * 2 <= count + 1 ? [1, 3] : [1], marks = [];
  for (let e = Math.floor(Math.log10(low)); 10 ** e <= high; e += stride)
    for (const m of factors) {
      const x = m * 10 ** e;
      if (x >= low * (1 - 1e-9) && x <= high * (1 + 1e-9)) marks.push([x, label(x, x, x)]);
    }
  return marks;
}

const share = (axis, x) => axis.log ? Math.log(x / axis.low) / Math.log(axis.high / axis.low)
                                    : (x - axis.low) / (axis.high - axis.low);

// --- curves ---

// the x value of a run's step; NaN where it is not known
function clock(run, step, axis) {
  if (axis === 'steps') return step;
  const values = axis === 'seconds' ? run.seconds : run.tokens, steps = run.steps;
  let a = 0, b = steps.length - 1;
  if (b < 0) return NaN;
  while (b - a > 1) {
    const middle = (a + b) >> 1;
    if (steps[middle] <= step) a = middle; else b = middle;
  }
  if (values[a] === null || values[b] === null) return NaN;
  const part = b > a ? Math.min(1, Math.max(0, (step - steps[a]) / (steps[b] - steps[a]))) : 0;
  const x = values[a] + part * (values[b] - values[a]);
  return axis === 'flop' ? (run.flop === null ? NaN : x * run.flop) : x;
}

// the points of a series over the present axis
function pointsOf(series) {
  if (series.axis !== view.axis) {
    series.axis = view.axis;
    const run = data.runs[series.run];
    series.points = [];
    series.steps.forEach((step, i) => {
      const x = clock(run, step, view.axis);
      if (!Number.isNaN(x)) series.points.push([x, series.values[i], step]);
    });
  }
  return series.points;
}

const shown = chart => chart.series.filter(s => !view.hidden.has(s.run));

function xAxis(chart) {
  let last = 0, first = Infinity;
  for (const s of shown(chart))
    for (const [x] of pointsOf(s)) {
      if (x > last) last = x;
      if (x > 0 && x < first) first = x;
    }
  if (!(last > 0)) last = 1;
  return view.log && first < last ? {low: first, high: last, log: true} : {low: 0, high: last};
}

function yAxis(chart) {
  const values = [];
  for (const s of shown(chart)) {
    const n = s.steps.length;
    const begin = chart.fit === 'fall' && n > 2 ? s.steps[n - 1] / 20 : -1;
    s.values.forEach((y, i) => {
      if (s.steps[i] >= begin && (y > 0 || !chart.log)) values.push(y);
    });
  }
  if (!values.length) return {low: chart.log ? 0.1 : 0, high: 1, log: chart.log};
  values.sort((a, b) => a - b);
  const out = chart.fit === 'fall' ? Math.floor(values.length / 300) : 0;
  let low = values[out];
  const high = values[values.length - 1 - out];
  if (chart.log) {
    const margin = Math.max((high / low) ** 0.05, 1.05);
    return {low: low / margin, high: high * margin, log: true};
  }
  if (chart.fit === 'zero' && low > 0) low = 0;
  let margin = 0.05 * (high - low);
  if (!(margin > 0)) margin = Math.max(0.05 * Math.abs(high), 1e-9);
  return {low: low === 0 ? 0 : low - margin, high: high + margin};
}

// {divisor, name} of the x axis
function xUnit(last) {
  if (view.axis !== 'seconds') return {size: 1, name: {flop: 'FLOP'}[view.axis] || view.axis};
  return last >= 7200 ? {size: 3600, name: 'hours'} : last >= 600 ? {size: 60, name: 'minutes'}
                                                                   : {size: 1, name: 'seconds'};
}

const dashes = ['', '7 3', '2 3', '9 3 2 3'];
function stroke(run) {
  const dash = dashes[Math.floor(run / 7) % 4];
  return `class="c${run % 7}"` + (dash && ` stroke-dasharray="${dash}"`);
}

function path(series, at, y) {
  const points = pointsOf(series), dots = series.mark === 'dots' || points.length === 1;
  let out = '';
  for (const [px, py] of points) {
    const [a, b] = at(px, py);
    if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
    if (dots) out += `M${a.toFixed(1)} ${b.toFixed(1)}h0`;
    else out += (out ? 'L' : 'M') + a.toFixed(1) + ' ' + b.toFixed(1);
  }
  return `<g class="${dots ? 'dots' : series.mark}" data-run="${series.run}"><path ${stroke(series.run)} d="${out}"/></g>`;
}

function draw(figure) {
  const number = Number(figure.dataset.chart), chart = data.charts[number];
  const plot = figure.querySelector('.plot'), width = Math.max(280, plot.clientWidth);
  const height = chart.wide ? Math.round(Math.min(420, Math.max(270, width * 0.38))) : 230;
  const left = 54, right = 14, top = 10, bottom = 40;
  const x = xAxis(chart), y = yAxis(chart), unit = xUnit(x.high);
  const axis = {low: x.low / unit.size, high: x.high / unit.size, log: x.log};
  const across = width - left - right, down = height - top - bottom;
  const atX = value => left + share(x, value) * across;
  const atY = value => top + (1 - Math.max(-20, Math.min(20, share(y, value)))) * down;
  const base = height - bottom, end = width - right;
  const yMarks = marksOf(y, Math.floor(height / 55)), xMarks = marksOf(axis, Math.floor(width / 95));
  let svg = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(chart.title)}">` +
    `<clipPath id="clip${number}"><rect x="${left}" y="${top - 4}" width="${across + 4}" ` +
    `height="${down + 5}"/></clipPath><g class="grid">`;
  for (const [v] of yMarks) svg += `<path d="M${left} ${atY(v).toFixed(1)}H${end}"/>`;
  svg += `</g><g class="axis"><path d="M${left} ${base}H${end}"/>`;
  for (const [v, text] of yMarks)
    svg += `<text x="${left - 7}" y="${(atY(v) + 4).toFixed(1)}" text-anchor="end">${text}</text>`;
  for (const [v, text] of xMarks) {
    const a = atX(v * unit.size).toFixed(1);
    svg += `<path d="M${a} ${base}v4"/><text x="${a}" y="${base + 17}" ` +
      `text-anchor="middle">${text}</text>`;
  }
  svg += `<text class="name" x="${end}" y="${height - 4}" text-anchor="end">${unit.name}</text></g>` +
    `<g clip-path="url(#clip${number})">`;
  const series = shown(chart);
  for (const mark of ['faint', 'line', 'dots'])
    for (const s of series) if (s.mark === mark) svg += path(s, (a, b) => [atX(a), atY(b)]);
  for (const e of chart.events) {
    const a = atX(clock(data.runs[e.run], e.step, view.axis));
    if (!view.hidden.has(e.run) && Number.isFinite(a))
      svg += `<g class="event"><path class="c${e.run % 7} fill" ` +
        `d="M${a.toFixed(1)} ${base - 9}l-5 9h10z"><title>${escaped(e.text)}</title></path></g>`;
  }
  const empty = series.some(s => pointsOf(s).length) ? '' :
    `<text x="${left + across / 2}" y="${top + down / 2}" text-anchor="middle">` +
    (view.axis === 'flop' ? 'no FLOP known' : 'nothing to show') + '</text>';
  plot.innerHTML = svg + `</g>${empty}<path class="hair" d="" hidden/></svg>`;
  figure.geometry = {left, top, base, width, across, x, unit, atY};
}

const drawn = new Set();  // figures that show the present state
const onScreen = new IntersectionObserver(entries => {
  for (const e of entries) {
    e.target.visible = e.isIntersecting;
    if (e.isIntersecting && !drawn.has(e.target)) { drawn.add(e.target); draw(e.target); }
  }
}, {rootMargin: '300px'});
const onSize = new ResizeObserver(entries => {
  for (const e of entries) {
    const f = e.target.parentElement;
    if (!f.geometry || f.geometry.width === Math.max(280, e.target.clientWidth)) continue;
    drawn.delete(f);
    if (f.visible) { drawn.add(f); draw(f); }
  }
});
function drawAll() {
  drawn.clear();
  for (const f of figures) if (f.visible) { drawn.add(f); draw(f); }
}
)JS";

}  // namespace tern
