// Browsers show a downloaded notebook as text unless the link says that it is a download.
document.addEventListener("DOMContentLoaded", () => {
  for (const link of document.querySelectorAll("a[href$='.ipynb'], a.btn-download-source-button")) {
    if (!/^https?:/.test(link.getAttribute("href"))) link.setAttribute("download", "");
  }
});
