// An estimate as texts and bars by their key, as words.py beside this folder makes them.
"use strict";

function wordsOf(estimator) {
  const { facts, reckon, summed, audited, onGrid } = estimator;
  const UNKNOWN = "unknown";
  const DAYS = 365, JOULES_PER_WH = 3600, LEAST = 2, MOST = 3;
  const TONNE = 1e6, CUBIC_METER = 1e3;
  const PREFIXES = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"]];
  const { quantities, names, tiers, scopes, fitted, followed, year, stated } = facts.words, { small, clean, draft } = facts.levers;

  function scaled(peak, unit) {
    if (unit === "g" && peak >= TONNE) {
      const [size, named] = scaled(peak / TONNE, "t");
      return [size * TONNE, named];
    }
    if (unit === "L" && peak >= CUBIC_METER) return [CUBIC_METER, "m³"];
    if (peak === 0) return [1, unit];
    const [size, prefix] = PREFIXES.find(([each]) => Math.abs(peak) >= each) ?? PREFIXES[PREFIXES.length - 1];
    return [size, prefix + unit];
  }
  const grouped = (text) => text.replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
  const power = (value) => Number(value.toExponential().split("e")[1]);
  function digits(value, significant = MOST) {
    if (value === 0) return "0";
    const rounded = Number(value.toPrecision(significant));
    return grouped(rounded.toFixed(Math.max(significant - 1 - power(rounded), 0)));
  }
  // How many digits a figure and its ends carry: the rule of proxy/reports/figures.py.
  function carried([low, mid, high]) {
    const deviation = Math.min(mid - low, high - mid);
    if (mid === 0 || !(deviation > 0)) return MOST;
    return Math.min(MOST, Math.max(LEAST, power(mid) - power(deviation) + 1));
  }
  const middle = (value, size = 1) => digits(value[1] / size, carried(value));
  function ends(value, size = 1) {
    const significant = carried(value);
    return `${digits(value[0] / size, significant)} to ${digits(value[2] / size, significant)}`;
  }
  function rounded(value, unit) {
    const [size, prefixed] = scaled(value[1], unit);
    return `${middle(value, size)} ${prefixed}`;
  }
  function banded(value, unit) {
    if (value[0] === value[2]) return "no band";
    const [size, prefixed] = scaled(value[2], unit);
    return `${ends(value, size)} ${prefixed}`;
  }
  function prefixed(value, unit) {
    const [size, named] = scaled(value, unit);
    return `${digits(value / size, 4)} ${named}`;
  }
  // Dollars are whole numbers of 10⁻¹⁸ or so; rounded half to even, as decimals are.
  function dollars(atoms) {
    if (atoms === null) return UNKNOWN;
    const decimals = BigInt(facts.atoms), one = 10n ** decimals;
    const places = atoms >= 100n * one ? 2n : atoms >= one ? 4n : 6n;
    const unit = 10n ** (decimals - places);
    if (atoms > 0n && atoms < unit) return `<$0.${"0".repeat(Number(places) - 1)}1`;
    let kept = atoms / unit;
    const left = atoms % unit;
    if (2n * left > unit || (2n * left === unit && kept % 2n === 1n)) kept += 1n;
    const text = String(kept).padStart(Number(places) + 1, "0");
    return `$${grouped(text.slice(0, -Number(places)))}.${text.slice(-Number(places))}`;
  }
  function tenths(shares) {
    const exact = shares.map((share) => 1000 * share), found = exact.map(Math.floor);
    const order = exact.map((_, i) => i).sort((i, j) => found[i] - exact[i] - (found[j] - exact[j]) || i - j);
    const left = 1000 - found.reduce((all, each) => all + each, 0);
    for (const i of order.slice(0, left)) found[i] += 1;
    return found;
  }

  function quantity(said, key, value, unit, why) {
    const known = value !== null && value[2] > 0;
    said.texts[key] = value === null ? UNKNOWN : rounded(value, unit);
    said.texts[`${key}.band`] = value === null ? why : banded(value, unit);
    const low = known ? (100 * value[0]) / value[2] : 0, mid = known ? (100 * value[1]) / value[2] : 0;
    said.bars[key] = [low, known ? 100 - low : 0];
    said.bars[`${key}.mid`] = [Math.min(mid, 99), known ? 1 : 0];
  }
  const each = (value, factor) => value.map((point) => point / factor);

  function levers(asked) {
    const half = Math.floor(asked.output / 2), cached = Math.max(asked.cached, Math.floor((asked.input * 9) / 10));
    return {
      output: [asked, { ...asked, output: half }],
      cache: [asked, { ...asked, cached }],
      batch: [{ ...asked, batch: 1 }, { ...asked, batch: 32 }],
      fp8: [{ ...asked, precision: "bfloat16" }, { ...asked, precision: "fp8" }],
      int4: [{ ...asked, precision: "bfloat16" }, { ...asked, precision: "int4" }],
      draft: [{ ...asked, draft: null }, { ...asked, draft }],
      grid: [{ ...asked, zone: facts.world, grams: null }, { ...asked, zone: clean, grams: null }],
      model: [asked, { ...asked, model: small }],
    };
  }

  const ours = (made) => facts.own !== null && facts.own.price_list !== null && made.sources.includes(facts.own.price_list);
  const plain = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : value);
  function configured(asked, made) {
    const { named, machine, zone } = made.terms, stated = Object.entries(machine);
    const parts = [
      ...(named === asked.model ? [] : [`${asked.model} is ${named}`]),
      ...(stated.length ? [`machine ${stated.map(([name, value]) => `${name} ${plain(value)}`).join(", ")}`] : []),
      ...(made.evidence === null ? [] : [`joules of ${made.evidence.source}`]),
      ...(made.tier === "unknown" && made.joules !== null ? ["the widest prior there is"] : []),
      ...(asked.zone === null && zone !== null ? [`zone ${zone}`] : []),
      ...(ours(made) ? [`prices ${facts.own.price_list}`] : []),
    ];
    return parts.length ? `Of your configuration: ${parts.join("; ")}.` : "";
  }

  function rooflined(made) {
    const { points, pue } = made.profile, { line } = points[Math.floor(points.length / 2)], { seconds, batch } = made.stages;
    const like = points.length > 1 ? "like " : "";
    const machine = `${like}${line.nGpus} × ${line.gpu.name}, ${line.precision.name}, batch ${digits(batch)}`;
    return {
      "how.basis": `A roofline of ${machine}, at work for ${prefixed(seconds, "s")}`,
      "how.pue": digits(pue),
      "how.embodied": `${digits(line.gpu.embodied_g_per_s)} g`,
    };
  }

  function words(asked) {
    const made = reckon(asked), said = { texts: {}, bars: {}, lists: {} }, { texts } = said;
    const why = (name) => made.reasons[name] ?? "";
    [texts.mark, texts.tier] = tiers[made.tier === "unknown" && made.joules !== null ? "widest" : made.tier];
    const perCall = made.evidence?.per_call ?? null;
    for (const [name, [, unit]] of Object.entries(quantities)) quantity(said, `call.${name}`, made[name], unit, why(name));
    texts["call.wh"] = made.joules === null ? "" : `${rounded(each(made.joules, JOULES_PER_WH), "Wh")}, `;
    texts["call.cost_usd"] = dollars(made.cost);
    texts["call.cost_usd.band"] = made.cost === null ? why("cost_usd") : `list price ${made.price.id}`;
    texts.own = configured(asked, made);
    if (ours(made)) texts["call.cost_usd.band"] = `price of your own ${made.price.id}`;

    const shares = facts.parts.map((_, i) => made.parts[i]?.share ?? 0);
    const known = shares.reduce((all, share) => all + share, 0) > 0, written = known ? tenths(shares) : [];
    texts["parts.sum"] = known ? `${(written.reduce((all, part) => all + part, 0) / 10).toFixed(1)} %` : UNKNOWN;
    let end = 0;
    shares.forEach((share, i) => {
      end += share;
      texts[`part.${i}`] = known ? `${(written[i] / 10).toFixed(1)} %` : UNKNOWN;
      said.bars[`part.${i}`] = [100 * (end - share), 100 * share];
    });

    const place = made.zone === null || made.joules === null ? null : facts.zones[made.zone];
    texts["grid.place"] = place === null ? UNKNOWN : place.name;
    texts["grid.place.factor"] = place === null ? UNKNOWN : `${digits(place.grams_per_kwh)} g/kWh`;
    const factors = { "place.grams": place?.grams_per_kwh, world: facts.zones[facts.world].grams_per_kwh, ...facts.audit.grids };
    for (const [name, perKwh] of Object.entries(factors)) {
      quantity(said, `grid.${name}`, made.joules === null ? null : onGrid(made.joules, perKwh), "g", why("joules"));
    }

    for (const [span, calls] of [["day", asked.calls], ["year", asked.calls * DAYS], ["user", DAYS]]) {
      for (const name of ["joules", "grams_co2e", "liters"]) {
        let many = made[name] === null ? null : summed(made[name], calls, perCall), unit = quantities[name][1];
        if (name === "joules" && many !== null) [many, unit] = [each(many, JOULES_PER_WH), "Wh"];
        quantity(said, `${span}.${name}`, many, unit, why(name));
      }
      texts[`${span}.cost_usd`] = dollars(made.cost === null ? null : made.cost * BigInt(calls));
    }

    for (const like of facts.likes) {
      const amount = like.of === "energy" ? made.joules : made.grams_co2e;
      const one = amount === null ? null : each(amount, like.joules_or_grams);
      const many = one === null ? null : summed(one, asked.calls, perCall);
      for (const [key, value] of [[`like.${like.id}`, one], [`like.${like.id}.day`, many]]) {
        texts[key] = value === null ? UNKNOWN : middle(value);
        texts[`${key}.band`] = value === null ? "" : ends(value);
      }
    }

    for (const [name, [before, after]] of Object.entries(levers(asked))) {
      let one = reckon(before), other = reckon(after);
      if ((one.evidence === null) !== (other.evidence === null)) [one, other] = [reckon(before, true), reckon(after, true)];
      for (const what of ["joules", "grams_co2e"]) {
        const ratio = one[what] !== null && other[what] !== null && one[what][1] > 0;
        texts[`lever.${name}.${what}`] = ratio ? `× ${digits(other[what][1] / one[what][1], 2)}` : UNKNOWN;
      }
      const paid = one.cost !== null && other.cost !== null && one.cost > 0n;
      texts[`lever.${name}.cost_usd`] = paid ? `× ${digits(Number(other.cost) / Number(one.cost), 2)}` : UNKNOWN;
    }

    const page = audited(asked);
    for (const name of ["flops", "joules", "grams_co2e"]) {
      const apart = page !== null && made[name] !== null && page[name] > 0;
      texts[`page.${name}`] = page === null ? UNKNOWN : prefixed(page[name], quantities[name][1]);
      texts[`page.${name}.apart`] = apart ? `× ${digits(made[name][1] / page[name], 2)}` : UNKNOWN;
    }

    for (const key of ["basis", "gpu", "servers", "pue", "per_kwh", "off_site", "on_site", "embodied"]) {
      texts[`how.${key}`] = UNKNOWN;
    }
    texts["how.grid"] = (asked.grams ?? null) === null ? year : stated;
    texts["how.rest"] = made.evidence === null ? fitted : followed;
    if (place !== null) {
      texts["how.gpu"] = rounded(made.gpu_joules, "J");
      texts["how.servers"] = rounded(made.it_joules, "J");
      texts["how.per_kwh"] = `${digits(asked.grams ?? place.grams_per_kwh)} g`;
      texts["how.on_site"] = `${digits(made.operator.liters_per_kwh[1])} L`;
      if (place.liters_per_kwh !== null) texts["how.off_site"] = `${digits(place.liters_per_kwh)} L`;
      if (made.profile !== null) Object.assign(texts, rooflined(made));
      else if (made.it_joules[1] > 0) texts["how.pue"] = digits(made.joules[1] / made.it_joules[1]);
    }
    if (made.evidence !== null) {
      const { kind, scope, source } = made.evidence;
      texts["how.basis"] = `${kind[0].toUpperCase()}${kind.slice(1)} ${scopes[scope]} (${source})`;
    }
    said.lists.assumptions = made.assumptions;
    const reasons = new Map();
    for (const [name, reason] of Object.entries(made.reasons)) {
      reasons.set(reason, [...(reasons.get(reason) ?? []), names[name] ?? name]);
    }
    said.lists.unknown = [...reasons].map(([reason, fields]) => `${fields.join(", ")}: ${reason}`);
    said.lists.sources = [...new Set(made.sources)].map((id) => facts.sources[id]).filter(Boolean);
    if (made.evidence !== null) said.lists.sources.unshift(made.evidence.source);
    return said;
  }
  return Object.assign(words, { rounded, banded });
}
