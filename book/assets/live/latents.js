"use strict";
/* "Turn the latents": what two networks decode on a grid over the two latents that each uses most. */

const turning = (() => {
  const ORDER = ["first", "second"];
  const capital = (words) => words[0].toUpperCase() + words.slice(1);

  /* Return the sentence on where the latents stand and what the networks decode there; steps count from 1. */
  function where(grids, first, second) {
    const of = grids.networks[0].values[0].length;
    const seen = grids.networks.map((network) => {
      const place = network.nearest[first - 1][second - 1];
      return `${capital(network.title)}: nearest to the square at ${grids.factors.map((factor, k) => `${factor} ${place[k]}`).join(", ")}.`;
    });
    return [`First latent at step ${first} of ${of}, second at step ${second}.`, ...seen].join(" ");
  }

  /* Return the sentence on which factor each of a network's latents follows most. */
  function follows(grids, network) {
    const parts = network.ranks.map((ranks, k) => {
      const sizes = ranks.map(Math.abs);
      const most = sizes.indexOf(Math.max(...sizes));
      return `its ${ORDER[k]} latent follows the ${grids.factors[most]} most, with a rank correlation of ${ranks[most].toFixed(2)}`;
    });
    return `${capital(network.title)}: ${parts.join("; ")}.`;
  }

  return { follows, where };
})();

if (typeof module !== "undefined") module.exports = turning;
else {
  const { fromAddress, make, onAppearance, onDrag, sayWrong, slider, square, toAddress, whole } = liveParts;

  class LatentsFigure {
    constructor(root) {
      this.root = root;
      this.grids = JSON.parse(root.dataset.grids);
      this.sheets = [...root.querySelectorAll("img")];
      this.steps = this.grids.networks[0].values[0].length;
      const { state, wrong } = fromAddress(this.fields());
      const middle = Math.ceil(this.steps / 2);
      this.state = { first: middle, second: middle, ...state };
      this.build(wrong);
      for (const sheet of this.sheets) sheet.decode().then(() => this.draw());
      onAppearance(() => this.draw());
      window.addEventListener("hashchange", () => this.follow());
      if (Object.keys(state).length) this.root.scrollIntoView();
    }

    fields() {
      const FIELDS = { first: whole(1, this.steps), second: whole(1, this.steps) };
      return FIELDS;
    }

    build(wrong) {
      const control = (name) =>
        slider({ label: `${name} latent`, min: 1, max: this.steps, step: 1, value: this.state[name], onchange: (value) => this.move({ [name]: value }) });
      this.controls = { first: control("first"), second: control("second") };
      this.note = make("p", { class: "live-note", "aria-live": "polite" });
      sayWrong(this.note, wrong);
      this.status = make("p", { class: "live-status", "aria-live": "polite" });
      this.pictures = this.grids.networks.map(() => square(200, ""));
      this.maps = this.grids.networks.map(() => square(200, "", true));
      this.maps.forEach((view) => this.listen(view));
      const panel = (title, view) => make("figure", { class: "live-panel" }, view.canvas, make("figcaption", {}, title));
      const panels = this.grids.networks.flatMap(({ title }, k) => [
        panel(title, this.pictures[k]),
        panel("its whole grid: press, drag, or move with the arrow keys", this.maps[k]),
      ]);
      this.root.replaceChildren(
        this.note,
        make("div", { class: "live-controls" }, this.controls.first.row, this.controls.second.row),
        make("div", { class: "live-pairs" }, ...panels),
        this.status,
        ...this.grids.networks.map((network) => make("p", { class: "live-status" }, turning.follows(this.grids, network))),
        make("details", {}, make("summary", {}, "Show as table"), make("div", { class: "live-scroll", tabindex: "0" }, this.table())),
      );
      this.draw();
    }

    table() {
      const head = ["network", "latent", "from", "to", ...this.grids.factors.map((factor) => `rank correlation with the ${factor}`)];
      const rows = this.grids.networks.flatMap(({ title, latents, ranks, values }) =>
        latents.map((latent, k) => [title, `z${latent}`, ...[values[k][0], values[k].at(-1), ...ranks[k]].map((value) => value.toFixed(2))]),
      );
      return make(
        "table",
        { class: "live-table" },
        make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col" }, word)))),
        make("tbody", {}, ...rows.map(([first, ...more]) => make("tr", {}, make("th", { scope: "row" }, first), ...more.map((word) => make("td", {}, word))))),
      );
    }

    /* Take on the settings of a link within the page. */
    follow() {
      const { state, wrong } = fromAddress(this.fields());
      sayWrong(this.note, wrong);
      if (!Object.keys(state).length) return;
      this.set(state);
      this.root.scrollIntoView();
    }

    move(change) {
      this.set(change);
      toAddress(this.state);
      sayWrong(this.note, []);
    }

    set(change) {
      for (const [name, value] of Object.entries(change)) {
        this.state[name] = Math.min(this.steps, Math.max(1, value));
        this.controls[name].set(this.state[name]);
      }
      this.draw();
    }

    listen(view) {
      const step = (share) => Math.floor(share * this.steps) + 1;
      onDrag(view.canvas, (x, y) => this.move({ first: step(y), second: step(x) }));
      view.canvas.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (!step) return;
        event.preventDefault();
        this.move({ first: this.state.first + step[0], second: this.state.second + step[1] });
      });
    }

    draw() {
      const { first, second } = this.state;
      this.grids.networks.forEach(({ title, nearest }, k) => {
        const sheet = this.sheets[k];
        const place = nearest[first - 1][second - 1];
        const seen = `${title}: a decoded picture, nearest to the square at ${this.grids.factors.map((factor, j) => `${factor} ${place[j]}`).join(", ")}`;
        this.pictures[k].canvas.setAttribute("aria-label", seen);
        this.maps[k].canvas.setAttribute("aria-label", `${title}: all pictures of the grid, step ${first} down and ${second} across are framed; arrow keys move the frame`);
        if (!sheet.naturalWidth) return;
        const size = sheet.naturalWidth / this.steps;
        this.pictures[k].draw((context, side) => {
          context.imageSmoothingEnabled = false;
          context.drawImage(sheet, (second - 1) * size, (first - 1) * size, size, size, 0, 0, side, side);
        });
        this.maps[k].draw((context, side) => {
          const cell = side / this.steps;
          context.drawImage(sheet, 0, 0, side, side);
          context.strokeStyle = "#ffb000";
          context.lineWidth = 3;
          context.strokeRect((second - 1) * cell, (first - 1) * cell, cell, cell);
        });
      });
      this.status.textContent = turning.where(this.grids, first, second);
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const root of document.querySelectorAll("[data-live=latents]")) root.figure = new LatentsFigure(root);
  });
}
