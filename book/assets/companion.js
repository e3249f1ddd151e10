// Browsers show a downloaded notebook as text unless the link says that it is a download.
document.addEventListener("DOMContentLoaded", () => {
  // The theme names no list of contents that exists. Bootstrap then follows every link of the page, and ends with an error at those
  // that hold the settings of a live figure, which are no selectors.
  document.body.dataset.bsTarget = ".page-toc";
  for (const link of document.querySelectorAll("a[href$='.ipynb'], a.btn-download-source-button")) {
    if (!/^https?:/.test(link.getAttribute("href"))) link.setAttribute("download", "");
  }
});
