"""Comparisons of rewards with other code, for :mod:`checks`."""

from __future__ import annotations

from checks import Check

REWARDS: dict[str, Check] = {
    "clip": Check(
        "`clip`, on images of three shapes",
        "open_clip: its preprocessing, tokenizer and model",
        "cosine",
        "tts/test_encoders.py::test_clip_is_open_clips_cosine",
        abs=2e-3,
    ),
    "clip tags": Check(
        "`clip`: preprocessing and GELU of every tag of weights of the installed open_clip",
        "open_clip: its tables and its factory's merged configuration",
        "tags that differ",
        "tts/test_clip_weights.py::test_every_tag_has_its_own_preprocessing_and_gelu",
    ),
    "clip pixels": Check(
        "`clip`: images of three shapes by one tag of each kind of preprocessing",
        "open_clip: image_transform_v2 with Pillow",
        "pixels, in steps of 1/255",
        "tts/test_clip_weights.py::test_images_are_prepared_as_open_clip_prepares_them",
        abs=1,
    ),
    "clip by tag": Check(
        "`clip` with weights by a tag: of OpenAI's GELU, of another preprocessing, and of neither",
        "open_clip: create_model_and_transforms",
        "cosine",
        "tts/test_clip_weights.py::test_a_tag_is_used_as_open_clip_uses_it",
        abs=1e-4,
    ),
    "clip by file": Check(
        "`clip` with OpenAI's weights given as a file",
        "open_clip: create_model_and_transforms with the tag",
        "cosine",
        "tts/test_clip_weights.py::test_a_file_that_its_digest_tells_is_used_as_its_tag",
        abs=1e-4,
    ),
    "clip by folder": Check(
        "`clip` with a folder in open_clip's form, of four kinds of preprocessing",
        "open_clip: create_model_and_transforms",
        "cosine",
        "tts/test_clip_weights.py::test_a_folder_is_used_as_open_clip_uses_it",
        abs=1e-4,
    ),
    "aesthetic": Check(
        "`aesthetic`",
        "the head's published layers, in float64",
        "score, about 1 to 10",
        "tts/test_encoders.py::test_aesthetic_is_the_heads_product",
        abs=1e-5,
    ),
    "aesthetic heads": Check(
        "heads of `aesthetic` of the two published forms, with ReLU and without",
        "the published program's module",
        "score, about 1 to 10",
        "tts/test_aesthetic_head.py::test_a_published_head_is_the_published_module",
        abs=1e-6,
    ),
    "pickscore": Check(
        "`pickscore`",
        "transformers: CLIPImageProcessor, CLIPTokenizer, CLIPModel's logits",
        "logits",
        "tts/test_encoders.py::test_pickscore_is_transformers_own",
        abs=1e-3,
    ),
    "clip processor": Check(
        "`pickscore`: images of five shapes by five forms of preprocessor_config.json",
        "transformers: CLIPImageProcessor",
        "the encoder's input, of deviation 1",
        "tts/test_published_configs.py::test_images_are_prepared_as_transformers_prepares_them",
        abs=1e-5,
    ),
    "scale": Check(
        "`pickscore`: the scale of its logits, in fp32, fp16 and bf16",
        "the weights' own, 100",
        "scale",
        "tts/test_published_configs.py::test_the_scale_of_pickscore_is_100_in_any_precision",
        rel=1e-6,
    ),
    "imagereward": Check(
        "`imagereward`",
        "the published computation, on the file's own tensors in float64",
        "score, of deviation 1",
        "tts/test_encoders.py::test_imagereward_is_the_published_computation",
        abs=1e-5,
    ),
    "guided": Check(
        "guided diffusion's classifier, with use_scale_shift_norm and without",
        "the published computation, in float64",
        "logits",
        "tts/test_adm_classifier.py::test_guided_diffusions_classifier_is_the_published_network",
        abs=1e-5,
    ),
    "torchvision": Check(
        "`classifier` on a file of torchvision's first form",
        "torchvision: its own way from published weights to network and transforms",
        "probability",
        "tts/test_torchvision_classifier.py::test_a_file_is_used_as_torchvision_uses_its_published_one",
        rel=1e-5,
    ),
    "torchvision enums": Check(
        "`classifier`: transforms of every published weights of every model, by name and by digest",
        "torchvision: the weights' own transforms",
        "weights that differ",
        "tts/test_torchvision_classifier.py::test_every_published_weights_have_their_own_transforms",
    ),
}
"""Rows by key."""
