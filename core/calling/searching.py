"""What looks for personal data in calls, as the rules of a scope say. Imported with the first call or row that needs it."""

from ..privacy import engines
from ..privacy.placeholders import Engine
from ..resolving.personal_data import PersonalDataRules


def engine_of(rules: PersonalDataRules) -> Engine:
    """Return what finds personal data by *rules*, for the texts of one call or row."""
    engine = engines.engine_for(rules.engine, rules.types, rules.countries, rules.patterns, rules.allow)
    return engine if rules.engine == engines.BUILT_IN else engines.within(engine, engines.ALL_WITHIN)
