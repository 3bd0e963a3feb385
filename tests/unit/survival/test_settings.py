import pytest
import yaml

from pathgptomic.config import with_defaults
from pathgptomic.survival.balance import STRATEGIES
from pathgptomic.survival.catalogue import BASELINES
from pathgptomic.survival.checks import errors
from pathgptomic.survival.settings import ModelSettings


@pytest.fixture(scope="module")
def schema(root):
    return yaml.safe_load((root / "config" / "schemas" / "survival.schema.yaml").read_text())["config"]


def section(schema, models, **others):
    return with_defaults({"models": models, **others}, schema)


def test_defaults_of_the_schema_are_those_of_the_code(schema):
    filled = section(schema, {"a": {"modalities": ["cnv"]}})["models"]["a"]
    assert ModelSettings.from_dict(filled) == ModelSettings.from_dict({"modalities": ["cnv"]})
    assert ModelSettings.from_dict(filled) == ModelSettings(("cnv",))


def test_settings_survive_their_own_dictionary(schema):
    given = {"modalities": ["cnv", "slides"], "features": {"cnv": {"pca": 3}}, "balance": {"strategy": "ogm-ge"}}
    settings = ModelSettings.from_dict(given)
    assert settings.features["cnv"].pca == 3
    assert settings.features["cnv"].scale == 0.2
    assert ModelSettings.from_dict(settings.to_dict()) == settings


def test_choices_of_the_schema_are_those_of_the_code(schema):
    model = schema["properties"]["models"]["additionalProperties"]["properties"]
    assert set(model["balance"]["properties"]["strategy"]["enum"]) == set(STRATEGIES)
    assert set(schema["properties"]["baselines"]["items"]["enum"]) == set(BASELINES)


def test_branches_gather_modalities():
    settings = ModelSettings(("slides", "mutations", "genomics:mixup", "clinical", "cnv"))
    assert settings.encoders["snn"] == ("cnv", "mutations")
    assert list(settings.branches) == ["genomics", "slides", "clinical"]
    assert list(ModelSettings(("rois", "cnv")).branches) == ["genomics", "rois"]
    assert settings.branches["genomics"] == ("snn", "genomics:mixup")
    assert settings.reduction("genomics:mixup").pca == 64


COHORT = {
    "modalities": ["clinical", "expression", "cnv"],
    "covariates": {"age": "numeric"},
    "source": "tables",
    "tables": {"slides": None},
    "slides": {"rois": None},
}
SLIDES = {"rois": {"size": 256}, "keep_slides": True}
ROIS = {"modalities": ["rois"], "rois": {"crop": 128}}


@pytest.mark.parametrize(
    ("models", "others", "sentence"),
    [
        ({"a": {}}, {}, "survival.models.a needs either `modalities`"),
        ({"a": {"modalities": ["cnv"], "combine": ["b", "c"]}}, {}, "needs either `modalities`"),
        ({"a": {"combine": ["b", "clinical-cox"]}}, {}, "combines 'b', which is neither a model nor a listed baseline"),
        (
            {"a": {"combine": ["b", "c"]}, "b": {"combine": ["c", "clinical-cox"]}, "c": {"modalities": ["cnv"]}},
            {},
            "combines 'b', itself a combination",
        ),
        ({"a": {"combine": ["clinical-cox"]}}, {}, "combines one model"),
        ({"a": {"modalities": ["cnv", "expression"], "fusion": "kronecker"}}, {}, "has the one branch genomics"),
        ({"a": {"modalities": ["cnv"], "pooling": "attention"}}, {}, "pools by attention but reads no slides"),
        ({"a": {"modalities": ["slides"]}}, {}, "cohort here has no slides, which survival.models.a reads"),
        ({"a": ROIS}, {}, "cohort here has no regions of interest, which survival.models.a reads; name a folder"),
        ({"a": {"modalities": ["rois"]}}, {}, "survival.models.a.rois.crop is 512, larger than the regions"),
        ({"a": {**ROIS, "rois": {"weights": "gone.pth"}}}, {}, "there is no file gone.pth; correct survival.models.a"),
        ({"a": {"modalities": ["genomics:x"]}}, {}, "genomics.adapters has no 'x'"),
        (
            {"a": {"modalities": ["cnv"], "balance": {"rho": "literal", "aggregate": "mean"}}},
            {},
            "defined for `rho: softmax_share` only",
        ),
        ({"clinical-cox": {"modalities": ["cnv"]}}, {}, "has the name of a baseline"),
        ({"a": {"modalities": ["cnv"]}}, {"predict": {"model": "b", "cohort": "here"}}, "name a trained model: a."),
        ({"a": {"modalities": ["cnv"]}}, {"predict": {"model": "a", "cohort": "x"}}, "name one of the run's cohorts"),
        ({"a": {"modalities": ["cnv"]}}, {"predict": {"model": "a", "cohort": "here"}}, "predict.tables lacks cnv"),
    ],
)
def test_checks_say_what_is_wrong(schema, models, others, sentence):
    config = {"survival": section(schema, models, **others), "slides": SLIDES}
    assert any(sentence in each for each in errors(config, {"here": COHORT}))


def test_a_sound_configuration_passes(schema):
    models = {
        "a": {"modalities": ["clinical", "cnv", "expression"], "fusion": "kronecker"},
        "b": {"modalities": ["genomics:mixup"]},
        "c": {"combine": ["a", "clinical-cox"], "weights": "fitted"},
        "d": ROIS,
    }
    predict = {"model": "b", "cohort": "here", "tables": {"genomics:mixup": "x.parquet"}}
    config = {"survival": section(schema, models, predict=predict), "genomics": {"adapters": {"mixup": {}}}}
    config["slides"] = SLIDES
    pictures = {**COHORT, "slides": {"rois": "pictures"}}
    drawn = {**COHORT, "modalities": [*COHORT["modalities"], "slides"], "tables": {"slides": {"images": "svs"}}}
    cohorts = {"here": pictures, "drawn": drawn, "gdc": {**drawn, "source": "gdc", "tables": {"slides": None}}}
    assert errors(config, cohorts) == []
    config["slides"] = {**SLIDES, "keep_slides": False}
    (sentence,) = errors(config, cohorts)
    assert sentence.startswith("slides.keep_slides is false, but survival.models.d draws its regions from the slides")


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("tables", "or of slides in `tables.slides.images`"),
        ("gdc", "have slides in its `modalities` without `tables.slides`"),
    ],
)
def test_features_in_place_of_slides_give_no_regions(schema, source, fix):
    config = {"survival": section(schema, {"a": ROIS}), "slides": SLIDES}
    encoded = {"slides": {"features": "elsewhere", "images": None}}
    cohort = {**COHORT, "source": source, "modalities": ["clinical", "slides"], "tables": encoded}
    (sentence,) = [each for each in errors(config, {"here": cohort}) if "regions" in each]
    assert fix in sentence


def test_a_cohort_without_what_a_baseline_reads_is_named(schema):
    config = {"survival": section(schema, {}, baselines=["elastic-net-mutations"])}
    (sentence,) = errors(config, {"here": COHORT})
    assert "cohort here has none of mutations, which the baseline elastic-net-mutations reads" in sentence
