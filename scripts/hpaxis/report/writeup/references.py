"""The works that a write-up may cite, as facts: key to (kind, fields).

Each was compared with at least one other bibliography than ours (authors, year, title, journal, volume, pages, DOI);
Johnson and Neyman (1936) has no DOI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# ruff: noqa: E501

REFERENCES = {
    "bauer2005": ("article", {"author": "Bauer, Daniel J. and Curran, Patrick J.", "year": "2005", "title": "Probing interactions in fixed and multilevel regression: Inferential and graphical techniques", "journal": "Multivariate Behavioral Research", "volume": "40", "number": "3", "pages": "373--400", "doi": "10.1207/s15327906mbr4003_5"}),
    "cook1994": ("article", {"author": "Cook, John R. and Stefanski, Leonard A.", "year": "1994", "title": "Simulation-extrapolation estimation in parametric measurement error models", "journal": "Journal of the American Statistical Association", "volume": "89", "number": "428", "pages": "1314--1328", "doi": "10.2307/2290994"}),
    "davidson2008": ("article", {"author": "Davidson, Russell and Flachaire, Emmanuel", "year": "2008", "title": "The wild bootstrap, tamed at last", "journal": "Journal of Econometrics", "volume": "146", "number": "1", "pages": "162--169", "doi": "10.1016/j.jeconom.2008.08.003"}),
    "efron1987": ("article", {"author": "Efron, Bradley", "year": "1987", "title": "Better bootstrap confidence intervals", "journal": "Journal of the American Statistical Association", "volume": "82", "number": "397", "pages": "171--185", "doi": "10.1080/01621459.1987.10478410"}),
    "esarey2018": ("article", {"author": "Esarey, Justin and Sumner, Jane Lawrence", "year": "2018", "title": "Marginal effects in interaction models: Determining and controlling the false positive rate", "journal": "Comparative Political Studies", "volume": "51", "number": "9", "pages": "1144--1176", "doi": "10.1177/0010414017730080"}),
    "freedman1983": ("article", {"author": "Freedman, David and Lane, David", "year": "1983", "title": "A nonstochastic interpretation of reported significance levels", "journal": "Journal of Business & Economic Statistics", "volume": "1", "number": "4", "pages": "292--298", "doi": "10.1080/07350015.1983.10509354"}),
    "gelman2006": ("article", {"author": "Gelman, Andrew and Stern, Hal", "year": "2006", "title": "The difference between ``significant'' and ``not significant'' is not itself statistically significant", "journal": "The American Statistician", "volume": "60", "number": "4", "pages": "328--331", "doi": "10.1198/000313006X152649"}),
    "johnson1936": ("article", {"author": "Johnson, Palmer O. and Neyman, Jerzy", "year": "1936", "title": "Tests of certain linear hypotheses and their application to some educational problems", "journal": "Statistical Research Memoirs", "volume": "1", "pages": "57--93"}),
    "long2000": ("article", {"author": "Long, J. Scott and Ervin, Laurie H.", "year": "2000", "title": "Using heteroscedasticity consistent standard errors in the linear regression model", "journal": "The American Statistician", "volume": "54", "number": "3", "pages": "217--224", "doi": "10.1080/00031305.2000.10474549"}),
    "molder2021": ("article", {"author": "M{\\\"o}lder, Felix and Jablonski, Kim Philipp and Letcher, Brice and others", "year": "2021", "title": "Sustainable data analysis with Snakemake", "journal": "F1000Research", "volume": "10", "pages": "33", "doi": "10.12688/f1000research.29032.2"}),
    "rubin1987": ("book", {"author": "Rubin, Donald B.", "year": "1987", "title": "Multiple Imputation for Nonresponse in Surveys", "publisher": "Wiley", "doi": "10.1002/9780470316696"}),
    "schultz2015": ("article", {"author": "Schultz, Matthew D. and He, Yupeng and Whitaker, John W. and others", "year": "2015", "title": "Human body epigenome maps reveal noncanonical DNA methylation variation", "journal": "Nature", "volume": "523", "number": "7559", "pages": "212--216", "doi": "10.1038/nature14465"}),
    "simonsohn2020": ("article", {"author": "Simonsohn, Uri and Simmons, Joseph P. and Nelson, Leif D.", "year": "2020", "title": "Specification curve analysis", "journal": "Nature Human Behaviour", "volume": "4", "number": "11", "pages": "1208--1214", "doi": "10.1038/s41562-020-0912-z"}),
    "steegen2016": ("article", {"author": "Steegen, Sara and Tuerlinckx, Francis and Gelman, Andrew and Vanpaemel, Wolf", "year": "2016", "title": "Increasing transparency through a multiverse analysis", "journal": "Perspectives on Psychological Science", "volume": "11", "number": "5", "pages": "702--712", "doi": "10.1177/1745691616658637"}),
    "tobin1958": ("article", {"author": "Tobin, James", "year": "1958", "title": "Estimation of relationships for limited dependent variables", "journal": "Econometrica", "volume": "26", "number": "1", "pages": "24--36", "doi": "10.2307/1907382"}),
    "hopewell2025": ("article", {"author": "Hopewell, Sally and Chan, An-Wen and Collins, Gary S. and others", "year": "2025", "title": "CONSORT 2025 statement: Updated guideline for reporting randomised trials", "journal": "BMJ", "volume": "389", "pages": "e081123", "doi": "10.1136/bmj-2024-081123"}),
    "montgomery2018": ("article", {"author": "Montgomery, Paul and Grant, Sean and Mayo-Wilson, Evan and Macdonald, Geraldine and Michie, Susan and Hopewell, Sally and Moher, David", "year": "2018", "title": "Reporting randomised trials of social and psychological interventions: The CONSORT-SPI 2018 Extension", "journal": "Trials", "volume": "19", "pages": "407", "doi": "10.1186/s13063-018-2733-1"}),
    "gallo2011": ("article", {"author": "Gallo, Valentina and Egger, Matthias and McCormack, Valerie and others", "year": "2011", "title": "STrengthening the Reporting of OBservational studies in Epidemiology -- Molecular Epidemiology (STROBE-ME): An extension of the STROBE statement", "journal": "PLoS Medicine", "volume": "8", "number": "10", "pages": "e1001117", "doi": "10.1371/journal.pmed.1001117"}),
}  # fmt: skip


def bibtex(keys: Sequence[str]) -> str:
    """Return the BibTeX file of some keys, sorted."""
    entries = []
    for key in sorted(set(keys)):
        kind, fields = REFERENCES[key]
        lines = ",\n".join(f"  {name} = {{{_latex(value)}}}" for name, value in fields.items())
        entries.append(f"@{kind}{{{key},\n{lines}\n}}\n")
    return "\n".join(entries)


def _latex(value: str) -> str:
    return value.replace(" & ", " \\& ")


def short(key: str) -> str:
    """Return ``Gelman & Stern, 2006`` for a key."""
    _, fields = REFERENCES[key]
    names = [author.split(",")[0] for author in _plain(fields["author"]).split(" and ")]
    if "others" in names or len(names) > 2:
        who = f"{names[0]} et al."
    else:
        who = " & ".join(names)
    return f"{who}, {fields['year']}"


def full(key: str) -> str:
    """Return a reference in APA order, as one line of text."""
    _, f = REFERENCES[key]
    names = [_initials(_plain(name)) for name in f["author"].split(" and ")]
    last = ", et al." if names[-1] == "others" else f", & {names[-1]}" if len(names) > 1 else ""
    authors = ", ".join(names[:-1] if last else names) + last
    title, dash = _plain(f["title"]), "–"
    if "publisher" in f:
        return f"{authors} ({f['year']}). {title}. {f['publisher']}.{_address(f)}"
    number = f"({f['number']})" if "number" in f else ""
    return f"{authors} ({f['year']}). {title}. {f['journal']}, {f['volume']}{number}, {f['pages'].replace('--', dash)}.{_address(f)}"


def _initials(name: str) -> str:
    """``Bauer, Daniel J.`` as ``Bauer, D. J.``; ``others`` as it is."""
    family, comma, given = name.partition(", ")
    short = " ".join("-".join(f"{part[0]}." for part in word.split("-")) for word in given.split())
    return f"{family}, {short}" if comma else name


def _address(fields: Mapping[str, str]) -> str:
    return f" https://doi.org/{fields['doi']}" if "doi" in fields else ""


def _plain(text: str) -> str:
    for old, new in (('{\\"o}', "ö"), ("``", "“"), ("''", "”"), (" -- ", " – ")):
        text = text.replace(old, new)
    return text
