"""What may leave the laboratory: counts of few people are withheld, ids are replaced by numbers."""

from hpaxis.report.numbers import count

WITHHELD = "withheld"


def shown_flow(attrition, smallest):
    """Return the flow as text: population, chain, step, arm, ``stays``, ``left``, ``reason``.

    ``attrition`` is cohort/attrition.tsv. Where one step of a chain loses from 1 to ``smallest - 1`` people of an
    arm, what each step of that chain loses is withheld, since a single withheld number follows from the others;
    the n before and after the whole chain stays, because every analysis must tell its n.
    """
    shown = attrition[["population", "chain", "step", "arm", "reason"]].copy()
    shown["stays"] = [count(n) for n in attrition["n_after"]]
    lost = attrition["n_before"] - attrition["n_after"]
    shown["left"] = [count(n) for n in lost]
    for _, steps in attrition.groupby(["population", "arm", "chain"], sort=False):
        if lost[steps.index].between(1, smallest - 1).any():
            shown.loc[steps.index, "left"] = WITHHELD
            shown.loc[steps.index[:-1], "stays"] = WITHHELD
            shown.loc[steps.index, "reason"] = WITHHELD
    return shown[["population", "chain", "step", "arm", "stays", "left", "reason"]]


def shown_ids(ids, noun, real):
    """Return ids as they are where ``real``, else numbered in their order: ``library 1``, ``library 2``."""
    return [str(i) for i in ids] if real else [f"{noun} {n}" for n in range(1, len(ids) + 1)]
