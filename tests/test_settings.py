from types import SimpleNamespace

import pytest
import yaml

from sonosynth import looks, shipped, study_file
from sonosynth.cohort.settings import Table
from sonosynth.errors import UserError
from sonosynth.run import Study, reopen
from sonosynth.settings import PRESETS, as_yaml, load, validated


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_survive_a_round_trip(preset):
    settings = load(preset)
    assert validated(yaml.safe_load(as_yaml(settings)), "again") == settings


def test_paper_preset_is_the_paper():
    s = load("paper")
    assert s.base == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert (s.lora.rank, s.lora.steps, s.lora.batch, s.lora.learning_rate) == (4, 3000, 4, 1e-4)
    assert (s.lora.schedule, s.lora.average, s.lora.drop_prompt, s.adapt.balance) == ("constant", 0, 0, "none")
    assert (s.token.steps, s.token.batch * s.token.accumulation, s.token.learning_rate) == (2000, 4, 5e-4)
    assert (s.balance.target, s.refine.strength, s.refine.steps) == (350, 0.3, None)
    assert {name: (x.start, x.adapter) for name, x in s.declared_sets.items()} == {
        "sd": ("noise", "sd"), "sd+img2img": ("sd", "sd"),
        "sd+ti": ("noise", "sd+ti"), "sd+ti+img2img": ("sd+ti", "sd+ti"),
    }  # fmt: skip
    assert {name: adapter.token for name, adapter in s.declared_adapters.items()} == {
        "sd": None,
        "sd+ti": "<ultrasound>",
    }
    c = s.classifier
    assert (c.model, c.epochs, c.batch, c.learning_rate) == ("microsoft/resnet-18", 30, 16, 1e-4)
    assert s.prompts.of("normal") == "ultrasound image of a benign breast tissue"


def test_order_of_precedence(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("seed: 4\nlora: {rank: 7, steps: 11}\n")
    s = load("quick", [file], ("lora.rank=9", "lora.learning_rate=1e-4", "classifier.seeds=[4, 5]"))
    assert (s.seed, s.lora.rank, s.lora.steps, s.lora.learning_rate) == (4, 9, 11, 1e-4)
    assert s.classifier.seeds == (4, 5)
    assert s.lora.batch == load("quick").lora.batch


def test_all_mistakes_come_at_once():
    changes = (
        "lora.rank=0",
        "lora.rnk=3",
        "balance.target=most",
        "split.holdout=1",
        "prompts.template=image",
        "x=1",
        "sets.a.from=b",
    )
    with pytest.raises(UserError) as error:
        load("quick", (), changes)
    for name in ("lora.rank", "lora.rnk", "balance.target", "split.holdout", "prompts", "x", "sets.a: needs sets.b"):
        assert f"\n  {name}" in str(error.value)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("lora.rank=true", "lora.rank: must not be true or false (found True)"),
        ("lora.learning_rate=true", "lora.learning_rate: must not be true or false"),
        ("classifier.seeds=[0, true]", "classifier.seeds: must not be true or false"),
        ("sets.sd.count={normal: false}", "sets.sd.count: must not be true or false"),
        ("adapters.sd.lora={rank: true}", "adapters.sd.lora.rank: must not be true or false"),
        ("lora.steps=1000001", "lora.steps: must be at most 1000000"),
        ("token.batch=-1", "token.batch: must be at least 1"),
        ("resolution=1000000", "resolution: must be at most 4096"),
        ("classifier.seeds=[-1]", "classifier.seeds.0: must be at least 0"),
        ("seed=9223372036854775808", "seed: must be less than 9223372036854775808"),
        ("repeats.folds=1000000", "repeats.folds: must be at most 100"),
        ("synthesis.guidance=.nan", "synthesis.guidance: must be a finite number"),
        ("synthesis.guidance_interval=[0.3, .inf]", "synthesis.guidance_interval.1: must be a finite number"),
        ("arms.x.mixup=1e999", "arms.x.mixup: must be"),
        ("lora.rank=" + "9" * 5000, "lora.rank: Unable to parse input string as an integer"),
        ("classifier.steps=many", "classifier.steps: must be a whole number or 'auto' (found 'many')"),
        ("classifier.stps=3", "classifier.stps: there is no such setting; did you mean classifier.steps?"),
        ("clasifier={steps: 3}", "clasifier: there is no such setting; did you mean classifier?"),
        ("lora.rank=2020-01-01", "(found '2020-01-01')"),
        ("lora.rank=!!python/name:os.system", "(found '!!python/name:os.system')"),
    ],
)  # fmt: skip
def test_numbers_are_numbers_within_bounds(change, mistake):
    with pytest.raises(UserError) as error:
        load("quick", (), (change, "lora.rnk=3"))
    assert mistake in str(error.value)
    assert "  lora.rnk: there is no such setting; did you mean lora.rank?" in str(error.value).splitlines()
    assert max(map(len, str(error.value).splitlines())) < 400


@pytest.mark.parametrize("prompt", ["", "  ", "two\nlines", "a \u2028 line"])
def test_a_prompt_is_a_line_of_text(tmp_path, prompt):
    for words in (
        {"labels": {"cyst": prompt}},
        {"template": "{label} " + prompt} if prompt.strip() else {"template": ""},
    ):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({"prompts": words}))
        with pytest.raises(UserError, match=r"prompts: (a prompt is one line|template must contain)"):
            load("quick", [tmp_path / "s.yaml"])


def test_there_are_no_thousands_of_sets(tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"sets": {f"s{n}": {"from": f"s{n + 1}"} for n in range(3000)}}))
    with pytest.raises(UserError, match="sets: Dictionary should have at most 200 items"):
        load("quick", [tmp_path / "s.yaml"])


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("reading={window: [40, 400], percentiles: [1, 99]}", "reading: give a window or percentiles, not both"),
        ("reading.window=[40, 0]", "width above 0"),
        ("reading.percentiles=[99, 1]", "the lower one first"),
        ("reading.frame=1.0", "reading.frame"),  # the first one, or the last?
        ("reading.frame=0", "reading.frame"),
        ("reading.frame=last", "reading.frame"),
    ],
)
def test_how_values_are_read_is_checked(change, mistake):
    with pytest.raises(UserError, match=mistake):
        load("quick", (), (change,))


def test_a_share_of_the_way_is_never_beyond_the_last():
    frames = {
        text: load("quick", (), (f"reading.frame={text}",)).reading for text in ("1", "9", "0.5", str(1 - 2**-53))
    }
    assert [frame.index(9) for frame in frames.values()] == [0, 8, 4, 8]


def test_a_study_that_nobody_could_run_is_not_planned():
    with pytest.raises(UserError, match="ask for 10,000,000 trained classifiers; at most 100,000 are planned"):
        load("quick", (), ("repeats={generators: 100, folds: 100, draws: 100}",))


@pytest.mark.parametrize("text", ["- 1", "a: [", "\x00"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=r"s\.yaml"):
        load("quick", [tmp_path / "s.yaml"])


def test_prompts_of_any_class():
    s = load("quick", ["breast-ultrasound"], ("prompts.labels.cyst=a cyst", "prompts.labels.template=a template"))
    assert s.prompts.of("cyst") == "a cyst"
    assert s.prompts.of("template") == "a template"
    assert s.prompts.of("thyroid_nodule") == "ultrasound image of thyroid nodule"
    assert s.prompts.of("benign") == "ultrasound image of a benign breast lesion"


def test_a_later_template_replaces_earlier_words(tmp_path):
    template = "prompts.template=ultrasound of a {label} thyroid nodule"
    for preset, files in (("paper", ()), ("quick", ("breast-ultrasound",))):
        assert load(preset, files).prompts.of("benign") == "ultrasound image of a benign breast lesion"
        assert load(preset, files, (template,)).prompts.of("benign") == "ultrasound of a benign thyroid nodule"
    (tmp_path / "s.yaml").write_text("prompts: {template: 'scan of {label}', labels: {benign: a harmless one}}")
    s = load("paper", [tmp_path / "s.yaml"])
    assert (s.prompts.of("benign"), s.prompts.of("malignant")) == ("a harmless one", "scan of malignant")
    classes = ("prompts.labels={labels: a label, other: another}", "prompts.labels.template=a template")
    assert load("quick", (), classes).prompts.labels == {
        "labels": "a label",
        "other": "another",
        "template": "a template",
    }


def test_no_preset_speaks_of_breasts_unless_it_says_so():
    assert load("quick").prompts.of("benign") == "ultrasound image of benign"
    assert set(shipped.words()) == {"breast-ultrasound"}


def test_repeated_seeds_and_unknown_presets_are_refused():
    with pytest.raises(UserError, match="seeds must differ"):
        load("quick", (), ("classifier.seeds=[1, 1]",))
    with pytest.raises(UserError, match="paper or quick"):
        load("fast")


def test_the_settings_of_a_run_make_another(tmp_path):
    settings = load("demo", (), ("adapters.sd=null", "sets.more={from: real, strength: 0.2}"))
    (tmp_path / "study.yaml").write_text(f"cohort: somewhere\n{as_yaml(settings)}resolved: {{precision: fp32}}\n")
    assert load("paper", [tmp_path / "study.yaml"]) == settings


def test_entries_inherit_what_they_do_not_say_otherwise():
    s = load(
        "quick", (),
        ("lora.steps=7", "adapters.small={lora: {rank: 2}}", "synthesis.steps=9", "refine.strength=0.4",
         "sets.a={from: real, adapter: small, synthesis: {guidance: 5}}",
         "sets.b={from: a, strength: 0.6, refine: {steps: 5}}",
         "sets.c={from: b, refine: {strength: 0.7}}"),
    )  # fmt: skip
    assert (s.lora_of("small").steps, s.lora_of("small").rank, s.lora_of("sd").rank) == (7, 2, 16)
    assert (s.synthesis_of("a").steps, s.synthesis_of("a").guidance, s.synthesis_of("b").guidance) == (9, 5, 1)
    assert [s.strength_of(name) for name in "abc"] == [0.4, 0.6, 0.7]
    assert [s.refine_of(name).steps for name in "abc"] == [10, 5, 10]
    assert s.lora_of("sd+ti") == s.lora and s.declared_adapters["sd"].token is None


def test_an_adapter_that_is_a_unet_inherits_and_overrides():
    s = load("quick", (), ("unet.steps=7", "adapters.a={unet: {}}", "adapters.b={unet: {start: base, steps: 9}}"))
    assert s.unet_of("a") == s.unet and (s.unet.start, s.unet.steps) == ("random", 7)
    assert (s.unet_of("b").start, s.unet_of("b").steps, s.unet_of("b").batch) == ("base", 9, s.unet.batch)
    assert s.lora_of("a") is None and s.unet_of("sd") is None


def test_yaml_may_write_on_as_it_stands(tmp_path):
    (tmp_path / "s.yaml").write_text("adapt: {on: all}")
    assert load("quick", [tmp_path / "s.yaml"]).adapt.on == "all"


def test_sets_come_after_those_that_they_start_from():
    s = load("quick", (), ("sets.a.from=b", "sets.b.from=c", "sets.c.from=real"))
    assert list(s.declared_sets)[-3:] == ["c", "b", "a"]


def test_null_removes_an_entry_and_the_default_entries_that_need_it():
    s = load("quick", (), ("adapters.sd=null", "sets.sd+ti+img2img=null"))
    assert list(s.declared_adapters) == ["sd+ti"]
    assert list(s.declared_sets) == ["sd+ti", "variation"]
    cheap = "real+classical+oversampling"
    assert list(s.declared_arms) == ["real", cheap, f"{cheap}+variation", f"{cheap}+sd+ti"]


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("sets.mine={from: sd}", "sets.mine: needs sets.sd, which is removed; also set sets.mine: null"),
        ("arms.mine={sets: [sd]}", "arms.mine: needs sets.sd, which is removed; also set arms.mine: null"),
        ("sets.mine={adapter: none}", "sets.mine: needs adapters.none, which is not declared (declared: sd+ti)"),
        ("sets.mine={from: mine}", "sets.mine.from: a cycle, mine from mine"),
        ("sets={a: {from: b}, b: {from: c}, c: {from: a}}", "from: a cycle, "),
        ("sets.real={from: noise}", "sets.real: invalid name"),
        ("sets.a/b={from: noise}", "sets.a/b: invalid name"),
        ("arms.=x", "arms.: invalid name"),
        ("adapters.x.={}", "adapters.x"),
        ("sets.SD+TI={}", "names must differ in more than case"),
        ("sets.mine={strength: 0.5}", "sets.mine.strength: needs images to start from"),
        ("sets.mine={from: real, strength: 2}", "sets.mine.strength: a number from 0 to 1; several above 0"),
        ("sets.mine={from: real, strength: 0.2, refine: {strength: 0.3}}", "sets.mine.strength: is also given in sets"),
        ("sets.mine={from: real, refine: {strangth: 0.3}}", "sets.mine.refine.strangth: there is no such setting"),
        ("sets.mine={synthesis: {steps: 0}}", "sets.mine.synthesis.steps: must be at least"),
        ("sets.mine={strength: 0}", "sets.mine.strength: needs images to start from"),
        ("sets.mine={from: real, strength: 0, adapter: sd+ti}", "sets.mine: at strength 0 nothing is sampled: leave"),
        ("sets.mine={from: real, strength: 0, synthesis: {steps: 9}}", "sets.mine: at strength 0 nothing is sampled"),
        ("sets.mine={from: real, refine: {strength: 0}}", "sets.mine.refine.strength: must be more than 0"),
        ("sets.mine={from: real, negative_control: maybe}", "sets.mine.negative_control: must be true or false"),
        ("sets.mine={kind: magic}", "sets.mine.kind: there is no magic; known here: between, copy, folder, image,"),
        ("sets.mine={condition: mask}", "sets.mine.condition: needs an adapter with a control"),
        ("adapters.mine={}", "adapters.mine: needs a token, a lora or both"),
        ("adapters.mine={lora: {rnk: 3}}", "adapters.mine.lora.rnk: there is no such setting"),
        ("adapters.mine={unet: {rank: 3}}", "adapters.mine.unet.rank: there is no such setting"),
        ("adapters.mine={unet: {start: warm}}", "adapters.mine.unet.start: must be 'random' or 'base'"),
        ("adapters.mine={lora: {}, unet: {}}", "adapters.mine: a unet is trained as a whole, and takes no token"),
        ("adapters.mine={token: <new>, unet: {}}", "adapters.mine: a unet is trained as a whole, and takes no token"),
        ("adapters.mine={token: <a b>}", "adapters.mine.token: a text without spaces, as <new>, or one of each class"),
        ("adapters.mine={token: 5}", "adapters.mine.token: a text without spaces"),
        ("adapters.mine={token: {}}", "adapters.mine.token: a text without spaces"),
        ("adapters.mine={token: {benign: 5}}", "adapters.mine.token: a text without spaces"),
        ("adapters.mine={token: {benign: null}}", "adapters.mine.token: a text without spaces"),
        ("adapters.mine={token: {benign: true}}", "adapters.mine.token: must not be true or false"),
        ("adapters.mine={token: {benign: <b>, normal: <b>}}", "adapters.mine.token: each class needs a token of"),
        ("adapters.mine={token: {benign: <b>}, unet: {}}", "adapters.mine: a unet is trained as a whole, and takes no"),
        ("adapters.mine={control: mask}", "adapters.mine: needs a token, a lora or both, or a unet"),
        ("arms.mine={sets: [sd+ti, sd+ti]}", "arms.mine: each set once"),
        ("arms.mine={real: false}", "arms.mine: real is false: needs sets to be trained on"),
        ("arms.real={real: false, sets: [sd+ti]}", "arms: real is the arm that the others are compared with"),
        ("arms.mine={augmentation: random}", "arms.mine.augmentation: must be 'flip', 'classical'"),
        ("arms.mine={part: 0.5}", "arms.mine.part: there is no such setting"),
        ("arms.real={mixup: 0.2}", "arms: real is the arm that the others are compared with, and takes no settings"),
        ("arms.real=null", "arms: real is the arm that the others are compared with, and takes no settings"),
        ("arms.mine.synthetic=sd", "arms.mine.synthetic: an arm names its sets: arms.mine.sets: ['sd']"),
        ("prompts.token=<new>", "prompts.token: a token belongs to an adapter: adapters.NAME.token"),
        ("prompts.cyst=a cyst", "prompts.cyst: the prompt for a label goes under prompts.labels: prompts.labels.cyst"),
        ("refine.from=latent", "refine.from: refinement starts from the saved picture; remove this line"),
        ("sets=5", "sets: must be a group of settings"),
        ("sets=[a]", "sets: must be a group of settings"),
        (f"sets.{chr(0x8840) * 40}={{}}", "invalid name"),
        ("fidelity.features=[]", "fidelity.features: Tuple should have at least 1 item"),
        ("fidelity.features=[embedded, embedded]", "fidelity.features: each feature network once"),
        ("fidelity.measures=[table]", "fidelity.measures: a measure can't be called table"),
        ("fidelity.measures=[beauty]", "there is no beauty; known here: features, texture, ultrasound"),
    ],
)  # fmt: skip
def test_a_mistake_in_what_is_declared_is_named_with_the_others(change, mistake):
    with pytest.raises(UserError) as error:
        load("quick", (), ("adapters.sd=null", change, "lora.rnk=3"))
    lines = str(error.value).splitlines()
    assert any(mistake in line for line in lines), error.value
    assert "  lora.rnk: there is no such setting; did you mean lora.rank?" in lines


def test_a_token_is_one_text_or_one_for_each_class(tmp_path):
    s = load("quick", (), ("adapters.sd+ti.token={benign: <b>, '1': <one>}",))
    (tmp_path / "s.yaml").write_text(as_yaml(s))
    for read in (s, load("quick", [tmp_path / "s.yaml"])):
        adapter = read.declared_adapters["sd+ti"]
        assert (adapter.token_of("benign"), adapter.token_of("1")) == ("<b>", "<one>")
    one = load("quick").declared_adapters
    assert (one["sd+ti"].token_of("benign"), one["sd"].token_of("benign")) == ("<ultrasound>", None)


def test_feature_networks_are_one_text_or_several(tmp_path):
    assert load("quick", (), ("fidelity.features=embedded",)).fidelity.features == ("embedded",)
    several = load("quick", (), ("fidelity.features=[embedded, 'lab:features']",))
    assert several.fidelity.features == ("embedded", "lab:features")
    (tmp_path / "s.yaml").write_text(as_yaml(several))
    assert load("quick", [tmp_path / "s.yaml"]).fidelity == several.fidelity


@pytest.mark.parametrize("cohort", ["somewhere", "{path: somewhere, columns: {file: x}, images: /there}"])
def test_the_cohort_of_a_run_is_no_setting_but_how_its_table_is_read_is(tmp_path, cohort):
    (tmp_path / "study.yaml").write_text(f"cohort: {cohort}\n{as_yaml(load())}resolved: {{precision: fp32}}\n")
    table = load("quick", [tmp_path / "study.yaml"]).cohort
    assert table == (Table() if cohort == "somewhere" else Table(columns={"file": "x"}, images="/there"))


@pytest.mark.parametrize("changes", [(), ('cohort.columns={"file": "x, y", "group": ""}', "cohort.images=there")])
def test_a_run_knows_where_its_cohort_is_and_how_it_is_read(tmp_path, changes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = str(tmp_path / "there") if changes else ""
    study = Study(tmp_path / "t.csv", load("quick", (), changes))
    base = SimpleNamespace(folder=tmp_path, digest="0")
    text = study_file.text_of(study.path, study.settings, SimpleNamespace(base=base, precision="fp32", networks=[]))
    (tmp_path / ".jobs").mkdir()
    (tmp_path / "study.yaml").write_text(text)
    monkeypatch.chdir("/")  # "there" is where it was, wherever the run is continued
    assert reopen(tmp_path).settings.cohort == study.settings.cohort.model_copy(update={"images": images})
    assert reopen(tmp_path).path == study.path
    assert text.startswith(f"cohort:\n  path: {tmp_path}" if changes else f"cohort: {tmp_path}")


def test_how_a_table_is_read_is_no_further_look_at_the_images():
    one, other = load(), load("quick", (), ("cohort.images=/there",))
    assert looks.digest(one) == looks.digest(other) != looks.digest(load("quick", (), ("split.given=ignore",)))
