"""Training on batches of a number of tokens is that of a plain loop over their rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_training import CLASSES, model, trainer
from torch.nn.functional import cross_entropy

from kexp.builtin.samplers import RandomSampler
from kexp.data.batching import TokensPerBatch
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.ragged import Ragged, offsets_of
from kexp.data.rows import Rows
from kexp.model.token_rows import TokenRows
from kexp.train.events import StepsDone

ROWS = 60


@pytest.fixture
def stream() -> LabelledStream:
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 13, ROWS)
    tokens = Ragged(draw.integers(1, 50, lengths.sum()).astype(np.int32), offsets_of(lengths))
    return LabelledStream(
        Rows([""] * ROWS, None, draw.integers(0, CLASSES, ROWS), np.arange(ROWS)),
        Encoded(tokens, None, 0),
        RandomSampler(),
        Collator(0, token_types=False),
        seed=3,
        batch_size=TokensPerBatch(40),
        accumulation=2,
    )


def test_steps_are_those_of_a_plain_loop(stream: LabelledStream, tmp_path) -> None:
    ours, plain = model(dropout=0.0), model(dropout=0.0)
    options = {"schedule": "constant", "weight_decay": 0.0, "gradient_clip": 0, "log_every": 1, "epochs": 2}
    trained = trainer(tmp_path, stream=stream, net=ours, checkpoint=False, keep="last", **options)
    # What is evaluated does not matter here.
    trained.evaluate = dict
    losses = [event.loss for event in trained.events() if isinstance(event, StepsDone)]

    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    expected, rows_of_steps = [], []
    for epoch in range(2):
        for step in stream.epoch(epoch):
            logits, labels = [], []
            for batch in (micro.labelled for micro in step):
                rows = TokenRows.of(batch.inputs, torch.device("cpu"))
                logits.append(plain(**rows.padded(0)).logits)
                labels.append(torch.from_numpy(batch.labels))
            # The mean over all rows of the step: a batch of few long rows weighs less than one of many short ones.
            loss = cross_entropy(torch.cat(logits), torch.cat(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected.append(loss.item())
            rows_of_steps.append([len(few) for few in labels])
    assert any(len(set(few)) > 1 for few in rows_of_steps)
    assert len(losses) == trained.total_steps == 2 * stream.steps_per_epoch()
    assert losses == pytest.approx(expected, rel=1e-3)
    assert trained.state.examples == 2 * ROWS
    assert trained.state.tokens == 2 * stream.encoded.tokens.lengths.sum()
