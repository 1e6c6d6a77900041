// Says that a report is being made, and what is wrong where it cannot be. Without it a link is a link.
"use strict";
const told = document.getElementById("making");

function say(words, wrong = false) {
  told.textContent = words;
  told.classList.toggle("bad", wrong);
}

async function keep(link) {
  const began = Date.now();
  const name = link.getAttribute("aria-label");
  const waiting = () => say(`Making ${name} … ${Math.round((Date.now() - began) / 1000)} s`);
  waiting();
  const clock = setInterval(waiting, 1000);
  try {
    const reply = await fetch(link.href, { headers: { accept: "application/json" } });
    if (!reply.ok) {
      const why = await reply.json().catch(() => ({}));
      return say(`${name}: ${why.error ? why.error.message : `the console answered ${reply.status}`}`, true);
    }
    const whole = await reply.blob();
    const saved = document.createElement("a");
    saved.href = URL.createObjectURL(whole);
    saved.download = /filename="([^"]+)"/.exec(reply.headers.get("content-disposition"))[1];
    saved.click();
    setTimeout(() => URL.revokeObjectURL(saved.href), 60000);
    say(`${saved.download}: ${Math.ceil(whole.size / 1000)} kB`);
  } catch {
    say(`${name}: the console does not answer. Try again.`, true);
  } finally {
    clearInterval(clock);
  }
}

document.querySelector("table.reports").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if ("kept" in link.dataset) {
    event.preventDefault();
    keep(link);
  } else {
    say(`Making ${link.getAttribute("aria-label")} …`);
  }
});
addEventListener("pageshow", () => say(""));
