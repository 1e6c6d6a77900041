// Keeps the open page up to date. Without it the page is complete, only still.
import { chartOf } from "./chart.js";
import { renew } from "./renew.js";

const most = 50;
const tinted = 5; // new rows at a time: with more of them, four times a second, all would be tinted all the time
const table = document.getElementById("calls");
const rates = document.getElementById("rates"), show = chartOf(rates);
let source = null;

function add({ data }) {
  if (!table) return location.reload(); // the first call ever: draw the page with its tables
  const drawn = document.createElement("template");
  drawn.innerHTML = data; // escaped by the server
  const rows = [...drawn.content.children].filter((row) => !document.getElementById(row.id));
  if (rows.length <= tinted) for (const row of rows) row.classList.add("new");
  table.prepend(...rows);
  while (table.children.length > most) table.lastElementChild.remove();
}
function chart() {
  const told = document.querySelector("#pulse [data-chart]");
  rates.hidden = told === null;
  if (told !== null) show(JSON.parse(told.dataset.chart));
}
// Nobody is sent what nobody sees. A new stream begins with what has come in meanwhile.
function listen() {
  source?.close();
  document.body.classList.remove("live");
  if (document.hidden) return;
  source = new EventSource(document.body.dataset.live);
  source.onopen = () => document.body.classList.add("live");
  source.onerror = () => document.body.classList.remove("live");
  source.addEventListener("calls", add);
  for (const part of ["pulse", "today", "health"]) {
    source.addEventListener(part, ({ data }) => {
      renew(document.getElementById(part), data);
      if (part === "pulse") chart();
    });
  }
}
document.addEventListener("visibilitychange", listen);
listen();
chart();
