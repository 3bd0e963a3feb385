from pathgptomic.report.catalogue import CLASSICAL, COMBINED, FUSION, SINGLE, catalogue
from tests.unit.report.conftest import JOINT, SURVIVAL, network


def test_models_know_their_twins_and_families():
    found = catalogue(SURVIVAL)
    fused = ["path-gptomic", "path-gptomic-clinical", "unbalanced", "reversed"]
    assert list(found) == [*fused, "slides", "late-fusion", "clinical-cox", "elastic-net-omics"]
    assert found["path-gptomic"]["with_clinical"] == "path-gptomic-clinical"
    assert found["path-gptomic"]["unbalanced"] == "unbalanced"
    assert found["reversed"]["unbalanced"] == "unbalanced"
    assert found["unbalanced"]["unbalanced"] == ""
    assert found["path-gptomic-clinical"] | {"title": ""} == {
        "kind": "model",
        "title": "",
        "family": FUSION,
        "modalities": ["clinical", "cnv", "expression", "mutations", "slides"],
        "branches": ["clinical", "genomics", "slides"],
        "trained": True,
        "strategy": "path-gptomic",
        "with_clinical": "",
        "unbalanced": "",  # no network with clinical variables is left unbalanced
    }
    families = {name: facts["family"] for name, facts in found.items()}
    assert families["slides"] == SINGLE
    assert families["late-fusion"] == COMBINED
    assert families["clinical-cox"] == CLASSICAL
    assert [name for name, facts in found.items() if facts["trained"]] == [*fused, "slides"]
    assert found["slides"]["strategy"] == ""


def test_a_network_that_differs_otherwise_is_no_twin():
    models = {
        "balanced": network("a", JOINT, "path-gptomic"),
        "wider": network("b", JOINT) | {"network": {"snn": [64]}},
        "fewer": network("c", JOINT[1:]),
    }
    found = catalogue({"models": models, "baselines": []})
    assert found["balanced"]["unbalanced"] == ""


def test_combinations_that_differ_by_the_clinical_model_are_twins():
    models = {
        "slides": network("a", ["slides"]),
        "late": {"title": "late", "combine": ["slides"]},
        "late-clinical": {"title": "late with clinical", "combine": ["slides", "clinical-cox"]},
    }
    found = catalogue({"models": models, "baselines": ["clinical-cox"]})
    assert found["late"]["with_clinical"] == "late-clinical"
    assert found["late-clinical"]["branches"] == ["clinical", "slides"]
    assert found["late-clinical"]["with_clinical"] == ""


def test_a_model_without_title_is_called_by_its_name():
    found = catalogue({"models": {"m": network("", JOINT)}, "baselines": ["unheard-of"]})
    assert found["m"]["title"] == "m"
    assert found["unheard-of"]["title"] == "unheard-of"


def test_the_model_that_is_balanced_as_in_the_paper_stands_first():
    models = {
        "expression": network("a", ["expression"]),
        "concat": network("b", JOINT),
        "paper": network("c", JOINT, "path-gptomic"),
    }
    assert list(catalogue({"models": models, "baselines": ["clinical-cox"]})) == [
        "paper",
        "concat",
        "expression",
        "clinical-cox",
    ]
    del models["paper"]
    assert list(catalogue({"models": models, "baselines": []})) == ["expression", "concat"]


def test_a_network_of_the_clinical_variables_can_make_the_twin_of_a_combination():
    models = {
        "genomics": network("a", ["expression"]),
        "clinical": network("b", ["clinical"]),
        "late": {"combine": ["genomics"]},
        "late-clinical": {"combine": ["genomics", "clinical"]},
        "joint": {"combine": ["genomics", "block-cox"]},
    }
    found = catalogue({"models": models, "baselines": ["block-cox"]})
    assert found["late"]["with_clinical"] == "late-clinical"
    assert found["joint"]["branches"] == ["clinical", "genomics"]
