"""SiT and REPA: the published network, times, signs and guidance; files of training programs; refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sit_files
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from torch import Tensor

from tts.errors import TTSError
from tts.media import quantised_as_diffusers
from tts.models.base import Model, ModelSettings
from tts.models.sit import PUBLISHED, EvenLevels, SiT
from tts.networks import sit
from tts.noise import normal
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow
from tts.testing import ModelConformance

STEPS, SHAPE = 5, (4, 8, 8)
CLASSES = [3, 0]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain file of SiT, a training file of REPA, and their autoencoder."""
    found = tmp_path_factory.mktemp("sit")
    sit_files.save(sit_files.published(sit_files.dit()), found / "sit.pt")
    sit_files.save(sit_files.trained(sit_files.published(sit_files.dit(variance=False))), found / "repa.pt")
    torch.manual_seed(1)
    tiny_pipelines.vae().save_pretrained(found / "vae")
    return found


def settings(folder: Path, name: str = "sit", share: float = 0.0, **values: Any) -> SiT:
    sampler = {"steps": STEPS, "noise": {"share": share}}
    given = {"checkpoint": folder / f"{name}.pt", "classes": 5, "vae": str(folder / "vae"), "sampler": sampler}
    return SiT(**{**given, **values})


def drawn(*seeds: int) -> Tensor:
    return torch.stack([torch.from_numpy(normal(seed, SHAPE)) for seed in seeds])


def ends(model: Any, start: Tensor, noises: Sequence[Tensor | None]) -> Tensor:
    """Last latents of a batch."""

    @torch.inference_mode()
    def answer(call: Call) -> Tensor:
        return model.denoise(call.x, torch.full((len(start),), call.level, dtype=torch.float64), CLASSES)

    return drive(follow(model.sampler, start, noises), answer).x


def test_it_is_registered_with_the_published_network() -> None:
    name, found = MODELS.make("sit")
    assert (name, found) == ("sit", SiT(checkpoint=PUBLISHED, classes=1000, guidance=4.0))
    assert (found.plan().steps, found.plan().initial_nfe) == (50, 2)


# ---- the network ----------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("variance", [True, False])
def test_answers_as_diffusers_network_at_the_published_frequencies(variance: bool) -> None:
    theirs, row = sit_files.dit(variance), CHECKS["sit"]
    weights = sit_files.published(theirs)
    ours = sit.SiT(sit.shape_of(weights))
    ours.load_state_dict(weights)
    x, t, labels = drawn(1, 2, 3), torch.tensor([0.0, 0.37, 1.0]), torch.tensor([0, 4, 5])
    expected = theirs(x, timestep=t, class_labels=labels).sample
    size = float(expected.abs().max())
    assert size > 0.3
    assert (ours(x, t, labels) / size).flatten().tolist() == row.near((expected / size).flatten().tolist())


@torch.inference_mode()
def test_diffusers_own_dit_has_other_frequencies_of_time() -> None:
    """The documentation of the model ``dit`` says so: 10000^(-i/127), where the paper's network has /128."""
    network = tiny_pipelines.dit().transformer
    [first, *_] = blocks = [block.norm1.emb.time_proj for block in network.transformer_blocks]
    assert {block.downscale_freq_shift for block in blocks} == {1}
    times = torch.tensor([500.0])
    found = first(times)
    i = torch.arange(128)
    for per, same in ((127, True), (128, False)):
        angles = times * 10000.0 ** (-i / per)
        assert torch.allclose(found, torch.cat([angles.cos(), angles.sin()])[None], atol=1e-3) == same


@pytest.mark.parametrize(("width", "heads"), [(1152, 16), (1024, 16), (768, 12), (384, 6)])
def test_heads_of_the_published_sizes(width: int, heads: int) -> None:
    assert sit.SiTShape(4, 2, 16, width, 12, 4 * width, 1000, 8).heads == heads


def test_holds_the_published_network() -> None:
    """675 M parameters."""
    with torch.device("meta"):
        network = sit.SiT(sit.SiTShape(4, 2, 16, 1152, 28, 4608, 1000, 8))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == 675
    assert sit.shape_of(network.state_dict()) == network.shape


# ---- trajectories ---------------------------------------------------------------------------------------------------


def raw(name: str) -> Any:
    """The oracle's velocity in the program's own time: ``(x, t, labels) -> v``, for the channels of a latent."""
    network = sit_files.dit(variance=name == "sit")

    @torch.inference_mode()
    def velocity(x: Tensor, t: float, labels: list[int]) -> Tensor:
        told = torch.full((len(x),), t)
        answer: Tensor = network(x, timestep=told, class_labels=torch.tensor(labels)).sample
        return answer[:, :4]

    return velocity


def sit_program(start: Tensor, scale: float) -> Tensor:
    """Euler steps of SiT's program: time from 0 to 1, guidance of three channels."""
    velocity, x = raw("sit"), start
    for k in range(STEPS):
        with_class, without = velocity(x, k / STEPS, CLASSES), velocity(x, k / STEPS, [5, 5])
        v = with_class.clone()
        v[:, :3] = without[:, :3] + scale * (with_class[:, :3] - without[:, :3])
        x = x + v / STEPS
    return x


def repa_program(start: Tensor, scale: float, high: float) -> Tensor:
    """Euler steps of REPA's program: time from 1 to 0, guidance of all channels up to some time."""
    velocity, x = raw("repa"), start
    for k in range(STEPS):
        t = 1 - k / STEPS
        v = velocity(x, t, CLASSES)
        if t <= high:
            without = velocity(x, t, [5, 5])
            v = without + scale * (v - without)
        x = x - v / STEPS
    return x


@pytest.mark.parametrize(
    ("name", "values"), [("sit", {}), ("sit", {"guidance": 1.5}), ("repa", {"guidance": 1.8, "guided": (0, 0.7)})]
)
def test_without_noise_the_latents_are_the_programs(name: str, values: dict[str, Any], folder: Path) -> None:
    row, scale = CHECKS["sit"], values.get("guidance", 4.0)
    start = drawn(1, 2)
    found = ends(settings(folder, name, **values).load(), start, [None] * STEPS)
    expected = sit_program(start, scale) if name == "sit" else repa_program(start, scale, 0.7)
    size = float(expected.abs().max())
    assert (found / size).flatten().tolist() == row.near((expected / size).flatten().tolist())


def test_the_published_sde_is_a_kind_of_noise(folder: Path) -> None:
    """dx = (v - s score) ds + sqrt(2 s) dw from 1 to 0.04, then one Euler step of the ODE."""
    sampler = {"steps": STEPS, "noise": {"kind": "sit"}}
    model = settings(folder, "repa", guidance=1.0, last=0.04, sampler=sampler).load()
    start, noises = drawn(1, 2), [drawn(10 + k, 20 + k) for k in range(STEPS)]
    velocity, x = raw("repa"), start
    levels = torch.linspace(1, 0.04, STEPS, dtype=torch.float64).tolist()
    for k in range(STEPS - 1):
        t, dt = levels[k], levels[k + 1] - levels[k]
        v = velocity(x, t, CLASSES)
        score = -(x + (1 - t) * v) / t
        x = x + dt * (v - t * score) + (2 * t * -dt) ** 0.5 * noises[k]
    expected = x - 0.04 * velocity(x, 0.04, CLASSES)
    found = ends(model, start, [*noises[:-1], None])
    assert model.sampler.plan.injects == (*[True] * (STEPS - 1), False)
    size = float(expected.abs().max())
    assert (found / size).flatten().tolist() == CHECKS["sit"].near((expected / size).flatten().tolist())


def test_levels_are_even_or_end_at_the_last() -> None:
    assert EvenLevels().levels(4) == (1, 0.75, 0.5, 0.25, 0)
    assert EvenLevels(0.04).levels(4) == pytest.approx((1, 0.68, 0.36, 0.04, 0))
    assert EvenLevels(0.04).levels(1) == (1, 0)


@pytest.mark.parametrize("name", ["sit", "repa"])
def test_a_row_does_not_depend_on_the_rows_beside_it(name: str, folder: Path) -> None:
    model = settings(folder, name, guided=(0.0, 0.7)).load()
    x, labels = drawn(1, 2, 3, 4), [0, 4, 2, 1]
    levels = torch.tensor([1.0, 0.05, 0.05, 1.0], dtype=torch.float64)
    with torch.inference_mode():
        together = model.denoise(x, levels, labels)
        for row in range(4):
            alone = model.denoise(x[[row] * 4], levels[[row] * 4], [labels[row]] * 4)
            assert torch.equal(alone[0], together[row])


def test_every_noise_and_class_decides_the_image(folder: Path) -> None:
    model = settings(folder, share=1.0).load()
    start, noises = drawn(1, 1), [drawn(10 + k, 10 + k) for k in range(STEPS)]
    plain = ends(model, start, noises)
    for index, injects in enumerate(model.sampler.plan.injects):
        other = [*noises]
        other[index] = drawn(99, 99)
        changed = model.decode(ends(model, start, other))
        assert torch.equal(changed, model.decode(plain)) == (not injects)
    assert sum(model.sampler.plan.injects) == STEPS - 1
    assert not torch.equal(*model.decode(plain))


@torch.inference_mode()
def test_latents_are_decoded_by_the_autoencoder(folder: Path) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder / "vae")
    expected = quantised_as_diffusers(vae.decode(drawn(1) / 0.18215).sample)
    assert torch.equal(settings(folder).load().decode(drawn(1)), expected)


class TestSiT(ModelConformance):
    """SiT keeps to the rules of every model."""

    @pytest.fixture(scope="class", params=["sit", "repa"])
    @classmethod
    def model(cls, request: pytest.FixtureRequest, folder: Path) -> ModelSettings:
        return settings(folder, request.param, share=1.0)


# ---- identity and refusals ------------------------------------------------------------------------------------------


def test_identity_is_of_weights_autoencoder_and_convention(folder: Path) -> None:
    found = settings(folder).identity()
    assert (found["convention"], found["guidance"], found["preview"]) == ("sit", 4.0, None)
    assert str(folder) not in str(found)
    other = settings(folder, "repa").identity()
    assert other["convention"] == "repa"
    assert other["weights"] != found["weights"]
    assert settings(folder, "repa", convention="sit").identity() == {**other, "convention": "sit"}


def test_weights_of_another_precision_are_another_model(folder: Path) -> None:
    model: Model = settings(folder, precision="bf16").load()
    assert {p.dtype for p in model.module.parameters()} == {torch.bfloat16}
    with torch.inference_mode():
        found = model.denoise(drawn(1), torch.tensor([0.5], dtype=torch.float64), [1])
    assert found.dtype == torch.float32


def test_what_cannot_be_used_is_said_in_a_line(folder: Path, tmp_path: Path) -> None:
    weights = sit_files.published(sit_files.dit())
    lacking = {name: tensor for name, tensor in weights.items() if name != "blocks.1.attn.proj.bias"}
    code = sit_files.save({**sit_files.trained(weights), "args": tmp_path}, tmp_path / "code.pt")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"checkpoint": tmp_path / "no.pt"}, r"checkpoint .*no\.pt: no such file"),
        ({"classes": 1000}, "has 5 classes, but the setting 'classes' says 1000"),
        (
            {"checkpoint": sit_files.save({"a": torch.zeros(1)}, tmp_path / "a.pt")},
            "is not a SiT: it has no 'x_",
        ),
        (
            {"checkpoint": sit_files.save(lacking, tmp_path / "b.pt")},
            r"has None in place of .* 'blocks.1.attn.proj.bias'",
        ),
        ({"checkpoint": code}, "damaged, or holds more than tensors, and so is not opened"),
        ({"vae": "no/where/at/all"}, "vae no/where/at/all: no such folder"),
        ({"vae": str(folder)}, "vae .*: "),
        ({"preview": str(folder / "vae")}, "preview .*: holds AutoencoderKL, not AutoencoderTiny"),
    ]
    for values, message in bad:
        with pytest.raises(TTSError, match=message) as error:
            settings(folder, **values).check()
        assert "\n" not in str(error.value)
    for values, message in (({"guided": (0.7, 0.2)}, "rising, within 0 and 1"), ({"last": 1.5}, "last")):
        with pytest.raises(TTSError, match=message):
            MODELS.make({"name": "sit", **values})


def test_nothing_of_a_training_file_is_run(folder: Path, tmp_path: Path) -> None:
    """The stored command line is read as a record; anything else that could run is refused."""

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "marker",))

    content = {**sit_files.trained(sit_files.published(sit_files.dit())), "opt": Evil()}
    with pytest.raises(TTSError, match="is not opened"):
        settings(folder, checkpoint=sit_files.save(content, tmp_path / "evil.pt")).check()
    assert not (tmp_path / "marker").exists()
