import pytest

from hpaxis import labels


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("region_mean_beta", "region mean methylation"),
        ("ngfi_a_m", "ngfi a methylation (M value)"),
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


def test_model_titles():
    entry = {"outcome": "log_cortisol", "predictor": "cpg_1_4_beta", "moderator": "arm", "population": "parent"}
    assert labels.model_title(entry) == "Log hair cortisol on cpg 1 4 methylation × arm (parents)"
    assert labels.model_title(entry | {"covariates": ["sex"]}).endswith("× arm, with sex (parents)")
    assert labels.contrast_label("treatment - control") == "treatment\u00a0−\u00a0control"
