"""EDM2: the folded network equals the published one; guidance by a second network; latents, decoders, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edm2_pickles
import edm_pickles
import numpy as np
import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from torch import Tensor
from toy_engine import Player, Trial

from tts.engine.batching import Engine, flops_of
from tts.errors import TTSError, WeightsError
from tts.files import edm_pickle
from tts.media import quantised_as_diffusers
from tts.models.base import ModelSettings
from tts.models.edm import EDM
from tts.models.edm2 import EDM2, PUBLISHED
from tts.networks import edm2
from tts.networks.edm2_shape import EDM2Shape
from tts.noise import normal
from tts.registry import MODELS
from tts.rewards.brightness import Brightness
from tts.samplers.base import Call, drive, follow
from tts.samplers.heun import StochasticHeun
from tts.search.base import Problem
from tts.search.best_of_n import BestOfN
from tts.testing import ModelConformance

SHAPE = (4, 8, 8)
LEVELS, LABELS = torch.tensor([80.0, 2.0, 0.5, 0.002], dtype=torch.float64), [0, 3, 1, 3]
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "without labels": {"label_dim": 0},
    "three levels, two blocks": {"img_resolution": 16, "channel_mult": [1, 2, 3], "num_blocks": 2},
    "pixels": {"img_channels": 3},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, a narrower one and one without labels, and their autoencoder."""
    found = tmp_path_factory.mktemp("edm2")
    edm2_pickles.save(edm2_pickles.network(), found / "net.pkl")
    edm2_pickles.save(edm2_pickles.network(seed=1, model_channels=16), found / "small.pkl")
    edm2_pickles.save(edm2_pickles.network(seed=2, label_dim=0), found / "uncond.pkl")
    torch.manual_seed(1)
    tiny_pipelines.vae().save_pretrained(found / "vae")
    tiny_pipelines.save_tiny_autoencoder(found / "preview")
    return found


def settings(folder: Path, name: str = "net", **values: Any) -> EDM2:
    given = {"checkpoint": folder / f"{name}.pkl", "classes": 4, "vae": str(folder / "vae")}
    return EDM2(**{**given, "sampler": StochasticHeun(steps=4), **values})


def drawn(rows: int = 4, shape: tuple[int, ...] = SHAPE) -> Tensor:
    scale = (LEVELS[:rows] ** 2 + 0.25).sqrt().float().view(-1, *[1] * len(shape))
    return scale * torch.stack([torch.from_numpy(normal(k, shape)) for k in range(rows)])


def test_it_is_registered_with_a_published_network() -> None:
    name, found = MODELS.make("edm2")
    assert (name, found) == ("edm2", EDM2(checkpoint=PUBLISHED, classes=1000))
    assert found.plan().steps == 32
    assert sum(found.plan().nfe_per_step) == 63


# ---- the network ----------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_denoises_as_the_published_network_does(tmp_path: Path, changes: dict[str, Any]) -> None:
    theirs, row = edm2_pickles.network(**changes), CHECKS["edm2"]
    pixels = changes.get("img_channels") == 3
    encoder = edm2_pickles.Encoder("StandardRGBEncoder") if pixels else None
    path = edm2_pickles.save(theirs, tmp_path / "network.pkl", encoder)
    denoiser, shape = EDM2(checkpoint=path, classes=theirs.label_dim)._denoiser("cpu")
    x = drawn(shape=(shape.in_channels, *[shape.img_resolution] * 2))
    expected = theirs(x, LEVELS, torch.tensor(LABELS))
    assert float(expected.std()) > 0.3
    found = denoiser(x, LEVELS, torch.tensor(LABELS))
    assert found.flatten().tolist() == row.near(expected.flatten().tolist())


@pytest.mark.parametrize(("channels", "millions"), [(128, 125), (192, 280), (448, 1523)])
def test_holds_the_published_sizes(channels: int, millions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor of XS, S and XXL has its place; the number of parameters is that of the paper's Table 2."""
    given = {"img_resolution": 64, "img_channels": 4, "label_dim": 1000, "model_channels": channels}
    published = {"channel_mult": [1, 2, 3, 4], "num_blocks": 3, "attn_resolutions": [16, 8], "channels_per_head": 64}
    with torch.device("meta"):
        network = edm2_pickles.UNet(**given, **published)
    state: Any = network.state_dict()

    def take(fold: edm2.Folding, name: str, *shape: int) -> Tensor:
        assert tuple(fold.left.pop(name).shape) == shape
        return torch.empty(shape, device="meta") if shape else torch.tensor(1.0)

    monkeypatch.setattr(edm2.Folding, "take", take)
    edm2.EDM2(EDM2Shape.model_validate(given), state)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == millions


@torch.inference_mode()
def test_activations_are_clipped(tmp_path: Path) -> None:
    theirs = edm2_pickles.network()
    for module in theirs.modules():
        if isinstance(module, edm2_pickles.Block):
            module.clip_act = 0.5
    theirs.unet._init_kwargs["clip_act"] = 0.5
    path = edm2_pickles.save(theirs, tmp_path / "network.pkl")
    found = EDM2(checkpoint=path, classes=4)._denoiser("cpu")[0](drawn(), LEVELS, torch.tensor(LABELS))
    expected = theirs(drawn(), LEVELS, torch.tensor(LABELS))
    assert found.flatten().tolist() == CHECKS["edm2"].near(expected.flatten().tolist())


def test_a_row_does_not_depend_on_the_rows_beside_it(folder: Path) -> None:
    model = settings(folder, guidance=guidance(folder, "small")).load()
    with torch.inference_mode():
        together = model.denoise(drawn(), LEVELS, LABELS)
        for row in range(4):
            alone = model.denoise(drawn()[[row] * 4], LEVELS[[row] * 4], [LABELS[row]] * 4)
            assert torch.equal(alone[0], together[row])


# ---- guidance -------------------------------------------------------------------------------------------------------


def guidance(folder: Path, name: str, **values: Any) -> dict[str, Any]:
    return {"name": "autoguidance", "scale": 2.1, "checkpoint": str(folder / f"{name}.pkl"), **values}


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "seed", "changes"), [("small", 1, {"model_channels": 16}), ("uncond", 2, {"label_dim": 0})]
)
def test_guidance_leads_away_from_a_second_network(name: str, seed: int, changes: dict[str, Any], folder: Path) -> None:
    """The second network is a smaller one with labels (autoguidance), or one without (classifier-free guidance)."""
    values = {"classes": 0} if name == "uncond" else {}
    model = settings(folder, guidance=guidance(folder, name, **values)).load()
    good, bad = edm2_pickles.network(), edm2_pickles.network(seed=seed, **changes)
    labels = torch.tensor(LABELS)
    ours, reference = good(drawn(), LEVELS, labels), bad(drawn(), LEVELS, labels)
    expected = reference + 2.1 * (ours - reference)
    assert model.denoise(drawn(), LEVELS, LABELS).flatten().tolist() == CHECKS["edm2"].near(expected.flatten().tolist())


def test_forwards_and_flops_of_both_networks_are_counted(folder: Path) -> None:
    alone = settings(folder)
    guided = settings(folder, guidance=guidance(folder, "small"))
    assert guided.plan().nfe_per_step == tuple(2 * calls for calls in alone.plan().nfe_per_step)
    large, small = (flops_of(settings(folder, name).load(), 0) for name in ("net", "small"))
    model = guided.load()
    assert small < large
    assert flops_of(model, 0) * model.passes == large + small


# ---- trajectories ---------------------------------------------------------------------------------------------------


def test_without_churn_the_latents_are_the_published_samplers(folder: Path) -> None:
    """The reference is Heun's steps of the program behind the published figures, in float64."""
    steps, network = 4, edm2_pickles.network()
    model: Any = settings(folder, sampler=StochasticHeun(steps=steps, S_churn=0)).load()
    start, labels = torch.from_numpy(normal(1, SHAPE))[None], torch.tensor([3])

    def denoised(x: Tensor, level: float) -> Tensor:
        with torch.inference_mode():
            return network(x, torch.tensor([level], dtype=torch.float64), labels)

    levels = [(80 ** (1 / 7) + k / (steps - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for k in range(steps)]
    x = start.double() * levels[0]
    for t, after in zip(levels, [*levels[1:], 0.0], strict=True):
        d = (x - denoised(x, t)) / t
        euler = x + (after - t) * d
        x = euler if not after else x + (after - t) * (d + (euler - denoised(euler, after)) / after) / 2

    @torch.inference_mode()
    def answer(call: Call) -> Tensor:
        return model.denoise(call.x, torch.tensor([call.level], dtype=torch.float64), [3])

    found = drive(follow(model.sampler, start, [None] * steps), answer).x
    size = float(x.abs().max())
    assert (found / size).flatten().tolist() == CHECKS["edm2"].near((x / size).flatten().tolist())


def test_a_search_runs_on_it_and_costs_what_it_says(folder: Path) -> None:
    model, search = settings(folder, guidance=guidance(folder, "small")), BestOfN(N=2)
    engine = Engine(model.load(), {"brightness": Brightness().load()}, 4)
    [trial] = trials = [Trial(search, Problem(3, 7, model.plan(), "brightness"))]
    Player(engine).play(trials)
    engine.close()
    assert trial.nfe == search.nfe(model.plan()) == 2 * 2 * 7


# ---- decoding -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_latents_are_decoded_as_published(folder: Path) -> None:
    """The plain autoencoder gets ``(x - bias) / scale`` and gives images in [0, 1]; the tiny decoder agrees."""
    from diffusers import AutoencoderKL, AutoencoderTiny

    model = settings(folder, preview=str(folder / "preview")).load()
    x = drawn(1)
    z = (x - torch.tensor(-edm2_pickles.RAW_MEAN * 0.5 / edm2_pickles.RAW_STD).view(-1, 1, 1)) / torch.tensor(
        0.5 / edm2_pickles.RAW_STD
    ).view(-1, 1, 1)
    image = AutoencoderKL.from_pretrained(folder / "vae").decode(z).sample
    assert (model.decode(x).int() - (image.clamp(0, 1) * 255).round().int()).abs().max() <= 1
    assert model.decode(x).float().std() > 10
    small = AutoencoderTiny.from_pretrained(folder / "preview").decode(z * 0.18215).sample
    assert (model.decode(x, preview=True).int() - quantised_as_diffusers(2 * small - 1).int()).abs().max() <= 1


def test_a_network_on_pixels_needs_no_autoencoder(tmp_path: Path) -> None:
    encoder = edm2_pickles.Encoder("StandardRGBEncoder")
    path = edm2_pickles.save(edm2_pickles.network(img_channels=3), tmp_path / "x.pkl", encoder)
    model = EDM2(checkpoint=path, classes=4, vae="none/such")
    model.check()
    assert "vae" not in model.identity()
    assert model.load().decode(torch.full((1, 3, 8, 8), 1.0)).unique().tolist() == [255]


class TestEDM2(ModelConformance):
    """EDM2 keeps to the rules of every model."""

    needs_torch = True

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, folder: Path) -> ModelSettings:
        return settings(folder, guidance=guidance(folder, "uncond", classes=0))


# ---- files and refusals ---------------------------------------------------------------------------------------------


def test_reads_the_encoders_arrays(folder: Path) -> None:
    encoder = edm_pickle.read(folder / "net.pkl").encoder
    assert (encoder["class_name"], encoder["vae_name"]) == ("StabilityVAEEncoder", "stabilityai/sd-vae-ft-mse")
    assert np.array_equal(encoder["scale"], np.float32(0.5) / edm2_pickles.RAW_STD)


def test_identity_is_of_all_weights(folder: Path) -> None:
    plain, guided = settings(folder).identity(), settings(folder, guidance=guidance(folder, "small")).identity()
    assert plain.keys() == {"sampler", "precision", "weights", "vae"}
    assert guided["guidance"]["weights"] == settings(folder, "small").identity()["weights"]
    assert str(folder) not in str(guided)


def test_what_cannot_be_used_is_said_in_a_line(folder: Path, tmp_path: Path) -> None:
    edm = edm_pickles.save(edm_pickles.network(**edm_pickles.TINY), tmp_path / "edm.pkl")
    wide = edm2_pickles.save(edm2_pickles.network(img_resolution=16), tmp_path / "wide.pkl")
    strange = edm2_pickles.save(edm2_pickles.network(), tmp_path / "a.pkl", edm2_pickles.Encoder("WaveletEncoder"))
    other = edm2_pickles.save(edm2_pickles.network(), tmp_path / "b.pkl", edm2_pickles.latents(vae_name="a/b"))
    changed = edm2_pickles.network()
    changed.unet.dec["8x8_block0"].res_balance = 0.5
    balance = edm2_pickles.save(changed, tmp_path / "c.pkl")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"checkpoint": edm}, "its network is a DhariwalUNet, EDM's; set name: edm"),
        ({"classes": 1000}, "its network has 4 classes, but the setting 'classes' says 1000"),
        ({"guidance": {**guidance(folder, "small"), "checkpoint": str(wide)}}, "at 16 pixels, .* cannot be mixed"),
        ({"checkpoint": strange}, "its states are made by a WaveletEncoder"),
        ({"checkpoint": other, "vae": "stabilityai/sd-vae-ft-mse"}, "is on latents of 'a/b'; set vae to a copy of it"),
        ({"checkpoint": balance}, "its 'dec.8x8_block0' has res_balance = 0.5, and its arguments say 0.3"),
        ({"vae": str(tmp_path / "no")}, "vae .*no: no such folder"),
    ]
    for values, message in bad:
        with pytest.raises(TTSError, match=message) as error:
            settings(folder, **values).check()
        assert "\n" not in str(error.value)
    with pytest.raises(WeightsError, match="its network is EDM2's; set name: edm2"):
        EDM(checkpoint=folder / "net.pkl", classes=4).check()


@pytest.mark.parametrize("change", ["lacks", "has more"])
def test_other_weights_are_named(change: str, tmp_path: Path) -> None:
    network = edm2_pickles.network()
    if change == "lacks":
        network.unet.enc["8x8_block0"].conv_res1 = None
    else:
        network.unet.extra = edm2_pickles.MPConv(2, 2).half()
    path = edm2_pickles.save(network, tmp_path / "x.pkl")
    name = "enc.8x8_block0.conv_res1.weight" if change == "lacks" else "extra.weight"
    with pytest.raises(WeightsError, match=f"checkpoint .*: its network has .*'{name}'"):
        EDM2(checkpoint=path, classes=4)._denoiser("cpu")
