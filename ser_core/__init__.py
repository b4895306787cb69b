"""Honest evaluation of speech emotion recognition: corpora, splits, audits, features, runs and scores.

Modules, from left to right; each imports only from its left:
errors, store, clips, audio, labels, corpora, splits, metrics, calibration, resampling, intervals, comparisons,
simulation, baselines, audit, acoustic, recipes, augmentation, encoders, models, multimodal, dialogues, features,
transcribe, cards, classical, probing, replications, reexamination, runs, cells, experiments, fitting, training,
fusion, runner, scoring, transfers, toy, figures, report, prose, chapters, cli.
"""

__version__ = "0.1.0"
