"""What the button beside a sample of code does: it copies the sample."""

from typing import Final

SCRIPT_PATH: Final = "/copying.js"
SCRIPT: Final = b"""(() => {
  if (window.llmSettingsCopies) return;
  window.llmSettingsCopies = true;
  const select = (sample) => getSelection().selectAllChildren(sample);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    const sample = button?.parentElement.querySelector(".sample");
    if (!sample) return;
    try {
      await navigator.clipboard.writeText(sample.textContent);
    } catch {
      select(sample);
      document.execCommand("copy");
    }
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 2000);
  });
})();
"""
"""Runs in each page. Without TLS a browser has no clipboard for scripts, but copies what is selected."""
