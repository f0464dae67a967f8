"""Every component of kexp's own in the suite of its kind, and the suites themselves against components that are wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from kexp import builtin
from kexp.builtin import datasets, executors, freezing, metrics, objectives, pruners, samplers, search_samplers
from kexp.builtin.augmenters import (
    Aeda,
    CharNoise,
    Compose,
    MaskFill,
    OneOf,
    RandomDeletion,
    RandomSwap,
    SpacingNoise,
    TfIdfReplacement,
    UnigramReplacement,
)
from kexp.builtin.backbones import HubBackbone, TinyBackbone
from kexp.builtin.trackers import MLflow, TensorBoard, Trackio, Wandb
from kexp.hookspecs import KINDS
from kexp.testing import (
    ODD_TEXTS,
    AugmenterContract,
    BackboneContract,
    DatasetContract,
    ExecutorContract,
    FreezingContract,
    MetricContract,
    ObjectiveContract,
    OptionsContract,
    PrunerContract,
    SamplerContract,
    SearchSamplerContract,
    TrackerContract,
    korean_reviews,
    save_tiny_model,
    untested,
)
from kexp.testing.fixtures import tiny_backbone


@pytest.fixture(autouse=True, scope="module")
def _environment() -> Iterator[None]:
    """Keep what trackers' libraries set away from other tests."""
    before = dict(os.environ)
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
    # It looks for its folder when it is imported, and others have another one.
    for name in [name for name in sys.modules if name.partition(".")[0] == "trackio"]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(before)


def test_every_component_has_a_suite() -> None:
    assert untested(builtin, globals()) == []


def test_every_kind_has_a_suite() -> None:
    import kexp.testing

    suites = [
        suite for suite in vars(kexp.testing).values() if isinstance(suite, type) and issubclass(suite, OptionsContract)
    ]
    assert {suite.base.kind for suite in suites if suite is not OptionsContract} == set(KINDS)


# --- augmenters -----------------------------------------------------------------------------------------------------


ROOMY = (
    "어제 저녁에 친구와 시내 극장에서 팝콘을 먹으며 새 영화를 봤다",
    "주말에 동생이 집에서 거실 텔레비전으로 이 드라마를 다시 봤어요",
    "배우가 무대에서 관객에게 노래를 불렀다",
    "감독이 작년에 부산에서 제작진과 여름 내내 영화를 찍었다",
    "아이들이 거실에서 만화를 조용히 보고 있어요",
    *AugmenterContract.texts,
)
"""Texts some of which have several phrases that may go or change places: short reviews mostly have none."""


class TestRandomDeletion(AugmenterContract):
    texts = ROOMY
    examples = (
        RandomDeletion(),
        RandomDeletion(p=0.5, unit="character", protect="none"),
        RandomDeletion(p=0.4, protect="negation-and-label", label_threshold=0.5),
    )


class TestRandomSwap(AugmenterContract):
    texts = ROOMY
    examples = (
        RandomSwap(),
        RandomSwap(share=0.5, unit="character", protect="none"),
        RandomSwap(share=1, protect="negation-and-label", label_threshold=3.0),
    )


class TestAeda(AugmenterContract):
    examples = (Aeda(), Aeda(share=1))


class TestTfIdfReplacement(AugmenterContract):
    examples = (TfIdfReplacement(), TfIdfReplacement(p=0.8, protect="negation"))


class TestUnigramReplacement(AugmenterContract):
    examples = (UnigramReplacement(), UnigramReplacement(p=0.5, protect="negation-and-label", label_threshold=1.0))


class TestCharNoise(AugmenterContract):
    examples = (CharNoise(), CharNoise(p=1, kinds=("unshift", "final", "swap")))


class TestSpacingNoise(AugmenterContract):
    examples = (SpacingNoise(), SpacingNoise(remove=1, insert=0.5))


class TestCompose(AugmenterContract):
    texts = ROOMY
    examples = (Compose(steps=(RandomSwap(),)), Compose(steps=(Aeda(), CharNoise(p=0.5), SpacingNoise(remove=0.5))))


class TestOneOf(AugmenterContract):
    examples = (
        OneOf(choices=(RandomDeletion(p=0.4), Aeda())),
        OneOf(choices=(CharNoise(p=0.3), Compose(steps=(Aeda(), RandomSwap()))), weights=(3, 1)),
    )


class TestMaskFill(AugmenterContract):
    """With a model of random weights: what it puts in makes no sense, and how it does it is the same."""

    component = MaskFill

    @pytest.fixture(params=[{}, {"unit": "eojeol", "share": 0.5, "temperature": 2.0, "top_k": 5, "max_length": 24, "batch_size": 4}], ids=["defaults", "eojeol"])  # fmt: skip
    def options(self, request: pytest.FixtureRequest, models: Path) -> MaskFill:
        return MaskFill(path=models / "masked-lm", **request.param)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny masked language model and a tiny classifier."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "masked-lm", head="masked-lm")
    save_tiny_model(folder / "classifier")
    return folder


# --- datasets -------------------------------------------------------------------------------------------------------


def rows(count: int = 60, start: int = 0) -> list[dict[str, object]]:
    """Return reviews with every column that a dataset may have."""
    texts, labels = korean_reviews(240)
    return [
        {"text": texts[row], "label": labels[row], "group": f"{start}-{row // 2}", "pair": texts[-row - 1], "augmented": f"{texts[row]}!"}
        for row in range(start, start + count)
    ]  # fmt: skip


def write_jsonl(path: Path, table: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table), "utf-8")
    return path


class TestTable(DatasetContract):
    component = datasets.TableDataset

    @pytest.fixture(params=["one file", "a file per split", "without header"])
    def options(self, request: pytest.FixtureRequest, tmp_path: Path) -> datasets.TableDataset:
        names = {"1": "긍정", "0": "부정"}
        if request.param == "one file":
            path = write_jsonl(tmp_path / "리뷰.jsonl", rows())
            return datasets.TableDataset(path=path, group="group", text_pair="pair", limit=50)
        if request.param == "without header":
            path = tmp_path / "reviews.txt"
            path.write_text("".join(f'{row["label"]}\t"{row["text"]}\n' for row in rows()), "cp949")
            return datasets.TableDataset(
                path=path, format="tsv", encoding="cp949", header=False, columns=("label", "text"), quoting=False, label_names=names
            )  # fmt: skip
        files = {
            split: write_jsonl(tmp_path / f"{split}.jsonl", rows(40, start))
            for split, start in (("train", 0), ("validation", 40), ("test", 80), ("unlabelled", 120))
        }
        return datasets.TableDataset(**files, text=("text", "pair"), join_with=" / ", augmented="augmented", label_names=names, group="group")  # fmt: skip


class TestHub(DatasetContract):
    """With a folder in the place of a hub id: the hub itself needs a network."""

    component = datasets.HubDataset

    @pytest.fixture(params=["saved", "files"])
    def options(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> datasets.HubDataset:
        from datasets import ClassLabel, Dataset, DatasetDict, config, disable_progress_bars

        disable_progress_bars()
        monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
        if request.param == "files":
            for split, start in (("train", 0), ("test", 60)):
                write_jsonl(tmp_path / "data" / f"{split}.jsonl", rows(60, start))
            return datasets.HubDataset(path=tmp_path / "data", text_pair="pair")
        saved = DatasetDict({name: Dataset.from_list(rows(60, start)) for name, start in (("train", 0), ("dev", 60))})
        saved.cast_column("label", ClassLabel(names=["부정", "긍정"])).save_to_disk(tmp_path / "data")
        return datasets.HubDataset(path=tmp_path / "data", splits={"train": "train", "test": "dev"}, group="group")


# --- backbones ------------------------------------------------------------------------------------------------------


class TestTiny(BackboneContract):
    examples = (
        tiny_backbone(),
        TinyBackbone(family="electra", layers=1, hidden=24, heads=3, vocabulary=500, positions=32, dropout=0.3),
    )


class TestHubBackbone(BackboneContract):
    """With a folder in the place of a hub id: the hub itself needs a network."""

    component = HubBackbone

    @pytest.fixture(params=["classifier", "masked-lm"])
    def options(self, request: pytest.FixtureRequest, models: Path) -> HubBackbone:
        return HubBackbone(path=models / request.param)


# --- objectives -----------------------------------------------------------------------------------------------------


class TestCrossEntropy(ObjectiveContract):
    examples = (
        objectives.CrossEntropyOptions(),
        objectives.CrossEntropyOptions(label_smoothing=0.1, class_weights="balanced"),
        objectives.CrossEntropyOptions(class_weights=(1.0, 2.0, 0.5)),
    )


class TestFocal(ObjectiveContract):
    examples = (objectives.FocalOptions(), objectives.FocalOptions(gamma=0.5, alpha="balanced"))


class TestMeanSquaredError(ObjectiveContract):
    examples = (
        objectives.MeanSquaredErrorOptions(),
        objectives.MeanSquaredErrorOptions(reduction="sum", class_weights="balanced"),
    )


class TestRDrop(ObjectiveContract):
    examples = (objectives.RDropOptions(), objectives.RDropOptions(alpha=4.0, label_smoothing=0.1))


class TestBinaryCrossEntropy(ObjectiveContract):
    examples = (
        objectives.BinaryCrossEntropyOptions(),
        objectives.BinaryCrossEntropyOptions(pos_weight="balanced"),
        objectives.BinaryCrossEntropyOptions(pos_weight=(0.5, 2.0, 30.0)),
    )


class TestBinaryFocal(ObjectiveContract):
    examples = (
        objectives.BinaryFocalOptions(),
        objectives.BinaryFocalOptions(gamma=0.5, alpha=0.25),
        objectives.BinaryFocalOptions(alpha=(0.0, 0.5, 1.0)),
    )


class TestAsymmetric(ObjectiveContract):
    examples = (
        objectives.AsymmetricOptions(),
        objectives.AsymmetricOptions(gamma_negative=0.5, gamma_positive=1.0, clip=0.0, reduction="mean"),
    )


class TestSquaredError(ObjectiveContract):
    examples = (objectives.SquaredErrorOptions(),)


class TestAbsoluteError(ObjectiveContract):
    examples = (objectives.AbsoluteErrorOptions(),)


class TestHuber(ObjectiveContract):
    examples = (objectives.HuberOptions(), objectives.HuberOptions(delta=0.1))


class TestOrdinalLoss(ObjectiveContract):
    examples = (objectives.OrdinalOptions(),)


class TestPseudoLabel(ObjectiveContract):
    examples = (
        objectives.PseudoLabelOptions(),
        objectives.PseudoLabelOptions(
            coefficient=1.0, start=0.0, full=0.0, supervised=objectives.FocalOptions(gamma=1.0)
        ),
    )


class TestUda(ObjectiveContract):
    examples = (
        objectives.UdaOptions(),
        objectives.UdaOptions(tsa="linear", temperature=0.4, confidence=0.35, distribution_alignment="labelled"),
        objectives.UdaOptions(
            divergence="js", target_mode="eval", coefficient_rampup=50, distribution_alignment="uniform"
        ),
        objectives.UdaOptions(divergence="mse", tsa="exp", supervised_warmup=10, supervised=objectives.FocalOptions()),
        objectives.UdaOptions(supervised=objectives.BinaryCrossEntropyOptions()),
        objectives.UdaOptions(
            confidence=0.6,
            temperature=0.4,
            divergence="js",
            target_mode="eval",
            supervised=objectives.AsymmetricOptions(),
        ),
    )


class TestFixMatch(ObjectiveContract):
    examples = (objectives.FixMatchOptions(), objectives.FixMatchOptions(confidence=0.35, coefficient=0.5))


class TestFlexMatch(ObjectiveContract):
    examples = (objectives.FlexMatchOptions(), objectives.FlexMatchOptions(confidence=0.4, coefficient=2.0))


class TestSoftMatch(ObjectiveContract):
    examples = (
        objectives.SoftMatchOptions(),
        objectives.SoftMatchOptions(momentum=0.0, sigmas=1.0, uniform_alignment=False),
    )


class TestFreeMatch(ObjectiveContract):
    examples = (objectives.FreeMatchOptions(), objectives.FreeMatchOptions(momentum=0.5, fairness=1.0))


class TestAdaMatch(ObjectiveContract):
    examples = (objectives.AdaMatchOptions(), objectives.AdaMatchOptions(confidence=0.5, coefficient=2.0))


class TestMeanTeacher(ObjectiveContract):
    examples = (
        objectives.MeanTeacherOptions(),
        objectives.MeanTeacherOptions(coefficient=5.0, rampup=0.0, decay=0.5, evaluate="teacher"),
        objectives.MeanTeacherOptions(rampup=0.0, decay=0.5, supervised=objectives.BinaryCrossEntropyOptions()),
    )


class TestVat(ObjectiveContract):
    is_random = True
    examples = (objectives.VatOptions(), objectives.VatOptions(epsilon=5.0, xi=1e-3, iterations=2))


# --- freezing, samplers, metrics -------------------------------------------------------------------------------------


class TestFreezing(FreezingContract):
    examples = (
        freezing.NoFreezing(),
        freezing.FreezeEmbeddings(),
        freezing.FreezeBottomLayers(layers=1),
        freezing.FreezeBottomLayers(layers=6),
        freezing.FreezeLayers(layers=(0, -1)),
        freezing.FreezeLayers(blocks=("embeddings", "layer.[0-3]")),
        freezing.FreezeAllButHead(),
        freezing.GradualUnfreezing(),
    )


class TestRandomSampler(SamplerContract):
    examples = (samplers.RandomSampler(),)


class TestSequentialSampler(SamplerContract):
    examples = (samplers.SequentialSampler(),)
    is_random = False


class TestBalancedSampler(SamplerContract):
    examples = (samplers.BalancedSampler(),)
    visits_all = False


class TestMetrics(MetricContract):
    examples = (
        metrics.Accuracy(),
        metrics.MacroF1(),
        metrics.WeightedF1(),
        metrics.MCC(),
        metrics.CrossEntropy(),
        metrics.MSE(),
        metrics.MAE(),
        metrics.ECE(),
        metrics.ECE(bins=2),
        metrics.F1(label="긍정"),
        metrics.Precision(label="부정"),
        metrics.Recall(label="긍정"),
        metrics.MicroF1(),
        metrics.SamplesF1(),
        metrics.SubsetAccuracy(),
        metrics.HammingLoss(),
        metrics.LRAP(),
        metrics.MacroAUC(),
        metrics.MicroAUC(),
        metrics.Pearson(),
        metrics.Spearman(),
        metrics.RMSE(),
        metrics.QuadraticKappa(),
        metrics.RankMAE(),
    )


# --- trackers -------------------------------------------------------------------------------------------------------


class Libraries:
    """Keeps what the libraries write away from the user's folders, and lets none of them find a key."""

    @pytest.fixture(autouse=True)
    def _libraries(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_"))]:
            monkeypatch.delenv(name)
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "TRACKIO_DIR"):
            monkeypatch.setenv(name, str(tmp_path / name.lower()))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


class TestTensorBoard(Libraries, TrackerContract):
    examples = (TensorBoard(),)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of one database for all runs: MLflow needs some seconds to make one."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class TestMLflow(Libraries, TrackerContract):
    component = MLflow

    @pytest.fixture(params=[{}, {"experiment": "실험", "log_artifacts": True}], ids=["defaults", "artifacts"])
    def options(self, request: pytest.FixtureRequest, database: str) -> MLflow:
        return MLflow(tracking_uri=database, **request.param)


class TestTrackio(Libraries, TrackerContract):
    examples = (Trackio(), Trackio(project="project", group="group"))


class TestWandb(Libraries, TrackerContract):
    """Offline, and switched off: the server itself needs a network and a key."""

    examples = (
        Wandb(mode="disabled"),
        Wandb(
            mode="offline",
            project="계약",
            tags=("한국어",),
            notes="a note",
            log_model=True,
            table_rows=2,
            finish_timeout=20,
        ),
    )


# --- searches -------------------------------------------------------------------------------------------------------


class TestSearchSamplers(SearchSamplerContract):
    examples = (
        search_samplers.TPE(),
        search_samplers.TPE(startup_trials=3, candidates=8, multivariate=False),
        search_samplers.CmaEs(),
        search_samplers.CmaEs(startup_trials=3, population=4),
        search_samplers.Random(),
        search_samplers.Grid(),
        search_samplers.QMC(),
        search_samplers.QMC(sequence="halton", scramble=False),
        search_samplers.NSGA2(),
        search_samplers.NSGA2(population=3, mutation=0.5, crossover=0.5),
        search_samplers.BruteForce(),
    )


class TestGP(SearchSamplerContract):
    """A process is fitted for every trial after the first ones, which takes its time."""

    examples = (search_samplers.GP(startup_trials=4), search_samplers.GP(startup_trials=5, deterministic=True))
    trials = 6


class TestPruners(PrunerContract):
    examples = (
        pruners.NoPruner(),
        pruners.Median(),
        pruners.Median(startup_trials=1, warmup=2),
        pruners.Hyperband(),
        pruners.Hyperband(min_evaluations=2, max_evaluations=9, reduction=2),
        pruners.SuccessiveHalving(),
        pruners.SuccessiveHalving(min_evaluations=1, reduction=2, rate=1),
        pruners.Wilcoxon(),
        pruners.Wilcoxon(p_threshold=0.3, startup_seeds=0),
    )


class TestLocal(ExecutorContract):
    examples = (executors.Local(),)


# --- what needs a network --------------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TestOnTheNetwork(OptionsContract):
    """The hub, the Spaces and the servers are not there in tests: what a spec says of them is all that can be tested."""

    examples = (
        datasets.HubDataset(id="owner/name", revision=COMMIT, config="ko", splits={"train": "train", "test": "dev"}),
        HubBackbone(id="owner/name", revision=COMMIT, trust_remote_code=True),
        HubBackbone(id="owner/name"),
        MaskFill(id="owner/name", revision=COMMIT),
        Wandb(),
        Wandb(entity="team", group="group", job_type="job", mode="auto", init_timeout=5),
        Trackio(space_id="owner/name"),
        MLflow(tracking_uri="http://127.0.0.1:1/"),
    )


def test_the_texts_to_test_with_are_of_all_kinds() -> None:
    texts, labels = korean_reviews(300, seed=1)
    assert len(set(texts)) == 300
    assert korean_reviews(300, seed=2) != (texts, labels) == korean_reviews(300, seed=1)
    assert 100 < sum(labels) < 200
    composed = [unicodedata.is_normalized("NFC", text) for text in ODD_TEXTS]
    assert any(composed)
    assert not all(composed)
    assert {0, 1, 10_000} <= set(map(len, ODD_TEXTS))
    assert any("\u200d" in text for text in ODD_TEXTS)


# --- what the suites see -------------------------------------------------------------------------------------------

WRONG = '''
"""Components that are wrong, each in its own way."""
import random, threading, time, unicodedata
from typing import ClassVar
from pydantic import ConfigDict, Field, field_validator
from kexp.contracts import *
from kexp.contracts import Augmenter

class Base(AugmenterOptions):
    """Set a mark."""
    def build(self, context):
        return lambda texts, generators: [self.mark(text, one, texts) for text, one in zip(texts, generators, strict=True)]
    def mark(self, text, one, texts):
        return text + one.choice("!?.")

class SharedDice(Base):
    """Draw from the dice that everybody uses."""
    def mark(self, text, one, texts):
        return text + random.choice("!?.,;:")

class Neighbourly(Base):
    """Look at the texts beside."""
    def mark(self, text, one, texts):
        return text + one.choice("!?.") + str(len(texts))

class Forgetful(Base):
    """Leave out texts without words."""
    def build(self, context):
        return lambda texts, generators: [text + one.choice("!?.") for text, one in zip(texts, generators, strict=True) if text.strip()]

class Fragile(Base):
    """Look at the first character."""
    def mark(self, text, one, texts):
        return text[0] + one.choice("!?.")

class Apart(Base):
    """Take syllables apart."""
    def mark(self, text, one, texts):
        return unicodedata.normalize("NFD", text) + one.choice("!?.")

class Dear(Base):
    """Have several forms for nothing."""
    def views(self):
        return 3

class Silent(Base):
    times: int = 1

class Open(Base):
    """Take any option."""
    model_config = ConfigDict(extra="allow", frozen=False)

class Growing(Base):
    """Make more of what is stated."""
    times: int = Field(1, description="How often.")
    @field_validator("times")
    @classmethod
    def _more(cls, value):
        return value + 1

class Wrong(Base):
    """Have problems."""
    def problems(self):
        yield from ()
        raise RuntimeError("planted")

class Backwards(TranslatorOptions):
    """Give all translations of a batch the length of its longest text."""
    def build(self, context):
        return self.Translator()
    class Translator:
        identity = ""
        def translate(self, texts, decoding, copies, seed):
            longest = max(map(len, texts), default=0)
            return [[text[::-1].ljust(longest) + str(seed)] * copies for text in texts]
        def close(self): pass

class Shuffled(DatasetOptions):
    """Shuffle by chance, with a label that is empty."""
    def build(self, context):
        from datasets import Dataset
        rows = [{"text": f"글 {n}", "label": "ab"[n % 2], "more": 1} for n in range(60)]
        random.shuffle(rows)
        return {"train": Dataset.from_list(rows)}

class Stubborn(BackboneOptions):
    """Have two labels of its own and the same weights for every seed."""
    def layer_count(self):
        return 7
    def clean(self, text):
        return text + "."
    def build_tokenizer(self, context):
        from kexp.testing import tiny_classifier
        return tiny_classifier()[1]
    def build(self, context):
        from kexp.testing import tiny_classifier
        return tiny_classifier(seed=3)[0]

class Naive(SupervisedObjectiveOptions):
    """Take the logarithm of the probability."""
    def build(self, context):
        class Loss(SupervisedObjective):
            def losses(self, logits, labels):
                return -logits.softmax(-1).gather(1, labels[:, None]).squeeze(1).log()
        return Loss()

class Counting(SupervisedObjectiveOptions):
    """Count the steps and forget them, log with a gradient."""
    def build(self, context):
        class Loss(SupervisedObjective):
            seen = 0
            def losses(self, logits, labels):
                self.seen += 1
                return logits.logsumexp(-1) * self.seen
            def step(self, model, labelled, unlabelled, progress):
                result = super().step(model, labelled, unlabelled, progress)
                return StepLoss(result.loss, {"loss": result.loss})
        return Loss()

class Averaged(SupervisedObjectiveOptions):
    """Return the mean over the rows for the loss of each."""
    def build(self, context):
        class Loss(SupervisedObjective):
            def losses(self, logits, labels):
                return logits.logsumexp(-1).mean()
            def row_losses(self, logits, labels):
                return self.losses(logits, labels)
        return Loss()

class Squeezed(SupervisedObjectiveOptions):
    """Lose the dimension of the rows where there is one."""
    def build(self, context):
        class Loss(SupervisedObjective):
            def losses(self, logits, labels):
                return -logits.log_softmax(-1).gather(1, labels[:, None]).squeeze()
        return Loss()

class Relative(SupervisedObjectiveOptions):
    """Measure each row by the others."""
    def build(self, context):
        class Loss(SupervisedObjective):
            def losses(self, logits, labels):
                losses = -logits.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
                return losses + losses.mean()
        return Loss()

class Undeclared(ObjectiveOptions):
    """Be a loss per row, and not say so."""
    def build(self, context):
        from kexp.cross_entropy import CrossEntropy
        return CrossEntropy(0.0, None)

class Leaky(ObjectiveOptions):
    """Learn from the targets, and switch dropout off for good."""
    uses_unlabelled: ClassVar[bool] = True
    uses_augmented: ClassVar[bool] = True
    def build(self, context):
        class Loss(Objective):
            def step(self, model, labelled, unlabelled, progress):
                model.module.eval()
                one, two = model.logits(unlabelled.original, unlabelled.augmented)
                return StepLoss(((one.softmax(-1) - two.softmax(-1)) ** 2).mean())
        return Loss()

class Lonely(ObjectiveOptions):
    """Take the mean over the rows of each process by itself, and say that it is right for several."""
    several_processes: ClassVar[bool] = True
    def build(self, context):
        class Loss(Objective):
            def step(self, model, labelled, unlabelled, progress):
                (logits,) = model.logits(labelled.inputs)
                return StepLoss(-logits.log_softmax(-1).gather(1, labelled.labels[:, None]).mean())
        return Loss()

class Everything(FreezingOptions):
    """Freeze all there is, and a layer more."""
    def frozen(self, blocks, epoch):
        return [*blocks, f"layer.{len(blocks)}"]

class OffByOne(SamplerOptions):
    """Count from one."""
    def order(self, labels, generator):
        return generator.permutation(len(labels)) + 1

class First(MetricOptions):
    """Look at the first row, and sort the others."""
    def build(self, context):
        def measure(labels, probabilities):
            value = probabilities[0, labels[0]]
            probabilities.sort(axis=0)
            return value
        return measure

class Downwards(MetricOptions):
    """Say that less is better where more is."""
    greater_is_better: ClassVar[bool] = False
    def build(self, context):
        return lambda labels, probabilities: float((probabilities.argmax(1) == labels).mean())

class Chatty(TrackerOptions):
    """Print, know no other events, and leave a thread for every run."""
    def build(self, run):
        class Page:
            def log(self, event):
                {"started": 1, "epoch": 1, "step": 1, "evaluation": 1, "warning": 1, "finished": 1}[event["event"]]
            def finish(self, status):
                print(status)
                threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
        return Page()

class Seedless(SearchSamplerOptions):
    """Draw without a seed."""
    def build(self, context):
        from optuna.samplers import RandomSampler
        return RandomSampler()

class Impatient(PrunerOptions):
    """End every trial at its third report."""
    def build(self, context):
        from optuna.pruners import BasePruner
        class Third(BasePruner):
            def prune(self, study, trial):
                return len(trial.intermediate_values) > 2
        return Third()

class Twice(ExecutorOptions):
    """Do nothing, here, and tell the end of it twice."""
    def build(self, context):
        class Echo:
            messages = []
            def submit(self, task):
                self.messages = [Ended(task.number, {"number": task.number, **task.payload})] * 2
            def wait(self, seconds):
                messages, self.messages = self.messages, []
                return messages
            def answer(self, number, answer): pass
            def stop(self, number): pass
            def close(self): pass
        return Echo()
'''
HEAVY = """
import transformers
from kexp.builtin.metrics import Accuracy
class Heavy(Accuracy):
    '''Load transformers for nothing.'''
"""
SUITES = """
import heavy, wrong
import kexp.testing
from kexp.options import Options
from kexp.testing import MetricContract, OptionsContract

CONTRACTS = [one for one in vars(kexp.testing).values() if isinstance(one, type) and issubclass(one, OptionsContract)]
for name, component in vars(wrong).items():
    if getattr(component, "__module__", "") == "wrong":
        (suite,) = [one for one in CONTRACTS if one.base is not Options and issubclass(component, one.base)]
        globals()[f"Test{name}"] = type(f"Test{name}", (suite,), {"examples": (component(),), "patience": 0.5})
class TestHeavy(MetricContract):
    examples = (heavy.Heavy(),)
class TestNothing(MetricContract):
    pass
"""
EVERY_METRIC = [name for name in dir(MetricContract) if name.startswith("test_")]
SEEN = {
    "Base": "",
    "SharedDice": "a_row_depends_on_its_text_and_generator_alone equal_generators_give_equal_texts accepts_any_text "
    "changes_no_input_or_global_state",
    "Neighbourly": "a_row_depends_on_its_text_and_generator_alone accepts_any_text",
    "Forgetful": "accepts_any_text accepts_odd_texts",
    "Fragile": "keeps_texts_in_nfc accepts_any_text accepts_odd_texts",
    "Apart": "keeps_texts_in_nfc",
    "Dear": "cost_and_views_are_consistent",
    "Silent": "is_described",
    "Open": "is_frozen_and_closed round_trips_through_toml",
    "Growing": "round_trips_through_toml",
    "Wrong": "has_no_problems round_trips_through_toml can_be_pickled_and_checks_quickly",
    "Backwards": "a_translation_depends_on_its_text_alone has_an_identity seeds_affect_only_sampling",
    "Shuffled": "has_known_columns is_the_same_when_read_again",
    "Stubborn": "cleaning_twice_is_cleaning_once dropout_is_set_or_refused model_classifies_the_labels accepts_odd_texts "
    "positions_and_layers_match_the_model weights_depend_on_the_seed",
    "Naive": "extreme_logits_stay_finite",
    "Counting": "a_step_can_be_done_again resuming_continues_identically initial_state_can_be_loaded extreme_logits_stay_finite "
    "loss_and_logs_are_finite_scalars accepts_a_single_row parts_of_processes_add_up",
    "Averaged": "losses_are_one_per_row loss_of_a_row_is_independent_of_other_rows parts_of_processes_add_up",
    "Squeezed": "losses_are_one_per_row accepts_a_single_row parts_of_processes_add_up",
    "Relative": "loss_of_a_row_is_independent_of_other_rows",
    "Undeclared": "class_declares_a_loss_per_row",
    "Leaky": "changes_no_weights_or_modes targets_have_no_gradient",
    "Lonely": "parts_of_processes_add_up",
    "Everything": "freezes_a_model leaves_something_to_train returns_existing_blocks",
    "OffByOne": "returns_existing_rows visits_all_rows_if_declared",
    "First": "changes_no_input_or_global_state is_independent_of_row_order",
    "Downwards": "perfect_predictions_score_best",
    "Chatty": "prints_nothing leaves_no_thread accepts_unknown_events",
    "Seedless": "continues_a_study draws_depend_on_the_seed",
    "Impatient": "never_prunes_the_best_trial never_prunes_the_first_trial",
    "Twice": "report_waits_for_its_answer stopping_answers_a_report stopping_a_finished_task_is_harmless other_tasks_continue "
    "lost_task_is_reported stopped_task_ends answers_reach_their_tasks every_task_ends_in_one_message "
    "closes_while_tasks_run news_comes_in_order_and_before_the_end several_threads_tell_news",
    "Heavy": "can_be_pickled_and_checks_quickly",
    "Nothing": " ".join(name.removeprefix("test_") for name in EVERY_METRIC),
}


def test_suites_see_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    for name, source in (("wrong.py", WRONG), ("heavy.py", HEAVY), ("test_wrong.py", SUITES)):
        (tmp_path / name).write_text(source, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--junitxml=seen.xml"]
    command = [sys.executable, "-m", "pytest", *options, "test_wrong.py"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | paths, check=False, stdout=subprocess.DEVNULL)
    seen: dict[str, set[str]] = {}
    for case in ElementTree.parse(tmp_path / "seen.xml").iter("testcase"):
        failed = seen.setdefault(case.attrib["classname"].rpartition(".Test")[2], set())
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(case.attrib["name"].partition("[")[0].removeprefix("test_"))
    assert seen == {name: set(expected.split()) for name, expected in SEEN.items()}


def test_components_without_a_suite_are_named() -> None:
    tests = {name: value for name, value in globals().items() if name not in ("TestAeda", "TestHub")}
    assert untested(builtin, tests) == ['dataset "hub"', 'augmenter "aeda"']
    # What pytest does not collect is no test.
    assert 'executor "local"' in untested(builtin, {"LocalSuite": TestLocal})


@pytest.mark.parametrize("missing", ["pytest", "hypothesis"])
def test_what_is_missing_is_told_in_one_line(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; import kexp.testing"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"ImportError: kexp.testing needs {missing}: pip install 'kexp[testing]'"
