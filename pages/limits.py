"""Limits: what settings may say at all, whose word that is, and what it puts out of force."""

from ui.limits import listing
from ui.limits.dialogs import DIALOGS
from ui.navigation import begin_page

actor = begin_page("limits", "What settings may say at all: what is locked, and between which bounds the rest stays.")
DIALOGS.start_afresh()
listing.draw(actor)
