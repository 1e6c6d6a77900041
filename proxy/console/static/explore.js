// Makes the chart over time one that can be pointed at. Without it there is the server's drawing.
import { chartOf } from "./chart.js";

for (const figure of document.querySelectorAll("figure[data-chart]")) {
  chartOf(figure)(JSON.parse(figure.dataset.chart));
}
