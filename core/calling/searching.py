"""What looks for personal data in calls, as the rules of a scope say. Imported with the first call or row that needs it."""

from ..privacy.engines import engine_for
from ..privacy.placeholders import Engine
from ..resolving.personal_data import PersonalDataRules


def engine_of(rules: PersonalDataRules) -> Engine:
    """Return what finds personal data by *rules*."""
    return engine_for(rules.engine, rules.types, rules.countries, rules.patterns, rules.allow)
