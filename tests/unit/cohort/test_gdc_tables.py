"""The readers of GDC formats, on real files where there are any, and on what can go wrong."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathgptomic.cohort.gdc.copynumber import arm_means, read_copy_number_files, read_segments, segment_means
from pathgptomic.cohort.gdc.drift import drift
from pathgptomic.cohort.gdc.expression import read_expression_files
from pathgptomic.cohort.gdc.genome import ARMS, arm_of
from pathgptomic.cohort.gdc.manifest import CLINICAL, COLUMNS, build_manifest, read_manifest
from pathgptomic.cohort.gdc.outcome import covariates, outcome
from pathgptomic.cohort.gdc.samples import is_primary, one_per_patient
from pathgptomic.cohort.gdc.variants import PROTEIN_CHANGING, mutation_table, read_maf, read_mutation_files

STAR = "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second\ttpm_unstranded\n"
SUMMARY = "".join(f"N_{name}\t\t\t{i}\t1\t1\t\n" for i, name in enumerate(("unmapped", "ambiguous")))


def star(path: Path, *rows: str, comment: str = "# gene-model: GENCODE v36\n") -> str:
    path.write_text(comment + STAR + SUMMARY + "".join(f"{row}\n" for row in rows))
    return str(path)


# ---- expression


def test_star_rows_that_are_no_gene_of_the_type_go(tmp_path):
    rows = [
        "ENSG00000000003.15\tTSPAN6\tprotein_coding\t100\t50\t50\t7.5",
        "ENSG00000000005.6\tTNMD\tprotein_coding\t0\t0\t0\t0.0",
        "ENSG00000002586.20_PAR_Y\tCD99\tprotein_coding\t0\t0\t0\t0.0",
        "ENSG00000002586.20\tCD99\tprotein_coding\t70\t30\t40\t3.25",
        "ENSG00000999999.1\tLINC1\tlncRNA\t5\t2\t3\t1.0",
    ]
    path = star(tmp_path / "a.tsv", *rows)
    read = read_expression_files({"P1": path}, gene_types=["protein_coding"])
    assert read.values.loc["P1"].to_dict() == {"TSPAN6": 7.5, "TNMD": 0.0, "CD99": 3.25}
    assert read.counts.loc["P1"].to_dict() == {"TSPAN6": 100, "TNMD": 0, "CD99": 70}
    assert read.genes["ensembl_id"].to_dict()["TSPAN6"] == "ENSG00000000003"
    assert list(read_expression_files({"P1": path}).values) == ["TSPAN6", "TNMD", "CD99", "LINC1"]


def test_of_genes_with_one_symbol_the_strongest_stays(tmp_path):
    low, high = "ENSG1.1\tTWIN\tx\t1\t1\t1\t{}", "ENSG2.1\tTWIN\tx\t9\t1\t1\t{}"
    paths = {
        "P1": star(tmp_path / "a.tsv", low.format(5), high.format(1)),
        "P2": star(tmp_path / "b.tsv", low.format(0), high.format(9)),
    }
    read = read_expression_files(paths)
    assert read.values["TWIN"].tolist() == [1.0, 9.0]
    assert read.repeated == 1
    assert read.genes.loc["TWIN", "ensembl_id"] == "ENSG2"


def test_expression_files_that_disagree_or_are_cut_are_named(tmp_path):
    good = star(tmp_path / "a.tsv", "ENSG1.1\tA\tx\t1\t1\t1\t1.0")
    other = star(tmp_path / "b.tsv", "ENSG2.1\tB\tx\t1\t1\t1\t1.0")
    with pytest.raises(ValueError, match=r"b.tsv of P2 lists other genes than the first file"):
        read_expression_files({"P1": good, "P2": other})
    lacking = star(tmp_path / "c.tsv", "ENSG1.1\tA\tx\t1\t1\t1\t")
    with pytest.raises(ValueError, match=r"c.tsv lacks a value of tpm_unstranded"):
        read_expression_files({"P1": lacking})
    with pytest.raises(ValueError, match=r"has no column 'fpkm_unstranded'"):
        read_expression_files({"P1": good}, column="fpkm_unstranded")
    with pytest.raises(ValueError, match=r"no gene of the types miRNA"):
        read_expression_files({"P1": good}, gene_types=["miRNA"])
    (tmp_path / "empty.tsv").write_text("# nothing\n")
    with pytest.raises(ValueError, match="has no header line"):
        read_expression_files({"P1": str(tmp_path / "empty.tsv")})
    (tmp_path / "text.tsv").write_text(STAR + "ENSG1.1\tA\tx\tmany\t1\t1\t1.0\n")
    with pytest.raises(ValueError, match=r"text.tsv cannot be read: .*fetch it again"):
        read_expression_files({"P1": str(tmp_path / "text.tsv")})


# ---- copy number


def test_arms_of_known_genes():
    places = {"EGFR": ("7", 55e6, "7p"), "PTEN": ("10", 87.9e6, "10q"), "CDKN2A": ("9", 21.9e6, "9p")}
    places |= {"RB1": ("13", 48.3e6, "13q"), "TP53": ("17", 7.7e6, "17p"), "NF1": ("17", 31.1e6, "17q")}
    chromosome, position, arm = (pd.Series(column, list(places)) for column in zip(*places.values(), strict=True))
    assert (arm_of(chromosome, position) == arm).all()
    assert arm_of(pd.Series(["X"]), pd.Series([1e6])).isna().all()
    assert len(ARMS) == 39


def gene_level(path: Path, **copies: str) -> str:
    place = {"A": ("chr7", 1), "B": ("chr7", 2), "C": ("chr7", 90_000_000), "X": ("chrX", 5)}
    lines = ["gene_id\tgene_name\tchromosome\tstart\tend\tcopy_number\tmin_copy_number\tmax_copy_number"]
    for gene, number in copies.items():
        chromosome, start = place[gene]
        lines.append(f"ENSG{gene}.1\t{gene}\t{chromosome}\t{start}\t{start + 9}\t{number}\t{number}\t{number}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_gene_level_copies_are_counted_from_the_ploidy(tmp_path):
    paths = {
        "diploid": gene_level(tmp_path / "a.tsv", A="3", B="3", C="2", X="1"),
        # a doubled genome: four copies are nothing special in it
        "doubled": gene_level(tmp_path / "b.tsv", A="6", B="4", C="4", X="2"),
        "partly unseen": gene_level(tmp_path / "c.tsv", A="", B="", C="2", X=""),
    }
    kind = {"data_type": "Gene Level Copy Number"}
    arms = read_copy_number_files(paths, **kind, genes=["A"])
    assert arms.loc["diploid", ["7p", "7q", "A"]].tolist() == [0, -1, 0]
    assert arms.loc["doubled", ["7p", "7q", "A"]].tolist() == [1, 0, 2]
    assert arms.loc["partly unseen", "7q"] == 0
    assert arms.loc["partly unseen", ["7p", "A"]].isna().all()
    assert arms["1p"].isna().all()
    genes = read_copy_number_files(paths, **kind, level="gene")
    assert list(genes) == ["A", "B", "C", "X"]
    with pytest.raises(ValueError, match="know no gene 'NOPE'"):
        read_copy_number_files(paths, **kind, genes=["NOPE"])


def test_segments_of_copies_and_of_log_ratios(tmp_path):
    copies = tmp_path / "a.seg.txt"
    copies.write_text(
        "GDC_Aliquot\tChromosome\tStart\tEnd\tCopy_Number\tMajor_Copy_Number\tMinor_Copy_Number\n"
        "u\tchr7\t1\t60000000\t5\t3\t2\nu\tchr7\t60100001\t159000000\t4\t2\t2\nu\tchr10\t1\t133000000\t3\t2\t1\n"
        "u\tchrX\t1\t156000000\t1\t1\t0\n"
    )
    arms = arm_means(read_segments(copies))
    assert arms[["7p", "7q", "10p", "10q"]].tolist() == [1, 0, -1, -1]
    assert arms["1p"] != arms["1p"]
    ratios = tmp_path / "b.seg.txt"
    ratios.write_text("Sample\tChromosome\tStart\tEnd\tNum_Probes\tSegment_Mean\nu\t7\t1\t30000000\t9\t1.0\n")
    positions = tmp_path / "genes.tsv"
    positions.write_text(
        "gene\tchromosome\tstart\tend\nINSIDE\tchr7\t5\t20\nEDGE\t7\t29999996\t30000005\nOFF\t8\t1\t9\n"
    )
    table = read_copy_number_files(
        {"P": str(ratios)},
        data_type="Masked Copy Number Segment",
        genes=["INSIDE", "EDGE", "OFF"],
        positions=str(positions),
    )
    assert table.loc["P", "7p"] == 1
    assert table.loc["P", ["INSIDE", "EDGE"]].tolist() == [1, 1]
    assert np.isnan(table.loc["P", "OFF"])
    with pytest.raises(ValueError, match=r"name a table in gdc.cnv.positions"):
        read_copy_number_files({"P": str(ratios)}, data_type="Masked Copy Number Segment", level="gene")
    ratios.write_text("Sample\tChromosome\tStart\tEnd\nu\t7\t1\t9\n")
    with pytest.raises(ValueError, match="it is no file of segments"):
        read_segments(ratios)


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(-2, 2)), min_size=1, max_size=8))
def test_segment_mean_is_the_mean_over_bases(pieces):
    ends = np.cumsum([length for length, _ in pieces])
    starts = ends - [length for length, _ in pieces] + 1
    segments = pd.DataFrame(
        {"chromosome": "1", "start": starts, "end": ends, "value": [value for _, value in pieces]}, dtype=object
    ).astype({"start": float, "end": float, "value": float})
    bases = np.repeat([value for _, value in pieces], [length for length, _ in pieces])
    place = pd.DataFrame({"gene": ["g"], "chromosome": ["1"], "start": [3], "end": [40]})
    expected = bases[2:40].mean() if len(bases) > 2 else np.nan
    assert segment_means(segments, place, "gene")["g"] == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_real_segments(shared):
    segments = read_segments(shared / "data/maf-seg/TCGA.AB.3009.hg19.seg.txt")
    assert len(segments) == 818
    # a leukaemia with a normal karyotype
    assert arm_means(segments, "hg19").abs().max() < 0.06


def test_real_glioblastomas_gain_chromosome_7_and_lose_10(shared):
    table = pd.read_csv(shared / "data/glioma-counts/cnv_segments.csv.gz", dtype={"chromosome": str})
    table = table.rename(columns={"segment_mean": "value"})
    arms = pd.DataFrame({name: arm_means(rows, "hg19") for name, rows in table.groupby("sample_barcode")}).T
    assert len(arms) == 20
    medians = arms.median()
    assert medians[["7p", "7q"]].min() > 0.2
    assert medians[["10p", "10q"]].max() < -0.3
    assert medians.drop(["7p", "7q", "10p", "10q", "20p", "20q", "19p", "19q"]).abs().max() < 0.2


# ---- mutations


@pytest.mark.parametrize(
    ("name", "rows", "patients"), [("tcga_laml", 2207, 193), ("mc3_gbmlgg", 62913, 707), ("mc3_kirc", 19441, 347)]
)
def test_real_maf(shared, name, rows, patients):
    calls = read_maf(shared / f"data/maf-seg/{name}.maf.gz")
    assert len(calls) == rows
    assert calls["barcode"].str[:12].nunique() == patients


@pytest.mark.parametrize(("maf", "table"), [("mc3_gbmlgg", "tcga-gbmlgg"), ("mc3_kirc", "tcga-kirc")])
def test_real_mutations_agree_with_the_published_tables(shared, maf, table):
    calls = read_maf(shared / f"data/maf-seg/{maf}.maf.gz")
    published = pd.read_parquet(shared / f"data/{table}/mutation.parquet")
    ours = mutation_table(calls.assign(patient_id=calls["barcode"].str[:12]), list(published.index))
    genes = ours.columns.intersection(published.columns)
    assert len(genes) >= 9
    assert (ours[genes] == published[genes]).mean().min() > 0.96


def maf(path: Path, *calls: tuple[str, str]) -> str:
    lines = [
        "#version gdc-1.0.0",
        "#tumor.aliquots x",
        "Hugo_Symbol\tVariant_Classification\tTumor_Sample_Barcode\tnote",
    ]
    lines += [f'{gene}\t{variant}\tTCGA-1\t"#half a quote' for gene, variant in calls]
    with gzip.open(path, "wt") as handle:
        handle.write("\n".join(lines) + "\n")
    return str(path)


def test_maf_without_a_call_is_wild_type(tmp_path):
    paths = {
        "P1": maf(tmp_path / "a.maf.gz", ("TP53", "Missense_Mutation"), ("TTN", "Silent"), ("Unknown", "Splice_Site")),
        "P2": maf(tmp_path / "b.maf.gz"),
    }
    table = read_mutation_files(paths)
    assert table.to_dict("index") == {"P1": {"TP53": 1.0}, "P2": {"TP53": 0.0}}
    listed = read_mutation_files(paths, genes=["TTN", "IDH1"], classes=[*PROTEIN_CHANGING, "Silent"])
    assert listed.to_dict("index") == {"P1": {"IDH1": 0.0, "TTN": 1.0}, "P2": {"IDH1": 0.0, "TTN": 0.0}}
    bad = maf(tmp_path / "c.maf.gz", ("TP53", "Misssense"))
    with pytest.raises(ValueError, match="the variant class 'Misssense', which is none"):
        read_maf(bad)


# ---- samples


def test_primary_by_the_fields_of_today_and_of_before():
    today = {"tissue_type": "Tumor", "tumor_descriptor": "Primary", "sample_type": "whatever"}
    assert is_primary(today)
    assert not is_primary(today | {"tumor_descriptor": "Metastatic"})
    assert not is_primary(today | {"tissue_type": "Normal"})
    assert is_primary({"sample_type": "Primary Tumor"})
    assert not is_primary({"sample_type": "Blood Derived Normal"})
    assert is_primary({"submitter_id": "TCGA-02-0001-01A"})
    assert not is_primary({"submitter_id": "TCGA-02-0001-11A"})


def test_one_aliquot_stands_for_a_patient():
    aliquots = [
        "TCGA-02-0001-01B-01R-0182-01",  # second vial
        "TCGA-02-0001-01A-02R-0182-01",  # second portion
        "TCGA-02-0001-01A-01T-0190-01",  # another RNA
        "TCGA-02-0001-01A-01R-0182-01",  # earlier plate
        "TCGA-02-0001-01A-01R-A184-01",  # chosen
        "TCGA-02-0002-01A-01R-0182-01",
        "not a barcode",
    ]
    cases = [aliquot[:12] for aliquot in aliquots]
    files = pd.DataFrame({"case": cases, "aliquot": aliquots, "uuid": list("abcdefg")})
    for order in (files, files[::-1]):
        chosen, replicates = one_per_patient(order)
        assert chosen["uuid"].to_dict() == {"TCGA-02-0001": "e", "TCGA-02-0002": "f", "not a barcod": "g"}
        assert replicates["uuid"].tolist() == ["e", "d", "c", "b", "a"]
        assert replicates["chosen"].tolist() == [True, False, False, False, False]


# ---- outcome


def test_follow_up_is_the_latest_of_all_sources():
    case = {
        "demographic": {"vital_status": "Alive", "days_to_death": None},
        "diagnoses": [{"days_to_last_follow_up": 100, "days_to_last_known_disease_status": 90}],
        "follow_ups": [{"days_to_follow_up": 50}, {"days_to_follow_up": 300.0}, {"days_to_follow_up": None}],
    }
    assert outcome(case) == ("Alive", 300.0)
    case["demographic"] = {"vital_status": "Dead", "days_to_death": 250}
    assert outcome(case) == ("Dead", 250.0)
    # follow-up says nothing about when somebody died
    assert outcome(case | {"demographic": {"vital_status": "Dead"}}) == ("Dead", None)
    assert outcome(case | {"demographic": {"vital_status": "Not Reported"}}) == ("Not reported", None)
    assert outcome({}) == ("", None)
    assert outcome({"demographic": {"vital_status": "Alive"}}) == ("Alive", None)


def test_covariates_of_the_tumour_that_is_meant():
    melanoma = {"diagnosis_is_primary_disease": "false", "ajcc_pathologic_stage": "Stage IV", "tumor_grade": "G4"}
    kidney = {
        "diagnosis_is_primary_disease": "true",
        "ajcc_pathologic_stage": "Stage IIIA",
        "tumor_grade": "G2",
        "age_at_diagnosis": 18262.5,
    }
    case = {"demographic": {"gender": "male", "age_at_index": 49}, "diagnoses": [melanoma, kidney]}
    told = covariates(case)
    assert (told["stage"], told["grade"], told["sex"], told["age"]) == ("III", "G2", "male", "50.00")
    assert covariates(case | {"demographic": {"sex_at_birth": "female", "gender": "male"}})["sex"] == "female"
    assert covariates({"demographic": {"age_at_index": 49}})["age"] == "49"
    unsaid = {"tumor_grade": "GX", "ajcc_pathologic_stage": "Stage X", "figo_stage": "Stage IB"}
    told = covariates({"diagnoses": [unsaid]})
    assert told["grade"] is None
    assert told["stage"] == "I"
    assert covariates({"diagnoses": [{"tumor_grade": "Not Reported", "who_cns_grade": "G3"}]})["grade"] == "G3"
    assert covariates({"diagnoses": [{"tumor_grade": "GX", "who_cns_grade": "Grade III"}]})["grade"] == "G3"
    assert covariates({"diagnoses": [melanoma]})["stage"] is None


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("Stage I", "I"),
        ("Stage IA2", "I"),
        ("Stage IVA", "IV"),
        ("Stage IIC", "II"),
        ("Stage 0", "0"),
        ("IIIB", "III"),
        ("stage iib", "II"),
    ],
)
def test_stage_loses_its_sub_stage(text, stage):
    assert covariates({"diagnoses": [{"ajcc_pathologic_stage": text}]})["stage"] == stage


def test_real_clinical_export_gives_the_published_outcome(shared):
    """A portal export of the kidney projects against the curated table: same deaths, times, stages, grades."""
    export = pd.read_csv(shared / "data/gdc-answers/clinical_export_kidney.tsv.gz", sep="\t", dtype=str)
    export = export[export["project.project_id"] == "TCGA-KIRC"]
    parts = {name: [c for c in export if c.startswith(f"{name}.")] for name in ("demographic", "diagnoses")}
    rows = {}
    for patient, visits in export.groupby("cases.submitter_id"):
        record = {name: visits[columns].rename(columns=lambda c: c.split(".")[1]) for name, columns in parts.items()}
        case = {
            "demographic": record["demographic"].iloc[0].to_dict(),
            "diagnoses": record["diagnoses"].drop_duplicates("submitter_id").to_dict("records"),
        }
        rows[patient] = {"status": outcome(case)[0], "time": outcome(case)[1]} | covariates(case)
    ours = pd.DataFrame.from_dict(rows, orient="index")
    published = pd.read_csv(shared / "data/tcga-kirc/clinical.csv", index_col=0)
    both = ours.index.intersection(published.index)
    ours, published = ours.loc[both], published.loc[both]
    assert len(both) == 472
    assert ((ours["status"] == "Dead") == (published["event"] == 1)).all()
    # five patients' times differ between the GDC and the curated resource
    assert ((ours["time"] - published["time_days"]).abs() > 1).sum() == 5
    for name in ("stage", "grade", "sex"):
        known = ours[name].notna() & published[name].notna()
        assert known.sum() > 450
        assert (ours.loc[known, name] == published.loc[known, name]).all()
    assert (ours["age"].astype(float) - published["age"]).abs().max() <= 1.01


# ---- manifests and answers


def test_real_answers_are_read(shared):
    """Answers printed in the documentation: fields may be absent, and no file of these is of a cohort."""
    import json

    answer = json.loads((shared / "data/gdc-answers/json/02_response_files_endpoint_example.json").read_text())
    gdc = {"projects": ["TCGA-OV"], "expression": {"workflow": "STAR - Counts"}}
    table = build_manifest(answer["data"]["hits"], [], gdc=gdc, modalities=["expression"], release="4")
    assert table.empty
    assert tuple(table.columns) == COLUMNS


@pytest.mark.parametrize("project", ["TCGA-GBM", "TCGA-KIRC", "TCGA-LGG"])
def test_real_release_notes_are_seen_as_drift(shared, project):
    """A manifest of an old release and the files that came in place of its own: each is found as replaced."""
    old = pd.read_csv(shared / f"data/gdc-answers/manifests/{project}.tsv.gz", sep="\t", keep_default_na=False)
    old = old[~old["case_ids"].str.contains(",") & (old["aliquot_ids"] != "") & (old["aliquot_ids"] != "NA")]
    # one file of a kind for each aliquot: what stands for another is then beyond doubt
    old = old.drop_duplicates(["case_ids", "data_type", "workflow_type", "aliquot_ids"])
    table = pd.DataFrame(
        {
            "modality": old["data_category"],
            "uuid": old["id"],
            "file_name": old["filename"],
            "md5": old["md5"],
            "size": old["size"],
            "data_type": old["data_type"],
            "workflow": old["workflow_type"],
            "case": old["case_ids"],
            "aliquot": old["aliquot_ids"],
        }
    ).reindex(columns=list(COLUMNS), fill_value="")
    renewed = (old["new_id"] != "NA").to_numpy()
    now = table.copy()
    for name, new in (("uuid", "new_id"), ("md5", "new_md5"), ("size", "new_size")):
        now.loc[renewed, name] = old.loc[renewed, new].to_numpy()
    moved = renewed & (now["uuid"] != table["uuid"]).to_numpy()
    found = drift(table, now)
    assert len(table) > 1000
    assert set(found.loc[found["change"] == "replaced", "locked"]) == set(table.loc[moved, "uuid"])
    pairs = found[found["change"] == "replaced"].set_index("locked")["now"]
    assert (pairs == now.set_index(table["uuid"])["uuid"].loc[pairs.index]).all()
    rewritten = renewed & ~moved & (now["md5"] != table["md5"]).to_numpy()
    assert (found["change"] == "changed").sum() == rewritten.sum()
    assert set(found["change"]) <= {"replaced", "changed"}
    gone = drift(table, table.iloc[1:])
    assert gone["change"].tolist() == ["gone"]


def test_manifest_that_is_none_is_refused(tmp_path):
    (tmp_path / "m.tsv").write_text("id\tfilename\n")
    with pytest.raises(ValueError, match="has no column 'modality'; lock the cohort again"):
        read_manifest(tmp_path / "m.tsv")
    row = "\t".join([CLINICAL, "u", "", "", "0", *[""] * 11])
    (tmp_path / "m.tsv").write_text("\t".join(COLUMNS) + f"\n{row}\n{row}\n")
    with pytest.raises(ValueError, match="lists u twice"):
        read_manifest(tmp_path / "m.tsv")
