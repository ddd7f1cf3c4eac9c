"""Organisations: tenants of the services, and the templates that they build on."""

from ui.navigation import begin_page
from ui.organizations.clicks import DIALOGS
from ui.organizations.listing import draw_list

begin_page("organizations", "The tenants of your services, and the templates that they build on.")
DIALOGS.start_afresh()
draw_list()
