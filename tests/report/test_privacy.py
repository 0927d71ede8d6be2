import pandas as pd

from hpaxis.report.privacy import WITHHELD, Cells, counts_few, few_beside, shown_flow, shown_ids

COLUMNS = ["population", "chain", "step", "arm", "n_before", "n_after", "reason"]


def chain(*losses):
    n, rows = 22, [("child", "enrolment", "enrolled", "a", 22, 22, "NA")]
    for i, lost in enumerate(losses):
        rows.append(("child", "methylation", f"step{i}", "a", n, n - lost, "why"))
        n -= lost
    return pd.DataFrame(rows, columns=COLUMNS)


def test_flow_in_full_when_every_count_may_be_told():
    shown = shown_flow(chain(1, 2), 0)
    assert shown["left"].tolist() == ["0", "1", "2"]
    assert shown["stays"].tolist() == ["22", "21", "19"]


def test_one_small_loss_withholds_the_losses_of_its_whole_chain():
    # With 22 before, 15 after the first and 12 in the end, the 3 would follow from any of the others.
    shown = shown_flow(chain(7, 3), 5)
    assert shown["left"].tolist() == ["0", WITHHELD, WITHHELD]
    assert shown["stays"].tolist() == ["22", WITHHELD, WITHHELD]
    assert shown["reason"].tolist() == ["NA", WITHHELD, WITHHELD]


def test_large_and_absent_losses_are_told():
    shown = shown_flow(chain(7, 0), 5)
    assert shown["left"].tolist() == ["0", "7", "0"]
    assert shown["stays"].tolist() == ["22", "15", "15"]


def test_a_chain_does_not_withhold_another():
    other = chain(6).assign(chain="cortisol").iloc[1:]
    shown = shown_flow(pd.concat([chain(1), other], ignore_index=True), 5)
    assert shown["left"].tolist() == ["0", WITHHELD, "6"]


def test_ids_are_numbered_unless_real_ones_are_asked_for():
    assert shown_ids(["L9", "L2"], "Library", real=False) == ["Library 1", "Library 2"]
    assert shown_ids(["L9", "L2"], "Library", real=True) == ["L9", "L2"]


def test_a_small_loss_in_one_arm_withholds_the_step_in_every_arm():
    other = chain(0, 0).assign(arm="b")
    shown = shown_flow(pd.concat([chain(1, 0), other], ignore_index=True), 5)
    assert set(shown.loc[shown["chain"] == "methylation", "stays"]) == {WITHHELD}
    assert set(shown.loc[shown["chain"] == "enrolment", "stays"]) == {"22"}


def test_a_small_count_hides_what_it_would_follow_from():
    cells = Cells(5)
    assert [cells.people(n) for n in (0, 1, 4, 5, float("nan"))] == ["0", "1–4", "1–4", "5", "–"]
    assert [Cells(0).people(n) for n in (1, 4)] == ["1", "4"]
    assert cells.part(3, 40) == "1–4 of 40" and cells.part(38, 40) == "36–39 of 40" and cells.part(14, 40) == "14 of 40"
    assert cells.known(21, 22) == WITHHELD and cells.known(22, 22) == "22" and cells.known(2, 22) == WITHHELD
    assert cells.parts([80, 4, 0]) == [WITHHELD, "1–4", "0"] and cells.parts([80, 6, 0]) == ["80", "6", "0"]
    assert cells.note("1 outcome values known only as beyond a limit") == "outcome values known only as beyond a limit"
    assert cells.note("Huber") == "Huber" and cells.note("12 rows lack a value") == "12 rows lack a value"


def test_a_table_that_counts_few_people_or_all_but_few_is_found():
    def few(smallest=5, **columns):
        return counts_few(pd.DataFrame({k: [v] for k, v in columns.items()}), Cells(smallest))

    assert few(n_below=3, n=40) and few(n_significant=38, n=40) and few(missing=1) and few(subjects=4)
    assert few(note="2 rows lack a value") and not few(note="version 2")
    assert not few(n_below=0, n=40) and not few(n_below=12, n=40) and not few(version=3, n=40)
    assert not few(0, n_below=3, n=40)
    region = pd.DataFrame({"n_above": [2], "n": [40]})
    assert few_beside({"region": region}, Cells(5)) and not few_beside({"region": region}, Cells(0))
    assert not few_beside({"fit": region}, Cells(5))
