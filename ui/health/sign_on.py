"""What Health says of the identity provider, and of the way back where it is the only way in."""

from core.manage.health import SignOnHealth
from ui.health.line import Line
from ui.widgets import ago, exact


def sign_on_lines(found: SignOnHealth | None) -> list[Line]:
    """Return a row for the provider, and one for the way back where local users are refused."""
    if found is None:
        return []
    whom = "nobody else signs in" if found.only else "local users sign in, too"
    lines = [Line("Single sign-on", "ok", "Configured", f"At {found.issuer}; {whom}.")]
    if not found.only:
        return lines
    if not found.way_back:
        detail = "While the identity provider is away nobody gets in: no active admin is marked as the way back."
        lines.append(Line("Way back", "soon", "None", detail, "Mark one: `python -m core users break-glass NAME`."))
    elif found.came_by_it:
        came = "; ".join(f"{name} {ago(at)}" for name, at in found.came_by_it)
        cure = "Ask them why. The audit has each as session.break_glass; this row goes a day after the last one."
        lines.append(
            Line("Way back", "soon", "Was used", f"Signed in by it: {came}.", cure, exact(found.came_by_it[0][1]))
        )
    else:
        lines.append(Line("Way back", "ok", "There", "An active admin signs in by password where all else fails."))
    return lines
