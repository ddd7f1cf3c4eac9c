"""What keeps people from losing a page: unsaved work, links in tables, steps of Back, a sign-in that ends unused."""

from typing import Final

from core.access.authority import IDLE_MINUTES

STAY: Final = "stay_signed_in"
"""The key of the frame's hidden button that the script presses."""
WARNED_MINUTES: Final = 3
"""So long before a sign-in ends that is not used."""
SCRIPT_PATH: Final = "/leaving.js"
_SCRIPT: Final = """(() => {
  if (window.llmSettingsAsks) return;
  window.llmSettingsAsks = true;
  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector('.st-key-save_bar, [role="dialog"]')) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("td a[href], .lp a[href]");
    if (!link || link.closest(".st-key-layers") || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const folder = (address) => new URL(".", address).href;
    if (folder(link.href) !== folder(location.href)) return;
    event.preventDefault();
    if (new URL(link.href).pathname === location.pathname) return location.assign(link.href);
    history.pushState(null, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
  });
  let stepped = true, leaves = false;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const moves = new URL(url, location.href).pathname !== location.pathname;
    if (leaves && !moves) return;
    leaves = false;
    if (stepped) return history.replaceState(state, title, url);
    stepped = true;
    push(state, title, url);
  };
  const acts = (event) => {
    const link = event.type === "click" && event.target.closest?.('[data-testid="stSidebarNavLink"], [data-testid="stPageLink-NavLink"]');
    stepped = event.type === "popstate";
    leaves = Boolean(link) && link.pathname !== location.pathname;
  };
  for (const kind of ["pointerdown", "keydown", "click", "popstate"]) addEventListener(kind, acts, true);
  let used = Date.now(), told = null;
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("llm-settings-in-use") : null;
  const note = () => { used = Date.now(); told?.remove(); told = null; };
  const inUse = () => { note(); tabs?.postMessage(0); };
  if (tabs) tabs.onmessage = note;
  new MutationObserver(inUse).observe(document.body, {subtree: true, attributeFilter: ["data-test-script-state"]});
  setInterval(() => {
    const left = Math.ceil(IDLE - (Date.now() - used) / 60000);
    const stay = document.querySelector(".st-key-STAY button");
    if (left > WARNED || !stay) return told?.remove();
    if (!told?.isConnected) {
      told = document.createElement("div");
      told.setAttribute("role", "alert");
      told.id = "idle";
      told.dataset.reactAriaTopLayer = "true";
      told.append(document.createElement("span"), document.createElement("button"));
      told.lastChild.textContent = "Stay signed in";
      told.lastChild.addEventListener("click", () => { stay.click(); inUse(); });
      document.body.append(told);
    }
    told.firstChild.textContent = left > 0
      ? `Nothing was done here lately: your sign-in ends in about ${left} min.` : "Your sign-in has ended, as nothing was done here.";
  }, 15000);
})();
"""
SCRIPT: Final = (
    _SCRIPT.replace("IDLE", str(IDLE_MINUTES)).replace("WARNED", str(WARNED_MINUTES)).replace("STAY", STAY).encode()
)
"""Runs in each page: the browser asks before it reloads or closes one with unsaved changes, or with an open dialog.

Streamlit opens each link in a table in a new tab, and one in a row of providers by loading the page, where the app starts
anew. One to another page of ours is gone to as Back goes: what was typed here is kept. One to the same page is loaded anew,
as its bound fields would write what they hold into the new address. With a key held down it is a new tab as ever.

What a person does is one step of Back at most, and what follows a load or Back by itself is none. Who leaves a page with
filters by a link has its address without them first, and then the other page's: of the page that is left, nothing is noted
any more. So one step leads back to the filters.

A sign-in ends when it was not used for a while. Shortly before that a line says so, and a press of its button is a use. Each
run of a page is one, in any tab; what is only typed is none. The mark of the top layer keeps an open dialog from hiding the
line from screen readers."""
