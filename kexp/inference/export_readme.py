"""The README beside an exported graph: what the graph gives, and how to use it with onnxruntime and tokenizers."""

from __future__ import annotations

from string import Template

from kexp.inference.trained_model import Member


def readme(member: Member, check: str) -> str:
    """Return the README of an export in Markdown; ``check`` says how it was compared with PyTorch."""
    cleaning = ""
    if member.pipeline.backbone is not None:
        name = type(member.pipeline.backbone).__name__
        cleaning = f"\nThe model was trained on texts that kexp's backbone {name} had cleaned first; do the same.\n"
    strip = ".strip()" if member.pipeline.trim else ""
    calibrated = ""
    if member.temperature != 1:
        divided = f"The graph divides its logits by the temperature {member.temperature:.6g}"
        calibrated = f"\n{divided}, so that their softmax is calibrated.\n"
    own, record = member.has_own_predictions, member.task.decision_record(member.labels, member.chosen)
    if own:
        kept = "; `kexp.json` has its numbers under `decisions`" if record else ""
        calibrated = f"\nThe graph gives predictions beside logits. The decision is {member.task.decision}{kept}.\n"
    printed = PRINT_NUMBERS
    if "thresholds" in record:
        printed = PRINT_SET
    elif member.task.classes:
        printed = PRINT_LABEL
    return README.substitute(
        returned=RETURN_PREDICTIONS if own else RETURN_SOFTMAX,
        printed=printed,
        what="predictions" if own else "probabilities",
        plain=not member.pipeline.joint,
        strip=strip,
        labels=", ".join(member.labels),
        check=check,
        cleaning=cleaning,
        calibrated=calibrated,
    )


RETURN_SOFTMAX = """\
    logits = session.run(["logits"], {name: np.array(known[name], np.int64) for name in about["inputs"]})[0]
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)"""
RETURN_PREDICTIONS = """\
    given = {name: np.array(known[name], np.int64) for name in about["inputs"]}
    return session.run(["predictions"], given)[0]"""

PRINT_LABEL = 'print(text, about["labels"][row.argmax()], row.max())'
PRINT_NUMBERS = 'print(text, dict(zip(about["labels"], row.tolist())))'
PRINT_SET = """\
found = dict(zip(about["labels"], row.tolist()))
    print(text, [label for label, value in found.items() if value >= about["decisions"]["thresholds"][label]], found)"""

README = Template(
    '''# A text classifier in ONNX

Labels: $labels. Exported by kexp; `kexp.json` says what the model reads. Checked: $check.
$cleaning$calibrated
```python
import json
import unicodedata
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

about = json.loads(Path("kexp.json").read_text("utf-8"))
session = onnxruntime.InferenceSession("model.onnx")
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation(about["max_length"], direction=about["truncation"])
tokenizer.enable_padding(pad_id=about["pad_id"])
# The name of a special token in a text is text, unless columns were joined with one.
tokenizer.encode_special_tokens = $plain


def predict(texts):
    """Return $what of shape (rows, labels)."""
    rows = tokenizer.encode_batch([unicodedata.normalize("NFC", text)$strip for text in texts])
    known = {
        "input_ids": [row.ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
    }
$returned


for text, row in zip(texts := ["정말 재미있다"], predict(texts)):
    $printed
```
'''
)
