"""What a dialog does for the keyboard: its first field has the focus, and Enter in a field presses its main button."""

from typing import Final

SCRIPT_PATH: Final = "/dialogs.js"
SCRIPT: Final = b"""(() => {
  if (window.llmSettingsDialogs) return;
  window.llmSettingsDialogs = true;
  const opened = () => document.querySelector("[data-testid=stDialog]");
  const fields = ["text", "password"].map((type) => `input[type=${type}]:not([disabled])`).join();
  let known = null;
  const begin = (dialog, left) => {
    if (left && dialog.querySelector("[data-testid=stSkeleton]")) return setTimeout(begin, 100, dialog, left - 1);
    const first = dialog.querySelector(fields);
    const now = document.activeElement;
    if (first && dialog.isConnected && !(dialog.contains(now) && now.matches("input, textarea"))) {
      first.focus({preventScroll: true});
    }
  };
  new MutationObserver(() => {
    const dialog = opened();
    if (dialog === known || (dialog && document.querySelector("[data-test-script-state=running]"))) return;
    known = dialog;
    if (dialog && !matchMedia("(pointer: coarse)").matches) setTimeout(begin, 150, dialog, 30);
  }).observe(document.body, {childList: true, subtree: true, attributeFilter: ["data-test-script-state"]});
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const dialog = opened();
    if (!dialog || !dialog.contains(event.target) || !event.target.matches("[data-testid=stTextInput] input")) return;
    const main = dialog.querySelector("[data-testid=stBaseButton-primary]:not([disabled])");
    if (main) setTimeout(() => main.click());
  });
})();
"""
"""Runs in each page. Nothing is focused on a phone, whose keyboard would cover the form. What cannot be undone is never a
dialog's main button (``confirm_by_name`` of ui/dialogs.py). The focus waits until the fields are drawn, which come one by
one; the click comes after Streamlit has taken what was typed."""
