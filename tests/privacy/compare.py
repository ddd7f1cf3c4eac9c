"""What other engines find in the same sentences, for the table in docs/privacy.md; nothing of the project needs them.

In an environment of its own, from the repository: ``pip install presidio-analyzer scrubadub datafog`` and a model of spaCy, then
``python -m tests.privacy.compare presidio EN_MODEL held_out_3.txt``; others: ``presidio-all EN_MODEL``, ``scrubadub -``, ``datafog -``,
``ours -`` (there with the project's). A place that overlaps counts. What an engine finds of other types (names, dates) is left aside.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module

from core.privacy.looking import find
from tests.privacy.labelled import EVERYWHERE, Sentence, sentences

Engine = Callable[[str], Iterator[tuple[str, int, int]]]
THEIRS = "email_address phone_number credit_card iban_code ip_address ssn social_security_number credential"
OURS = dict(zip(THEIRS.split(), ["EMAIL", "PHONE", "CARD", "IBAN", "IP", "ID", "ID", "SECRET"], strict=True))
PEOPLE = re.compile(
    r"US_(SSN|ITIN|MBI)|UK_N.*|ES_NI[EF]|IT_FISCAL.*|PL_PESEL|SG_NRIC.*|AU_(TFN|MEDICARE)|IN_(PAN|AADHAAR)|(FI|SE)_PERS.*|KR_[RF]RN|TH_TNIN"
    r"|TR_NATIONAL.*|ZA_(ID|INCOME).*|NG_NIN|PH_(TIN|UMID)|CA_SIN|DE_(TAX_ID|SOCIAL|HEALTH|ID).*"
)
SURE = 0.35
"""Of Presidio's scores: what is below is a guess that needs a word beside it."""
CLAIMS = {
    "presidio": "EMAIL PHONE CARD IBAN IP ID",
    "scrubadub": "EMAIL PHONE CARD ID SECRET",
    "datafog": "EMAIL PHONE CARD IP ID",
}


def presidio(model: str, *, every: bool) -> Engine:
    analyzer, known = import_module("presidio_analyzer"), import_module("presidio_analyzer.predefined_recognizers")
    import_module(
        "tldextract.tldextract"
    ).TLD_EXTRACTOR.suffix_list_urls = ()  # it would ask the network, again and again
    nlp = import_module("presidio_analyzer.nlp_engine").SpacyNlpEngine()
    nlp.nlp = {"en": import_module("spacy").load(model)}
    registry = analyzer.RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    if every:  # of all countries, whatever the text's language
        classes = [each for each in map(vars(known).get, known.__all__) if isinstance(each, type)]
        patterns = [each for each in classes if issubclass(each, analyzer.PatternRecognizer)]
        everywhere = known.PhoneRecognizer(supported_regions=tuple(import_module("phonenumbers").SUPPORTED_REGIONS))
        registry.recognizers = [everywhere, *(each(supported_language="en") for each in patterns)]
    analyze = analyzer.AnalyzerEngine(registry=registry, nlp_engine=nlp).analyze
    return lambda text: ((each.entity_type, each.start, each.end) for each in analyze(text, "en") if each.score >= SURE)


def engine_of(name: str, model: str) -> Engine:
    if name.startswith("presidio"):
        return presidio(model, every=name.endswith("all"))
    if name == "scrubadub":
        dirt = import_module("scrubadub").Scrubber().iter_filth
        parts = lambda text: (part for each in dirt(text) for part in getattr(each, "filths", [each]))  # noqa: E731 - merged ones
        return lambda text: ((each.detector_name, each.beg, each.end) for each in parts(text))
    if name == "datafog":
        scan = import_module("datafog").scan
        return lambda text: ((each.type, each.start, each.end) for each in scan(text).entities)
    return lambda text: ((span.kind, span.start, span.end) for span in find(text, EVERYWHERE))


def compared(wanted: list[Sentence], engine: Engine, claims: str) -> str:
    """Return a row: of what it found, right; of what is of its types, found; sentences with nothing that it touched; time."""
    began = time.process_time()
    raw = [list(engine(text)) for _, text, _ in wanted]
    taken, size = time.process_time() - began, sum(len(each.text.encode()) for each in wanted)
    right, hits, touched = [], [], []
    for (language, _, marks), here in zip(wanted, raw, strict=True):
        kinds = [
            ("ID" if PEOPLE.fullmatch(kind) else OURS.get(kind.lower(), kind.upper()), a, b) for kind, a, b in here
        ]
        found = [(a, b) for kind, a, b in kinds if kind in claims.split()]
        right += [any(a < mark.end and mark.start < b for mark in marks) for a, b in found]
        hits += [any(a < mark.end and mark.start < b for a, b in found) for mark in marks if mark.kind in claims]
        touched += [bool(found)] * (language == "-")
    shares = [f"{sum(each) / len(each):.3f}" for each in (right, hits, touched)]
    return " | ".join([*shares, f"{taken * 1e6 / size:.1f} ms per kB"])


if __name__ == "__main__":
    engine = engine_of(*sys.argv[1:3])
    wanted = [each for name in sys.argv[3:] for each in sentences(name)]
    claims = CLAIMS.get(sys.argv[1].split("-")[0], "SECRET EMAIL IBAN CARD ID PHONE IP")
    compared(wanted, engine, claims)  # the second time nothing is imported and compiled any more
    sys.stdout.write(f"{sys.argv[1]} | {compared(wanted, engine, claims)}\n")
