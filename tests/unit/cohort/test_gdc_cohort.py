"""From a GDC, or a mirror of it, to a checked cohort that holds what was simulated."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pathgptomic.cohort.gdc import checks
from pathgptomic.cohort.gdc.build import build_gdc_cohort
from pathgptomic.cohort.gdc.client import Access, Client
from pathgptomic.cohort.gdc.fetch import fetch_files
from pathgptomic.cohort.gdc.lock import lock_cohort
from pathgptomic.cohort.gdc.manifest import read_manifest, write_manifest
from pathgptomic.cohort.gdc.mirror import Mirror
from pathgptomic.cohort.gdc.outcome import covariates
from pathgptomic.cohort.gdc.query import CASE_FIELDS, FILE_FIELDS, all_hits, case_filter, file_filter
from pathgptomic.cohort.simulate.expression import MARKERS, bulk_expression
from pathgptomic.cohort.simulate.mirror import simulate_mirror
from pathgptomic.cohort.simulate.spec import Spec
from pathgptomic.cohort.simulate.world import HARMFUL_ARM, HARMFUL_GENE, PROTECTIVE_GENE, simulate
from pathgptomic.cohort.tables import read_audit, read_expression, read_features, read_flow, read_patients, read_slides
from pathgptomic.config import compose_schemas, with_defaults
from tests.unit.cohort.gdc_server import FakeGdc, serve

SETTINGS = {"patients": 60, "genes": 300, "slide_pixels": 512, "missing": {"slides": 0.9, "cnv": 0.1}}
SEED = 11


@pytest.fixture(scope="module")
def schemas(root):
    return compose_schemas(root / "config" / "schemas")


@pytest.fixture(scope="module")
def settings(schemas) -> dict:
    cohort = {
        "title": "Simulated",
        "source": "gdc",
        "gdc": {"projects": ["SIMU"]},
        "covariates": {"age": "numeric", "sex": "nominal", "grade": {"ordinal": ["G2", "G3", "G4"]}},
        "site": {"barcode": [6, 7]},
        "stratum": "project",
        "missing": "mask",
        "audit": {"missing_outcome": "drop"},
    }
    return with_defaults(cohort, schemas[1])


@pytest.fixture(scope="module")
def access(schemas) -> dict:
    return with_defaults({}, schemas[0]["properties"]["gdc"])


@pytest.fixture(scope="module")
def mirror(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate_mirror(
        settings=SETTINGS,
        seed=SEED,
        threads=1,
        mirror_out=str(folder / "mirror"),
        truth_out=str(folder / "truth.json"),
        hazards_out=str(folder / "true_hazards.tsv"),
    )
    return folder / "mirror"


@pytest.fixture(scope="module")
def world():
    return simulate(Spec.from_dict(SETTINGS), SEED)


def lock(folder: Path, settings: dict, access: dict, mirror: Path | None, pinned: Path | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lock_cohort(
        cohort="simulated",
        gdc=settings["gdc"],
        modalities=settings["modalities"],
        access=access,
        mirror=str(mirror) if mirror else None,
        lock=str(pinned) if pinned else None,
        manifest_out=str(folder / "manifest.tsv"),
        drift_out=str(folder / "drift.tsv"),
        answers_out=str(folder / "answers"),
    )
    return folder


def build(folder: Path, settings: dict, files: Path, **tables) -> Path:
    build_gdc_cohort(
        manifest=str(folder / "manifest.tsv"),
        answers=str(folder / "answers"),
        folder=str(files),
        outcomes=tables.get("outcomes"),
        positions=tables.get("positions"),
        settings=settings,
        out=str(folder),
        replicates_out=str(folder / "replicates.tsv"),
    )
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, settings, access, mirror) -> Path:
    folder = lock(tmp_path_factory.mktemp("cohort"), settings, access, mirror)
    fetch_files(
        manifest=str(folder / "manifest.tsv"),
        modalities=["expression", "cnv", "mutations", "slides"],
        folder="nowhere",
        mirror=str(mirror),
        access=access,
        fetched_out=str(folder / "fetched.tsv"),
    )
    return build(folder, settings, mirror)


def test_outcome_and_covariates_come_through(cohort, world, settings):
    patients = read_patients(cohort / "patients.tsv", settings["covariates"])
    truth = world.patients
    assert patients.index.equals(truth.index)
    assert (patients["event"] == truth["event"]).all()
    assert (patients["time_days"] == truth["time_days"]).all()
    assert patients["age"].to_numpy() == pytest.approx(truth["age"].to_numpy(), abs=0.01)
    for name in ("sex", "grade", "site"):
        assert (patients[name] == truth[name]).all()
    assert set(patients["stratum"]) == {"SIMU"}
    for modality in ("expression", "cnv", "mutations", "slides"):
        assert (patients[f"has_{modality}"] == truth[f"has_{modality}"]).all()


def test_features_come_through(cohort, world):
    expression, scale = read_expression(cohort / "expression.h5ad")
    made = bulk_expression(world, Spec.from_dict(SETTINGS), SEED)
    assert scale == "linear"
    # the repeated symbol, the copy on Y and the gene without protein have gone
    assert sorted(expression.columns) == sorted(made.columns)
    made = made.loc[expression.index, expression.columns]
    assert expression.to_numpy() == pytest.approx(made.to_numpy(), abs=1e-3)
    import anndata

    stored = anndata.read_h5ad(cohort / "expression.h5ad")
    counts = stored.layers["counts"]
    assert stored.var.loc["CD3D", "ensembl_id"] == "ENSG00000167286"
    assert np.corrcoef(np.log1p(counts).ravel(), np.log1p(made.to_numpy()).ravel())[0, 1] > 0.95
    cnv = read_features(cohort / "cnv.parquet")
    held = [arm for arm in cnv.columns if cnv[arm].notna().any()]
    assert "10q" in held
    assert (cnv["10q"] == world.copy_number.loc[cnv.index, "10q"] - 2).all()
    mutations = read_features(cohort / "mutations.parquet")
    assert mutations.index.equals(world.patients.index[world.patients["has_mutations"]])
    planted = world.mutations.loc[mutations.index]
    for gene in planted.columns[planted.any()]:
        assert (mutations[gene] == planted[gene]).all()
    # silent calls do not count
    assert "FLG" not in mutations
    # who has no mutation has a row of zeros, not a missing one
    assert (mutations.sum(axis=1) == 0).sum() == (planted.sum(axis=1) == 0).sum()


def test_planted_signal_is_in_the_row_of_its_patient(cohort, world):
    """Every built matrix beside the truth, patient by patient: a scrambled or diluted table shows here."""
    expression, _ = read_expression(cohort / "expression.h5ad")
    made = bulk_expression(world, Spec.from_dict(SETTINGS), SEED).loc[:, expression.columns]
    log_built, log_made = np.log1p(expression), np.log1p(made)
    centred = log_made - log_made.mean()
    # among all patients, each row is nearest to the tumour that was simulated for it
    closest = ((log_built - log_made.mean()).to_numpy() @ centred.to_numpy().T) / np.linalg.norm(centred, axis=1)
    assert (centred.index[closest.argmax(axis=1)] == expression.index).all()
    score = log_built[MARKERS["macrophage"].split()].mean(axis=1) - log_built[MARKERS["T cell"].split()].mean(axis=1)
    assert np.corrcoef(score, world.parts.loc[expression.index, "cells"])[0, 1] > 0.95
    cnv = read_features(cohort / "cnv.parquet")
    measured = [arm for arm in cnv.columns if cnv[arm].notna().any()]
    assert len(measured) > 20
    planted = world.copy_number.loc[cnv.index]
    # whole copies above the ploidy, which the median arm gives: 2 in all of these tumours
    assert (planted.median(axis=1) == 2).all()
    # an arm of which a sample has no segment is missing, never another number
    assert ((cnv[measured] == planted[measured] - 2) | cnv[measured].isna()).all().all()
    assert cnv[measured].isna().mean().mean() < 0.05
    harmful = -cnv[HARMFUL_ARM].clip(upper=0)
    assert np.corrcoef(harmful, world.parts.loc[cnv.index, "cnv"])[0, 1] > 0.999
    mutations = read_features(cohort / "mutations.parquet")
    balance = mutations[HARMFUL_GENE] - mutations[PROTECTIVE_GENE]
    assert np.corrcoef(balance, world.parts.loc[mutations.index, "mutations"])[0, 1] > 0.999


def test_flow_and_audit_say_who_went(cohort):
    flow = read_flow(cohort / "flow.tsv").set_index("reason")
    assert flow.loc["no time or no event", "dropped"] == 1
    assert flow.loc["no time or no event", "examples"] == "SIMU-01-Z000"
    audit = {finding["check"]: finding for finding in read_audit(cohort / "audit.json")}
    assert audit["vital status"]["status"] == "warn"
    assert audit["vital status"]["evidence"]["their words"] == ["Not reported"]
    assert audit["replicates"]["evidence"]["patients"] == 3


def test_values_beside_the_levels_are_missing_and_said(cohort, settings, mirror, tmp_path, world):
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    two = settings | {"covariates": {"grade": {"ordinal": ["G2", "G3"]}}}
    build(folder, two, mirror)
    patients = read_patients(folder / "patients.tsv")
    highest = world.patients["grade"] == "G4"
    assert patients["grade"].isna().equals(highest)
    audit = {finding["check"]: finding for finding in read_audit(folder / "audit.json")}
    assert audit["levels: grade"]["evidence"] == {"G4": int(highest.sum())}


def test_first_vial_stands_for_the_patient(cohort):
    replicates = pd.read_csv(cohort / "replicates.tsv", sep="\t")
    assert set(replicates.loc[replicates["chosen"], "aliquot"].str[13:16]) == {"01A"}
    assert set(replicates.loc[~replicates["chosen"], "aliquot"].str[13:16]) == {"01B"}


def test_slides_are_diagnostic_ones(cohort, mirror, world):
    slides = read_slides(cohort / "slides.tsv")
    assert slides["path"].map(lambda path: Path(path).is_file()).all()
    assert slides["slide_id"].str.contains("-DX").all()
    assert set(slides["patient_id"]) == set(world.patients.index[world.patients["has_slides"]])


def test_normal_samples_and_frozen_sections_are_left_out(cohort, mirror):
    manifest = read_manifest(cohort / "manifest.tsv")
    asked = Mirror(mirror)._answers("files")
    names = {hit["file_name"] for answer in asked for hit in answer["data"]["hits"]}
    left_out = names - set(manifest["file_name"])
    assert sum("-TS1" in name for name in left_out) == len([n for n in names if "-TS1" in n])
    assert sum("star_gene_counts" in name for name in left_out) == 4
    assert not manifest["aliquot"].str.contains("-11A-|-10A-").any()
    assert set(manifest["data_release"]) == {"Simulated Release 1.0"}


def test_server_and_mirror_give_the_same_cohort(cohort, settings, access, mirror, tmp_path):
    gdc = FakeGdc(answer_faults=["503", "not json", "429"])
    for kind in ("files", "cases"):
        gdc.hits[kind] = [hit for answer in Mirror(mirror)._answers(kind) for hit in answer["data"]["hits"]]
        # fields that we did not ask for do not come
        gdc.hits[kind] = [{**hit, "noise": 1} for hit in gdc.hits[kind]]
    gdc.status = json.loads((mirror / "answers" / "status.json").read_text())
    for path in mirror.glob("*-*/*"):
        gdc.files[path.parent.name] = (path.name, path.read_bytes())
        gdc.faults[path.parent.name] = ["drop"] if path.suffix == ".svs" else []
    with serve(gdc):
        online = access | {"base_url": gdc.url, "timeout_s": 5, "attempts": 4}
        folder = lock(tmp_path / "cohort", settings, online, None)
        assert (folder / "manifest.tsv").read_text() == (cohort / "manifest.tsv").read_text()
        for _ in range(2):
            fetch_files(
                manifest=str(folder / "manifest.tsv"),
                modalities=["expression", "cnv", "mutations", "slides"],
                folder=str(tmp_path / "gdc"),
                mirror=None,
                access=online,
                fetched_out=str(folder / "fetched.tsv"),
            )
    manifest = read_manifest(folder / "manifest.tsv")
    files = manifest[manifest["modality"] != "clinical"]
    assert len(pd.read_csv(folder / "fetched.tsv", sep="\t")) == len(files)
    # one request a file, and one more where the connection was dropped
    assert len(gdc.log) == len(files) + (files["modality"] == "slides").sum()
    build(folder, settings, tmp_path / "gdc")
    for name in ("patients.tsv", "flow.tsv", "audit.json", "replicates.tsv"):
        assert (folder / name).read_text() == (cohort / name).read_text()


def test_pages_are_put_together(mirror, settings):
    whole = all_hits(Mirror(mirror).ask, "files", file_filter(["expression"], settings["gdc"]), FILE_FIELDS)
    paged = all_hits(Mirror(mirror).ask, "files", file_filter(["expression"], settings["gdc"]), FILE_FIELDS, page=7)
    assert whole == paged
    assert len(whole) > 60


def test_answers_that_do_not_add_up_are_refused(mirror):
    def short(path, payload):
        answer = Mirror(mirror).ask(path, payload)
        answer["data"]["pagination"]["total"] += 5
        return answer

    with pytest.raises(ValueError, match="announced 66 cases and sent 61"):
        all_hits(short, "cases", case_filter(["SIMU"]), CASE_FIELDS)


@pytest.fixture
def moved(mirror, tmp_path) -> Path:
    """A later release: a file gone, one replaced, one changed, one new; a patient followed up, one gone, one new."""
    later = tmp_path / "later"
    shutil.copytree(mirror / "answers", later / "answers")
    hits = {kind: [h for a in Mirror(mirror)._answers(kind) for h in a["data"]["hits"]] for kind in ("files", "cases")}
    files = {kind: [h for h in hits["files"] if kind in h["data_type"]] for kind in ("Expression", "Copy", "Mutation")}
    hits["files"].remove(files["Copy"][0])
    files["Copy"][1]["file_id"] = "11111111-0000-4000-8000-000000000000"
    files["Expression"][0]["md5sum"] = "0" * 32
    new = copy.deepcopy(files["Mutation"][0])
    new["file_id"] = "22222222-0000-4000-8000-000000000000"
    hits["files"].append(new)
    alive = next(c for c in hits["cases"] if c["demographic"]["vital_status"] == "Alive")
    alive["demographic"] |= {"vital_status": "Dead", "days_to_death": 5000}
    gone = next(c for c in hits["cases"] if c["demographic"]["vital_status"] == "Dead" and c is not alive)
    gone["submitter_id"], gone["case_id"] = "SIMU-01-Z999", "33333333-0000-4000-8000-000000000000"
    for kind, found in hits.items():
        (later / "answers" / f"{kind}.json.gz").unlink()
        (later / "answers" / f"{kind}.json").write_text(json.dumps({"data": {"hits": found}}))
    return later


def test_drift_is_reported_and_the_lock_stays(cohort, settings, access, moved, tmp_path):
    pinned = cohort / "manifest.tsv"
    folder = lock(tmp_path / "reported", settings, access, moved, pinned)
    assert (folder / "manifest.tsv").read_text() == pinned.read_text()
    drift = pd.read_csv(folder / "drift.tsv", sep="\t", keep_default_na=False)
    counts = (drift["modality"] + " " + drift["change"]).value_counts().to_dict()
    assert counts == {
        "cnv gone": 1,
        "cnv replaced": 1,
        "expression changed": 1,
        "mutations added": 1,
        "clinical follow-up": 1,
        "clinical gone": 1,
        "clinical added": 1,
    }
    followed = drift[drift["change"] == "follow-up"].iloc[0]
    assert followed["locked"].startswith("Alive ")
    assert followed["now"] == "Dead 5000"


def test_drift_stops_or_is_accepted_when_told_to(cohort, settings, access, moved, tmp_path):
    pinned = cohort / "manifest.tsv"
    with pytest.raises(ValueError, match=r"has drifted from .*1 cnv gone.*set gdc.on_drift to report"):
        lock(tmp_path / "stopped", settings, access | {"on_drift": "stop"}, moved, pinned)
    folder = lock(tmp_path / "accepted", settings, access | {"on_drift": "accept"}, moved, pinned)
    assert "22222222-0000" in (folder / "manifest.tsv").read_text()


def test_no_drift_from_its_own_lock(cohort, settings, access, mirror, tmp_path):
    folder = lock(tmp_path / "again", settings, access | {"on_drift": "stop"}, mirror, cohort / "manifest.tsv")
    assert (folder / "drift.tsv").read_text() == "change\tmodality\tcase\tlocked\tnow\n"
    assert (folder / "answers" / "cases.json.gz").read_bytes() == (cohort / "answers" / "cases.json.gz").read_bytes()


def test_answers_of_a_lock_make_a_mirror(cohort, settings, access, tmp_path):
    shutil.copytree(cohort / "answers", tmp_path / "mirror" / "answers")
    folder = lock(tmp_path / "again", settings, access, tmp_path / "mirror")
    assert (folder / "manifest.tsv").read_text() == (cohort / "manifest.tsv").read_text()


def test_what_a_mirror_lacks_is_named(cohort, settings, access, mirror, tmp_path):
    manifest = read_manifest(cohort / "manifest.tsv")
    two = manifest[manifest["modality"] == "expression"].head(2)
    write_manifest(tmp_path / "manifest.tsv", two)
    (tmp_path / two["uuid"].iloc[0]).mkdir()
    (tmp_path / two["uuid"].iloc[0] / two["file_name"].iloc[0]).write_text("else")
    with pytest.raises(ValueError, match=r"lacks 2 of 2 files: .*\(other content\), .*\(absent\); copy them"):
        fetch_files(
            manifest=str(tmp_path / "manifest.tsv"),
            modalities=["expression"],
            folder="nowhere",
            mirror=str(tmp_path),
            access=access,
            fetched_out=str(tmp_path / "fetched.tsv"),
        )
    with pytest.raises(ValueError, match=r"has no answers/status\*.json; copy there"):
        lock(tmp_path / "x", settings, access, tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"projects": ["TCGA-XXX"]}, "the GDC has no cases of TCGA-XXX"),
        ({"cnv": {"data_type": "Gene Level Copy Number", "workflow": "ASCAT2"}}, "has no cnv of SIMU"),
    ],
)
def test_empty_cohort_is_refused(settings, access, mirror, tmp_path, change, says):
    with pytest.raises(ValueError, match=says):
        lock(tmp_path / "x", settings | {"gdc": settings["gdc"] | change}, access, mirror)


def test_another_endpoint_comes_from_a_table(cohort, settings, mirror, tmp_path):
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    ids = read_patients(cohort / "patients.tsv").index
    number = np.arange(len(ids))
    table = pd.DataFrame({"bcr_patient_barcode": ids, "PFI": number % 2, "PFI.time": number + 400})
    table.to_csv(tmp_path / "cdr.csv", index=False)

    def with_endpoint(name: str) -> dict:
        changes = {"gdc": settings["gdc"] | {"endpoint": name}, "audit": settings["audit"] | {"event_polarity": "warn"}}
        return settings | changes

    build(folder, with_endpoint("PFI"), mirror, outcomes=str(tmp_path / "cdr.csv"))
    patients = read_patients(folder / "patients.tsv")
    assert (patients["time_days"].to_numpy() == number + 400).all()
    assert (patients["event"].to_numpy() == (number % 2 == 1)).all()
    with pytest.raises(ValueError, match="has no column 'DSS'"):
        build(folder, with_endpoint("DSS"), mirror, outcomes=str(tmp_path / "cdr.csv"))


def test_checks_of_the_cohort_file(settings, access, tmp_path):
    config = {"cohort_folder": "config/cohorts", "data_root": ".", "gdc": access}

    def said(**changes):
        return " ".join(checks.sentences(config, settings | changes))

    assert said() == ""
    assert set(covariates({})) == set(checks.COVARIATES)
    assert "needs `gdc.projects`" in said(gdc=None)
    assert "no covariate 'weight'" in said(covariates={"weight": "numeric"})
    assert "endpoint PFI needs a table" in said(gdc=settings["gdc"] | {"endpoint": "PFI"})
    assert "there is no file nowhere.csv" in said(gdc=settings["gdc"] | {"endpoint": "PFI", "outcomes": "nowhere.csv"})
    assert "there is no mirror nowhere" in said(gdc=settings["gdc"] | {"mirror": "nowhere"})
    segments = settings["gdc"]["cnv"] | {"data_type": "Masked Copy Number Segment"}
    assert "set `gdc.cnv.workflow: DNAcopy`" in said(gdc=settings["gdc"] | {"cnv": segments})
    assert "name a table in `gdc.cnv.positions`" in said(
        gdc=settings["gdc"] | {"cnv": segments | {"workflow": "DNAcopy", "genes": ["EGFR"]}}
    )

    def with_slides(**given):
        empty = dict.fromkeys(("features", "table", "images", "list"))
        return said(tables=settings["tables"] | {"slides": empty | given})

    assert with_slides(features=str(tmp_path)) == ""
    assert "there is no folder nowhere; correct `tables.slides.features`" in with_slides(features="nowhere")
    assert "names a folder in `features`, and nothing else" in with_slides(images=str(tmp_path))
    assert "`tables.cnv` is for the source tables" in said(tables=settings["tables"] | {"cnv": {"path": "cnv.csv"}})
    config["gdc"] = access | {"token_file": "nowhere.txt"}
    assert said() == "there is no GDC token file nowhere.txt; correct gdc.token_file in config.yaml."


def test_client_asks_a_server_for_json(access):
    gdc = FakeGdc(answer_faults=["503"] * 9)
    with serve(gdc):
        client = Client(Access(base_url=gdc.url, attempts=3, first_pause_s=0.01))
        assert client.ask("status")["status"] == "OK"
        with pytest.raises(ValueError, match="answered 503, 3 times in a row; try again later"):
            client.ask("cases", {"filters": case_filter(["X"]), "size": 1, "fields": "case_id"})


def test_schema_lists_the_variant_classes(root):
    from pathgptomic.cohort.gdc.variants import CLASSES, PROTEIN_CHANGING

    schema = yaml.safe_load((root / "config/schemas/gdc.schema.yaml").read_text())["cohort"]["gdc"]["properties"]
    classes = schema["mutations"]["properties"]["classes"]
    assert tuple(classes["items"]["enum"]) == CLASSES
    assert tuple(classes["default"]) == PROTEIN_CHANGING
