"""National numbers of people: the form, the check of python-stdnum (extra ``pii``), and a word beside it where these say too little."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ..patterns import later
from . import checks
from .shapes import DIGIT, LETTER, shape, shapes
from .spans import LETTERS, PersonalSpan, Searched
from .windows import in_windows, near, words


class National(NamedTuple):
    """A number that a country gives to people."""

    form: str
    """As it is written, a regular expression."""
    check: str
    """A module of python-stdnum, or, with a leading dot, a function of :mod:`.checks`; empty: the form is all there is."""
    named: str = ""
    """Words of which one stands beside it, a regular expression; empty: the form and its check are enough."""


_RODNE: Final = (
    National(r"\d{6}/\d{3,4}", "cz.rc"),
    National(r"\d{9,10}", "cz.rc", r"rodn[ée]|r\.? ?č|rč"),
)
"""Both countries kept the number of Czechoslovakia."""
NATIONAL: Final[dict[str, tuple[National, ...]]] = {
    "AE": (National(r"784-?\d{4}-?\d{7}-?\d", ".luhn"),),
    "DO": (National(r"\d{3}-\d{7}-\d", "do.cedula"), National(r"\d{11}", "do.cedula", r"c[ée]dula")),
    "EC": (National(r"\d{9}-?\d", "ec.ci", r"c[ée]dula|c\.?i\.?(?![a-z])"),),
    "EG": (National(r"[23]\d{13}", ".egypt", r"الرقم القومي|رقم قومي|بطاقة|national id"),),
    "PK": (National(r"\d{5}-\d{7}-\d", "pk.cnic"), National(r"\d{13}", "pk.cnic", r"cnic|شناختی")),
    "SA": (National(r"[12]\d{9}", ".luhn", r"هوية|الهوية|إقامة|اقامة|national id|iqama"),),
    "AR": (
        National(r"(?:20|23|24|27)-\d{8}-\d", "ar.cuit"),
        National(r"\d{1,2}\.\d{3}\.\d{3}", "ar.dni", r"dni|documento"),
        National(r"\d{7,8}", "ar.dni", r"d\.?n\.?i\.?(?![a-z])"),
    ),
    "AT": (National(r"\d{4} ?\d{6}", "at.vnr", r"svnr|sv-?n|sozialvers|versicherungsn|ssn"),),
    "AU": (
        National(r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"tfn|tax file"),
        National(r"[2-6]\d{3} ?\d{5} ?\d", ".medicare", r"medicare"),
    ),
    "BE": (
        National(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "be.nn"),
        National(
            r"\d{11}|\d{6}[ -]\d{3}[ -]\d{2}",
            "be.nn",
            r"rijksregister|registre national|num[ée]ro national|niss|insz|nationaal nummer|nrn",
        ),
    ),
    "BG": (National(r"\d{10}", "bg.egn", r"егн|egn"),),
    "BR": (
        National(r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
        National(r"\d{11}|\d{9}-\d{2}", "br.cpf", r"cpf"),
    ),
    "CA": (
        National(r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"sin(?![a-z])|social ins|nas(?![a-z])|assurance sociale"),
    ),
    "CH": (
        National(r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn"),
        National(r"756[ .]?\d{4}[ .]?\d{4}[ .]?\d{2}", "ch.ssn", r"ahv|avs|sozialvers|navs"),
    ),
    "CL": (
        National(r"\d{1,2}\.\d{3}\.\d{3}-[\dkK]", "cl.rut"),
        National(r"\d{7,8}-?[\dkK]", "cl.rut", r"rut(?![a-z])|run(?![a-z])"),
    ),
    "CN": (National(r"[1-8]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]", "cn.ric"),),
    "CZ": _RODNE,
    "DE": (
        National(
            r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
            "de.idnr",
            r"steuer-?id|id-?nr|identifikationsn|steuerliche|steuern|tin(?![a-z])|tax id",
        ),
        National(r"\d{2} ?(?:[0-25-7]\d|[38][01])(?:0\d|1[0-2])\d{2} ?[A-Za-z] ?\d{3}", ".versicherung"),
        National(r"[CFGHJKLMNPRTVWXYZ][0-9CFGHJKLMNPRTVWXYZ]{8}\d?", ".ausweis", r"ausweis|pass|identity card|id card"),
        National(r"[A-Za-z]\d{9}", ".krankenkasse", r"versicherten|krankenvers|kvnr|krankenkasse|gesundheitskarte|egk"),
    ),
    "DK": (
        National(r"\d{6}-\d{4}", "dk.cpr"),
        National(r"\d{6} ?\d{4}", "dk.cpr", r"cpr|personn"),
    ),
    "EE": (National(r"[1-8]\d{10}", "ee.ik", r"isikukood|ik(?![a-z])"),),
    "ES": (
        National(r"(?:\d{8}|\d{1,2}\.\d{3}\.\d{3})[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]", "es.dni"),
        National(r"[XYZxyz][ -]?(?:\d{7}|\d\.\d{3}\.\d{3})[ -]?[A-Za-z]", "es.nie"),
        National(r"\d{2}[ /-]?\d{8}[ /-]?\d{2}", ".seguridad", r"seguridad social|nuss|afiliaci|n\.?º? ?ss"),
    ),
    "FI": (National(r"\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-Za-z]", ".henkilotunnus"),),
    "FR": (
        National(r"[1-478] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
        National(
            r"[0-3]\d ?\d{2} ?\d{3} ?\d{3} ?\d{3}",
            "fr.nif",
            r"num[ée]ro fiscal|n° fiscal|spi(?![a-z])|r[ée]f[ée]rence fiscale",
        ),
    ),
    "GB": (
        National(r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", r"nhs|national health"),
        National(r"\d{5} ?\d{5}", "gb.utr", r"utr(?![a-z])|unique taxpayer|tax reference"),
        National(
            r"[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z](?: \d{2} \d{2} \d{2} |-\d{2}-\d{2}-\d{2}-)[A-Da-d]",
            ".insurance",
        ),
        National(
            r"[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]",
            ".insurance",
            r"nino|insurance n|national ins|ni n|n\.?i\.?(?![a-z])",
        ),
    ),
    "GR": (
        National(r"\d{11}", "gr.amka", r"αμκα|amka|a\.m\.k\.a|α\.μ\.κ\.α"),  # noqa: RUF001 - Greek
        National(r"\d{9}", "gr.vat", r"αφμ|afm|α\.φ\.μ"),  # noqa: RUF001 - Greek
    ),
    "HK": (
        National(r"[A-Z]{1,2}\d{6}\([0-9A]\)", ".hong_kong"),
        National(r"[A-Z]{1,2}\d{6}[0-9A]", ".hong_kong", r"hkid|身份證|身份证"),
    ),
    "HR": (National(r"\d{11}", "hr.oib", r"oib|osobni"),),
    "HU": (
        National(r"\d{3}[ -]?\d{3}[ -]?\d{3}", ".taj", r"taj(?![a-z])|társadalombizt"),
        National(r"8\d{9}", ".adoazonosito", r"adóazon|adóaz|adószám"),
    ),
    "ID": (National(r"\d{16}", "id.nik", r"nik(?![a-z])|ktp|nomor induk"),),
    "IE": (National(r"\d{7}[A-Wa-w][A-IWa-iw]?", "ie.pps", r"pps|personal public"),),
    "IL": (National(r"\d{9}|\d{7,8}-\d", "il.idnr", r'ת["״.]?ז|תעודת|מספר זהות|teud|id n|israeli id'),),
    "IN": (
        National(r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", "in_.aadhaar", r"aad?ha+r|आधार|uid(?![a-z])"),
        National(r"[A-Z]{3}P[A-Z]\d{4}[A-Z]", "in_.pan"),
        National(r"[A-Za-z]{5}\d{4}[A-Za-z]", "in_.pan", r"pan(?![a-z])|पैन"),
    ),
    "IR": (National(r"\d{10}|\d{3}-\d{6}-\d", ".iran", r"کد ?ملی|کدملی|شماره ملی|code ?melli|melli code"),),
    "IS": (
        National(r"\d{6}-\d{4}", "is_.kennitala"),
        National(r"\d{10}", "is_.kennitala", r"kennitala|kt(?![a-z])"),
    ),
    "IT": (National(r"[A-Za-z]{6}\d{2}[A-EHLMPRSTa-ehlmprst]\d{2}[A-Za-z]\d{3}[A-Za-z]", "it.codicefiscale"),),
    "JP": (National(r"\d{4}[ -]?\d{4}[ -]?\d{4}", "jp.in_", r"マイナンバー|個人番号|my ?number|individual number"),),
    "KR": (
        National(r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6}", ""),
        National(r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[1-8]\d{6}", "", r"주민|rrn|resident reg"),
    ),
    "KZ": (National(r"\d{12}", ".kazakhstan", r"жсн|иин|iin(?![a-z])|жеке сәйкестендіру"),),
    "LT": (National(r"[1-6]\d{10}", "lt.asmens", r"asmens|a\.? ?k\.?"),),
    "LV": (National(r"\d{6}-\d{5}", ".latvia", r"personas kod|p\.? ?k\.?"),),
    "MX": (
        National(r"[A-Za-z]{4}\d{6}[HMXhmx][A-Za-z]{5}[A-Za-z0-9]\d", "mx.curp"),
        National(r"[A-ZÑ&]{4}\d{6}[A-Z0-9]{3}", "mx.rfc", r"rfc"),
    ),
    "MY": (National(r"\d{6}-\d{2}-\d{4}", "my.nric"),),
    "NL": (
        National(
            r"\d{9}|\d{3}[ .]\d{3}[ .]\d{3}|\d{4}[ .]\d{2}[ .]\d{3}",
            "nl.bsn",
            r"bsn|burgerservice|sofi|citizen service",
        ),
    ),
    "NO": (National(r"(?:[04][1-9]|[1256]\d|[37][01])(?:[04][1-9]|[15][0-2])\d{2} ?\d{5}", "no.fodselsnummer"),),
    "NZ": (
        National(r"\d{2,3}[ -]?\d{3}[ -]?\d{3}", "nz.ird", r"ird(?![a-z])|inland rev"),
        National(r"[A-HJ-NP-Z]{3} ?\d{4}", ".nhi", r"nhi(?![a-z])|national health"),
        National(r"[A-HJ-NP-Z]{3} ?\d{2}[A-HJ-NP-Z]{2}", "", r"nhi(?![a-z])|national health"),
    ),
    "PE": (National(r"\d{8}(?:-[\dA-K])?", "", r"d\.?n\.?i\.?(?![a-z])|documento nacional"),),
    "PL": (
        National(r"\d{11}", "pl.pesel", r"pesel|numer ewidencyjny"),
        National(r"\d{3}-?\d{3}-?\d{2}-?\d{2}|\d{3}-\d{2}-\d{2}-\d{3}", "pl.nip", r"nip(?![a-z])"),
        National(r"[A-Z]{3} ?\d{6}", ".dowod", r"dow[oó]d|dowodu|paszport"),
    ),
    "PT": (
        National(r"[1-3]\d{2} ?\d{3} ?\d{3}", "pt.nif", r"nif|contribuinte|fiscal"),
        National(r"\d{8} ?\d ?[A-Za-z][A-Za-z0-9]\d", "pt.cc"),
        National(r"\d{8} ?\d ?[A-Za-z0-9]{2}\d", "pt.cc", r"cidad[aã]o|cc(?![a-z])"),
    ),
    "RO": (National(r"[1-9]\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{6}", "ro.cnp"),),
    "RS": (National(r"\d{13}", ".jmbg", r"jmbg|јмбг|mati[cč]n|матичн"),),
    "RU": (
        National(r"\d{3}-\d{3}-\d{3}[ -]\d{2}", ".snils"),
        National(r"\d{11}", ".snils", r"снилс|snils"),
        National(r"\d{12}", ".inn", r"инн|inn(?![a-z])"),
        National(r"\d{4} ?\d{6}|\d{2} \d{2} \d{6}", "", r"паспорт|passport|серия"),
    ),
    "SE": (
        National(r"(?:19|20)?\d{6}[-+]\d{4}", "se.personnummer"),
        National(r"(?:19|20)?\d{10}", "se.personnummer", r"personn|pnr|p-?nr|person-?id"),
    ),
    "SG": (National(r"[STFGMstfgm]\d{7}[A-Za-z]", ".singapore"),),
    "SI": (National(r"\d{13}", ".jmbg", r"emšo|emso"),),
    "SK": _RODNE,
    "TH": (
        National(r"\d-\d{4}-\d{5}-\d{2}-\d", "th.pin"),
        National(
            r"\d[ -]?\d{4}[ -]?\d{5}[ -]?\d{2}[ -]?\d",
            "th.pin",
            r"บัตร|ประชาชน|เลขประจำตัว|citizen id|thai id|thai nat|tnin",
        ),
    ),
    "TR": (National(r"[1-9]\d{10}", "tr.tckimlik", r"t\.?c\.?(?![a-z])|kimlik|tckn"),),
    "TW": (National(r"[A-Z][1289]\d{8}", ".taiwan", r"身分證|身份證|居留證|national id|id card|id number"),),
    "UA": (National(r"\d{10}", "ua.rntrc", r"рнокпп|іпн|ідентиф|податк|rnokpp"),),
    "US": (
        National(r"\d{3}-\d{2}-\d{4}", "us.ssn"),
        National(r"\d{3}[ -]?\d{2}[ -]?\d{4}", "us.ssn", r"ssn|social sec|soc\.? sec|seguro social"),
        National(r"9\d{2}-\d{2}-\d{4}", "us.itin"),
    ),
    "ZA": (National(r"\d{6} ?\d{4} ?\d{3}", ".south_africa"),),
}
"""By country (ISO 3166). Where no words are named, at most one of a thousand other numbers of the form passes."""
_IDENTITY: Final = (
    r"(?:national|personal|personnel|civil|citizen|resident|identity|identification)(?: \w+)? (?:id|identity|identification|number|code|no)(?![a-z])"
    r"|(?:argentin|austral|austri|belgi|brazil|bulgari|canadi|chil|chin|croati|czech|danish|dutch|ecuador|egypti|estoni|finnish|french|german|greek"
    r"|hungari|iceland|indi|indonesi|iran|irish|israel|itali|japan|kazakh|korean|latvi|lithuani|mexic|norwegi|peruvi|polish|portug|romani|russi|saudi"
    r"|serbi|sloven|slovak|south afric|spanish|swedish|swiss|thai|turkish|ukraini)\w{0,5} (?:\w+ )?(?:id|tax|identity|number|code)(?![a-z])"
)
"""What a text in English calls the number of any country."""
COUNTRIES: Final = frozenset(NATIONAL)
"""Whose national numbers are known."""


class _Looked(NamedTuple):
    form: re.Pattern[str]
    named: re.Pattern[str] | None
    check: Callable[[str], bool]


class _Wanted(NamedTuple):
    by_shape: Mapping[str, Sequence[_Looked]]
    """What may begin where a text has that shape: of a hundred forms one or two have to be asked."""
    lengths: Mapping[str, Sequence[int]]
    """How long the shapes are that begin so."""
    longest: int
    named: re.Pattern[str]
    """All words that are to stand beside a number."""


_STARTS: Final = later(rf"[0-9A-Za-zÑ&](?<![{LETTERS}./@#+-].)(?<!\d,.)(?:(?<=[0-9])|(?=[A-Za-zÑ&]{{0,6}}[ -]?[0-9]))")
"""Where a number may begin: each form has a digit among its first letters."""


_BEGINNING: Final = 7
"""Letters and digits: no form is shorter."""
_GOES_ON: Final = frozenset({DIGIT, LETTER})


@lru_cache(maxsize=64)
def _of(countries: tuple[str, ...]) -> _Wanted:
    found = [each for country in countries for each in NATIONAL.get(country, ())]
    by_shape: dict[str, list[_Looked]] = {}
    for each in found:
        looked = _Looked(
            later(rf"(?:{each.form})(?![{LETTERS}/@]|[.:-][{LETTERS}]|,\d{{3}}(?!\d))"),
            words(each.named, *([_IDENTITY] if each.check else [])) if each.named else None,
            _check(each.check),
        )
        for one in shapes(each.form):
            by_shape.setdefault(one, []).append(looked)
    named = words(*(each.named for each in found if each.named), _IDENTITY)
    lengths: dict[str, set[int]] = {}
    for one in by_shape:
        lengths.setdefault(one[:_BEGINNING], set()).add(len(one))
    ordered = {beginning: sorted(found) for beginning, found in lengths.items()}
    return _Wanted(by_shape, ordered, max(map(len, by_shape), default=0), named)


def _check(name: str) -> Callable[[str], bool]:
    if not name:
        return lambda _: True
    if name.startswith("."):
        found: Callable[[str], bool] = getattr(checks, name[1:])
        return found
    is_valid: Callable[[str], bool] = importlib.import_module(f"stdnum.{name}").is_valid

    def check(number: str) -> bool:
        try:
            return is_valid(number) or ("." in number and is_valid(number.replace(".", "")))
        except Exception:  # noqa: BLE001 - its tables have holes (cn.ric): what cannot be said is said to be one
            return True

    return check


def numbers(plain: Searched, countries: Sequence[str]) -> Iterator[PersonalSpan]:
    """Find national numbers of people, of *countries* (ISO 3166); others have none.

    Raises:
        ImportError: Without the extra ``pii``.
    """
    if not plain.windows:
        return
    text, wanted = plain.text, _of(tuple(countries))
    done: dict[_Looked, int] = {}
    for start in in_windows(_STARTS, plain):
        at = start.start()
        here = shape(text[at : at + wanted.longest + 1])
        asked = [
            each
            for length in wanted.lengths.get(here[:_BEGINNING], ())
            if here[length : length + 1] not in _GOES_ON
            for each in wanted.by_shape.get(here[:length], ())
        ]
        named: dict[int, bool] = {}
        for each in asked:
            if done.get(each, 0) > at or (found := each.form.match(text, at)) is None:
                continue
            done[each] = end = found.end()
            if each.named is not None:
                if end not in named:
                    named[end] = near(plain, found, wanted.named)
                if not named[end] or not near(plain, found, each.named):
                    continue
            if each.check(found[0]):
                yield plain.span(at, end, "ID")
