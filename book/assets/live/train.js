"use strict";
/* "Train it here": a VAE that trains in the page on the perceived distances of one square at 64 positions. */

(() => {
  const { between, calm, choice, colours, fromAddress, fromPage, make, onAppearance, onDrag, oneOf, sayWrong, short, slider, square, tint, toAddress, whole } =
    liveParts;
  const SIDE = live.POSITIONS;
  const N = SIDE * SIDE;
  const LATENTS = 2;
  const HIDDEN = [32, 32];
  const SAMPLES = 60;
  const LAST_STEP = 20000;
  const LAST_SEED = 20;
  const LOSSES = { mse: "MSE", blur: "MSE + box blur" };
  const DEFAULTS = { spacing: 1, loss: "mse", radius: 31, beta: 0.2, seed: 0 };
  const FIELDS = {
    spacing: whole(1, 8),
    loss: oneOf(Object.keys(LOSSES)),
    radius: whole(1, 40),
    beta: between(0.0001, 10),
    seed: whole(0, LAST_SEED),
  };
  const PHASES = [
    ["encode", "Encode: each image becomes a posterior, a mean (dot) and a width (ellipse)."],
    ["sample", "Sample: one code is drawn from each posterior (crosses). The decoder sees nothing else."],
    ["decode", "Decode: the stronger the colour of a position, the more the decoded sample of the marked image looks like it to the loss."],
    ["compare", "Compare: the line joins the two images whose confusion costs most, how often it happens times what the loss says."],
    ["update", "Update: Adam moves all weights one step against the gradient of reconstruction loss and KL divergence."],
  ];

  class TrainFigure {
    constructor(root) {
      this.root = root;
      const { state, wrong } = fromAddress(FIELDS);
      this.state = { ...DEFAULTS, ...fromPage(root.dataset, FIELDS), ...state };
      this.focus = 3 * SIDE + 3;
      this.playing = false;
      this.phase = null;
      this.build(wrong);
      this.reset();
      onAppearance(() => this.draw());
      window.addEventListener("hashchange", () => this.follow());
      if (Object.keys(state).length) this.root.scrollIntoView();
    }

    build(wrong) {
      const change = (name) => (value) => this.change({ [name]: value });
      this.controls = {
        spacing: slider({ label: "pixels between positions", min: 1, max: 8, step: 1, value: this.state.spacing, onchange: change("spacing") }),
        loss: choice({ label: "reconstruction loss", options: LOSSES, value: this.state.loss, onchange: change("loss") }),
        radius: slider({ label: "radius of the blur", min: 1, max: 40, step: 1, value: this.state.radius, onchange: change("radius") }),
        beta: slider({
          label: "β, weight of the KL divergence",
          min: -4,
          max: 1,
          step: 0.05,
          value: Math.log10(this.state.beta),
          shown: (power) => short(10 ** power),
          onchange: (power) => this.change({ beta: Number((10 ** power).toPrecision(3)) }),
        }),
        seed: slider({ label: "seed", min: 0, max: LAST_SEED, step: 1, value: this.state.seed, onchange: change("seed") }),
      };
      this.play = make("button", { type: "button", onclick: () => this.toggle() }, "Train");
      const buttons = make(
        "div",
        { class: "live-buttons" },
        this.play,
        make("button", { type: "button", onclick: () => this.slowly() }, "One step, slowly"),
        make("button", { type: "button", onclick: () => this.reset() }, "Start again"),
      );
      this.plane = square(380, "Posteriors in the plane of the two latents");
      this.seen = square(220, "", true);
      this.taken = square(220, "", true);
      for (const board of [this.seen, this.taken]) this.listen(board.canvas);
      this.caption = make("p", { class: "live-caption" });
      this.status = make("p", { class: "live-status", "aria-live": "polite" });
      this.table = make("table", { class: "live-table" });
      this.note = make("p", { class: "live-note", "aria-live": "polite" });
      sayWrong(this.note, wrong);
      const panel = (title, board) => make("figure", { class: "live-panel" }, board.canvas, make("figcaption", {}, title));
      const views = make(
        "div",
        { class: "live-views" },
        panel("posteriors: red grows with the column, blue with the row; lines join neighbours", this.plane),
        panel("how close the loss finds each image to the marked one: the stronger the colour, the closer", this.seen),
        panel("which images samples of the marked one are taken for", this.taken),
      );
      this.root.replaceChildren(
        this.note,
        make("div", { class: "live-controls" }, ...Object.values(this.controls).map((c) => c.row), buttons),
        views,
        this.caption,
        this.status,
        make("details", {}, make("summary", {}, "Show as table"), this.table),
      );
    }

    /* Let a board move the marked image by pointer, touch and arrow keys. */
    listen(canvas) {
      onDrag(canvas, (x, y) => this.mark(Math.floor(x * SIDE), Math.floor(y * SIDE)), { hover: true });
      canvas.addEventListener("keydown", (event) => {
        const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!move) return;
        event.preventDefault();
        this.mark(Math.floor(this.focus / SIDE) + move[0], (this.focus % SIDE) + move[1]);
        this.say();
      });
    }

    mark(column, row) {
      const inside = (k) => Math.min(SIDE - 1, Math.max(0, k));
      const focus = inside(column) * SIDE + inside(row);
      if (focus === this.focus) return;
      this.focus = focus;
      this.draw();
    }

    /* Take on the settings of a link within the page. */
    follow() {
      const { state, wrong } = fromAddress(FIELDS);
      sayWrong(this.note, wrong);
      if (!Object.keys(state).length) return;
      Object.assign(this.state, state);
      this.controls.spacing.set(this.state.spacing);
      this.controls.radius.set(this.state.radius);
      this.controls.beta.set(Math.log10(this.state.beta));
      this.controls.seed.set(this.state.seed);
      this.controls.loss.input.value = this.state.loss;
      this.reset();
      this.root.scrollIntoView();
    }

    change(changes) {
      Object.assign(this.state, changes);
      toAddress(this.state);
      sayWrong(this.note, []);
      this.reset();
    }

    /* Make the data and a new network of the settings as they are. */
    reset() {
      this.pause();
      this.phase = null;
      const { spacing, loss, radius, seed } = this.state;
      const blurred = loss === "blur";
      this.controls.radius.input.disabled = !blurred;
      this.controls.radius.row.classList.toggle("live-off", !blurred);
      const products = live.imageProducts({ spacing, loss, radius });
      this.perceived = live.squaredDistances(products);
      this.data = live.coordinates(products);
      this.network = new live.Vae(this.data.size, LATENTS, HIDDEN, seed);
      this.noise = live.normal(seed * 2 + 2);
      this.draws = Float64Array.from({ length: SAMPLES * N * LATENTS }, live.normal(777));
      this.terms = null;
      this.caption.textContent = "";
      this.measure();
      this.draw();
      this.say();
    }

    advance() {
      const noise = Float64Array.from({ length: N * LATENTS }, this.noise);
      this.terms = this.network.step(this.data.table, noise, { beta: this.state.beta });
    }

    toggle() {
      if (this.playing) {
        this.pause();
        this.say();
      } else {
        this.phase = null;
        this.caption.textContent = "";
        this.playing = true;
        this.play.textContent = "Pause";
        this.drawn = 0;
        requestAnimationFrame(() => this.frame());
      }
    }

    pause() {
      this.playing = false;
      this.caption.textContent = "";
      this.play.textContent = "Train";
    }

    /* Take steps for a part of a frame, and draw now and then: rarely for readers who asked for little motion. */
    frame() {
      if (!this.playing || !this.root.isConnected) return;
      const end = performance.now() + 14;
      do this.advance();
      while (performance.now() < end && this.network.steps < LAST_STEP);
      const due = this.network.steps - this.drawn >= (calm() ? 500 : 15);
      if (this.network.steps >= LAST_STEP) this.pause();
      if (due || !this.playing) {
        this.drawn = this.network.steps;
        this.measure();
        this.draw();
        if (this.playing) this.caption.textContent = `${this.drawn.toLocaleString("en")} steps`;
        if (!this.playing || Math.floor(this.drawn / 1000) !== this.said) this.say();
      }
      if (this.playing) requestAnimationFrame(() => this.frame());
    }

    /* Show one step in five phases, a phase for each press. */
    slowly() {
      this.pause();
      if (this.phase === null) this.sample = Float64Array.from({ length: N * LATENTS }, this.noise);
      this.phase = this.phase === null || this.phase === PHASES.length - 1 ? 0 : this.phase + 1;
      if (PHASES[this.phase][0] === "encode") this.sample = Float64Array.from({ length: N * LATENTS }, this.noise);
      if (PHASES[this.phase][0] === "update") {
        this.terms = this.network.step(this.data.table, this.sample, { beta: this.state.beta });
        this.measure();
        this.say();
      }
      this.caption.textContent = PHASES[this.phase][1];
      this.draw();
    }

    /* Read off the network what is drawn and said. */
    measure() {
      const { mean, logvar } = this.network.encode(this.data.table, N);
      this.mean = mean;
      this.std = logvar.map((v) => Math.exp(0.5 * v));
      this.confusion = live.confusion(mean, this.std, LATENTS, this.draws);
      let own = 0;
      for (let i = 0; i < N; i++) own += this.confusion[i * N + i] / N;
      this.another = 1 - own;
      const upper = [];
      for (let i = 0; i < N; i++) for (let j = i + 1; j < N; j++) upper.push(this.perceived[i * N + j]);
      this.rank = live.rankCorrelation(upper, live.pairDistances(mean, LATENTS));
    }

    /* Return the two images whose confusion costs most. */
    costliest() {
      let best = [0, 1];
      let most = -1;
      for (let i = 0; i < N; i++) {
        for (let j = 0; j < N; j++) {
          const cost = i === j ? -1 : this.confusion[i * N + j] * this.perceived[i * N + j];
          if (cost > most) {
            most = cost;
            best = [i, j];
          }
        }
      }
      return best;
    }

    // ---- drawing and words ------------------------------------------------------------------------------------------

    draw() {
      const phase = this.phase === null ? null : PHASES[this.phase][0];
      const look = colours(this.root);
      this.plane.draw((context, side) => this.drawPlane(context, side, look, phase));
      const largest = Math.max(...this.perceived) || 1;
      const distances = this.perceived.slice(this.focus * N, (this.focus + 1) * N);
      let near = distances.map((d) => 1 - d / largest);
      if (phase === "decode") near = this.decodedCloseness();
      const where = `column ${Math.floor(this.focus / SIDE) + 1}, row ${(this.focus % SIDE) + 1}`;
      this.board(this.seen, near, look, `Perceived closeness of each image to the one at ${where}; arrow keys move it`);
      const shares = this.confusion.slice(this.focus * N, (this.focus + 1) * N);
      const most = Math.max(...shares);
      this.board(this.taken, shares.map((s) => s / most), look, `What samples of the image at ${where} are taken for; arrow keys move it`);
      this.fillTable();
    }

    /* Return how close the decoded sample of the marked image is to each image, from 0 to 1. */
    decodedCloseness() {
      const z = Float64Array.from({ length: LATENTS }, (_, k) => this.coded(this.focus, k));
      const decoded = this.network.decode(z, 1);
      const { table, size } = this.data;
      const distances = Float64Array.from({ length: N }, (_, i) => {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += (table[i * size + k] - decoded[k]) ** 2 / size;
        return sum;
      });
      const low = Math.min(...distances);
      const high = Math.max(...distances);
      return distances.map((d) => (high > low ? (high - d) / (high - low) : 1));
    }

    coded(i, k) {
      return this.mean[i * LATENTS + k] + this.std[i * LATENTS + k] * this.sample[i * LATENTS + k];
    }

    drawPlane(context, side, look, phase) {
      let reach = 0.5;
      for (let k = 0; k < this.mean.length; k++) reach = Math.max(reach, Math.abs(this.mean[k]) + 2 * this.std[k]);
      const scale = side / 2 / (1.05 * reach);
      const x = (i) => side / 2 + scale * this.mean[i * LATENTS];
      const y = (i) => side / 2 - scale * this.mean[i * LATENTS + 1];
      context.strokeStyle = look.faint;
      context.lineWidth = 0.8;
      for (let i = 0; i < N; i++) {
        for (const j of [i + 1, i + SIDE]) {
          if (j >= N || (j === i + 1 && j % SIDE === 0)) continue;
          line(context, x(i), y(i), x(j), y(j));
        }
      }
      for (let i = 0; i < N; i++) {
        const colour = positionColour(i, look.dark);
        const marked = i === this.focus;
        context.beginPath();
        context.ellipse(x(i), y(i), scale * this.std[i * LATENTS], scale * this.std[i * LATENTS + 1], 0, 0, 2 * Math.PI);
        context.globalAlpha = 0.22;
        context.fillStyle = colour;
        context.fill();
        context.globalAlpha = 1;
        context.lineWidth = marked ? 2.5 : 0.8;
        context.strokeStyle = marked ? look.ink : colour;
        context.stroke();
        context.fillStyle = colour;
        context.fillRect(x(i) - 2, y(i) - 2, 4, 4);
        if (phase !== null && phase !== "encode" && phase !== "update") {
          const a = side / 2 + scale * this.coded(i, 0);
          const b = side / 2 - scale * this.coded(i, 1);
          context.strokeStyle = colour;
          context.lineWidth = marked ? 3 : 1;
          line(context, a - 3, b - 3, a + 3, b + 3);
          line(context, a - 3, b + 3, a + 3, b - 3);
        }
      }
      if (phase === "compare") {
        const [i, j] = this.costliest();
        context.strokeStyle = look.ink;
        context.lineWidth = 3;
        line(context, x(i), y(i), x(j), y(j));
      }
    }

    board(view, shares, look, label) {
      view.canvas.setAttribute("aria-label", label);
      view.draw((context, side) => {
        const cell = side / SIDE;
        for (let i = 0; i < N; i++) {
          const left = Math.floor(i / SIDE) * cell;
          const top = (i % SIDE) * cell;
          context.fillStyle = tint(shares[i], look.dark);
          context.fillRect(left + 1, top + 1, cell - 2, cell - 2);
          if (i === this.focus) {
            context.strokeStyle = look.ink;
            context.lineWidth = 2.5;
            context.strokeRect(left + 2, top + 2, cell - 4, cell - 4);
          }
        }
      });
    }

    numbers() {
      const terms = this.terms;
      return {
        steps: this.network.steps.toLocaleString("en"),
        loss: terms ? short(terms.loss) : "–",
        reconstruction: terms ? short(terms.recon) : "–",
        "KL divergence per latent": terms ? short(terms.kl) : "–",
        "taken for another image": `${(100 * this.another).toFixed(1)} %`,
        "rank correlation of latent with perceived distance": this.rank === null ? "none" : this.rank.toFixed(2),
      };
    }

    fillTable() {
      const rows = Object.entries(this.numbers()).map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
      this.table.replaceChildren(make("tbody", {}, ...rows));
    }

    say() {
      this.said = Math.floor(this.network.steps / 1000);
      const { spacing, loss, radius, beta } = this.state;
      const about = loss === "blur" ? `box blur of radius ${radius}` : "MSE";
      const rank = this.rank === null ? "no rank correlation" : `rank correlation ${this.rank.toFixed(2)}`;
      this.status.textContent =
        `Positions ${spacing} ${spacing === 1 ? "pixel" : "pixels"} apart, ${about}, β ${short(beta)}, ${this.network.steps.toLocaleString("en")} steps: ` +
        `${(100 * this.another).toFixed(0)} % of samples are taken for another image; latent distances follow perceived ones with ${rank}.`;
    }
  }

  function line(context, x0, y0, x1, y1) {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  /* Red grows with the column and blue with the row, as in Figure 1. */
  function positionColour(i, dark) {
    const low = dark ? 95 : 38;
    const channel = (k) => Math.round(low + ((dark ? 255 : 242) - low) * (k / (SIDE - 1)));
    return `rgb(${channel(Math.floor(i / SIDE))},${dark ? 130 : 90},${channel(i % SIDE)})`;
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const root of document.querySelectorAll("[data-live=train]")) root.figure = new TrainFigure(root);
  });
})();
