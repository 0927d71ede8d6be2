"""The works that a write-up may cite, as facts: key to (kind, fields)."""

# ruff: noqa: E501

REFERENCES = {
    "bauer2005": ("article", {"author": "Bauer, Daniel J. and Curran, Patrick J.", "year": "2005", "title": "Probing interactions in fixed and multilevel regression: Inferential and graphical techniques", "journal": "Multivariate Behavioral Research", "volume": "40", "number": "3", "pages": "373--400"}),
    "cook1994": ("article", {"author": "Cook, John R. and Stefanski, Leonard A.", "year": "1994", "title": "Simulation-extrapolation estimation in parametric measurement error models", "journal": "Journal of the American Statistical Association", "volume": "89", "number": "428", "pages": "1314--1328"}),
    "davidson2008": ("article", {"author": "Davidson, Russell and Flachaire, Emmanuel", "year": "2008", "title": "The wild bootstrap, tamed at last", "journal": "Journal of Econometrics", "volume": "146", "number": "1", "pages": "162--169"}),
    "efron1987": ("article", {"author": "Efron, Bradley", "year": "1987", "title": "Better bootstrap confidence intervals", "journal": "Journal of the American Statistical Association", "volume": "82", "number": "397", "pages": "171--185"}),
    "esarey2018": ("article", {"author": "Esarey, Justin and Sumner, Jane Lawrence", "year": "2018", "title": "Marginal effects in interaction models: Determining and controlling the false positive rate", "journal": "Comparative Political Studies", "volume": "51", "number": "9", "pages": "1144--1176"}),
    "freedman1983": ("article", {"author": "Freedman, David and Lane, David", "year": "1983", "title": "A nonstochastic interpretation of reported significance levels", "journal": "Journal of Business and Economic Statistics", "volume": "1", "number": "4", "pages": "292--298"}),
    "gelman2006": ("article", {"author": "Gelman, Andrew and Stern, Hal", "year": "2006", "title": "The difference between ``significant'' and ``not significant'' is not itself statistically significant", "journal": "The American Statistician", "volume": "60", "number": "4", "pages": "328--331"}),
    "johnson1936": ("article", {"author": "Johnson, Palmer O. and Neyman, Jerzy", "year": "1936", "title": "Tests of certain linear hypotheses and their application to some educational problems", "journal": "Statistical Research Memoirs", "volume": "1", "pages": "57--93"}),
    "long2000": ("article", {"author": "Long, J. Scott and Ervin, Laurie H.", "year": "2000", "title": "Using heteroscedasticity consistent standard errors in the linear regression model", "journal": "The American Statistician", "volume": "54", "number": "3", "pages": "217--224"}),
    "molder2021": ("article", {"author": "M{\\\"o}lder, Felix and others", "year": "2021", "title": "Sustainable data analysis with Snakemake", "journal": "F1000Research", "volume": "10", "pages": "33"}),
    "rubin1987": ("book", {"author": "Rubin, Donald B.", "year": "1987", "title": "Multiple Imputation for Nonresponse in Surveys", "publisher": "Wiley"}),
    "schultz2015": ("article", {"author": "Schultz, Matthew D. and others", "year": "2015", "title": "Human body epigenome maps reveal noncanonical DNA methylation variation", "journal": "Nature", "volume": "523", "pages": "212--216"}),
    "simonsohn2020": ("article", {"author": "Simonsohn, Uri and Simmons, Joseph P. and Nelson, Leif D.", "year": "2020", "title": "Specification curve analysis", "journal": "Nature Human Behaviour", "volume": "4", "pages": "1208--1214"}),
    "steegen2016": ("article", {"author": "Steegen, Sara and Tuerlinckx, Francis and Gelman, Andrew and Vanpaemel, Wolf", "year": "2016", "title": "Increasing transparency through a multiverse analysis", "journal": "Perspectives on Psychological Science", "volume": "11", "number": "5", "pages": "702--712"}),
    "tobin1958": ("article", {"author": "Tobin, James", "year": "1958", "title": "Estimation of relationships for limited dependent variables", "journal": "Econometrica", "volume": "26", "number": "1", "pages": "24--36"}),
    "hopewell2025": ("article", {"author": "Hopewell, Sally and others", "year": "2025", "title": "CONSORT 2025 statement: Updated guideline for reporting randomised trials", "journal": "BMJ", "volume": "389", "pages": "e081123"}),
    "montgomery2018": ("article", {"author": "Montgomery, Paul and others", "year": "2018", "title": "Reporting randomised trials of social and psychological interventions: The CONSORT-SPI 2018 Extension", "journal": "Trials", "volume": "19", "pages": "407"}),
    "gallo2011": ("article", {"author": "Gallo, Valentina and others", "year": "2011", "title": "STrengthening the Reporting of OBservational studies in Epidemiology -- Molecular Epidemiology (STROBE-ME)", "journal": "PLoS Medicine", "volume": "8", "number": "10", "pages": "e1001117"}),
}  # fmt: skip


def bibtex(keys):
    """Return the BibTeX file of some keys, sorted."""
    entries = []
    for key in sorted(set(keys)):
        kind, fields = REFERENCES[key]
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        entries.append(f"@{kind}{{{key},\n{lines}\n}}\n")
    return "\n".join(entries)


def short(key):
    """Return ``Gelman & Stern, 2006`` for a key."""
    _, fields = REFERENCES[key]
    names = [author.split(",")[0] for author in _plain(fields["author"]).split(" and ")]
    if "others" in names or len(names) > 2:
        who = f"{names[0]} et al."
    else:
        who = " & ".join(names)
    return f"{who}, {fields['year']}"


def full(key):
    """Return a reference in APA order, as one line of text."""
    _, f = REFERENCES[key]
    authors = _plain(f["author"]).replace(" and others", ", et al.").replace(" and ", ", & ")
    title, dash = _plain(f["title"]), "–"
    if "publisher" in f:
        return f"{authors} ({f['year']}). {title}. {f['publisher']}."
    number = f"({f['number']})" if "number" in f else ""
    return f"{authors} ({f['year']}). {title}. {f['journal']}, {f['volume']}{number}, {f['pages'].replace('--', dash)}."


def _plain(text):
    for old, new in (('{\\"o}', "ö"), ("``", "“"), ("''", "”"), (" -- ", " – ")):
        text = text.replace(old, new)
    return text
