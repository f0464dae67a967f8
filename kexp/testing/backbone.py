"""What every backbone has to get right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given

from kexp.contracts import BackboneOptions, TokenizerContext
from kexp.errors import KexpError
from kexp.options import Options
from kexp.pretrained import positions
from kexp.testing.fixtures import ODD_TEXTS, STEADY, any_text, inputs_of, korean_texts, seeded
from kexp.testing.options import OptionsContract

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


class BackboneContract(OptionsContract):
    """Promises of backbones: a tokenizer and a classifier that belong together, and that a run's folder brings back.

    An example is small and needs no network: one with fresh weights, or a folder that a fixture writes
    (``save_tiny_model``, or a few lines of transformers for another architecture).
    """

    base: ClassVar[type[Options]] = BackboneOptions
    labels: ClassVar[Sequence[str]] = ("부정", "긍정", "중립")
    texts: ClassVar[Sequence[str]] = korean_texts(60)

    @pytest.fixture
    def tokenizer(self, options: BackboneOptions) -> PreTrainedTokenizerFast:
        """Build the tokenizer."""
        return options.build_tokenizer(TokenizerContext(self.texts))

    @pytest.fixture
    def model(self, options: BackboneOptions, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
        """Build the classifier."""
        model = seeded(options, self.labels, tokenizer, 1)
        model.train(False)
        return model

    def test_tokenizer_is_fast_and_pads(self, options: BackboneOptions, tokenizer: PreTrainedTokenizerFast) -> None:
        """It is a fast tokenizer with a padding token, the same one every time."""
        from transformers import PreTrainedTokenizerFast

        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        assert isinstance(tokenizer.pad_token_id, int)
        again = options.build_tokenizer(TokenizerContext(self.texts))
        assert again.get_vocab() == tokenizer.get_vocab()
        assert again(list(self.texts)).input_ids == tokenizer(list(self.texts)).input_ids

    def test_model_classifies_the_labels(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        """It has the labels in their order, fp32 weights on the CPU, and an embedding for every token."""
        import torch

        assert model.config.id2label == dict(enumerate(self.labels))
        assert model.config.label2id == {label: number for number, label in enumerate(self.labels)}
        assert model.config.num_labels == len(self.labels)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
        assert len(model.get_input_embeddings().weight) >= len(tokenizer)  # type: ignore[arg-type]

    def test_positions_and_layers_match_the_model(self, options: BackboneOptions, model: PreTrainedModel) -> None:
        """``max_positions`` and ``layer_count`` are those of the model, and the last position can be used."""
        from kexp.model.blocks import find_blocks

        most, layers = options.max_positions(), options.layer_count()
        assert most is None or most == positions(model.config.to_dict())
        assert layers is None or len(find_blocks(model).names) == layers + 2

    def test_accepts_odd_texts(
        self, options: BackboneOptions, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        """Logits are finite for texts of every length, cut to the positions, and have a column per label."""
        import torch

        texts = [options.clean(text) for text in ODD_TEXTS]
        inputs = inputs_of(texts, tokenizer, model, options.max_positions() or 64)
        found = logits(model, inputs)
        assert found.shape == (len(texts), len(self.labels))
        assert torch.isfinite(found).all()

    def test_padding_changes_nothing(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        """A text has the same logits alone and beside a longer one."""
        import torch

        pair = ["가", " ".join(self.texts[:3])]
        together = logits(model, inputs_of(pair, tokenizer, model, 24))
        alone = logits(model, inputs_of(pair[:1], tokenizer, model, 24))
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)

    def test_embeddings_can_be_given(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        """Word embeddings in the place of tokens give the same logits, for objectives that change them."""
        import torch

        inputs = inputs_of(self.texts[:4], tokenizer, model, 24)
        others = {name: tensor for name, tensor in inputs.items() if name != "input_ids"}
        embedded = {"inputs_embeds": model.get_input_embeddings()(inputs["input_ids"]), **others}
        torch.testing.assert_close(logits(model, embedded), logits(model, inputs), rtol=1e-4, atol=1e-5)

    def test_a_saved_model_is_the_same_model(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
    ) -> None:
        """What a run saves, transformers loads without this component, with the same tokens, logits and labels."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
        words: Any = AutoTokenizer.from_pretrained(tmp_path)
        assert loaded.config.id2label == model.config.id2label
        inputs, again = (inputs_of(self.texts, one, model, 24) for one in (tokenizer, words))
        assert inputs.keys() == again.keys()
        assert all(torch.equal(inputs[name], again[name]) for name in inputs)
        torch.testing.assert_close(logits(loaded, again), logits(model, inputs))

    def test_weights_depend_on_the_seed(
        self, options: BackboneOptions, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        """Equal seeds of torch give equal weights; other seeds give another head at least."""
        import torch

        same, other = (seeded(options, self.labels, tokenizer, seed).state_dict() for seed in (1, 2))
        weights = model.state_dict()
        assert weights.keys() == same.keys()
        assert all(torch.equal(weights[name], same[name]) for name in weights)
        assert any(not torch.equal(weights[name], other[name]) for name in weights)

    def test_says_which_precisions_it_refuses(self, options: BackboneOptions) -> None:
        """``precision_problem`` is a text for every precision, and empty for fp32, in which everything can be run."""
        assert all(isinstance(options.precision_problem(precision), str) for precision in ("fp32", "bf16", "fp16"))
        assert options.precision_problem("fp32") == ""

    def test_states_where_its_weights_come_from(self, options: BackboneOptions) -> None:
        """``provenance`` and ``origin`` are texts by name, for ``kexp plugins show``, result.json and the report."""
        for known in (type(options).provenance(), options.origin()):
            assert all(isinstance(part, str) and part for item in known.items() for part in item)
            assert known.get("licence", options.licence) == options.licence

    def test_dropout_is_set_or_refused(self, options: BackboneOptions, tokenizer: PreTrainedTokenizerFast) -> None:
        """Dropout before the classifier is what the option says; a model without one says so."""
        chosen = options.model_copy(update={"dropout": 0.4321})
        try:
            model = seeded(chosen, self.labels, tokenizer, 1)
        except KexpError as error:
            assert "dropout" in str(error)  # noqa: PT017
            return
        assert 0.4321 in [getattr(module, "p", None) for module in model.modules()]

    def test_cleaning_twice_is_cleaning_once(self, options: BackboneOptions) -> None:
        """A text that has been cleaned stays as it is: predictions clean what may have been cleaned before."""

        @STEADY
        @given(any_text())
        def check(text: str) -> None:
            cleaned = options.clean(text)
            assert isinstance(cleaned, str)
            assert options.clean(cleaned) == cleaned

        check()
        for text in (*self.texts, *ODD_TEXTS):
            assert options.clean(options.clean(text)) == options.clean(text)


def logits(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return a model's logits without dropout."""
    import torch

    with torch.no_grad():
        found: torch.Tensor = model(**inputs).logits
    return found
