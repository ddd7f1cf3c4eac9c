"""What asks before a page is left with something unsaved on it."""

from typing import Final

SCRIPT_PATH: Final = "/leaving.js"
SCRIPT: Final = b"""(() => {
  if (window.llmSettingsAsks) return;
  window.llmSettingsAsks = true;
  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector('.st-key-save_bar, [role="dialog"]')) event.preventDefault();
  });
})();
"""
"""Runs in each page: the browser asks before it reloads or closes one with unsaved changes, or with an open dialog."""
