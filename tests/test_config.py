import pytest
import yaml

from sonosynth.config import PRESETS, load, validated
from sonosynth.errors import UserError


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_survive_a_round_trip(preset):
    settings = load(preset)
    text = yaml.safe_dump(settings.model_dump(mode="json", by_alias=True))
    assert validated(yaml.safe_load(text), "again") == settings


def test_paper_preset_is_the_paper():
    s = load("paper")
    assert s.base == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert (s.lora.rank, s.lora.steps, s.lora.batch, s.lora.learning_rate) == (4, 3000, 4, 1e-4)
    assert (s.token.steps, s.token.batch * s.token.accumulation, s.token.learning_rate) == (2000, 4, 5e-4)
    assert (s.balance.target, s.refine.strength, s.refine.source) == (350, 0.3, "pixels")
    c = s.classifier
    assert (c.model, c.epochs, c.batch, c.learning_rate) == ("microsoft/resnet-18", 30, 16, 1e-4)
    assert s.prompts.of("normal") == "ultrasound image of a benign breast tissue"


def test_order_of_precedence(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("seed: 4\nlora: {rank: 7, steps: 11}\n")
    s = load("quick", file, ("lora.rank=9", "lora.learning_rate=1e-4", "classifier.seeds=[4, 5]", "refine.from=latent"))
    assert (s.seed, s.lora.rank, s.lora.steps, s.lora.learning_rate) == (4, 9, 11, 1e-4)
    assert s.classifier.seeds == (4, 5)
    assert s.refine.source == "latent"
    assert s.lora.batch == load("quick").lora.batch


def test_all_mistakes_come_at_once():
    changes = ("lora.rank=0", "lora.rnk=3", "balance.target=most", "split.holdout=1", "prompts.template=image", "x=1")
    with pytest.raises(UserError) as error:
        load("quick", None, changes)
    for name in ("lora.rank", "lora.rnk", "balance.target", "split.holdout", "prompts", "x"):
        assert f"\n  {name}" in str(error.value)


@pytest.mark.parametrize("text", ["- 1", "a: [", "\x00"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=r"s\.yaml"):
        load("quick", tmp_path / "s.yaml")


def test_prompts_of_any_class():
    s = load("quick", None, ("prompts.template=B-mode scan of a {label}", "prompts.cyst=a cyst"))
    assert s.prompts.of("cyst") == "a cyst"
    assert s.prompts.of("thyroid_nodule") == "B-mode scan of a thyroid nodule"
    assert s.prompts.of("benign") == "ultrasound image of a benign breast lesion"


def test_repeated_seeds_and_unknown_presets_are_refused():
    with pytest.raises(UserError, match="seeds must differ"):
        load("quick", None, ("classifier.seeds=[1, 1]",))
    with pytest.raises(UserError, match="paper or quick"):
        load("fast")


def test_the_settings_of_a_run_make_another(tmp_path):
    settings = load("demo")
    told = {"cohort": "somewhere", **settings.model_dump(mode="json", by_alias=True), "resolved": {"precision": "fp32"}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(told))
    assert load("paper", tmp_path / "study.yaml") == settings
