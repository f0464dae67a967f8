"""Every parameter of every family is in the block where a reader expects it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaConfig,
    DebertaForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    MegatronBertConfig,
    MegatronBertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMConfig,
    XLMForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaXLConfig,
    XLMRobertaXLForSequenceClassification,
)

from kexp.builtin.freezing import FreezeAllButHead, FreezeEmbeddings
from kexp.model.blocks import find_blocks

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 60}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": 16}


def deberta_v2(**options: object) -> PreTrainedModel:
    """DeBERTa-v2 and v3 are one family; v3 normalises its relative positions, the largest v2 has a convolution."""
    given = {**SHAPE, **RELATIVE, "position_biased_input": False, **options}
    return DebertaV2ForSequenceClassification(DebertaV2Config(**given))


def distilbert() -> PreTrainedModel:
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 60}
    return DistilBertForSequenceClassification(DistilBertConfig(**sizes))


def two(stack: str) -> dict[str, str]:
    return {f"{stack}.0.": "layer.0", f"{stack}.1.": "layer.1"}


# A model, and the blocks of its parameters by the beginnings of their names.
FAMILIES: Mapping[str, tuple[Callable[[], PreTrainedModel], Mapping[str, str]]] = {
    "bert": (
        lambda: BertForSequenceClassification(BertConfig(**SHAPE)),
        {"bert.embeddings.": "embeddings", **two("bert.encoder.layer"), "bert.pooler.": "head", "classifier.": "head"},
    ),
    "roberta": (
        lambda: RobertaForSequenceClassification(RobertaConfig(**SHAPE)),
        {"roberta.embeddings.": "embeddings", **two("roberta.encoder.layer"), "classifier.": "head"},
    ),
    "xlm-roberta": (
        lambda: XLMRobertaForSequenceClassification(XLMRobertaConfig(**SHAPE)),
        {"roberta.embeddings.": "embeddings", **two("roberta.encoder.layer"), "classifier.": "head"},
    ),
    "xlm-roberta-xl": (
        lambda: XLMRobertaXLForSequenceClassification(XLMRobertaXLConfig(**SHAPE)),
        {
            "roberta.embeddings.": "embeddings",
            **two("roberta.encoder.layer"),
            "roberta.encoder.LayerNorm.": "layer.1",
            "classifier.": "head",
        },
    ),
    "megatron-bert": (
        lambda: MegatronBertForSequenceClassification(MegatronBertConfig(**SHAPE)),
        {
            "bert.embeddings.": "embeddings",
            **two("bert.encoder.layer"),
            "bert.encoder.ln.": "layer.1",
            "bert.pooler.": "head",
            "classifier.": "head",
        },
    ),
    "electra": (
        lambda: ElectraForSequenceClassification(ElectraConfig(embedding_size=8, **SHAPE)),
        {
            "electra.embeddings.": "embeddings",
            "electra.embeddings_project.": "embeddings",
            **two("electra.encoder.layer"),
            "classifier.": "head",
        },
    ),
    "distilbert": (
        distilbert,
        {
            "distilbert.embeddings.": "embeddings",
            **two("distilbert.transformer.layer"),
            "pre_classifier.": "head",
            "classifier.": "head",
        },
    ),
    "deberta": (
        lambda: DebertaForSequenceClassification(DebertaConfig(**SHAPE, **RELATIVE)),
        {
            "deberta.embeddings.": "embeddings",
            "deberta.encoder.rel_embeddings.": "embeddings",
            **two("deberta.encoder.layer"),
            "pooler.": "head",
            "classifier.": "head",
        },
    ),
    "deberta-v2": (
        lambda: deberta_v2(embedding_size=8, conv_kernel_size=3, conv_act="gelu"),
        {
            "deberta.embeddings.": "embeddings",
            "deberta.encoder.rel_embeddings.": "embeddings",
            "deberta.encoder.conv.": "layer.0",
            **two("deberta.encoder.layer"),
            "pooler.": "head",
            "classifier.": "head",
        },
    ),
    "deberta-v3": (
        lambda: deberta_v2(norm_rel_ebd="layer_norm"),
        {
            "deberta.embeddings.": "embeddings",
            "deberta.encoder.rel_embeddings.": "embeddings",
            "deberta.encoder.LayerNorm.": "embeddings",
            **two("deberta.encoder.layer"),
            "pooler.": "head",
            "classifier.": "head",
        },
    ),
    "modernbert": (
        lambda: ModernBertForSequenceClassification(ModernBertConfig(pad_token_id=0, **SHAPE)),
        {
            "model.embeddings.": "embeddings",
            **two("model.layers"),
            "model.final_norm.": "layer.1",
            "head.": "head",
            "classifier.": "head",
        },
    ),
    "mpnet": (
        lambda: MPNetForSequenceClassification(MPNetConfig(**SHAPE)),
        {
            "mpnet.embeddings.": "embeddings",
            "mpnet.encoder.relative_attention_bias.": "embeddings",
            **two("mpnet.encoder.layer"),
            "classifier.": "head",
        },
    ),
    # All layers of a group share their weights, and can only be frozen together.
    "albert": (
        lambda: AlbertForSequenceClassification(AlbertConfig(embedding_size=8, **SHAPE)),
        {
            "albert.embeddings.": "embeddings",
            "albert.encoder.embedding_hidden_mapping_in.": "embeddings",
            "albert.encoder.albert_layer_groups.0.": "layer.0",
            "albert.pooler.": "head",
            "classifier.": "head",
        },
    ),
    # A list for each part of the layers.
    "xlm": (
        lambda: XLMForSequenceClassification(XLMConfig(emb_dim=16, n_layers=2, n_heads=2, n_words=60)),
        {
            "transformer.embeddings.": "embeddings",
            "transformer.position_embeddings.": "embeddings",
            "transformer.layer_norm_emb.": "embeddings",
            **two("transformer.attentions"),
            **two("transformer.layer_norm1"),
            **two("transformer.ffns"),
            **two("transformer.layer_norm2"),
            "sequence_summary.": "head",
        },
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_its_block(family: str) -> None:
    build, expected = FAMILIES[family]
    model = build()
    blocks = find_blocks(model)
    layers = sorted({block for block in expected.values() if block.startswith("layer")})
    assert blocks.names == ("embeddings", *layers, "head")
    found = {name: blocks.block_of[name.rpartition(".")[0]] for name, _ in model.named_parameters()}
    for beginning, block in expected.items():
        assert {found.pop(name) for name in list(found) if name.startswith(beginning)} == {block}, beginning
    assert not found


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_probing_trains_the_head_alone(family: str) -> None:
    build, expected = FAMILIES[family]
    model = build()
    blocks = find_blocks(model)
    trained = {}
    for policy in (FreezeEmbeddings(), FreezeAllButHead()):
        count = blocks.apply_freezing(policy.frozen(blocks.names, 0))
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert count == sum(parameter.numel() for name, parameter in model.named_parameters() if name in names)
        trained[type(policy)] = names
    for name, _ in model.named_parameters():
        (block,) = {block for beginning, block in expected.items() if name.startswith(beginning)}
        assert (name in trained[FreezeEmbeddings]) == (block != "embeddings"), name
        assert (name in trained[FreezeAllButHead]) == (block == "head"), name
