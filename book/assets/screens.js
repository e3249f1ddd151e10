// What a link leads to, in a small box: references, equations, figures, terms and names of the library.
// Each page has its tips in a script of its own, which also loads from disk.
const vaedisTips = {};

(() => {
  const box = document.createElement("div");
  box.id = "link-tip";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  const scripts = {};
  let link = null;
  let timer = 0;

  const nameOf = (path) => {
    const name = decodeURIComponent(path.split("/").pop()).replace(/\.html$/, "");
    return name === "" || name === "index" ? "intro" : name;
  };

  const add = (path) => {
    scripts[path] ??= new Promise((done) => {
      const script = document.createElement("script");
      script.src = `${document.documentElement.dataset.content_root ?? ""}_static/${path}`;
      script.onload = script.onerror = done;
      document.head.append(script);
    });
    return scripts[path];
  };

  // A page without formulas has no MathJax: it comes with the first tip that has one.
  const formulas = async () => {
    if (!window.MathJax) {
      window.MathJax = { startup: { typeset: false } };
      await add("mathjax/tex-mml-chtml.js");
    }
    return window.MathJax.typesetPromise;
  };

  const hide = () => {
    clearTimeout(timer);
    link?.removeAttribute("aria-describedby");
    link = null;
    box.hidden = true;
  };

  const place = () => {
    const at = link.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, width - box.offsetWidth - 8));
    const above = at.bottom + box.offsetHeight + 8 > innerHeight && at.top > box.offsetHeight;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${(above ? at.top - box.offsetHeight : at.bottom) + scrollY}px`;
  };

  const show = async (target) => {
    if (target === link) return;
    hide();
    link = target;
    const page = nameOf(target.pathname);
    await add(`tips/${page}.js`);
    const text = vaedisTips[page]?.[decodeURIComponent(target.hash.slice(1))];
    if (!text || link !== target) return;
    box.textContent = text;
    box.hidden = false;
    place();
    target.setAttribute("aria-describedby", box.id);
    if (/\\[([]/.test(text) && (await formulas())) {
      await MathJax.typesetPromise([box]);
      if (link === target) place();
    }
  };

  const linkAt = (event) => {
    const found = event.target.closest?.(".bd-article a[href*='#']:not(.headerlink)");
    return found && found.protocol === location.protocol && found.host === location.host ? found : null;
  };

  document.addEventListener("DOMContentLoaded", () => document.body.append(box));
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const found = linkAt(event);
    clearTimeout(timer);
    if (found) timer = setTimeout(() => show(found), 150);
    // time to move the pointer from the link into the box
    else if (link && !box.contains(event.target)) timer = setTimeout(hide, 300);
  });
  document.addEventListener("focusin", (event) => {
    const found = linkAt(event);
    if (found?.matches(":focus-visible")) show(found);
    else hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
})();

// Paper is white: a dark page is printed in its light colours.
(() => {
  const page = document.documentElement;
  let before = null;
  addEventListener("beforeprint", () => {
    before = page.dataset.theme;
    page.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    if (before) page.dataset.theme = before;
  });
})();

// For readers with a keyboard or a screen reader: what the theme leaves without a name, and what scrolls.
(() => {
  const SCROLLING =
    ".bd-article :is(pre, .columns, mjx-container, .cell_output, .output, .figure-wide, .pst-scrollable-table-container, .live-scroll)";
  const goesOn = (part) => {
    const scrolls = part.scrollWidth > part.clientWidth && getComputedStyle(part).overflowX !== "visible";
    if (scrolls && part.checkVisibility()) part.tabIndex = 0;
    part.classList.toggle("goes-on", scrolls && part.scrollLeft + part.clientWidth < part.scrollWidth - 1);
  };
  // also when a fold opens or the theme changes
  const sizes = new ResizeObserver((changes) => changes.forEach((change) => goesOn(change.target)));
  const reach = () => {
    for (const part of document.querySelectorAll(SCROLLING)) sizes.observe(part);
  };
  document.addEventListener("scroll", (event) => event.target.matches?.(SCROLLING) && goesOn(event.target), true);
  document.addEventListener("DOMContentLoaded", () => {
    const bar = document.getElementById("pst-primary-sidebar");
    bar?.setAttribute("role", "complementary");
    bar?.setAttribute("aria-label", "Book");
    for (const summary of document.querySelectorAll(".bd-sidebar-primary details > summary")) {
      const title = summary.closest("li")?.querySelector("a")?.textContent.trim() ?? "this page";
      summary.setAttribute("aria-label", `Pages below ${title}`);
    }
    // the page for what is absent has a base, which leads its own parts elsewhere
    if (document.querySelector("base")) {
      for (const link of document.querySelectorAll("a[href^='#']")) link.href = location.pathname + link.hash;
    }
    reach();
  });
  addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
})();

// The search shows a passage of each page it finds, which a browser does not let it read from disk.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS === "object") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
