"use strict";
/* What the live figures share: controls, drawing in the page's colours, and a state that is kept in the address. */

const liveParts = (() => {
  /* Return an element with attributes and children; text children are escaped by the browser. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  let lastId = 0;

  /* Return a labelled slider: { row, input, set(value) }. `shown` turns its value into the words beside it. */
  function slider({ label, min, max, step, value, shown = String, onchange }) {
    const id = `live-control-${(lastId += 1)}`;
    const output = make("output", { for: id });
    const input = make("input", { type: "range", id, min, max, step, value });
    const show = () => {
      const words = shown(Number(input.value));
      output.textContent = words;
      input.setAttribute("aria-valuetext", words);
    };
    input.addEventListener("input", () => {
      show();
      onchange(Number(input.value));
    });
    show();
    const row = make("div", { class: "live-control" }, make("label", { for: id }, label), input, output);
    const set = (next) => {
      input.value = String(next);
      show();
    };
    return { row, input, set };
  }

  /* Return a labelled choice: { row, input }. `options` maps values to what is shown. */
  function choice({ label, options, value, onchange }) {
    const id = `live-control-${(lastId += 1)}`;
    const items = Object.entries(options).map(([key, text]) => make("option", { value: key, selected: key === value }, text));
    const input = make("select", { id, onchange: () => onchange(input.value) }, ...items);
    return { row: make("div", { class: "live-control" }, make("label", { for: id }, label), input), input };
  }

  /* Return a canvas that is drawn sharp at any size: { canvas, draw(paint) }, where `paint` gets the context and the side
     in CSS pixels. It is square, as wide as its place allows, and at most `side`. */
  function square(side, label, focusable = false) {
    const canvas = make("canvas", { class: "live-canvas", role: "img", "aria-label": label, style: `max-width:${side}px` });
    if (focusable) canvas.tabIndex = 0;
    const draw = (paint) => {
      const width = canvas.clientWidth || side;
      const ratio = window.devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = canvas.width;
      }
      const context = canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, width);
      paint(context, width);
    };
    return { canvas, draw };
  }

  /* Call `move` with each place where a held mouse button or a first finger is, as shares of the canvas's sides, and `end`
     when it is lifted. With `hover` a mouse need not be pressed. A second finger changes nothing. */
  function onDrag(canvas, move, { end = () => {}, hover = false } = {}) {
    let held = false;
    const pick = (event) => {
      const box = canvas.getBoundingClientRect();
      move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary) return;
      held = true;
      canvas.setPointerCapture(event.pointerId);
      pick(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.isPrimary && (held || hover)) pick(event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        if (!event.isPrimary || !held) return;
        held = false;
        end();
      });
    }
  }

  /* Return the page's colours as they are now, in light or dark. */
  function colours(element) {
    const style = getComputedStyle(element);
    const dark = document.documentElement.dataset.theme === "dark";
    return { ink: style.color, faint: dark ? "#8b949e" : "#6b7280", dark };
  }

  /* Return the colour of a share from 0 to 1: from the page's ground to a strong purple. */
  function tint(share, dark) {
    const from = dark ? [32, 36, 44] : [245, 243, 250];
    const to = dark ? [202, 170, 255] : [75, 27, 140];
    const mixed = from.map((value, k) => Math.round(value + (to[k] - value) * Math.min(1, Math.max(0, share))));
    return `rgb(${mixed.join(",")})`;
  }

  /* Read the state from the address, as in #spacing=8&beta=0.2. `fields` maps names to functions that return a valid value
     or undefined. Returns { state, wrong }: what was understood, and the names that were not. */
  function fromAddress(fields) {
    const hash = window.location.hash.slice(1);
    const state = {};
    const wrong = [];
    if (!hash.includes("=")) return { state, wrong };
    for (const [name, text] of new URLSearchParams(hash)) {
      const value = Object.hasOwn(fields, name) ? fields[name](text) : undefined;
      if (value === undefined) wrong.push(name);
      else state[name] = value;
    }
    return { state, wrong };
  }

  /* Say in a line which names of the address are not understood; nothing if all are. */
  function sayWrong(note, wrong) {
    note.hidden = !wrong.length;
    note.textContent = wrong.length ? `The address sets ${wrong.join(", ")} to something that this figure does not have, which is left out.` : "";
  }

  /* Read the settings that the page gives its figure, as in data-spacing="8". */
  function fromPage(dataset, fields) {
    const pairs = Object.entries(fields).map(([name, read]) => [name, name in dataset ? read(dataset[name]) : undefined]);
    return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
  }

  /* Write the state into the address without adding to the history; does nothing where a page may not. */
  function toAddress(state) {
    const words = new URLSearchParams(Object.entries(state).map(([name, value]) => [name, String(value)]));
    try {
      window.history.replaceState(null, "", `#${words}`);
    } catch {
      // a page in a frame of another origin keeps its address
    }
  }

  /* Return a function that reads a whole number from min to max, or undefined. */
  const whole = (min, max) => (text) => {
    const value = Number(text);
    return text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
  };

  /* Return a function that reads a number from min to max, or undefined. */
  const between = (min, max) => (text) => {
    const value = Number(text);
    return text.trim() !== "" && value >= min && value <= max ? value : undefined;
  };

  /* Return a function that reads one of some words, or undefined. */
  const oneOf = (words) => (text) => (words.includes(text) ? text : undefined);

  /* Return a number in few digits. */
  const short = (value) => (value === null ? "none" : value.toPrecision(3));

  /* Call back when the page turns light or dark, or is resized. */
  function onAppearance(redraw) {
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme", "data-mode"] });
    window.addEventListener("resize", redraw);
  }

  const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  return { between, calm, choice, colours, fromAddress, fromPage, make, onAppearance, onDrag, oneOf, sayWrong, short, slider, square, tint, toAddress, whole };
})();
