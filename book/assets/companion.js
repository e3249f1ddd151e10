// Browsers show a downloaded notebook as text unless the link says that it is a download.
document.addEventListener("DOMContentLoaded", () => {
  // The theme names no list of contents that exists. Bootstrap then follows every link of the page, and ends with an error at those
  // that hold the settings of a live figure, which are no selectors.
  document.body.dataset.bsTarget = ".page-toc";
  for (const link of document.querySelectorAll("a[href$='.ipynb'], a.btn-download-source-button")) {
    if (!/^https?:/.test(link.getAttribute("href"))) link.setAttribute("download", "");
  }
  // pandas writes the name of the index into a second, otherwise empty line of the head; it belongs into the first, above its column.
  for (const head of document.querySelectorAll(".cell_output table.dataframe thead")) {
    const [first, second, ...more] = head.rows;
    if (!second || more.length) continue;
    const named = [...second.cells].filter((cell) => cell.textContent.trim()).length;
    const free = [...first.cells].slice(0, named).every((cell) => !cell.textContent.trim() && cell.colSpan === 1);
    const spread = [...first.cells].some((cell) => cell.colSpan > 1);
    if (!named || !free || spread || [...second.cells].slice(named).some((cell) => cell.textContent.trim())) continue;
    for (let k = 0; k < named; k++) first.cells[k].textContent = second.cells[k].textContent;
    second.remove();
  }
});
