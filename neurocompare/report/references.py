"""Whom a report cites: entries that ship with the package, and what can be made of any other citation as it is written.

Rules and benchmarks name their sources as "Lillicrap, Cownden, Tweed & Akerman 2016, Nat. Commun. 7:13276". First author and
year find the entry; where there is none, or the identifiers disagree, the citation itself becomes one.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OTHERS = "others"  # BibTeX's word for authors that are not listed
_PLACES = ("journal", "booktitle", "publisher", "institution")
_IDENTIFIERS = r"arXiv:(?P<eprint>\d{4}\.\d{4,5})|doi:(?P<doi>10\.\S+)|(?P<volume>\d+):(?P<page>e?\d+)(?:-\d+)?(?:\D|$)"
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\~{}", "^": r"\^{}"})


@dataclass(frozen=True)
class Reference:
    """A work that is cited.

    Attributes:
        key: for BibTeX and for links.
        kind: of BibTeX entry.
        authors: "Family, Given" each; the last may be ``OTHERS``.
        year: of publication.
        title: or, of a citation that no entry was found for, the citation.
        fields: further ones of BibTeX, by name.
    """

    key: str
    kind: str
    authors: tuple[str, ...]
    year: int
    title: str
    fields: Mapping[str, str]

    @property
    def label(self) -> str:
        """As it stands in a sentence, "Lillicrap et al. 2016"."""
        families = [author.split(",")[0] for author in self.authors]
        if len(families) == 2 and OTHERS not in families:
            name = " & ".join(families)
        else:
            name = families[0] + (" et al." if len(families) > 1 else "")
        return f"{name} {self.year}"

    def text(self, letter: str = "") -> str:
        """As it stands in a list of references, with a letter after the year where that tells it from others."""
        names = ["et al." if author == OTHERS else _initials(author) for author in self.authors]
        place = next((self.fields[name] for name in _PLACES if name in self.fields), "")
        volume, pages = self.fields.get("volume", ""), self.fields.get("pages", "").replace("-", "–")
        place += f" {volume}:{pages}" if volume else f", {pages}" if pages else ""
        where = place or (f"arXiv:{self.fields['eprint']}" if "eprint" in self.fields else "")
        return f"{', '.join(names)} ({self.year}{letter}). {self.title}." + (f" {where}." if where else "")

    @property
    def url(self) -> str:
        """Where it can be found, or nothing."""
        if "doi" in self.fields:
            return f"https://doi.org/{self.fields['doi']}"
        return f"https://arxiv.org/abs/{self.fields['eprint']}" if "eprint" in self.fields else ""

    @property
    def bibtex(self) -> str:
        """The BibTeX entry, text escaped; the title in braces of its own, so that its capitals stay."""
        title, year = f"{{{_escaped(self.title)}}}", str(self.year)
        values = {"author": " and ".join(self.authors), "title": title, "year": year, **self.fields}
        if "eprint" in values:
            values["archiveprefix"] = "arXiv"
        if "pages" in values:
            values["pages"] = values["pages"].replace("-", "--")
        plain = {"title", "doi", "eprint"}
        rows = (f"  {name} = {{{v if name in plain else _escaped(v)}}}" for name, v in values.items())
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(rows) + "\n}\n"


@functools.cache
def entries() -> Mapping[str, Reference]:
    """Every entry that ships with the package, by key."""
    content = tomllib.loads((resources.files("neurocompare.report") / "references.toml").read_text(encoding="utf-8"))
    return MappingProxyType({key: _entry(key, values) for key, values in content.items()})


def cited(citation: str) -> list[Reference]:
    """The works that a citation names.

    Args:
        citation: one or several with ";" between, each "Authors year, where".
    Returns:
        An entry for each, or one made of the words where none fits; none of words that name no author and year.
    """
    works: list[str] = []
    for part in filter(None, map(str.strip, citation.split(";"))):
        if works and not re.search(r"\b(1[89]|20)\d\d\b(?!\.)", part):
            works[-1] += f"; {part}"  # "AAAI; arXiv:1510.05067": more of the same work
        else:
            works.append(part)
    return [reference for work in works if (reference := _found(work)) is not None]


def bibtex(references: Iterable[Reference]) -> str:
    """A BibTeX file, each entry once, in order of their keys."""
    return "\n".join(reference.bibtex for _, reference in sorted({r.key: r for r in references}.items()))


def _entry(key: str, values: Mapping[str, Any]) -> Reference:
    own = {"kind", "authors", "title", "year"}
    fields = MappingProxyType({name: str(value) for name, value in values.items() if name not in own})
    return Reference(key, values["kind"], tuple(values["authors"]), values["year"], values["title"], fields)


def _found(work: str) -> Reference | None:
    named = re.match(r"\s*(?P<authors>\D+?)\s*\(?(?P<year>(?:1[89]|20)\d\d)\b", work)
    if named is None:
        return None
    authors, year = named["authors"].strip(" ,("), int(named["year"])
    key = _key(re.split(r",| & | and | et al", authors)[0]) + str(year)
    entry = entries().get(key)
    if entry is not None and _agree(work, entry):
        return entry
    return Reference(f"{key}cited" if entry else key, "misc", _split(authors), year, work, {})


def _agree(work: str, entry: Reference) -> bool:
    """Whether each identifier in a citation is the entry's, as far as the entry has one of its kind."""
    for match in re.finditer(_IDENTIFIERS, work):
        for name, value in match.groupdict().items():
            known = entry.fields.get("pages", "").split("-")[0] if name == "page" else entry.fields.get(name)
            if value and known and known.lower() != value.rstrip(".,;").lower():
                return False
    return True


def _split(authors: str) -> tuple[str, ...]:
    names = [name.strip() for name in re.split(r",| & | and ", re.sub(r"\s*et al\.?", ", others", authors))]
    return tuple(filter(None, names))


def _key(name: str) -> str:
    spelt = unicodedata.normalize("NFKD", name.replace("ø", "o").replace("Ø", "O"))
    return re.sub(r"[^a-z0-9]", "", spelt.encode("ascii", "ignore").decode().lower()) or "cited"


def _initials(author: str) -> str:
    family, _, given = author.partition(", ")
    return f"{family} {''.join(word[0] for word in re.split(r'[ -]', given) if word)}".strip()


def _escaped(text: str) -> str:
    return text.translate(_SPECIAL)
