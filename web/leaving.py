"""What asks before a page is left with something unsaved on it, and opens a table's links to our pages in this tab."""

from typing import Final

SCRIPT_PATH: Final = "/leaving.js"
SCRIPT: Final = b"""(() => {
  if (window.llmSettingsAsks) return;
  window.llmSettingsAsks = true;
  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector('.st-key-save_bar, [role="dialog"]')) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("td a[href], .lp a[href]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const folder = (address) => new URL(".", address).href;
    if (folder(link.href) !== folder(location.href)) return;
    event.preventDefault();
    if (new URL(link.href).pathname === location.pathname) return location.assign(link.href);
    history.pushState(null, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
  });
})();
"""
"""Runs in each page: the browser asks before it reloads or closes one with unsaved changes, or with an open dialog.

Streamlit opens each link in a table in a new tab, and one in a row of providers by loading the page, where the app starts
anew. One to another page of ours is gone to as Back goes: what was typed here is kept. One to the same page is loaded anew, as its bound fields would write what they hold
into the new address. With a key held down it is a new tab as ever."""
