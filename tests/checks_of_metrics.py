"""Comparisons of metrics of sets with other code, for :mod:`checks`."""

from __future__ import annotations

from checks import Check

METRICS: dict[str, Check] = {
    "fid": Check(
        "`fid`",
        "torch-fidelity: fid_features_to_statistics, fid_statistics_to_metric",
        "distance",
        "tts/test_set_metrics.py::test_fid_is_torch_fidelity_s",
        rel=1e-6,
    ),
    "kid": Check(
        "`kid`",
        "torch-fidelity: kid_features_to_metric over one subset of all",
        "distance",
        "tts/test_set_metrics.py::test_kid_is_torch_fidelity_s_over_one_subset_of_all",
        rel=1e-9,
    ),
    "precision": Check(
        "`precision` and `recall`",
        "torch-fidelity: prc_features_to_metric",
        "share",
        "tts/test_set_metrics.py::test_precision_and_recall_are_torch_fidelity_s",
        abs=1e-6,
    ),
    "inception score": Check(
        "`inception_score`",
        "torch-fidelity: isc_features_to_metric",
        "score",
        "tts/test_set_metrics.py::test_the_inception_score_is_torch_fidelity_s",
        rel=1e-6,
    ),
}
"""Rows by key."""
