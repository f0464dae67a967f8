"""Words that people know from other tools, and what a spec calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

KEYS: Mapping[str, tuple[str, ...]] = {
    "training.max_length": ("max_len", "max_seq_len", "max_seq_length", "max_sequence_length", "seq_len", "maxlen"),
    "training.batch_size": ("batch", "bs", "batchsize", "train_batch_size", "per_device_train_batch_size"),
    "training.batch_tokens": ("tokens_per_batch", "max_tokens_per_batch", "max_tokens_in_batch", "token_budget"),
    "evaluation.batch_size": ("eval_batch_size", "per_device_eval_batch_size", "test_batch_size", "val_batch_size"),
    "training.learning_rate": ("lr", "learningrate", "init_lr", "base_lr", "max_lr"),
    "training.epochs": ("epoch", "num_epochs", "n_epochs", "num_train_epochs", "max_epochs", "train_epochs"),
    "training.steps": ("max_steps", "num_steps", "total_steps", "num_train_steps"),
    "training.weight_decay": ("weight_decay_rate", "wd", "l2", "decay"),
    "training.checkpoint_every_steps": ("save_steps", "save_every", "checkpoint_steps"),
    "training.patience": ("early_stopping", "early_stop", "early_stopping_patience", "early_stopping_rounds"),
    "training.compile": ("torch_compile", "compile_model"),
    "training.length_bucketing": ("group_by_length", "bucketing", "smart_batching"),
    "training.unlabelled_ratio": ("uratio", "mu", "unlabeled_ratio"),
    "training.ema": ("ema_decay", "ema_m", "use_ema"),
    'training.precision, for example "fp16"': ("fp16", "bf16", "amp", "use_amp", "mixed_precision", "half", "dtype"),
    "training.optimizer": ("optimizer", "optimiser", "optim", "optimizer_type", "optimizer_name"),
    "training.gradient_checkpointing": (
        "activation_checkpointing", "grad_checkpointing", "gradient_checkpoint", "checkpoint_activations", "recompute",
    ),
    "training.schedule": ("scheduler", "lr_scheduler", "lr_scheduler_type", "lr_schedule"),
    "training.warmup_ratio, or warmup_steps": ("warmup", "warm_up"),
    "training.warmup_ratio": ("warmup_proportion",),
    "training.warmup_steps": ("num_warmup_steps", "warmup_step"),
    "training.gradient_accumulation": (
        "gradient_accumulation_steps", "accumulation_steps", "accumulate_grad_batches", "grad_accum",
    ),
    "training.gradient_clip": ("max_grad_norm", "grad_clip", "gradient_clip_val", "clip_grad_norm", "clip_norm"),
    "training.layer_decay": ("llrd", "layerwise_lr_decay", "lr_decay", "layer_wise_lr_decay"),
    "training.monitor": ("metric_for_best_model", "best_metric", "monitor_metric"),
    "training.evaluate_every": (
        "eval_steps", "eval_every", "evaluation_strategy", "eval_strategy", "save_strategy",
    ),
    "training.log_every": ("logging_steps", "log_steps", "log_interval", "log_every_n_steps", "print_every"),
    "training.keep": ("save_best", "save_best_only", "load_best_model_at_end", "save_total_limit"),
    "training.epsilon": ("eps", "adam_epsilon"),
    "training.betas": ("beta1", "beta2", "adam_beta1", "adam_beta2"),
    "training.device": ("gpu", "cuda", "gpus", "use_gpu", "accelerator", "no_cuda", "use_cpu", "use_mps_device"),
    "backbone.dropout": (
        "dr_rate", "dropout", "dropout_rate", "drop_rate", "dropout_prob", "hidden_dropout_prob", "classifier_dropout",
    ),
    "backbone": ("model", "model_name", "model_name_or_path", "pretrained", "pretrained_model", "encoder", "plm"),
    "objective": ("loss", "criterion", "loss_fn", "loss_function"),
    "freezing": ("freeze", "freeze_layers", "frozen", "freeze_bert"),
    "evaluation.metrics": ("metric", "metrics", "compute_metrics"),
    "seeds": ("seed", "random_seed", "random_state"),
    "trackers": ("wandb", "report_to", "logger", "tracker", "logging"),
    "dataset.path, or dataset.train": ("data", "data_path", "data_dir", "train_file", "train_path", "train_data"),
    "dataset.validation": ("valid", "val", "dev", "valid_file", "val_file", "dev_file", "validation_file", "eval_file"),
    "dataset.test": ("test_file", "test_path", "test_data"),
    "dataset.text": ("text_column", "text_col", "text_field", "sentence", "document"),
    "dataset.text_pair": ("text2", "sentence2", "text_b", "pair", "premise", "hypothesis"),
    "dataset.separator": ("sep", "delimiter"),
    "dataset.columns": ("names", "usecols", "column_names"),
    "dataset.quoting": ("quotechar", "quote"),
    "dataset.escape": ("escapechar",),
    "dataset.sheet": ("sheet_name",),
    "dataset.limit": ("nrows", "max_samples", "n_samples", "max_train_samples", "subset"),
    "dataset.leave_out": ("na_values", "ignore_labels", "exclude"),
    "dataset.group": ("groups", "group_column", "speaker"),
    "dataset.label": ("label_column", "label_col", "label_field", "target"),
    "split.validation": ("val_size", "valid_size", "val_ratio", "valid_ratio", "validation_split", "dev_ratio"),
    "split.folds": ("k_fold", "kfold", "n_folds", "num_folds", "n_splits", "cv"),
    "split.stratify": ("stratified",),
    "split.seed": ("data_seed", "split_seed"),
    "labelled.n": ("n_labeled", "n_labelled", "num_labeled", "num_labelled"),
    "labelled.per_class": ("shots", "n_shot", "num_shots", "few_shot", "labels_per_class"),
    "execution.jobs": ("n_jobs", "num_jobs", "max_workers", "parallel"),
    "search.trials": ("n_trials", "num_trials", "max_trials"),
    "name": ("run_name", "experiment_name", "exp_name", "experiment"),
    "split.test": ("test_size", "test_ratio", "test_split"),
    "dataset.label_names; labels are counted from the data": ("num_labels", "num_classes", "n_classes", "id2label"),
}  # fmt: skip
"""What a spec calls a thing, and what other tools call it."""

METRICS: Mapping[str, tuple[str, ...]] = {
    "cross_entropy": ("val_loss", "eval_loss", "valid_loss", "validation_loss", "test_loss", "loss", "log_loss", "nll"),
    "accuracy": ("acc", "val_acc", "valid_acc", "val_accuracy", "eval_accuracy", "eval_acc", "accuracy_score"),
    "macro_f1": ("f1_macro", "macro-f1", "f1_score", "val_f1", "eval_f1", "valid_f1", "val_macro_f1"),
    "weighted_f1": ("f1_weighted", "weighted-f1"),
    "mcc": ("matthews", "matthews_corrcoef", "matthews_correlation"),
    "ece": ("calibration_error", "expected_calibration_error"),
}

COMMAND_LINE: Mapping[str, tuple[str, ...]] = {
    "--runs-dir on the command line": ("output_dir", "out_dir", "save_dir", "save_path", "run_dir", "runs_dir"),
    "--resume on the command line": ("resume", "resume_from", "resume_from_checkpoint"),
}
"""What is no key of a spec but an option of a command, and what other tools call it."""

_KEY_OF = {word: key for key, words in KEYS.items() for word in words}
_METRIC_OF = {word: name for name, words in METRICS.items() for word in words}
_OPTION_OF = {word: option for option, words in COMMAND_LINE.items() for word in words}


def key_hint(word: str, section: str = "", own: Sequence[str] = ()) -> str:
    """Return the hint for a word that a section does not have as key; empty for one that no other tool uses.

    A key of the section itself, whose keys are ``own``, comes first.
    """
    key = _KEY_OF.get(word.lower(), "")
    if section and key.rpartition(".")[2] in own:
        return f"use {section}.{key.rpartition('.')[2]}"
    return f"use {key}" if key else ""


def metric_key_hint(word: str) -> str:
    """Return the hint for a key that is the name of a metric elsewhere; empty for any other word."""
    name = _METRIC_OF.get(word.lower())
    return f'metrics are named in evaluation.metrics and training.monitor; use "{name}"' if name else ""


def command_line_hint(word: str) -> str:
    """Return the hint for a key that is an option of a command; empty for any other word."""
    option = _OPTION_OF.get(word.lower())
    return f"give {option}" if option else ""


def metric_hint(word: str) -> str:
    """Return the hint for a metric that does not exist; empty for a word that other tools do not use."""
    name = _METRIC_OF.get(word.lower())
    return f'use "{name}"' if name else ""
