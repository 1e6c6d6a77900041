// Keeps the open page up to date. Without it the page is complete, only still.
import { chartOf } from "./chart.js";

const most = 50;
const table = document.getElementById("calls");
const source = new EventSource(document.body.dataset.live);

source.addEventListener("calls", (event) => {
  if (!table) return location.reload(); // the first call ever: draw the page with its tables
  const drawn = document.createElement("template");
  drawn.innerHTML = event.data; // escaped by the server
  for (const row of [...drawn.content.children].reverse()) {
    if (document.getElementById(row.id)) continue;
    row.classList.add("new");
    table.prepend(row);
  }
  while (table.children.length > most) table.lastElementChild.remove();
});
const rates = document.getElementById("rates"), show = chartOf(rates);
function chart() {
  const told = document.querySelector("#pulse [data-chart]");
  rates.hidden = told === null;
  if (told !== null) show(JSON.parse(told.dataset.chart));
}
for (const part of ["pulse", "today", "health"]) {
  source.addEventListener(part, (event) => {
    document.getElementById(part).innerHTML = event.data; // escaped by the server
    if (part === "pulse") chart();
  });
}
chart();
source.onopen = () => document.body.classList.add("live");
source.onerror = () => document.body.classList.remove("live");
