"""Honest evaluation of speech emotion recognition: corpora, splits, audits, features, runs and scores.

Modules, from left to right; each imports only from its left:
errors, yamlfile, reads, store, codehash, integrity, clips, audio, labels, corpora, splits, metrics, calibration,
resampling, intervals, pairing, comparisons, families, power, minimal_pairs, meta_analysis, interval_kinds,
procedure, simulation, trained_simulation, baselines, audit, acoustic, recipes, augmentation, encoders, models,
multimodal, dialogues, features, transcribe, cards, classical, probing, replications, runs, cells, experiments,
halves, fitting, training, fusion, keys, workers, runner, workflow, verification, verification_record, scoring,
premium, transfers, toy, figures, report, reexamination, prose, chapters, cli.
"""

__version__ = "0.1.0"
