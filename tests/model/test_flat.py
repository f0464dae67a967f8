"""The forward pass without padding gives what the padded one of the library gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import small_encoders
import torch
import transformers
from torch.nn.utils import parametrizations, prune
from transformers import PreTrainedModel
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings

from kexp.model.flat import FlatModel, reason_not_flat
from kexp.model.recomputation import recompute_activations
from kexp.model.token_rows import TokenRows

DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "seq_classif_dropout",
    "embedding_dropout", "mlp_dropout", "classifier_dropout", "pooler_dropout",
)  # fmt: skip
LENGTHS = {
    "short beside long": [3, 24, 3, 17, 24, 5],
    "equal": [6, 6, 6],
    "by length": [9, 7, 3],
    "one row": [11],
    "one token": [1, 8, 1],
}


@dataclass(frozen=True)
class Case:
    """A small random model; ``pad`` is its padding, and token ids are never below ``lowest``."""

    family: str
    config: dict[str, Any] = field(default_factory=dict)
    types: bool = False
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.family

    def build(self, *, dropout: float = 0.0) -> PreTrainedModel:
        sizes = {"vocab_size": 40, "num_labels": 3, "max_position_embeddings": 30, "num_hidden_layers": 3}
        model = small_encoders.build(self.family, **{**sizes, **dict.fromkeys(DROPOUTS, dropout), **self.config})
        # Weights as initialised hardly differ from zero, and a wrong mask or position would not show.
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        return model.train(dropout > 0)

    def rows(self, lengths: list[int], seed: int = 0) -> TokenRows:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(5, 40, (sum(lengths),), generator=generator)
        types = torch.randint(0, 2, ids.shape, generator=generator) if self.types else None
        return TokenRows(ids, np.array(lengths), types)


ROBERTA = {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 32}
MODERNBERT = {"local_attention": 8, "global_attn_every_n_layers": 2, "norm_bias": True, "attention_bias": True}
DEBERTA_V3 = {
    "position_biased_input": False, "position_buckets": 4, "share_att_key": True,
    "norm_rel_ebd": "layer_norm", "type_vocab_size": 0, "max_relative_positions": -1,
}  # fmt: skip
CASES = [
    Case("bert", {"type_vocab_size": 2}, types=True),
    Case("bert", {"chunk_size_feed_forward": 1}, name="bert without types"),
    Case("roberta", ROBERTA),
    Case("xlm-roberta", {**ROBERTA, "type_vocab_size": 2}, types=True),
    Case("camembert", ROBERTA),
    Case("electra", types=True),
    Case("electra", {"embedding_size": 16}, name="electra without projection"),
    Case("distilbert"),
    Case("distilbert", {"sinusoidal_pos_embds": True}, types=True, name="distilbert given types"),
    Case("modernbert", MODERNBERT),
    Case("modernbert", {**MODERNBERT, "classifier_pooling": "mean"}, name="modernbert of means"),
    Case("modernbert", {"global_attn_every_n_layers": 3, "local_attention": 4}, name="modernbert ends locally"),
    Case("deberta-v2", {"type_vocab_size": 2}, types=True),
    Case("deberta-v2", DEBERTA_V3, name="deberta-v3"),
    Case("deberta-v2", {"relative_attention": False, "pos_att_type": None}, name="deberta without relative positions"),
]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def flat(model: PreTrainedModel) -> FlatModel:
    found = FlatModel.of(model)
    assert found is not None, reason_not_flat(model)
    assert reason_not_flat(model) is None
    return found


def padded_logits(model: PreTrainedModel, rows: TokenRows, words: torch.Tensor | None = None) -> torch.Tensor:
    inputs = rows.padded(model.config.pad_token_id)
    if words is not None:
        inputs = {**inputs, "inputs_embeds": rows.spread(words)}
        del inputs["input_ids"]
    logits: torch.Tensor = model(**inputs).logits
    return logits


def gradients(model: PreTrainedModel, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the gradient of a loss that depends on every logit."""
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad((logits.tanh() * weights).sum(), parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_logits_and_every_gradient_are_those_of_the_padded_pass(case: Case, lengths: list[int]) -> None:
    model, rows = case.build().double(), case.rows(lengths)
    expected, logits = padded_logits(model, rows), flat(model).logits(rows)
    assert logits.shape == (len(lengths), 3)
    torch.testing.assert_close(logits, expected)
    assert logits.std() > 0.01
    expected_gradients = gradients(model, expected)
    for name, gradient in gradients(model, logits).items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-7, atol=1e-9, msg=name)


def test_fp32_logits_differ_by_rounding_alone(case: Case) -> None:
    model, rows = case.build().eval(), case.rows(LENGTHS["short beside long"])
    with torch.inference_mode():
        torch.testing.assert_close(flat(model).logits(rows), padded_logits(model, rows), rtol=1e-5, atol=1e-5)


def test_layers_in_two_parts_give_the_logits_of_one_pass(case: Case) -> None:
    model, rows = case.build().eval(), case.rows(LENGTHS["short beside long"])
    run = flat(model)
    embedded, count, expected = run.embed(rows), run.number_of_layers, run.logits(rows)
    for cut in range(count + 1):
        below = run.layers(embedded, rows, 0, cut)
        assert len(below) == (len(rows) if cut == count else len(rows.ids))
        assert torch.equal(run.head(run.layers(below, rows, cut, count)), expected)


def test_given_word_embeddings_carry_a_gradient(case: Case) -> None:
    model, rows = case.build().double(), case.rows(LENGTHS["short beside long"])
    words = model.get_input_embeddings()(rows.ids).detach().requires_grad_()
    logits = flat(model).logits(rows, word_embeddings=words)
    torch.testing.assert_close(logits, flat(model).logits(rows))
    expected = padded_logits(model, rows, words)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    (gradient,), (reference,) = (torch.autograd.grad((part * weights).sum(), words) for part in (logits, expected))
    assert reference.abs().min(dim=0).values.max() > 0
    torch.testing.assert_close(gradient, reference)


def test_mixed_precision_is_that_of_the_padded_pass(case: Case) -> None:
    model, rows = case.build(), case.rows(LENGTHS["short beside long"])
    with torch.autocast("cpu", torch.bfloat16):
        logits, expected = flat(model).logits(rows), padded_logits(model, rows)
    exact = padded_logits(model, rows)
    assert logits.dtype == expected.dtype
    assert (logits - exact).abs().max() < 3 * (expected - exact).abs().max() + 1e-2
    for name, gradient in gradients(model, logits.float()).items():
        assert gradient.dtype == torch.float32
        assert torch.isfinite(gradient).all(), name


def draws(run: Callable[[], torch.Tensor], count: int) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([run() for _ in range(count)])


def test_dropout_changes_logits_as_much_as_in_the_padded_pass(case: Case) -> None:
    model = case.build(dropout=0.3)
    # Many equal rows are as many draws.
    one, times = case.rows([7]), 400
    rows = TokenRows.joined([one] * times + [case.rows([2], seed=1)])
    run = flat(model)
    ours = draws(lambda: run.logits(rows)[:times], 5).flatten(0, 1)
    theirs = draws(lambda: padded_logits(model, rows)[:times], 5).flatten(0, 1)
    spread = theirs.std(0)
    assert (spread > 0.01).all()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * spread * (2 / len(ours)) ** 0.5).all()
    assert ((ours.std(0) / spread - 1).abs() < 0.12).all()


def test_attention_weights_alone_are_dropped_as_often(case: Case) -> None:
    model = case.build(dropout=0.3)
    for name, module in model.named_modules():
        # Those inside of attention are called by no one: the attention function reads their rate.
        if isinstance(module, torch.nn.Dropout) and not name.endswith(("self.dropout", "attention.dropout")):
            module.p = 0.0
    rows = TokenRows.joined([case.rows([7])] * 400 + [case.rows([2], seed=1)])
    ours = draws(lambda: flat(model).logits(rows)[:400], 5).flatten(0, 1)
    theirs = draws(lambda: padded_logits(model, rows)[:400], 5).flatten(0, 1)
    spread = theirs.std(0)
    assert (spread > 0.001).all()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * spread * (2 / len(ours)) ** 0.5).all()
    assert ((ours.std(0) / spread - 1).abs() < 0.12).all()


def test_gradient_checkpointing_changes_nothing_but_memory(case: Case) -> None:
    model, rows = case.build(dropout=0.2), case.rows(LENGTHS["short beside long"])
    run = flat(model)

    def outcome() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        logits = run.logits(rows)
        model.zero_grad()
        logits.tanh().sum().backward()
        return logits.detach(), {name: part.grad.clone() for name, part in model.named_parameters()}

    logits, plain = outcome()
    calls = []
    recompute_activations(model)
    kept = run._layers[0]._gradient_checkpointing_func
    for layer in run._layers:
        layer._gradient_checkpointing_func = lambda *given: (calls.append(1), kept(*given))[1]
    again, recomputed = outcome()
    assert len(calls) == run.number_of_layers
    assert torch.equal(again, logits)
    for name, gradient in recomputed.items():
        assert torch.equal(gradient, plain[name]), name


def test_the_padded_call_is_what_it_was_before(case: Case) -> None:
    model, rows = case.build().eval(), case.rows(LENGTHS["short beside long"])
    state, implementation = set(vars(model)), model.config._attn_implementation
    before = padded_logits(model, rows)
    flat(model).logits(rows).sum().backward()
    assert torch.equal(padded_logits(model, rows), before)
    assert (set(vars(model)), model.config._attn_implementation) == (state, implementation)


def test_padding_ids_among_the_tokens_are_counted_as_the_library_counts_them(case: Case) -> None:
    model, rows = case.build().double(), case.rows([6, 9, 4])
    rows.ids[[2, 8, 9, 18]] = model.config.pad_token_id
    torch.testing.assert_close(flat(model).logits(rows), padded_logits(model, rows))


def test_a_copy_and_its_model_run_at_the_same_time(case: Case) -> None:
    model = case.build().eval()
    teacher = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(0.9)
    batches = [case.rows([4 + number, 9, 3], seed=number) for number in range(6)]
    runs = [flat(model), flat(teacher)]
    expected = [[run.logits(rows).detach() for rows in batches] for run in runs]
    assert not torch.equal(expected[0][0], expected[1][0])
    with ThreadPoolExecutor(4) as pool:
        for run, logits in zip(runs, expected, strict=True):
            for found, wanted in zip(pool.map(run.logits, batches * 4), logits * 4, strict=True):
                assert torch.equal(found, wanted)


def test_rows_longer_than_the_positions_are_refused() -> None:
    for case in CASES:
        model = case.build().eval()
        fits = 30
        assert torch.isfinite(flat(model).logits(case.rows([3, fits]))).all()
        if case.family != "modernbert" and case.config is not DEBERTA_V3:
            with pytest.raises(ValueError, match=r"a row has 31 tokens, but the model has positions for 30"):
                flat(model).logits(case.rows([3, fits + 1]))


def test_rows_without_tokens_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match=r"row 1 has no tokens"):
        flat(case.build()).logits(case.rows([3, 0, 2]))


def test_a_pass_over_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        flat(CASES[0].build()).logits(CASES[0].rows([]))


def test_layouts_made_in_inference_mode_serve_training(case: Case) -> None:
    model, rows = case.build(), case.rows([2, 13, 6, 8, 1])
    with torch.inference_mode():
        expected = flat(model).logits(rows)
    logits = flat(model).logits(rows)
    logits.sum().backward()
    torch.testing.assert_close(logits, expected.clone())


# --- models that are run padded --------------------------------------------------------------------------------------


def bert(**options: Any) -> PreTrainedModel:
    return Case("bert", options).build()


def from_elsewhere() -> PreTrainedModel:
    class BertForSequenceClassification(transformers.BertForSequenceClassification):
        """A model of the same name in another module."""

    return BertForSequenceClassification(bert().config)


def with_a_part_from_elsewhere() -> PreTrainedModel:
    class Slower(BertLayer):
        """A layer that was written by others."""

    model = bert()
    model.bert.encoder.layer[1] = Slower(model.config)
    return model


def with_a_forward_of_its_own() -> PreTrainedModel:
    model = bert()
    model.bert.encoder.layer[0].forward = lambda hidden, *others, **named: hidden
    return model


def with_a_small_part_from_elsewhere() -> PreTrainedModel:
    class DropoutOfRows(torch.nn.Dropout):
        """Drops the same numbers of all tokens of a row, so that it needs to know which these are."""

    model = bert()
    model.bert.encoder.layer[1].output.dropout = DropoutOfRows(0.1)
    return model


def with_a_part_of_another_family() -> PreTrainedModel:
    model = bert(max_position_embeddings=40)
    model.bert.embeddings = RobertaEmbeddings(model.config)
    return model


def hooked(register: Callable[[PreTrainedModel], object]) -> Callable[[], PreTrainedModel]:
    def build() -> PreTrainedModel:
        model = bert()
        register(model)
        return model

    return build


def with_a_forward_of_the_class_replaced(monkeypatch: pytest.MonkeyPatch) -> PreTrainedModel:
    monkeypatch.setattr(BertLayer, "forward", lambda self, hidden, *others, **named: hidden)
    return bert()


def with_attention_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> PreTrainedModel:
    mapping = dict(transformers.AttentionInterface._global_mapping)
    monkeypatch.setattr(transformers.AttentionInterface, "_global_mapping", mapping)
    transformers.AttentionInterface.register("nearby", lambda module, query, key, value, mask, **named: (value, None))
    return bert(attn_implementation="nearby")


NOT_FLAT: dict[str, tuple[Callable[[], PreTrainedModel], str]] = {
    "unknown": (
        Case("albert").build,
        "AlbertForSequenceClassification of transformers.models.albert.modeling_albert has no forward pass without padding.",
    ),
    "elsewhere": (from_elsewhere, f"BertForSequenceClassification of {__name__} has no forward pass without padding."),
    "part": (with_a_part_from_elsewhere, f"A part of BertForSequenceClassification is Slower of {__name__}."),
    "small part": (
        with_a_small_part_from_elsewhere,
        f"A part of BertForSequenceClassification is DropoutOfRows of {__name__}.",
    ),
    "part of another family": (
        with_a_part_of_another_family,
        "A part of BertForSequenceClassification is RobertaEmbeddings of transformers.models.roberta.modeling_roberta.",
    ),
    "hook on what is passed by": (
        hooked(lambda model: model.bert.encoder.register_forward_hook(lambda module, given, output: None)),
        f"A hook of {__name__} is registered on bert.encoder.",
    ),
    "hook on what sees other shapes": (
        hooked(lambda model: model.bert.encoder.layer[2].output.register_forward_pre_hook(lambda module, given: None)),
        f"A hook of {__name__} is registered on bert.encoder.layer.2.output.",
    ),
    "hook of gradients": (
        hooked(lambda model: model.register_full_backward_hook(lambda module, given, output: None)),
        f"A hook of {__name__} is registered on BertForSequenceClassification.",
    ),
    "forward": (with_a_forward_of_its_own, "The forward method of bert.encoder.layer.0 was replaced by another."),
    "decoder": (
        lambda: bert(is_decoder=True),
        "BertForSequenceClassification has attention to earlier tokens alone, which needs padded rows.",
    ),
    "causal": (
        Case("modernbert", {"is_causal": True}).build,
        "ModernBertForSequenceClassification has attention to earlier tokens alone, which needs padded rows.",
    ),
    "convolution": (
        Case("deberta-v2", {"conv_kernel_size": 3}).build,
        "DebertaV2ForSequenceClassification has a convolution over tokens, which needs padded rows.",
    ),
    "no layers": (lambda: bert(num_hidden_layers=0), "BertForSequenceClassification has no layers."),
}


@pytest.mark.parametrize(("build", "reason"), NOT_FLAT.values(), ids=NOT_FLAT)
def test_other_models_are_run_padded_with_a_reason(build: Callable[[], PreTrainedModel], reason: str) -> None:
    model = build()
    assert FlatModel.of(model) is None
    assert reason_not_flat(model) == reason


REPLACED: dict[str, tuple[Callable[[pytest.MonkeyPatch], PreTrainedModel], str]] = {
    "forward": (with_a_forward_of_the_class_replaced, "The forward method of bert.encoder.layer.0 was replaced by another."),
    "attention": (
        with_attention_from_elsewhere,
        f'The attention of BertForSequenceClassification is computed by "nearby" of {__name__}.',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "reason"), REPLACED.values(), ids=REPLACED)
def test_what_was_replaced_in_the_library_itself_is_used(
    build: Callable[[pytest.MonkeyPatch], PreTrainedModel], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(monkeypatch)
    assert FlatModel.of(model) is None
    assert reason_not_flat(model) == reason


# --- models that are run flat all the same ---------------------------------------------------------------------------


def pruned(model: PreTrainedModel) -> None:
    for layer in model.bert.encoder.layer:
        prune.l1_unstructured(layer.attention.self.query, "weight", amount=0.5)
        prune.l1_unstructured(layer.output.dense, "weight", amount=0.5)


def normed(model: PreTrainedModel) -> None:
    for layer in model.bert.encoder.layer:
        parametrizations.weight_norm(layer.attention.self.key)
        torch.nn.utils.spectral_norm(layer.intermediate.dense)


def recording(model: PreTrainedModel) -> None:
    padded_logits(model, CASES[0].rows([3, 4]))
    model(input_ids=torch.tensor([[5, 6]]), output_hidden_states=True, output_attentions=True)


def eager(model: PreTrainedModel) -> None:
    model.set_attn_implementation("eager")


def quantised(model: PreTrainedModel) -> None:
    torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8, inplace=True)


def with_a_wider_head(model: PreTrainedModel) -> None:
    model.classifier = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("change", [pruned, normed, recording, eager, quantised, with_a_wider_head])
def test_changed_weights_and_records_need_no_padding(change: Callable[[PreTrainedModel], None]) -> None:
    model = CASES[0].build().eval()
    plain = flat(model).logits(CASES[0].rows([3, 9, 4])).detach()
    change(model)
    model.eval()
    rows = CASES[0].rows([3, 9, 4])
    logits, expected = flat(model).logits(rows), padded_logits(model, rows)
    # Dynamic quantisation takes its scale from all numbers of a product, those of padding too.
    torch.testing.assert_close(logits, expected, **({"rtol": 0, "atol": 0.05} if change is quantised else {}))
    assert torch.equal(logits, plain) == (change in (recording, eager))
