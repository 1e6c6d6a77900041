// A chart that can be pointed at. What it says was written by the server (proxy/console/pointing.py); it draws by the numbers.
import { html, nothing, render } from "./vendor/lit-html.js";

const COLOURS = 8;
const TALL = 260, LOW = 200, NARROW = 560; // pixels; a narrow chart is a low one
const OWN = { all: "ink", others: "edge" }; // colours of lines that are no value's
const LABEL_WIDTH = 14; // pixels between labels of the axis, at least
const CHARACTER = 7; // pixels, about
const HOURS = [1, 2, 3, 4, 6, 8, 12, 24, 48, 72, 120, 168, 240]; // from one label to the next
const ANY = 4; // pixels that are no stretch yet, but a hand that shook
const BANDS = 2; // lines that are drawn with their bands at a time: more of them cover each other
const dark = matchMedia("(prefers-color-scheme: dark)");
const axis = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 10 });

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const ink = () => colour("ink");
const UNSEEN = { stroke: "transparent", width: 0, points: { show: false } }; // what has no outline of its own
const bar = (part, most = 90) => ({ ...UNSEEN, paths: uPlot.paths.bars({ size: [part, most] }) });

// Where a value has none beside it that a line could lead to.
const alone = (values) =>
  values.flatMap((each, i) => (each !== null && [values[i - 1], values[i + 1]].every((other) => other == null) ? [i] : []));

function addressOf({ address, finer, finer_most, starts, ends }, first, last) {
  const goal = new URL(finer !== null && last - first < finer_most ? finer : address, location.href);
  goal.searchParams.set("from", starts[first]);
  goal.searchParams.set("to", ends[last]);
  return goal.href;
}

// Gives what shows a chart in a figure, in place of what the server has drawn there. It may be shown anew as time goes on.
export function chartOf(figure) {
  const plot = document.createElement("div"), words = document.createElement("div");
  plot.className = "plot";
  words.className = "pointed";
  const switched = new Map(), colours = new Map(); // by the keys of lines
  let told = null, shape = "", drawn = null, at = null, since = null;

  const on = (line) => switched.get(line.key) ?? !line.off;
  const shown = () => told.lines.filter((line) => !line.mute && on(line));

  function paint() {
    const there = new Set(told.lines.map((line) => line.key));
    for (const key of colours.keys()) if (!there.has(key)) colours.delete(key);
    for (const { key, mute } of told.lines) {
      if (mute || OWN[key] || colours.has(key)) continue;
      const taken = new Set(colours.values());
      const free = [...Array(COLOURS).keys()].find((each) => !taken.has(each));
      colours.set(key, free ?? colours.size % COLOURS);
    }
  }
  const painted = ({ key }) => (told.kind === "bars" ? "accent" : (OWN[key] ?? `line-${colours.get(key)}`));

  const banded = (line, among) => among.length <= BANDS && line.low?.length > 0;

  // How uPlot draws what `values` gives: each line, and where there is a band and room for it, both its ends. Colours are
  // asked for with each drawing: another line may have come in the place of one.
  function layers() {
    const lines = shown(), series = [{}], bands = [], bars = told.kind === "bars";
    lines.forEach((line, n) => {
      const fill = () => colour(painted(shown()[n] ?? line)); // fewer are shown when uPlot draws what it was about to
      if (told.kind === "stack") {
        series.splice(1, 0, { ...bar(0.86), fill }); // the highest first: those below are drawn over it
        return;
      }
      series.push(
        bars
          ? { ...bar(0.75), fill }
          : { stroke: fill, width: 2, points: { size: 6, fill, filter: (u, i, all) => (all ? null : alone(u.data[i])) } },
      );
      if (!banded(line, lines)) return;
      const end = bars ? { ...bar(0.1, 2), fill: ink } : UNSEEN;
      series.push(end, bars ? bar(0.1, 2) : UNSEEN);
      bands.push({ series: [series.length - 2, series.length - 1], fill: bars ? ink : () => `${fill()}24` });
    });
    return { series, bands };
  }
  function values() {
    const lines = shown(), times = told.times.map((_, i) => i);
    if (told.kind !== "stack")
      return [times, ...lines.flatMap((line) => [line.values, ...(banded(line, lines) ? [line.high, line.low] : [])])];
    let under = times.map(() => 0);
    const stacked = lines.map((line) => (under = under.map((below, i) => below + (line.values[i] ?? 0))));
    return [times, ...stacked.reverse()];
  }

  const size = () => ({ width: plot.clientWidth, height: plot.clientWidth < NARROW ? LOW : TALL });

  function build() {
    drawn?.destroy();
    const pointed = at;
    const { series, bands } = layers(), soft = colour("soft"), line = colour("line");
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const count = told.times.length, labels = told.labels.map((label) => label?.split("\n"));
    const labelled = labels.flatMap((label, i) => (label ? [i] : []));
    const widest = Math.max(...labels.flat().map((each) => each?.length ?? 0)) * CHARACTER + LABEL_WIDTH;
    const rows = Math.max(...labels.map((label) => label?.length ?? 0));
    drawn = new uPlot(
      {
        ...size(),
        series,
        bands,
        legend: { show: false },
        padding: [26, 8, 0, 0],
        scales: {
          x: { time: false, range: () => [-0.5, count - 0.5] },
          y: { range: (_, least, most) => [0, most > 0 ? most * 1.06 : 1] },
        },
        axes: [
          {
            font, stroke: soft, gap: 6, size: 12 + 16 * rows, grid: { show: false }, ticks: { show: false },
            splits: (u) => {
              const every = Math.max(1, Math.ceil((widest * count) / Math.max(1, u.bbox.width / devicePixelRatio)));
              const round = rows > 1 ? (HOURS.find((each) => each >= every) ?? every) : every;
              return labelled.length < count ? labelled : labelled.filter((i) => i % round === 0);
            },
            // A day stands under the first of its hours alone.
            values: (_, places) => places.map((i, n) => {
              const [label, day] = labels[i];
              return day === undefined || day === labels[places[n - 1]]?.[1] ? label : `${label}\n${day}`;
            }),
          },
          {
            font, stroke: soft, gap: 8, space: 44, grid: { stroke: line, width: 1 }, ticks: { show: false },
            values: (_, places) => places.map((each) => axis.format(each)),
            size: (_, texts) => 12 + CHARACTER * Math.max(4, ...(texts ?? []).map((each) => each.length)),
          },
        ],
        cursor: {
          y: false,
          drag: { x: told.zoom !== null, y: false, setScale: false },
          points: { show: told.kind === "lines", size: 8, width: 0 },
        },
        hooks: {
          ready: [() => pointed !== null && place(pointed)], // before that nothing has its place
          setCursor: [(u) => point(u.cursor.left < 0 ? null : u.cursor.idx)],
          setSelect: [chosen],
          draw: [unit],
        },
      },
      values(),
      plot,
    );
  }

  function unit(u) {
    u.ctx.save();
    u.ctx.font = `${12 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
    u.ctx.fillStyle = colour("soft");
    u.ctx.textAlign = "left";
    u.ctx.textBaseline = "top";
    u.ctx.fillText(told.unit, 2 * devicePixelRatio, 2 * devicePixelRatio);
    u.ctx.restore();
  }

  function chosen(u) {
    const { left, width } = u.select;
    if (width < ANY || since !== null) return;
    const [first, last] = [left, left + width].map((each) => Math.round(u.posToVal(each, "x")));
    enter(Math.max(0, first), Math.min(told.times.length - 1, last));
  }
  const enter = (first, last) => location.assign(addressOf(told.zoom, first, last));

  function point(index) {
    if ((index ?? null) === at) return; // uPlot tells it with every drawing
    at = index ?? null;
    say();
  }
  // Moves the line there, as a hand would; that points.
  const place = (index) => drawn.setCursor({ left: drawn.valToPos(index, "x"), top: drawn.over.clientHeight / 2 });

  function stretch() {
    if (since === null) return drawn.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    const [first, last] = [Math.min(since, at), Math.max(since, at)];
    const left = drawn.valToPos(first - 0.5, "x");
    drawn.setSelect({ left, width: drawn.valToPos(last + 0.5, "x") - left, top: 0, height: drawn.over.clientHeight }, false);
  }

  function key(event) {
    const last = told.times.length - 1;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -7, PageDown: 7, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      const from = at ?? (steps[event.key] < 0 ? last + 1 : -1);
      since = event.shiftKey && told.zoom ? (since ?? at) : null;
      place(Math.min(last, Math.max(0, from + steps[event.key])));
      stretch();
    } else if (event.key === "Enter" && told.zoom && at !== null) {
      enter(Math.min(since ?? at, at), Math.max(since ?? at, at));
    } else if (event.key === "Escape" && since !== null) {
      since = null;
      stretch();
    } else if (event.key === "Escape" && at !== null) {
      drawn.setCursor({ left: -10, top: -10 });
    } else if (event.key === "Escape") {
      plot.blur();
    } else return;
    event.preventDefault();
  }

  function turn(keys, to) {
    for (const each of keys) switched.set(each, to);
    build();
    say();
  }

  const nameOf = ({ name }) => name ?? html`<i class="none">none</i>`;
  // A stack shows who has most; each one's own course, from 0 to the most it has, is seen in a line of its own.
  function course({ values }) {
    const peak = Math.max(...values) || 1;
    const points = values.map((value, i) => `${i},${(20 - (18 * (value ?? 0)) / peak).toFixed(1)}`).join(" ");
    return html`<td class="course"><svg viewBox="0 0 ${values.length - 1} 21" preserveAspectRatio="none" aria-hidden="true">
      <polyline vector-effect="non-scaling-stroke" points=${points}></polyline></svg></td>`;
  }
  function row(line) {
    const [text, band, beside] = at === null ? line.whole : (line.said[at] ?? ["no calls", "", ""]);
    const alone = told.lines.length === 1;
    const head = line.mute || alone
      ? nameOf(line)
      : html`<button type="button" aria-pressed=${on(line)} title=${line.name ?? "none"} @click=${() => turn([line.key], !on(line))}>
          <i class="swatch ${painted(line)}"></i>${nameOf(line)}</button>`;
    const said = told.lines.some((each) => each.low?.length) ? html`<td class="soft">${band}</td>` : nothing;
    const drawn = told.kind === "stack" ? course(line) : nothing;
    return html`<tr><th scope="row">${head}</th>${drawn}<td>${text}</td>${said}<td class="soft">${beside}</td></tr>`;
  }
  function say() {
    const time = at === null ? told.whole : told.times[at];
    const switches = told.lines.filter((line) => !line.mute), off = switches.filter((line) => !on(line));
    const all = off.length > 0;
    render(
      html`<table><caption>${time}</caption><tbody>${told.lines.map(row)}</tbody></table>
        <p class="soft">${told.lines.length > 2
          ? html`<button type="button" @click=${() => turn(switches.map((line) => line.key), all)}>${all ? "All on" : "All off"}</button> · `
          : nothing}${told.note} Point at a time, or ← →.${told.zoom ? " Drag, or Shift ← → and Enter, to zoom in." : nothing}</p>`,
      words,
    );
    plot.setAttribute("aria-valuenow", at ?? told.times.length - 1);
    plot.setAttribute("aria-valuetext", at === null ? `all of ${time}` : `${time}: ${shown().map((line) =>
      `${line.name ?? "none"} ${(line.said[at] ?? ["no calls"]).filter(Boolean).join(", ")}`).join("; ")}`);
  }

  function begin() {
    figure.removeAttribute("tabindex"); // nothing is left to be pushed along
    figure.prepend(plot, words);
    figure.classList.add("charted", told.kind);
    figure.hidden = false;
    plot.tabIndex = 0;
    plot.setAttribute("role", "slider");
    plot.setAttribute("aria-label", `${told.title}: the time pointed at`);
    plot.setAttribute("aria-valuemin", 0);
    plot.addEventListener("keydown", key);
    new ResizeObserver(() => {
      const { width, height } = size();
      if (drawn === null || width === 0 || (drawn.width === width && drawn.height === height)) return;
      const pointed = at;
      drawn.setSize({ width, height });
      if (pointed !== null) queueMicrotask(() => place(pointed)); // after uPlot's own, which measures anew
    }).observe(plot);
    dark.addEventListener("change", build);
  }

  return function show(chart) {
    if (globalThis.uPlot === undefined) return; // it did not come: the server's drawing stays
    const first = told === null;
    told = { zoom: null, ...chart };
    if (first) begin();
    paint();
    plot.setAttribute("aria-valuemax", told.times.length - 1);
    const now = JSON.stringify([told.kind, told.unit, told.times.length, shown().map((line) => line.low?.length > 0)]);
    say(); // before it is measured: the words take room
    if (now === shape) drawn.setData(values());
    else build();
    shape = now;
  };
}
