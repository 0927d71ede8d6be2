import pytest

from hpaxis import labels


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("region_mean_beta", "region mean methylation"),
        ("ngfi_a_m", "NGFI-A methylation (M value)"),
        ("log_cortisol", "log hair cortisol"),
        ("parent_region_mean_beta", "parent’s region mean methylation"),
        ("child_competence", "child’s competence"),
        ("age_months", "age months"),
    ],
)
def test_columns_in_words(column, text):
    assert labels.column_label(column) == text


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("(Intercept)", "Intercept"),
        ("arm[treatment]", "treatment"),
        ("region_mean_beta:arm[a:b]", "region mean methylation × a:b"),
        ("sex[girl]", "sex: girl"),
    ],
)
def test_terms_in_words(term, text):
    assert labels.term_label(term) == text


def test_a_level_named_by_a_bare_number_is_named_with_its_column():
    assert labels.level_label("2") == "arm 2" and labels.level_label("2", "site_code") == "site code 2"
    assert labels.level_label("group 2") == "group 2"
    assert labels.contrast_label("2 - 1") == "arm 2\u00a0−\u00a0arm 1"
    assert labels.quantity_label("slope[1]") == "slope in arm 1"
    assert labels.quantity_label("slope[b] - slope[a]") == "slope in b\u00a0−\u00a0slope in a"
    assert labels.term_label("region_mean_beta:arm[2]") == "region mean methylation × arm 2"


def test_model_titles():
    entry = {"outcome": "log_cortisol", "predictor": "cpg_1_4_beta", "moderator": "arm", "population": "parent"}
    assert labels.model_title(entry) == "Log hair cortisol on CpG 1–4 methylation × arm (parents)"
    assert labels.model_title(entry | {"covariates": ["sex"]}).endswith("× arm, with sex (parents)")
    assert labels.contrast_label("treatment - control") == "treatment\u00a0−\u00a0control"
