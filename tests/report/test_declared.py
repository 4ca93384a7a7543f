"""Sets and arms are explained by what the settings declare, and the class that matters most is known."""

import pytest

from sonosynth import looks
from sonosynth import settings as loading
from sonosynth.cohort.reading import list_files
from sonosynth.errors import UserError
from sonosynth.jobs import keyed
from sonosynth.machine import resolve
from sonosynth.phantom import write_cohort
from sonosynth.study import declared, plan

DECLARED = (
    "adapters={token: {token: <x>}, each: {token: {a: <a>, b: <b>}, lora: {}}, whole: {unet: {}},"
    " mask: {lora: {}, control: mask}}",
    "sets={plain: {from: noise}, one: {from: noise, adapter: token}, classes: {from: noise, adapter: each},"
    " scratch: {from: noise, adapter: whole}, copies: {kind: copy, from: real}, gan: {kind: folder, folder: x},"
    " coded: {from: real, strength: 0}, mirrored: {from: real, mirror: true, strength: [0.3, 0.5]},"
    " crossed: {kind: between, from: real, adapter: sd, strength: 0.5, select: true},"
    " other: {from: sd, adapter: sd+ti, strength: 0.5}, again: {from: sd+ti+img2img, adapter: sd+ti, strength: 0.6}}",
    "arms={weighted: {sets: [sd, sd+ti], balance: weights, mixup: 0.2, augmentation: trivial},"
    " shared: {sets: [sd], share: 0.25}, swapped: {sets: [mirrored], replace: 0.5}, alone: {real: false, sets: [sd]},"
    " best: {best_of: [shared, weighted]}}",
    "sets.mirrored.each=1",
    "sets={masked: {from: noise, adapter: mask, condition: mask},"
    " tissue: {from: real, adapter: mask, condition: mask, keep: lesion}}",
    "compare.exposures=true",
)


@pytest.fixture(scope="module")
def known():
    return declared(loading.load("paper", (), DECLARED))


def test_each_set_is_explained_in_a_line(known):
    assert {name: known.set(name) for name in known.sets if name != "variation"} == {
        "sd": "images from text, by the fine-tuned base",
        "sd+img2img": "images from text, by the fine-tuned base, then refined at strength 0.3",
        "sd+ti": "images from text, by the fine-tuned base with a learned token",
        "sd+ti+img2img": "images from text, by the fine-tuned base with a learned token, then refined at strength 0.3",
        "plain": "images from text, by the unadapted base",
        "one": "images from text, by the base with a learned token",
        "classes": "images from text, by the fine-tuned base with a learned token for each class",
        "scratch": "images from text, by a U-Net trained on this data set",
        "copies": "copies of real training images, as a control",
        "gan": "images of another generator",
        "coded": "real training images, encoded and decoded only",
        "mirrored": "real training images and their mirror images, redrawn at strength 0.3 or 0.5, by the"
        " unadapted base",
        "crossed": "real training images, redrawn as another class at strength 0.5, by the fine-tuned base; only"
        " those that critics recognise",
        "other": "images from text, by the fine-tuned base, then refined at strength 0.5, by the fine-tuned base with a"
        " learned token",
        "masked": "images from text, by the fine-tuned base, under deformed lesion masks of training images",
        "tissue": "real training images, redrawn at strength 0.3, by the fine-tuned base, under the lesion masks of"
        " these; the lesion kept",
        "again": "images from text, by the fine-tuned base with a learned token, then refined at strength 0.3, then"
        " refined at strength 0.6",
    }


def test_each_arm_is_explained_in_a_line(known):
    said = {
        "real": "real images only",
        "real+classical+oversampling": "real images, rare classes oversampled, classical augmentation",
        "real+sd": "real images, and synthetic: sd",
        "weighted": "real images, loss weighted by class, TrivialAugment, MixUp, and synthetic: sd and sd+ti",
        "shared": "real images, and 25% of each batch synthetic: sd",
        "shared at equal exposures": "real images, and 25% of each batch synthetic: sd; trained until it has seen as"
        " many real images as the others",
        "swapped": "real images, replaced with probability 0.5 by mirrored",
        "alone": "no real images, and synthetic: sd",
        "best": "whichever of shared, weighted is best on inner images",
    }
    assert {name: known.arm(name) for name in said} == said


def test_a_set_is_known_to_be_of_real_images_however_many_sets_lie_between(known):
    assert known.from_real("copies") and known.from_real("crossed") and not known.from_real("again")
    further = declared(loading.load("paper", (), (*DECLARED, "sets.last={from: coded, adapter: sd, strength: 0.9}")))
    assert further.from_real("last")


def test_the_class_that_matters_most_is_one_of_the_cohorts(planned):
    assert planned()["report"].settings.facts.positive == "malignant"  # as breast-ultrasound names it
    assert planned("compare.positive=benign")["report"].settings.facts.positive == "benign"
    assert planned("compare.positive=null")["report"].settings.facts.positive is None
    with pytest.raises(UserError, match="has no label Benign") as error:
        planned("compare.positive=Benign")
    assert error.value.expected == "one of benign, malignant, normal, or null"


def test_the_class_that_matters_most_changes_the_report_alone(planned, settings):
    before, after = planned(), planned("compare.positive=benign")
    changed = {name for name, job in after.items() if keyed(job.settings) != keyed(before[name].settings)}
    assert changed == {"report"}
    assert looks.digest(settings()) == looks.digest(settings("compare.positive=benign"))


def test_another_cohort_need_not_have_the_class_that_a_shipped_file_names(settings, tmp_path):
    write_cohort(tmp_path / "cohort", {"normal": 5, "benign": 5}, seed=3, size=48)
    wanted = settings()
    jobs = plan(wanted, list_files(tmp_path / "cohort"), resolve(wanted))
    assert next(job for job in jobs if job.name == "report").settings.facts.positive is None
