// The estimator's formulas in the browser. Every number comes from `facts`, which Python writes (tables.py beside this
// folder); tests hold the results against the Python estimator. Names and order of operations are Python's, so that a
// reader finds each function again: closed.py, energy.py, profiles.py, chain.py, stated.py, flops.py, billing.py, uncertainty.py.
"use strict";

function estimatorOf(facts) {
  const { fit, bands, defaults, priors } = facts;
  const JOULES_PER_KWH = 3.6e6;
  const NINETY = facts.ninety;
  const samples = priors.samples;
  const strata = facts.strata.map((text) => text.match(/../g).map((pair) => parseInt(pair, 36)));
  const normal = (stratum) => (stratum < samples / 2 ? facts.normal[stratum] : -facts.normal[samples - 1 - stratum]);
  const between = (band, u) => band[0] + (band[1] - band[0]) * u;
  const own = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);

  function combined(...factors) {
    const down = Math.hypot(...factors.map(([low]) => Math.log(low)));
    const up = Math.hypot(...factors.map(([, high]) => Math.log(high)));
    return [Math.exp(-down), Math.exp(up)];
  }
  const around = (mid, [low, high]) => [mid * low, mid, mid * high];
  const times = (range, factor) => range.map((point) => point * factor);
  function widened([low, mid, high], [lowFactor, highFactor]) {
    if (low <= 0) return [low * lowFactor, mid, high * highFactor];
    const down = Math.hypot(Math.log(low / mid), Math.log(lowFactor));
    const up = Math.hypot(Math.log(high / mid), Math.log(highFactor));
    return [mid * Math.exp(-down), mid, mid * Math.exp(up)];
  }
  function roundHalfEven(value) {
    const floor = Math.floor(value);
    if (value - floor !== 0.5) return Math.round(value);
    return floor % 2 === 0 ? floor : floor + 1;
  }

  // Shapes: models.py
  function surrogate(total, active, kind) {
    const size = Math.log(active / 1e9);
    const count = Math.max(1, roundHalfEven(Math.exp(3.0108 + 0.3124 * size)));
    const width = Math.exp(7.6375 + 0.3552 * size);
    const experts = kind === "moe" && active < total ? 128 : 0;
    return {
      total_params: total, active_params: active, layers: count, heads: Math.max(1, roundHalfEven(width / 128)),
      kv_heads: 8, head_dim: 128, kv_elements: 2 * 8 * 128, hidden: null, ffn: null, vocab: 151936, experts,
      experts_active: experts ? Math.max(1, roundHalfEven((experts * active) / total)) : 0, full_layers: count,
      window_layers: 0, window: 0, state_bytes: 0, query_rank: 0, output_params: 0,
    };
  }
  const latentAttention = (shape) => shape.kv_elements !== 2 * shape.kv_heads * shape.head_dim;

  // The roofline: energy.py, deployments.py, novelty.py
  function gpusNeeded(total, precision, gpu) {
    const devices = Math.ceil((defaults.memory_headroom * total * precision.expert_bytes) / gpu.memory);
    return 2 ** Math.ceil(Math.log2(Math.max(1, devices)));
  }
  const within = (value, [low, high]) => low * 0.99 <= value && value <= high * 1.01;
  function traits(shape, gpu, precision, batch) {
    const seen = facts.seen;
    return [
      ["accelerator", !seen.accelerators.includes(gpu.name)],
      ["batch", !within(batch, seen.batch)],
      ["size", !within(shape.total_params, seen.total_params)],
      ["cache", shape.state_bytes > 0 || latentAttention(shape)],
      ["format", !seen.precisions.includes(precision.name)],
    ].filter(([, unlike]) => unlike).map(([name]) => name);
  }
  function widening(names) {
    const width = NINETY * Math.sqrt(names.reduce((sum, name) => sum + facts.unseen[name] ** 2, 0));
    return [Math.exp(-width), Math.exp(width)];
  }
  const reached = (bandwidth) => 1 / (1 / (bandwidth * fit.eta_mem) + 1 / fit.intake);

  function tokensPerStep(draft) {
    const { acceptance } = facts.drafting;
    return (1 - acceptance ** (draft + 1)) / (1 - acceptance);
  }
  function roofline(shape, gpu, nGpus, precision, given, known) {
    const { draft } = known;
    const moe = shape.experts > 0 && shape.experts_active < shape.experts;
    const share = moe ? shape.experts_active / shape.experts : 1;
    const expertParams = moe ? Math.min((shape.total_params - shape.active_params) / (1 - share), shape.total_params) : 0;
    const efficiency = moe ? fit.moe_efficiency : 1;
    const eightBit = precision.eight_bit;
    const peak = eightBit && gpu.fp8_flops ? gpu.fp8_flops : gpu.bf16_flops;
    const ranks = known.tensor_parallel ?? nGpus;
    const copies = latentAttention(shape) ? ranks : Math.max(1, ranks / shape.kv_heads);
    const perLayer = fit.tau_layer_s * (eightBit ? fit.fp8_overhead : 1) + (nGpus > 1 ? fit.tau_comm_s : 0);
    const full = Math.max(1, given);
    const dense = moe ? (shape.total_params - expertParams) * precision.dense_bytes : shape.total_params * precision.expert_bytes;
    const expertBytes = expertParams * precision.expert_bytes;
    const expertShare = 1 - share;
    const active2 = 2 * shape.active_params;
    const layers = shape.full_layers + shape.window_layers;
    const attention = 2 * shape.heads * shape.head_dim;
    const kv2 = (known.kv_bytes ?? defaults.kv_bytes) * shape.kv_elements * copies;
    const free = defaults.memory_share * nGpus * gpu.memory - dense - expertBytes;
    const bandwidth = nGpus * reached(gpu.bandwidth);
    const weightS = 1 / (bandwidth * efficiency);
    const kvS = 1 / bandwidth;
    const arithS = 1 / (nGpus * peak * fit.eta_comp * efficiency);
    const stepS = shape.layers * perLayer;
    const seqS = fit.tau_seq_s + fit.tau_seq_layer_s * shape.layers;
    const power = nGpus * gpu.tdp_w;
    const sPower = fit.s * power;
    const overheadPower = (fit.s_overhead - fit.s) * power;
    const arith = (fit.phi * gpu.tdp_w) / peak;
    const traffic = ((own(fit.beta_of, gpu.name) ?? fit.beta) * gpu.tdp_w) / gpu.bandwidth;
    const factor = own(fit.energy_factor, gpu.vendor) ?? 1;
    const attended = (context) => shape.full_layers * context + (shape.window_layers ? shape.window_layers * Math.min(context, shape.window) : 0);

    function limited(held) {
      const cache = kv2 * attended(held);
      return cache > 0 && full * cache > free ? Math.max(1, free / cache) : full;
    }
    function prefillFlops(nIn, nCached) {
      let pairs = layers * (nIn * nIn - nCached * nCached);
      if (fit.windowed_prefill && shape.window_layers > 0 && nIn > shape.window) {
        pairs -= shape.window_layers * (nIn - shape.window) ** 2;
        if (nCached > shape.window) pairs += shape.window_layers * (nCached - shape.window) ** 2;
      }
      return active2 * (nIn - nCached) + attention * pairs;
    }
    function capped(joules, seconds, tokens, batch) {
      const limit = power * seconds;
      if (joules <= 0 || limit <= 0) return { joules: 0, seconds: 0, batch };
      const held = joules * (1 + (joules / limit) ** fit.cap) ** (-1 / fit.cap);
      return { joules: held * tokens * factor, seconds: nGpus * seconds * tokens * factor, batch };
    }
    function decode(batch, kv, flops, tokens) {
      const weights = dense + (expertBytes ? expertBytes * (1 - expertShare ** (batch * tokens)) : 0);
      const memory = weights * weightS, arithmetic = batch * tokens * flops * arithS;
      const roof = fit.smooth_roof ? Math.hypot(memory, arithmetic) : Math.max(memory, arithmetic);
      const overhead = stepS / batch + seqS;
      const seconds = roof / batch + kv * kvS + overhead;
      const joules = sPower * seconds + overheadPower * overhead + arith * flops * tokens + traffic * (weights / batch + kv);
      return [seconds, joules];
    }
    function draw(nIn, nCached, nOut) {
      const prefill = prefillFlops(nIn, nCached);
      if (nOut <= 0) {
        const seconds = prefill * arithS;
        return capped(sPower * seconds + arith * prefill, seconds, 1, full);
      }
      const batch = limited(nIn + nOut);
      const at = attended(nIn + nOut / 2);
      const kv = kv2 * at + shape.state_bytes;
      const flops = active2 + 2 * attention * at;
      let [seconds, joules] = decode(batch, kv, flops, 1);
      if (draft !== null) {
        const [verifyS, verifyJ] = decode(batch, kv, flops, draft + 1), drafted = draft * facts.drafting.cost;
        seconds = (verifyS + drafted * seconds) / tokensPerStep(draft);
        joules = (verifyJ + drafted * joules) / tokensPerStep(draft);
      }
      const before = (prefill * arithS) / nOut;
      return capped(joules + sPower * before + (arith * prefill) / nOut, seconds + before, nOut, batch);
    }
    const unseen = traits(shape, gpu, precision, given);
    const band = combined(moe || precision.bits < 16 ? fit.sparse : fit.dense, widening(unseen));
    return { gpu, nGpus, precision, batch: full, fits: free > 0, unseen, band, draw };
  }

  // A closed model's three deployments: closed.py
  const likenessesKept = new Map();
  function likenesses(card, known) {
    const key = [card.id, ...MACHINE.map((name) => known[name]), known.draft].join("|");
    if (!likenessesKept.has(key)) {
      if (likenessesKept.size > 64) likenessesKept.clear();
      likenessesKept.set(key, drawnLikenesses(card, known));
    }
    return likenessesKept.get(key);
  }
  function drawnLikenesses(card, known) {
    const batchMedian = card.kind === "moe" ? defaults.batch_closed_moe : defaults.batch_closed_dense;
    const [activeLow, activeHigh] = card.active;
    const totalMiddle = Math.sqrt(card.total[0] * card.total[1]);
    const totalLow = Math.min(card.total[0], totalMiddle * priors.total_factor[0]);
    const totalHigh = Math.max(card.total[1], totalMiddle * priors.total_factor[1]);
    const together = activeHigh > priors.together_above * activeLow;
    const pueMiddle = (defaults.pue_band[0] + defaults.pue_band[1]) / 2;
    const drawn = [];
    for (let i = 0; i < samples; i++) {
      const stratum = strata.map((column) => column[i]);
      const [uActive, uTotal, , uGpu, uPrecision, uCount, uHost, uReserve, uPue] = stratum.map((each) => (each + 0.5) / samples);
      const active = activeLow * (activeHigh / activeLow) ** uActive;
      const anyTotal = totalLow * (totalHigh / totalLow) ** (together ? uActive : uTotal);
      const total = card.kind === "moe" ? Math.max(active, anyTotal) : active;
      const gpu = facts.gpus[known.gpu ?? picked(priors.gpus, uGpu)];
      const precision = facts.precisions[known.precision ?? (uPrecision < priors.fp8_share ? "fp8" : "bfloat16")];
      const nGpus = known.n_gpus ?? gpusNeeded(total, precision, gpu) * (uCount < 0.5 ? 2 : 1);
      const batch = known.batch ?? Math.max(1, batchMedian * Math.exp(priors.batch_sigma * normal(stratum[2])));
      const line = roofline(surrogate(total, active, card.kind), gpu, nGpus, precision, batch, known);
      const [low, high] = combined(line.band, gpu.band);
      drawn.push({
        line,
        residual: Math.exp(Math.log(low * high) / 2 + (Math.log(high / low) / (2 * NINETY)) * normal(stratum[9])),
        host: known.host_share ?? between(defaults.host_band, uHost),
        reserve: known.reserve ?? between(defaults.reserve_band, uReserve),
        pue: known.pue !== null ? 1 : between(defaults.pue_band, uPue) / pueMiddle,
        draws: facts.workloads.map((work) => line.draw(...work)),
      });
    }
    const gpuRows = drawn.map((each) => each.draws.map((draw) => draw.joules * each.residual));
    const itRows = drawn.map((each, i) =>
      each.draws.map((draw, j) => (gpuRows[i][j] + each.host * each.line.gpu.tdp_w * draw.seconds) * each.reserve));
    const facilityRows = drawn.map((each, i) => itRows[i].map((joules) => joules * each.pue));
    const plain = drawn.map((each) => each.draws.map((draw) => itJoules(draw, each.line.gpu, known)));
    return facts.quantiles.map((quantile) => {
      const goal = quantiles(facilityRows, quantile);
      let best = 0, least = Infinity;
      plain.forEach((row, i) => {
        const gap = misfit(row, goal);
        if (gap < least) [best, least] = [i, gap];
      });
      return {
        line: drawn[best].line,
        factors: [
          ratio(quantiles(gpuRows, quantile), drawn[best].draws.map((draw) => draw.joules)),
          ratio(quantiles(itRows, quantile), plain[best]),
          ratio(goal, plain[best]),
        ],
      };
    });
  }
  const itJoules = (draw, gpu, known) =>
    (draw.joules + (known.host_share ?? defaults.host_share) * gpu.tdp_w * draw.seconds) * (known.reserve ?? defaults.reserve);
  function picked(weighted, u) {
    let reachedShare = 0;
    for (const [name, weight] of weighted) {
      reachedShare += weight;
      if (u < reachedShare) return name;
    }
    return weighted[weighted.length - 1][0];
  }
  function quantiles(rows, q) {
    return rows[0].map((_, j) => {
      const ordered = Float64Array.from(rows, (row) => row[j]).sort();
      const place = q * (ordered.length - 1), below = Math.floor(place);
      const above = Math.min(below + 1, ordered.length - 1);
      return ordered[below] + (ordered[above] - ordered[below]) * (place - below);
    });
  }
  const logsOf = (ones, others) => ones.map((one, i) => Math.log(one / others[i]));
  const sum = (values) => values.reduce((all, each) => all + each, 0);
  const ratio = (goal, got) => Math.exp(sum(logsOf(goal, got)) / goal.length);
  function misfit(got, goal) {
    const logs = logsOf(got, goal), mean = sum(logs) / logs.length;
    return Math.max(Math.max(...logs) - mean, mean - Math.min(...logs)) + 0.1 * Math.abs(mean);
  }

  // A card on a deployment at a place: profiles.py
  const g = (value) => String(Number(value.toPrecision(6)));
  const MACHINE = [
    "gpu", "n_gpus", "precision", "batch", "tensor_parallel", "kv_bytes", "host_share", "reserve", "pue", "market_grams_per_kwh",
  ];

  // Whether a shell's pattern fits a text, as Python's fnmatchcase has it.
  const patterns = new Map();
  function fits(pattern, text) {
    if (!patterns.has(pattern)) patterns.set(pattern, expressionOf(pattern));
    return patterns.get(pattern)?.test(text) ?? false;
  }
  function expressionOf(pattern) {
    const literally = (part) => part.replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&");
    let source = "";
    for (let i = 0; i < pattern.length; i++) {
      const each = pattern[i];
      if (each === "*") source += ".*";
      else if (each === "?") source += ".";
      else if (each === "[") {
        const inside = i + 1 + (pattern[i + 1] === "!" ? 1 : 0), end = pattern.indexOf("]", inside + 1);
        if (end < 0) source += "\\[";
        else {
          const set = pattern.slice(inside, end).replace(/[\^\\[\]]/g, "\\$&");
          source += `[${inside > i + 1 ? "^" : ""}${set}]`;
          i = end;
        }
      } else source += literally(each);
    }
    try {
      return new RegExp(`^(?:${source})$`, "su");
    } catch { // a set that runs backwards has nothing in it
      return null;
    }
  }

  // What the operator's configuration says beside what is asked: own.py
  function termsOf(asked) {
    const lowered = asked.model.toLowerCase(), seller = asked.provider ?? "", ours = facts.own;
    const rows = ours === null ? {} : own(ours.aliases, lowered) ?? {};
    const [named, cardId] = own(rows, seller) ?? own(rows, "") ?? [asked.model, asked.model];
    const card = (cardId === null ? null : own(facts.models, cardId)) ?? null;
    const names = [lowered, named.toLowerCase(), ...(card === null ? [] : [card.id])];
    const holds = (row) => fits(row.provider, seller) && names.some((name) => fits(row.model, name));
    const machine = ours?.machines.find(holds)?.machine ?? {};
    const evidence = ours?.evidence.find(holds) ?? null;
    const zone = ours === null ? null : own(ours.zones, seller) ?? ours.zone;
    return { named, card, machine, evidence, zone };
  }
  const ofAnotherMachine = (asked) =>
    ["gpu", "n_gpus", "precision", "batch", "draft"].some((name) => isStated(asked[name]));
  function machineOf(asked, configured) {
    const known = { draft: asked.draft };
    for (const name of MACHINE) known[name] = asked[name] ?? configured[name] ?? null;
    if ((asked.n_gpus ?? null) !== null) known.tensor_parallel = null;
    return known;
  }
  const operatorOf = (provider) => facts.operators[own(facts.providers, provider ?? "")?.[0] ?? "generic"];

  function profile(card, known, provider, zone) {
    if (card.total === null || card.active === null) return null;
    const closed = card.weights === "closed";
    const host = provider ?? (closed ? facts.shops[card.maker] ?? card.maker : null);
    const [, hostZone, silicon] = own(facts.providers, host ?? "") ?? [null, null, null];
    const operator = operatorOf(host);
    const place = facts.zones[zone ?? hostZone ?? operator.zone];
    const pue = known.pue ?? operator.pue[1];
    const assumed = [];
    if (known.pue === null) assumed.push(`PUE ${g(pue)}, operator ${operator.operator} (${operator.source})`);
    if (zone === null) {
      const where = place.zone === "WOR" ? "the world's mean electricity" : `electricity of ${place.name}`;
      assumed.push(`${where}, where operator ${operator.operator} is assumed to run`);
    }
    const total = Math.sqrt(card.total[0] * card.total[1]), active = Math.sqrt(card.active[0] * card.active[1]);
    const shape = card.shape ?? surrogate(total, active, card.kind);
    if (!card.shape) assumed.push(`shape guessed from the parameter count: ${shape.layers} layers`);
    else if (!card.verified_by) assumed.push("shape typed from the public model card, not verified");
    const otherSilicon = known.gpu === null ? silicon : null;
    const siliconBand = otherSilicon ? bands.other_silicon : [1, 1];
    if (otherSilicon) assumed.push(`reckoned as if on GPUs, though it is known to run on ${otherSilicon}: wider band`);

    let tier, points, gpuBand, facilityBand;
    if (closed) {
      tier = card.source === "none" ? "unknown" : "closed_model";
      assumed.push(card.prior);
      points = likenesses(card, known);
      gpuBand = facilityBand = [1, 1];
    } else {
      const line = openRoofline(card, shape, known, assumed);
      points = [{ line, factors: [1, 1, 1] }];
      const stated = known.gpu !== null && known.n_gpus !== null && known.batch !== null;
      tier = stated && line.fits ? "deployment" : "open_model";
      const unlike = card.shape ? line.unseen : [...line.unseen, "shape"];
      const ownBand = combined(line.band, widening(unlike.slice(line.unseen.length)));
      gpuBand = combined(tier === "deployment" ? ownBand : bands.open_model, line.gpu.band, siliconBand);
      facilityBand = combined(gpuBand, bands.facility);
      if (!line.fits) assumed.push(`the weights do not fit ${line.nGpus} × ${line.gpu.name}: reckoned as if, one sequence at a time`);
      if (tier === "deployment" && unlike.length) assumed.push(`no measured row is like it in ${unlike.join(", ")}: wider band`);
      if (known.host_share === null) assumed.push(`host draws ${Math.round(defaults.host_share * 100)}% of the GPUs' TDP`);
      if (known.reserve === null) assumed.push(`idle reserve of ${Math.round((defaults.reserve - 1) * 100)}%`);
    }
    const [siteLow, siteMid, siteHigh] = operator.liters_per_kwh;
    let litersPerItJoule = null, siteBand = [1, 1];
    if (place.liters_per_kwh !== null) {
      const offSite = pue * place.liters_per_kwh;
      litersPerItJoule = (1 / JOULES_PER_KWH) * (siteMid + pue * place.liters_per_kwh);
      siteBand = [(siteLow + offSite) / (siteMid + offSite), (siteHigh + offSite) / (siteMid + offSite)];
      if (place.water_is_world) assumed.push("water of power plants: the world's mean, none of the zone's own");
    }
    return {
      card, shape, tier, points, known, operator, place, pue, gpuBand, facilityBand, siteBand, litersPerItJoule, assumed,
      siliconBand: closed ? siliconBand : [1, 1],
      activeBand: [card.active[0] / shape.active_params, card.active[1] / shape.active_params],
    };
  }
  function openRoofline(card, shape, known, assumed) {
    const gpu = facts.gpus[known.gpu ?? defaults.gpu];
    const precision = facts.precisions[known.precision ?? card.precision ?? "bfloat16"];
    const nGpus = known.n_gpus ?? gpusNeeded(shape.total_params, precision, gpu);
    const batch = known.batch ?? defaults.batch;
    if (known.gpu === null || known.n_gpus === null) {
      assumed.push(`${nGpus} × ${gpu.name}` + (known.precision ? "" : `, ${precision.name} weights`));
    }
    if (known.batch === null) assumed.push(`${g(batch)} sequences decoded together`);
    if (gpu.vendor !== "nvidia") {
      assumed.push(`${gpu.name}: the constants are of NVIDIA's devices, corrected where rows are known; wider band`);
    }
    if (gpu.tdp_assumed) assumed.push(`${gpu.name} draws up to ${g(gpu.tdp_w)} W: the maker does not say`);
    if (known.draft !== null) {
      const each = Number(tokensPerStep(known.draft).toPrecision(3));
      assumed.push(`speculative decoding: ${each} tokens a step; modelled, not validated`);
    }
    return roofline(shape, gpu, nGpus, precision, batch, known);
  }

  // FLOPs: flops.py
  function pairs(shape, tokens) {
    const square = tokens * tokens;
    const windowed = tokens > shape.window ? 2 * tokens * shape.window - shape.window ** 2 : square;
    return shape.full_layers * square + shape.window_layers * windowed;
  }
  function attentionFlops(shape, nIn, nCached, nOut) {
    const width = shape.heads * shape.head_dim, context = nIn + nOut / 2;
    const attended = shape.full_layers * context + shape.window_layers * Math.min(context, shape.window);
    return 2 * width * pairs(shape, nIn) - 2 * width * pairs(shape, nCached) + 4 * width * attended * nOut;
  }
  function flopsRange(made, nIn, nCached, nOut) {
    const tokens = nIn - nCached + nOut, { shape } = made;
    const matmul = 2 * shape.active_params * tokens;
    const mid = matmul + attentionFlops(shape, nIn, nCached, nOut);
    const [down, up] = made.activeBand;
    return [mid - matmul * (1 - down), mid, mid + matmul * (up - 1)];
  }
  function breakdown(shape, nIn, nCached, nOut) {
    const width = shape.heads * shape.head_dim, hidden = shape.hidden ?? width;
    const attending = shape.full_layers + shape.window_layers;
    let qkv;
    if (shape.query_rank) qkv = hidden * (shape.query_rank + shape.kv_elements) + shape.query_rank * width;
    else if (latentAttention(shape)) {
      const latent = (8 / 9) * shape.kv_elements, query = (8 / 3) * shape.kv_elements;
      qkv = hidden * (query + shape.kv_elements) + query * width * 1.5 + latent * 2 * width;
    } else qkv = hidden * (width + 2 * shape.kv_heads * shape.head_dim);
    let weights = {
      "QKV projections": attending * qkv,
      "output projection": attending * (shape.output_params || width * hidden),
      norm: (2 * shape.layers + 1) * hidden,
      unembedding: (shape.vocab ?? 0) * hidden,
    };
    const table = weights.unembedding;
    const rest = shape.active_params - sum(Object.values(weights));
    const knownFfn = 3 * shape.layers * hidden * (shape.ffn ?? 0) * Math.max(1, shape.experts_active);
    weights.embedding = table && shape.ffn && rest - knownFfn > table / 2 ? table : 0;
    weights.FFN = rest - weights.embedding;
    if (weights.FFN < 0) {
      const scale = shape.active_params / (shape.active_params - weights.FFN);
      weights = Object.fromEntries(Object.entries(weights).map(([name, value]) => [name, name === "FFN" ? 0 : scale * value]));
    }
    const tokens = nIn - nCached + nOut;
    const counted = Object.fromEntries(Object.entries(weights).map(([name, value]) => [name, 2 * value * tokens]));
    counted.attention = attentionFlops(shape, nIn, nCached, nOut);
    const total = sum(Object.values(counted));
    return facts.parts.map((name) => ({ name, share: total ? counted[name] / total : 0 }));
  }

  // One call: chain.py
  function stagesAt(point, { known, pue }, tokens) {
    const drawn = point.line.draw(...tokens);
    const [onGpu, onIt, onFacility] = point.factors;
    const plain = itJoules(drawn, point.line.gpu, known);
    return {
      gpu: drawn.joules * onGpu, servers: plain * onIt, facility: plain * onFacility * pue,
      embodied: drawn.seconds * onGpu * point.line.gpu.embodied_g_per_s, seconds: drawn.seconds, batch: drawn.batch,
    };
  }
  const spanned = (low, mid, high, least) => [Math.min(low, high, mid * least[0]), mid, Math.max(low, high, mid * least[1])];

  function stagesOf(made, nIn, nCached, nOut) {
    const at = made.points.map((point) => stagesAt(point, made, [nIn, nCached, nOut]));
    if (at.length === 1) {
      let [onGpu, onRest] = [made.gpuBand, made.facilityBand];
      if (made.tier === "deployment" && nIn + nOut > facts.seen.context[1]) {
        const wider = widening(["context"]);
        [onGpu, onRest] = [combined(onGpu, wider), combined(onRest, wider)];
      }
      const [one] = at;
      return { mid: one, gpu: around(one.gpu, onGpu), servers: around(one.servers, onRest),
        facility: around(one.facility, onRest), embodied: around(one.embodied, onGpu) };
    }
    const least = made.points[1].line.band;
    const wide = made.siliconBand[0] !== 1 || made.siliconBand[1] !== 1;
    const range = (name) => {
      const found = spanned(at[0][name], at[1][name], at[2][name], least);
      return wide ? widened(found, made.siliconBand) : found;
    };
    return { mid: at[1], gpu: range("gpu"), servers: range("servers"), facility: range("facility"), embodied: range("embodied") };
  }

  // Dollars, exact: whole numbers of 10⁻¹⁸ dollars, 10⁻³⁶ where prices are one's own. dollars.py, billing.py
  const quoted = (name) => `'${name}'`;
  function priceOf(name, card, provider) {
    const prices = own(facts.prices, name) ?? own(facts.prices, name.toLowerCase()) ?? {};
    const shop = card === null || card.weights === "open" ? "" : facts.shops[card.maker] ?? card.maker;
    const found = own(prices, provider ?? (facts.own === null ? shop : ""));
    if (found) return [found, ""];
    const listed = facts.own === null ? undefined : own(facts.own.priced_as, provider ?? shop);
    if (listed !== undefined && listed !== (provider ?? shop)) return [null, `no price for ${quoted(name)} at ${listed}`];
    if (provider !== null && facts.local.includes(provider)) return [null, `${provider} is a local server, without a price list`];
    let seller = provider;
    if (seller === null) {
      if (card === null) return [null, `no price for ${quoted(name)}: the model and its provider are unknown`];
      if (card.weights === "open") {
        return [null, `${card.id} has open weights: its price depends on the provider, and none was given`];
      }
      seller = facts.shops[card.maker] ?? card.maker;
    }
    return [null, `no price for ${quoted(name)} at ${seller}`];
  }
  function rate(price, bucket, nIn) {
    let found = null;
    for (const [above, atoms] of price.rates[bucket] ?? []) if (above === 0 || nIn > above) found = BigInt(atoms);
    return found;
  }
  function costAtoms(price, nIn, nCached, nOut) {
    const fresh = nIn ? rate(price, "input", nIn) : null;
    const read = nCached ? rate(price, "cached_input", nIn) : null;
    let plain = nIn, all = 0n, billed = Object.keys(price.rates).length > 0 || price.other_rates;
    if (read !== null) {
      plain -= nCached;
      all += BigInt(nCached) * (fresh !== null && fresh < read ? fresh : read);
    }
    if (plain) {
      if (fresh === null) return null;
      all += BigInt(plain) * fresh;
    }
    if (nOut) {
      const written = rate(price, "output", nIn);
      if (written === null) return null;
      all += BigInt(nOut) * written;
    }
    if (price.request !== null) {
      all += BigInt(price.request);
      billed = true;
    }
    return billed ? all : null;
  }
  function dollars(name, card, asked, reasons) {
    const [price, why] = priceOf(name, card, asked.provider);
    if (price === null) {
      reasons.cost_usd = why;
      return [null, null];
    }
    const atoms = costAtoms(price, asked.input, asked.cached, asked.output);
    if (atoms === null) reasons.cost_usd = `the price ${price.id} lacks a rate this call needs`;
    return [atoms, atoms === null ? null : price];
  }

  const energy = ["flops", "gpu_joules", "it_joules", "joules", "grams_co2e", "embodied_grams_co2e", "market_grams_co2e", "liters"];

  // Joules that somebody states, in the place of the estimated ones: stated.py
  function stated(found, evidence, asked, machine) {
    const { input, cached, output } = asked, made = found.profile;
    const counts = [1, input - cached, cached, output], { scope, kind, source, band } = evidence;
    const joules = sum(evidence.rates.map((rate, i) => rate * counts[i]));
    const operator = made === null ? operatorOf(asked.provider) : made.operator;
    const assumedZone = own(facts.providers, asked.provider ?? "")?.[1] ?? operator.zone;
    const place = made === null ? facts.zones[found.zone ?? assumedZone] : made.place;
    const pue = made === null ? machine.pue ?? operator.pue[1] : made.pue;
    const modelled = made !== null && found.gpu_joules[1] > 0;
    const ratio = modelled ? found.it_joules[1] / found.gpu_joules[1] : defaults.it_over_gpu;
    const onGpu = { gpu: 1, it: ratio, facility: ratio * pue }, reckoned = combined(band, bands.facility);
    const stage = (name) => around(joules * (onGpu[name] / onGpu[scope]), name === scope ? band : reckoned);
    const facility = stage("facility"), servers = stage("it");
    const split = made !== null && found.joules[1] > 0 ? ["the prefill's part of the joules is that of the roofline"] : [];
    for (const name of ["gpu_joules", "it_joules", "joules", "grams_co2e", "liters", "market_grams_co2e"]) {
      delete found.reasons[name];
    }
    found.liters = null;
    if (place.liters_per_kwh === null) found.reasons.liters = `no water figure for ${place.name}`;
    else {
      const [low, mid, high] = operator.liters_per_kwh, offSite = pue * place.liters_per_kwh;
      const spread = [(low + offSite) / (mid + offSite), (high + offSite) / (mid + offSite)];
      found.liters = widened(times(servers, (1 / JOULES_PER_KWH) * (mid + pue * place.liters_per_kwh)), spread);
    }
    byContract(found, facility, machine.market_grams_per_kwh, operator);
    const bought = machine.market_grams_per_kwh !== null || operator.market_grams_per_kwh === null ? [] : [operator.market_source];
    return Object.assign(found, {
      tier: kind, zone: place.zone, gpu_joules: stage("gpu"), it_joules: servers, joules: facility, evidence, operator,
      grams_co2e: gramsOf(facility, asked, place),
      sources: [source, ...new Set([...found.sources, ...bought])],
      assumptions: [`joules ${kind} at the ${scope}: ${source}`, ...split, ...found.assumptions],
    });
  }
  function byContract(found, facility, contract, operator) {
    const bought = contract ?? operator.market_grams_per_kwh;
    found.market_grams_co2e = bought === null ? null : times(facility, (1 / JOULES_PER_KWH) * bought);
    if (bought === null) {
      found.reasons.market_grams_co2e =
        `no contract factor given (Deployment.market_grams_per_kwh), and operator ${operator.operator} publishes none`;
    }
  }

  // What a call takes; `asked` has model, provider, input, cached, output, gpu, n_gpus, precision, batch, draft, pue, zone, grams
  // (of CO₂e for a kWh), of which all but model and tokens may be null. Figures are [5 %, 50 %, 95 %]; null is unknown and `reasons` says why.
  // `modelled`: without the joules that a configuration states.
  function reckon(asked, modelled = false) {
    const terms = termsOf(asked), machine = machineOf(asked, terms.machine);
    const plain = estimated(asked, terms, machine);
    return terms.evidence === null || modelled || ofAnotherMachine(asked) ? plain : stated(plain, terms.evidence, asked, machine);
  }
  function estimated(asked, terms, machine) {
    const { input: nIn, cached: nCached, output: nOut } = asked, { named, card } = terms, reasons = {};
    const [cost, price] = dollars(named, card, asked, reasons), zone = asked.zone ?? terms.zone;
    const sized = facts.own?.unknown === "widest" && (card === null || card.total === null) ? facts.widest : card;
    const made = sized === null ? null : profile(sized, machine, asked.provider, zone);
    const found = {
      terms, card, evidence: null, operator: made?.operator ?? null, cost, price, reasons, tier: "unknown", profile: made, assumptions: [], parts: [], zone,
      sources: price === null ? [] : [price.source],
    };
    for (const name of energy) found[name] = null;
    const without = energy.flatMap((name) => (name === "joules" ? [name, "prefill_joules"] : [name])); // which is not shown
    if (made === null) {
      const why = card === null
        ? `no card for ${quoted(named)}: add an entry to estimator/data/models or pass a ModelCard`
        : `no public figure for the size of ${card.id}`;
      for (const name of without) reasons[name] = why;
      return found;
    }
    const stages = stagesOf(made, nIn, nCached, nOut), { place, operator } = made;
    const contract = made.known.market_grams_per_kwh;
    if (isStated(asked.grams)) made.assumed.push(`grid at ${g(asked.grams)} g/kWh, as stated`);
    Object.assign(found, {
      tier: made.tier, zone: place.zone, assumptions: made.assumed, stages: stages.mid,
      flops: flopsRange(made, nIn, nCached, nOut), gpu_joules: stages.gpu, it_joules: stages.servers, joules: stages.facility,
      grams_co2e: gramsOf(stages.facility, asked, place),
      embodied_grams_co2e: widened(stages.embodied, facts.embodied_band),
      parts: breakdown(made.shape, nIn, nCached, nOut),
    });
    found.sources = [
      sized.source, ...(sized.verified_by ? [sized.verified_by] : []), fit.source, ...facts.always,
      ...(contract !== null || operator.market_grams_per_kwh === null ? [] : [operator.market_source]), ...found.sources,
    ];
    byContract(found, stages.facility, contract, operator);
    if (made.litersPerItJoule === null) reasons.liters = `no water figure for ${place.name}`;
    else found.liters = widened(times(stages.servers, made.litersPerItJoule), made.siteBand);
    return found;
  }

  const isStated = (value) => (value ?? null) !== null;
  function gramsOf(joules, asked, place) {
    const perKwh = asked.grams ?? place.grams_per_kwh, grams = times(joules, (1 / JOULES_PER_KWH) * perKwh);
    return isStated(asked.grams) ? grams : widened(grams, bands.grid_hourly);
  }

  // The same call many times: uncertainty.py
  function summed([low, mid, high], calls, perCall = null) {
    const down = mid - low, up = high - mid, most = perCall === null ? bands.own_call_most : 1;
    const [ownLow, ownHigh] = perCall ?? bands.own_call;
    const ownDown = Math.min(most * down, mid * (1 - ownLow)), ownUp = Math.min(most * up, mid * (ownHigh - 1));
    const joined = (whole, part) => Math.sqrt(Math.max(0, whole * whole - part * part) * calls * calls + part * part * calls);
    const all = mid * calls;
    return [Math.min(all, Math.max(0, all - joined(down, ownDown))), all, all + joined(up, ownUp)];
  }

  // The audit page's own arithmetic: audit.py, audited.py
  function audited(asked) {
    const { named, card } = termsOf(asked), page = own(facts.audit.models, card?.id ?? named);
    const active = page ?? (card?.active ? Math.sqrt(card.active[0] * card.active[1]) : null);
    if (active === null) return null;
    const flops = 2 * active * (asked.input + asked.output), joules = flops * facts.audit.joules_per_flop;
    return { flops, joules, grams_co2e: (joules / JOULES_PER_KWH) * facts.audit.grams_per_kwh };
  }

  // Grams of an energy on a grid whose year's mean is known, by the hour of a call.
  const onGrid = (joules, gramsPerKwh) => widened(times(joules, (1 / JOULES_PER_KWH) * gramsPerKwh), bands.grid_hourly);

  return { reckon, termsOf, fits, summed, audited, onGrid, facts };
}
