"use strict";
/* "What the loss sees": a square to move, and how far a loss finds it from every other position. */

(() => {
  const { choice, colours, fromAddress, fromPage, make, onAppearance, onDrag, oneOf, sayWrong, short, slider, square, tint, toAddress, whole } = liveParts;
  const SIDE = live.POSITIONS;
  const N = SIDE * SIDE;
  const LOSSES = { mse: "MSE", mae: "MAE", blur: "MSE + box blur", pyramid: "pyramid of 6 sizes" };
  const DEFAULTS = { spacing: 8, square: 8, loss: "mse", radius: 31 };
  const FIELDS = { spacing: whole(1, 8), square: whole(1, 8), loss: oneOf(Object.keys(LOSSES)), radius: whole(0, 40) };

  class BoardFigure {
    constructor(root) {
      this.root = root;
      const { state, wrong } = fromAddress(FIELDS);
      this.state = { ...DEFAULTS, ...fromPage(root.dataset, FIELDS), ...state };
      this.place = { column: 2, row: 3 };
      this.build(wrong);
      this.compute();
      onAppearance(() => this.draw());
      window.addEventListener("hashchange", () => this.follow());
      if (Object.keys(state).length) this.root.scrollIntoView();
    }

    build(wrong) {
      const change = (name) => (value) => {
        this.state[name] = value;
        toAddress(this.state);
        sayWrong(this.note, []);
        this.compute();
      };
      this.controls = {
        spacing: slider({ label: "pixels between positions", min: 1, max: 8, step: 1, value: this.state.spacing, onchange: change("spacing") }),
        square: slider({ label: "pixels along the square", min: 1, max: 8, step: 1, value: this.state.square, onchange: change("square") }),
        loss: choice({ label: "loss", options: LOSSES, value: this.state.loss, onchange: change("loss") }),
        radius: slider({ label: "radius of the blur", min: 0, max: 40, step: 1, value: this.state.radius, onchange: change("radius") }),
      };
      this.image = square(220, "", true);
      this.board = square(220, "", true);
      this.truth = square(160, "Ground-truth distances between the columns of the square: they grow with every step");
      this.matrix = square(160, "Perceived distances between the columns of the square");
      for (const view of [this.image, this.board]) this.listen(view);
      this.status = make("p", { class: "live-status", "aria-live": "polite" });
      this.table = make("table", { class: "live-table" });
      this.note = make("p", { class: "live-note", "aria-live": "polite" });
      sayWrong(this.note, wrong);
      const panel = (title, view) => make("figure", { class: "live-panel" }, view.canvas, make("figcaption", {}, title));
      this.root.replaceChildren(
        this.note,
        make("div", { class: "live-controls" }, ...Object.values(this.controls).map((c) => c.row)),
        make(
          "div",
          { class: "live-views" },
          panel("the image: drag the square, or move it with the arrow keys", this.image),
          panel("how far the loss finds each position from it: the stronger the colour, the farther", this.board),
          panel("columns, ground truth", this.truth),
          panel("columns, perceived", this.matrix),
        ),
        this.status,
        make("details", {}, make("summary", {}, "Show as table"), make("div", { class: "live-scroll", tabindex: "0" }, this.table)),
      );
    }

    /* Take on the settings of a link within the page. */
    follow() {
      const { state, wrong } = fromAddress(FIELDS);
      sayWrong(this.note, wrong);
      if (!Object.keys(state).length) return;
      Object.assign(this.state, state);
      for (const name of ["spacing", "square", "radius"]) this.controls[name].set(this.state[name]);
      this.controls.loss.input.value = this.state.loss;
      this.compute();
      this.root.scrollIntoView();
    }

    listen(view) {
      const move = (x, y) => {
        if (view === this.image) this.move(this.nearest(x), this.nearest(y));
        else this.move(Math.floor(x * SIDE), Math.floor(y * SIDE));
      };
      onDrag(view.canvas, move, { end: () => this.say() });
      view.canvas.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!step) return;
        event.preventDefault();
        this.move(this.place.column + step[0], this.place.row + step[1]);
        this.say();
      });
    }

    /* Return the position whose square lies closest to a share of the image's side. */
    nearest(share) {
      const firsts = live.firstPixels(this.state.spacing, this.state.square);
      const middle = share * live.SIZE - this.state.square / 2;
      const gaps = firsts.map((first) => Math.abs(first - middle));
      return gaps.indexOf(Math.min(...gaps));
    }

    move(column, row) {
      const inside = (k) => Math.min(SIDE - 1, Math.max(0, k));
      this.place = { column: inside(column), row: inside(row) };
      this.draw();
    }

    compute() {
      const { spacing, loss, radius, square: side } = this.state;
      const blurred = loss === "blur";
      this.controls.radius.input.disabled = !blurred;
      this.controls.radius.row.classList.toggle("live-off", !blurred);
      // of images of 0 and 1 the mean absolute error is the mean squared error
      const options = { spacing, square: side, radius, loss: loss === "mae" ? "mse" : loss, standardised: false };
      this.perceived = live.squaredDistances(live.imageProducts(options));
      this.columns = live.factorMatrix(this.perceived);
      const truth = [];
      const perceived = [];
      for (let a = 0; a < SIDE; a++) {
        for (let b = a + 1; b < SIDE; b++) {
          truth.push(b - a);
          perceived.push(this.columns[a * SIDE + b]);
        }
      }
      this.rank = live.rankCorrelation(truth, perceived);
      this.draw();
      this.say();
    }

    draw() {
      const look = colours(this.root);
      const { column, row } = this.place;
      const firsts = live.firstPixels(this.state.spacing, this.state.square);
      const where = `column ${column + 1}, row ${row + 1}`;
      this.image.canvas.setAttribute("aria-label", `The image: a white square at ${where} on black; arrow keys move it`);
      this.image.draw((context, side) => {
        const pixel = side / live.SIZE;
        context.fillStyle = "#000";
        context.fillRect(0, 0, side, side);
        context.fillStyle = "#555";
        for (let c = 0; c < SIDE; c++) for (let r = 0; r < SIDE; r++) context.fillRect(firsts[c] * pixel, firsts[r] * pixel, 2, 2);
        context.fillStyle = "#fff";
        context.fillRect(firsts[column] * pixel, firsts[row] * pixel, this.state.square * pixel, this.state.square * pixel);
      });
      const own = column * SIDE + row;
      const distances = this.perceived.slice(own * N, (own + 1) * N);
      const largest = Math.max(...this.perceived);
      this.board.canvas.setAttribute("aria-label", `Perceived distance of each position from ${where}; arrow keys move the square`);
      this.board.draw((context, side) => {
        const cell = side / SIDE;
        for (let i = 0; i < N; i++) {
          const left = Math.floor(i / SIDE) * cell;
          const top = (i % SIDE) * cell;
          context.fillStyle = tint(distances[i] / largest, look.dark);
          context.fillRect(left + 1, top + 1, cell - 2, cell - 2);
          if (i === own) {
            context.strokeStyle = look.ink;
            context.lineWidth = 2.5;
            context.strokeRect(left + 2, top + 2, cell - 4, cell - 4);
          }
        }
      });
      drawMatrix(this.truth, Array.from({ length: N }, (_, k) => Math.abs(Math.floor(k / SIDE) - (k % SIDE))), look);
      drawMatrix(this.matrix, this.columns, look);
      this.fillTable();
    }

    fillTable() {
      const head = make("tr", {}, make("th", { scope: "col" }, "perceived"), ...numbered((k) => make("th", { scope: "col" }, `column ${k + 1}`)));
      const rows = numbered((a) =>
        make("tr", {}, make("th", { scope: "row" }, `column ${a + 1}`), ...numbered((b) => make("td", {}, short(this.columns[a * SIDE + b])))),
      );
      this.table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    }

    say() {
      const { spacing, loss, radius } = this.state;
      const about = loss === "blur" ? `MSE + box blur of radius ${radius}` : LOSSES[loss];
      const order =
        this.rank === null
          ? "all columns look equally far apart, so there is no order to follow"
          : `perceived distances follow the columns with rank correlation ${this.rank.toFixed(2)}`;
      this.status.textContent = `Positions ${spacing} ${spacing === 1 ? "pixel" : "pixels"} apart, ${about}: ${order}.`;
    }
  }

  const numbered = (make) => Array.from({ length: SIDE }, (_, k) => make(k));

  /* Draw a matrix over its own range of colours, as the book's figures do. */
  function drawMatrix(view, matrix, look) {
    const low = Math.min(...matrix);
    const high = Math.max(...matrix);
    view.draw((context, side) => {
      const cell = side / SIDE;
      matrix.forEach((value, k) => {
        context.fillStyle = tint(high > low ? (value - low) / (high - low) : 0, look.dark);
        context.fillRect((k % SIDE) * cell, Math.floor(k / SIDE) * cell, cell + 0.5, cell + 0.5);
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const root of document.querySelectorAll("[data-live=board]")) root.figure = new BoardFigure(root);
  });
})();
