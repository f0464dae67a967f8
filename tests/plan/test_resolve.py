from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from kexp.catalog import Catalog
from kexp.errors import KexpError, SpecError
from kexp.plan.resolve import resolve
from kexp.spec import toml

Write = Callable[..., Path]

GOOD = """
[dataset]
use = "table"
path = "data.csv"
[backbone]
use = "tiny"
"""


@pytest.fixture(autouse=True)
def _data(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,0\n")


def problems(spec: Path, catalog: Catalog, **options: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        resolve(spec, catalog, **options)  # type: ignore[arg-type]
    return str(caught.value).replace(f"{spec}: ", "").split("\n")


def test_every_planted_mistake_is_told_at_once(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec("""
seeds = [1, 1]
[dataset]
use = "table"
path = "missing.csv"
[backbone]
use = "tinny"
[objective]
use = "focal"
gama = 2
[training]
epochs = 0
max_lenght = 12
[evaluation]
metrics = ["accuracy", "f2"]
""")
    found = problems(spec, catalog)
    assert 'objective.gama: unknown option of objective "focal"; did you mean "gamma"?' in found
    assert 'training.max_lenght: unknown key of [training]; did you mean "max_length"?' in found
    assert "training.epochs: expected a number greater than 0, found 0" in found
    assert 'backbone: unknown backbone "tinny"; did you mean "tiny"?' in found
    assert "seeds: a seed is given twice" in found
    assert f"dataset.path: {spec.parent / 'missing.csv'} does not exist" in found
    assert any(line.startswith('evaluation.metrics[1]: unknown metric "f2"; ') for line in found)
    assert len(found) == 7


def test_problem_reads_as_promised(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec(GOOD + '[objective]\nuse = "focal"\ngama = 1\n')
    with pytest.raises(SpecError) as caught:
        resolve(spec, catalog)
    assert str(caught.value) == f'{spec}: objective.gama: unknown option of objective "focal"; did you mean "gamma"?'
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[training]\nepochs = '3'", 'training.epochs: expected a whole number, found "3"'),
        ("[training]\nepochs = true", "training.epochs: expected a whole number, found true"),
        ("[training]\nlearning_rate = '1e-4'", 'training.learning_rate: expected a number, found "1e-4"'),
        ("[cleaning]\ntrim = 1", "cleaning.trim: expected true or false, found 1"),
        ("[cleaning]\nmin_characters = 9\nmax_characters = 3", "cleaning.max_characters: 3 is below min_characters, 9"),
        ("[cleaning]\nmin_characters = {test = 9}\nmax_characters = 3", "cleaning.max_characters: 3 is below min_characters of test, 9"),
        ("[split]\nvalidation = 0.5\ntest = 0.6", "split: validation and test take 1.1 of all rows; nothing is left for train"),
        ("[labelled]\nn = 5\nper_class = 2", "labelled.per_class: n and per_class both choose the labelled rows; set one of them"),
        ("[evaluation]\nmetrics = ['macro_f1', 'f1']", "evaluation.metrics[1].label: is required"),
        ("[training]\nmonitor = 'f1'", 'training.monitor: "f1" is not among evaluation.metrics; known: accuracy, cross_entropy, ece, macro_f1, mcc, weighted_f1'),
        ("[training]\nmax_length = 500", 'training.max_length: 500 is more than the 256 positions of backbone "tiny"; use 256 or fewer'),
        ("[freezing]\nuse = 'bottom-layers'\nlayers = 9", "freezing: 9 layers cannot be frozen, the model has 2"),
        ("[freezing]\nuse = 'bottom-layers'", "freezing.layers: is required"),
        ("[training]\nprecision = 'fp16'\ndevice = 'cpu'", 'training.precision: fp16 needs a GPU; use "bf16" or "fp32" on a CPU'),
        ("[training]\ndevice = 'gpu'", 'training.device: expected auto, cpu, cuda, cuda:N or mps, found "gpu"'),
        ("[evaluation]\nmetrics = ['accuracy', 'accuracy', 'macro_f1']", 'evaluation.metrics: metric "accuracy" is given twice'),
        ("[training]\nepochs = [1]", "training.epochs: expected a whole number, found [1]"),
        ("[training]\nbetas = [0.9]", "training.betas[1]: is required"),
        ("[evaluation]\nmetrics = []", "evaluation.metrics: expected at least 1 entry, found 0"),
        ("[cleaning]\nsplits = ['tst']", 'cleaning.splits[0]: expected "train", "validation" or "test", found "tst"'),
        ("[objective]\nclass_weights = 'x'", 'objective.class_weights: expected "none", "balanced" or a list, found "x"'),
        ("[objective]\ngamma = 1", 'objective.gamma: unknown option of objective "cross-entropy"; it is an option of objective "focal"'),
        ("[augmentation]\nlabelled = {p = 0.1}", 'augmentation.labelled: names no augmenter; expected use = "NAME" in this table'),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_place_finding_and_remedy(
    write_spec: Write, catalog: Catalog, line: str, expected: str
) -> None:
    found = problems(write_spec(f"{GOOD}\n{line}\n"), catalog)
    assert found == [expected]


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ("-1", "seeds: expected a number of at least 0, found -1"),
        ("[1, -1]", "seeds[1]: expected a number of at least 0, found -1"),
        ("'1,2'", 'seeds: expected a whole number, found "1,2"'),
        ("[]", "seeds: expected at least 1 entry, found 0"),
    ],
)
def test_of_a_list_with_a_wrong_entry_the_entry_alone_is_told(
    write_spec: Write, catalog: Catalog, seeds: str, expected: str
) -> None:
    assert problems(write_spec(f"seeds = {seeds}\n{GOOD}".replace("seeds = [1]\n", "")), catalog) == [expected]


def test_options_without_a_name_are_those_of_the_default_component(write_spec: Write, catalog: Catalog) -> None:
    plan = resolve(write_spec(f"{GOOD}[objective]\nlabel_smoothing = 0.1\n"), catalog)
    assert plan.table["objective"] == {"use": "cross-entropy", "label_smoothing": 0.1, "class_weights": "none"}


def test_spec_without_dataset_and_backbone_names_both(write_spec: Write, catalog: Catalog) -> None:
    assert problems(write_spec("seeds = [1]"), catalog) == ["dataset: is required", "backbone: is required"]


def test_relative_paths_start_from_the_spec_and_on_the_command_line_from_the_working_folder(
    write_spec: Write, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.csv").write_text("text,label\na,0\n")
    spec = write_spec(GOOD)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resolve(spec, catalog).table["dataset"]["path"] == str(tmp_path / "data.csv")
    changed = resolve(spec, catalog, assignments=["dataset.path=other.csv"])
    assert changed.table["dataset"]["path"] == str(tmp_path / "elsewhere" / "other.csv")


def test_command_line_wins_over_variants(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec(GOOD + "[variants.long]\n'training.epochs' = 9\n[variants.short]\ntraining.epochs = 1\n")
    assert [v.spec.training.epochs for v in resolve(spec, catalog).variants] == [9, 1]
    forced = resolve(spec, catalog, assignments=["training.epochs=2"])
    assert [v.spec.training.epochs for v in forced.variants] == [2, 2]


def test_variants_are_chosen_by_name(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec(GOOD + "[variants.a]\n[variants.b]\n'objective.use' = 'focal'\n")
    assert [v.name for v in resolve(spec, catalog, variants=["b"]).variants] == ["b"]
    assert problems(spec, catalog, variants=["c"]) == ['variants: no variant "c"; known: a, b']


def test_variant_problems_are_told_once_and_under_their_variant(write_spec: Write, catalog: Catalog) -> None:
    text = "[training]\nepochs = 0\n[variants.a]\n'training.epoch' = 1\n[variants.b]\nseeds = [2]\n[variants.'a/b']\n"
    assert problems(write_spec(GOOD + text), catalog) == [
        "variants.b.seeds: belongs to the whole experiment, not to a variant",
        'variants.a/b: a variant\'s name becomes a folder; expected letters, digits, ".", "-" and "_" only, '
        "with a letter or digit at the beginning",
        "training.epochs: expected a number greater than 0, found 0",
        "variants.a.training.epoch: unknown key of [training]; in [variants.a] use training.epochs",
    ]


MIXED = """
[variants.plain]
[variants.focal]
objective = {use = "focal", gamma = 1.0}
[variants.sharp]
objective = {use = "focal", gamma = 5.0}
training.patience = 2
"""


def test_chosen_variants_alone_are_checked_and_used(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec(GOOD + "[variants.broken]\nseeds = [1]\ntraining.epochs = 0\n" + MIXED)
    plan = resolve(spec, catalog, variants=["focal"], assignments=["objective.gamma=9", "training.epochs=4"])
    (focal,) = plan.variants
    assert (focal.name, focal.spec.objective.gamma, focal.spec.training.epochs) == ("focal", 9.0, 4)
    assert plan.base == focal.spec
    assert problems(spec, catalog, variants=["focal"], assignments=["objective.gama=9"]) == [
        'variants.focal.objective.gama: unknown option of objective "focal"; did you mean "gamma"?'
    ]
    assert problems(spec, catalog, variants=["broken"]) == [
        "variants.broken.seeds: belongs to the whole experiment, not to a variant",
        "variants.broken.training.epochs: expected a number greater than 0, found 0",
    ]


def test_mistake_that_a_chosen_variant_shares_with_the_base_keeps_its_place(
    write_spec: Write, catalog: Catalog
) -> None:
    spec = write_spec(GOOD + "[training]\nepochs = 0\n" + MIXED)
    assert problems(spec, catalog, variants=["focal", "sharp"]) == [
        "training.epochs: expected a number greater than 0, found 0"
    ]


@pytest.mark.parametrize("names", [["focal"], ["focal", "sharp"], ["sharp", "focal"]])
def test_variants_without_a_base_run_again_from_their_table(
    write_spec: Write, catalog: Catalog, names: list[str]
) -> None:
    spec = write_spec(GOOD + MIXED)
    plan = resolve(spec, catalog, variants=names, assignments=["objective.gamma=9"])
    again = resolve(write_spec(toml.dumps(plan.table), "again.toml"), catalog)
    assert [v.name for v in again.variants] == ["focal", "sharp"][: len(names)]
    assert [v.spec for v in again.variants] == [v.spec for v in plan.variants]
    assert again.variants[-1].spec.training.patience == (2 if len(names) == 2 else None)


def test_mistake_of_the_command_line_is_told_once(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec(GOOD + MIXED)
    assert problems(spec, catalog, assignments=["objective.gama=1"]) == [
        'objective.gama: unknown option of objective "cross-entropy"; did you mean "gamma" of objective "focal"?'
    ]
    assert problems(spec, catalog, assignments=["objective.label_smoothing=0.1"]) == [
        'variants.focal.objective.label_smoothing: unknown option of objective "focal"; it is an option of '
        'objective "cross-entropy" or "r-drop"'
    ]
    # What variants state themselves is as many mistakes.
    twice = write_spec(GOOD + "[variants.a]\ntraining.epoch = 1\n[variants.b]\ntraining.epoch = 1\n")
    assert problems(twice, catalog) == [
        f"variants.{name}.training.epoch: unknown key of [training]; in [variants.{name}] use training.epochs"
        for name in "ab"
    ]


def test_search_over_what_only_a_variant_has(write_spec: Write, catalog: Catalog) -> None:
    search = "[search]\ntrials = 2\n[search.space]\n"
    gamma = '"objective.gamma" = {low = 0.5, high = 3.0}\n'
    spec = write_spec(GOOD + search + gamma + MIXED)
    told = problems(spec, catalog)
    assert len(told) == 1
    assert told[0].startswith('search.space.objective.gamma: 0.5: objective.gamma: unknown option of objective "cross-')
    (focal,) = resolve(spec, catalog, variants=["focal"], assignments=["objective.gamma=2"]).variants
    assert focal.spec.objective.gamma == 2.0
    assert problems(spec, catalog, variants=["plain"]) == told
    when = '"training.epochs" = {low = 1, high = 4, when = {"objective.use" = "focal"}}\n'
    spec = write_spec(GOOD + search + when + MIXED)
    assert problems(spec, catalog) == [
        "search.space.training.epochs.when: is never true; give values that the spec or the search can have"
    ]
    assert resolve(spec, catalog, variants=["sharp"]).variants[0].spec.training.patience == 2


def test_resolved_table_runs_again_as_it_is(write_spec: Write, catalog: Catalog) -> None:
    text = """
[variants.focal]
objective.use = "focal"
objective.gamma = 3.0
[variants.long]
"training.epochs" = 7
"""
    plan = resolve(write_spec("seeds = [3, 4]\n" + GOOD + text), catalog, assignments=["training.batch_size=4"])
    written = toml.dumps(plan.table)
    assert tomllib.loads(written)["training"]["weight_decay"] == 0.01
    again = resolve(write_spec(written, "again.toml"), catalog)
    assert again.table == plan.table
    assert again.digest == plan.digest
    assert [v.spec for v in again.variants] == [v.spec for v in plan.variants]
    assert [(v.name, repeat.seed) for v, repeat in again.runs()] == [
        ("focal", 3),
        ("focal", 4),
        ("long", 3),
        ("long", 4),
    ]


def test_without_variants_there_is_one_named_default(write_spec: Write, catalog: Catalog) -> None:
    plan = resolve(write_spec(GOOD), catalog, seeds=[5])
    assert [(v.name, repeat.seed) for v, repeat in plan.runs()] == [("default", 5)]
    assert plan.base.name == "spec"


def test_unpinned_revision_is_a_warning_of_the_plan(write_spec: Write, catalog: Catalog) -> None:
    plan = resolve(write_spec(GOOD.replace('use = "tiny"', 'use = "hf"\nid = "a/b"')), catalog)
    assert [str(w) for w in plan.warnings] == [
        "backbone.revision: not pinned: the weights may change under the experiment; give a commit"
    ]


def test_bucketing_has_no_effect_with_a_sampler_that_keeps_its_order(write_spec: Write, catalog: Catalog) -> None:
    for sampler, bucketing, expected in (("sequential", "true", 1), ("sequential", "false", 0), ("random", "true", 0)):
        table = f'[sampler]\nuse = "{sampler}"\n[training]\nlength_bucketing = {bucketing}\n'
        found = [str(warning) for warning in resolve(write_spec(GOOD + table), catalog).warnings]
        message = (
            "training.length_bucketing: has no effect, since the sampler keeps its order; "
            "set it to false, or use another sampler"
        )
        assert found == [message] * expected


def test_a_warning_names_the_variants_that_it_is_about(write_spec: Write, catalog: Catalog) -> None:
    asked = "[variants.a]\nsampler = 'sequential'\n[variants.b]\nsampler = 'sequential'\n"
    plain = GOOD + asked + "[variants.c]\n"
    assert resolve(write_spec(plain), catalog).warnings == ()
    spec = write_spec(plain.replace("[variants.c]", "training.length_bucketing = true\n[variants.c]"))
    (warning,) = resolve(spec, catalog).warnings
    assert warning.path == "variants.b.training.length_bucketing"


def test_folder_instead_of_a_spec_is_explained(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(KexpError, match=r"is a folder; expected a spec file, such as .*spec\.toml"):
        resolve(tmp_path, catalog)
