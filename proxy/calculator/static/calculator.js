// Keeps the page's figures up to the form. Without it the page is whole, and the button asks anew.
"use strict";

(() => {
  const estimator = estimatorOf(JSON.parse(document.getElementById("facts").textContent));
  const wordsFor = wordsOf(estimator);
  const { facts } = estimator;
  const form = document.getElementById("asked"), served = document.body.dataset.mode === "served";
  const status = document.getElementById("status"), audit = document.getElementById("audit");
  const field = (name) => form.elements.namedItem(name);
  const WHOLE = ["input", "cached", "output", "calls"], NUMBERS = ["batch", "grams", "pue"], NAMES = ["provider", "gpu", "precision", "zone"];
  const FIELDS = ["model", "provider", ...WHOLE, "gpu", "n_gpus", "precision", "batch", "draft", "pue", "zone", "grams"];
  const SLIDER = 1000; // steps
  // Where a slider's upper end is, and whether its steps are of ratios; `open` ones begin with "not known".
  const SLIDERS = {
    input: { most: 1e6, ratios: true }, output: { most: 1e5, ratios: true }, calls: { most: 1e9, ratios: true },
    cached: { most: null }, batch: { most: 1024, ratios: true, open: true }, pue: { least: 1, most: 2, open: true },
    grams: { most: 1000, open: true },
  };

  // The form and the address
  function optionFor(name, value) {
    const select = field(name);
    if (![...select.options].some((option) => option.value === value)) select.add(new Option(value, value), 1);
    select.value = value;
  }
  function fill(query) {
    for (const name of FIELDS) {
      const value = query.get(name);
      if (value === null || value === "") continue;
      if (["model", "provider", "n_gpus", "draft"].includes(name)) optionFor(name, value);
      else field(name).value = value;
    }
    if (query.has("audit")) audit.open = true;
  }
  function asked() {
    const found = { model: field("model").value };
    for (const name of NAMES) found[name] = field(name).value || null;
    for (const name of ["n_gpus", "draft"]) found[name] = Number(field(name).value) || null;
    for (const name of WHOLE) found[name] = whole(name);
    for (const name of NUMBERS) found[name] = field(name).value === "" ? null : Number(field(name).value);
    return found;
  }
  function whole(name) {
    const value = Number(field(name).value);
    if (!Number.isInteger(value)) return null;
    return value;
  }
  function query() {
    const found = new URLSearchParams();
    for (const name of FIELDS) if (field(name).value !== "") found.set(name, field(name).value);
    if (audit.open) found.set("audit", "1");
    return found.toString();
  }
  let later = 0;
  function remember() {
    clearTimeout(later);
    later = setTimeout(() => history.replaceState(null, "", (served ? "?" : "#") + query()), 250);
  }

  // What cannot be, in words
  function problem(call) {
    for (const name of [...WHOLE, ...NUMBERS]) {
      const input = field(name), title = form.querySelector(`label[for=${name}]`).textContent;
      if (!input.checkValidity() || call[name] === undefined || (WHOLE.includes(name) && call[name] === null)) {
        return `${title}: ${input.validationMessage || "a whole number is needed"}`;
      }
    }
    if (call.cached > call.input) return "More tokens from a cache than there are input tokens.";
    return "";
  }

  // The page
  const texts = [...document.querySelectorAll("[data-text]")], bars = [...document.querySelectorAll("[data-bar]")];
  const lists = [...document.querySelectorAll("[data-list]")];
  function draw(said) {
    for (const each of texts) {
      const text = said.texts[each.dataset.text];
      if (each.textContent !== text) each.textContent = text;
    }
    for (const each of bars) {
      const [start, length] = said.bars[each.dataset.bar];
      each.setAttribute("x", start.toFixed(2));
      each.setAttribute("width", length.toFixed(2));
    }
    for (const each of lists) {
      each.replaceChildren(...said.lists[each.dataset.list].map((sentence) => {
        const item = document.createElement("li");
        item.textContent = sentence;
        return item;
      }));
    }
  }
  let spoken = 0, waiting = false;
  function update() {
    waiting = false;
    const call = asked(), wrong = problem(call);
    status.classList.toggle("said", wrong !== "");
    if (wrong) {
      status.textContent = wrong;
      return;
    }
    sellers(call.model);
    slide();
    const said = wordsFor(call);
    draw(said);
    remember();
    clearTimeout(spoken);
    spoken = setTimeout(() => {
      const { texts: t } = said;
      status.textContent = `Energy ${t["call.joules"]}, CO₂e ${t["call.grams_co2e"]}, water ${t["call.liters"]}, ${t["call.cost_usd"]}`;
    }, 600);
  }
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(update);
  }

  // Sellers: those with a price for the model first
  let sellersOf = null;
  function sellers(model) {
    if (sellersOf === model) return;
    sellersOf = model;
    const select = field("provider"), chosen = select.value, [unstated, ...rest] = [...select.querySelectorAll("option")];
    const priced = document.createElement("optgroup"), others = document.createElement("optgroup");
    const { named } = estimator.termsOf({ model, provider: null });
    priced.label = "with a price for it";
    others.label = "others";
    for (const option of rest.sort((one, other) => (one.value < other.value ? -1 : 1))) {
      (Object.hasOwn(facts.prices[named] ?? {}, option.value) ? priced : others).append(option);
    }
    select.replaceChildren(unstated, ...[priced, others].filter((group) => group.children.length));
    select.value = chosen;
  }

  // Sliders
  function scaleOf(name) {
    const slider = SLIDERS[name];
    return slider.most === null ? { ...slider, most: Math.max(1, Number(field("input").value)) } : slider;
  }
  function valueAt(name, position) {
    const { least = 0, most, ratios, open } = scaleOf(name);
    if (position <= 0) return open ? "" : "0";
    if (!ratios) return String(Number((least + ((most - least) * position) / SLIDER).toPrecision(3)));
    return String(Number((most ** (position / SLIDER)).toPrecision(2)));
  }
  function positionOf(name) {
    const text = field(name).value, { least = 0, most, ratios } = scaleOf(name);
    if (text === "" || Number(text) <= 0) return 0;
    if (!ratios) return Math.max(1, ((Number(text) - least) / (most - least)) * SLIDER);
    return Math.max(1, (Math.log(Math.max(1, Number(text))) / Math.log(most)) * SLIDER);
  }
  let sliding = null;
  function slide() {
    for (const slider of form.querySelectorAll("input[type=range]")) {
      const name = slider.dataset.for, text = field(name).value;
      if (slider !== sliding) slider.value = positionOf(name);
      slider.setAttribute("aria-valuetext", text === "" ? field(name).placeholder : text);
    }
  }
  for (const slider of form.querySelectorAll("input[type=range]")) {
    slider.addEventListener("input", () => {
      const name = slider.dataset.for;
      sliding = slider;
      let value = valueAt(name, Number(slider.value));
      if (WHOLE.includes(name) && value !== "") value = String(Math.round(Number(value)));
      if (name === "cached") value = String(Math.min(Number(value), Number(field("input").value)));
      field(name).value = value;
      if (name === "input" && Number(field("cached").value) > Number(value)) field("cached").value = value;
      soon();
    });
    slider.addEventListener("change", () => { sliding = null; });
  }

  // One's own traffic, where the page is served beside a ledger
  const traffic = document.getElementById("traffic"), note = document.getElementById("traffic-note");
  let means = [];
  async function load() {
    const reply = await fetch("/api/traffic").catch(() => null);
    if (!reply?.ok) {
      note.textContent = "The ledger cannot be read at the moment.";
      return;
    }
    means = (await reply.json()).models;
    if (!means.length) note.textContent = "The ledger has no calls of the last 30 days.";
    means.forEach((each, i) => {
      const option = new Option(`${each.model ?? "unnamed"} at ${each.provider ?? "nobody"}`, String(i));
      option.disabled = each.reason !== null;
      if (each.reason !== null) option.text += `: ${each.reason}`;
      traffic.add(option);
    });
  }
  function take() {
    const mean = means[Number(traffic.value)];
    if (traffic.value === "" || !mean) return;
    optionFor("model", mean.card ?? mean.model);
    if (mean.provider === null) field("provider").value = "";
    else optionFor("provider", mean.provider);
    field("input").value = Math.round(mean.input_tokens);
    field("cached").value = Math.min(Math.round(mean.cached_input_tokens ?? 0), Math.round(mean.input_tokens));
    field("output").value = Math.round(mean.output_tokens ?? 0);
    field("calls").value = Math.max(1, Math.round(mean.calls_per_day));
    note.textContent = `The mean of ${mean.calls.toLocaleString("en")} calls` +
      (mean.cached_input_tokens === null ? "; whether tokens came from a cache is not known" : "");
    soon();
  }

  for (const each of document.querySelectorAll("[data-script]")) each.hidden = false;
  form.querySelector(".actions > button:not([type])").hidden = true;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => event.target.type !== "range" && event.target !== traffic && soon());
  audit.addEventListener("toggle", remember);
  document.getElementById("copy").addEventListener("click", async (event) => {
    history.replaceState(null, "", (served ? "?" : "#") + query());
    await navigator.clipboard.writeText(location.href).then(
      () => { event.target.textContent = "Copied"; },
      () => { event.target.textContent = "The address bar has it"; },
    );
  });
  if (!served) {
    fill(new URLSearchParams(location.hash.slice(1)));
    document.getElementById("anew").addEventListener("click", (event) => {
      event.preventDefault();
      form.reset();
      sellersOf = null;
      soon();
    });
  }
  for (const button of form.querySelectorAll("button[data-grams]")) {
    button.addEventListener("click", () => {
      field("zone").value = button.dataset.zone;
      field("grams").value = button.dataset.grams;
      soon();
    });
  }
  if (traffic) {
    traffic.addEventListener("change", take);
    load();
  }
  update();
})();
