"""A setting that changes nothing beside the others is refused, or reported at the start."""

import shlex

import pytest

from helpers.paths import ROOT
from vit_keras import SettingError, load_config
from vit_keras.cli import hydra_app
from vit_keras.config.schema import setting_names
from vit_keras.runs import run_dir
from vit_keras.training import preflight
from vit_keras.training.unused_settings import REFUSED, REPORTED, effect_remarks

DIGITS = ROOT / "saved_models" / "digits"
TUNING = "recipe=finetune_digits pretrained.handle=FILE pretrained.baseline=false "
# What is typed; the start of the answer.
UNUSED = {
    "optim=adamw optim.momentum=0.8": "optim.momentum=0.8 has no effect: only optim.name=sgd",
    "optim=adam optim.momentum=0.8": "optim.momentum=0.8 has no effect",
    "optim=lion optim.momentum=0.8": "optim.momentum=0.8 has no effect",
    "train.teacher_weight=0.2": "train.teacher_weight=0.2 has no effect: train.teacher is not set",
    "train.teacher_temperature=3": "train.teacher_temperature=3.0 has no effect",
    "train.teacher_labels=hard": "train.teacher_labels=hard has no effect: train.teacher is not",
    f"train.teacher={DIGITS} train.teacher_labels=hard train.teacher_temperature=3": (
        "train.teacher_temperature=3.0 has no effect: hard labels have none"
    ),
    "loss.gamma=1": "loss.gamma=1.0 has no effect: only loss.name=focal and",
    "loss=focal loss.margin=0.1": "loss.margin=0.1 has no effect: only loss.name=asymmetric",
    "train.class_weight=balanced train.class_weight_beta=0.9": "train.class_weight_beta=0.9 has",
    "optim.schedule=linear optim.decay_ratio=0.3": "optim.decay_ratio=0.3 has no effect: only",
    "optim.schedule=constant optim.final_lr_fraction=0.1": "optim.final_lr_fraction=0.1 has no eff",
    TUNING
    + "optim.name=muon ~stages.all": "optim.name=muon has no effect: no stage trains kernels of",
    "optim=sgd optim.beta_1=0.8": "optim.beta_1=0.8 has no effect: optim.name=sgd does not have it",
    "optim=sgd optim.beta_2=0.8": "optim.beta_2=0.8 has no effect",
    "pretrained.baseline=true": "pretrained.baseline=true has no effect: pretrained.handle is not",
    "pretrained.load_weights=false": "pretrained.load_weights=false has no effect",
    "pretrained.wrap_saved_model=true": "pretrained.wrap_saved_model=true has no effect",
    "pretrained.train_all=true": "pretrained.train_all=true has no effect",
    "pretrained.ignore_weights=[a]": "pretrained.ignore_weights=['a'] has no effect",
    "augment.policy_ops=3": "augment.policy_ops=3 has no effect: only augment.policy=randaugment",
    "augment.policy=trivial_augment augment.policy_magnitude=3": "augment.policy_magnitude=3 has",
    "augment.mix_probability=0.5": "augment.mix_probability=0.5 has no effect: neither",
    "augment.mixup=0.5 augment.mix_probability=0": "augment.mixup=0.5 has no effect: augment.mix_",
    "augment.cutmix=0.5 augment.mix_probability=0": "augment.cutmix=0.5 has no effect",
    "tracking.uri=http://host:5000": "tracking.uri=http://host:5000 has no effect: tracking.",
    "tracking.experiment=a": "tracking.experiment=a has no effect",
    "tracking.artifacts=false": "tracking.artifacts=false has no effect",
    "data.follow_links=true": "data.follow_links=true has no effect: only data.name=folder",
    "data.on_bad_file=fail": "data.on_bad_file=fail has no effect",
    "optim.schedule_scope=run": "optim.schedule_scope=run has no effect: a run without stages",
    "data.value_range=percentile": "data.value_range=percentile has no effect: only files",
    "data=folder data.path=p data.channels=5": "data.channels=5 has no effect: files are read",
    "data.image_column=a": "data.image_column=a has no effect: only data.name=csv and",
    "data.label_column=a": "data.label_column=a has no effect",
    "task=multilabel data=folder data.path=p data.label_separator=x": "data.label_separator=x has ",
    "data.split_column=a": "data.split_column=a has no effect",
    "data.group_column=a": "data.group_column=a has no effect",
    TUNING
    + "optim.learning_rate=0.1": "optim.learning_rate=0.1 has no effect: every stage has its",
    TUNING + "stages.all.lora_rank=4": "stages.all.lora_rank=4 has no effect: stages.all.trainable",
    TUNING + "stages.head.layer_decay=0.5": "stages.head.layer_decay=0.5 has no effect",
}
# Settings that have an effect after all: nothing is refused.
USED = (
    "optim=sgd optim.momentum=0.8",
    "optim=muon optim.momentum=0.8 optim.beta_1=0.8",
    "optim.schedule=wsd optim.decay_ratio=0.5 optim.warmup_ratio=0.5",
    "loss=focal loss.gamma=1",
    f"train.teacher={DIGITS} train.teacher_labels=soft train.teacher_temperature=3",
    "recipe=finetune_digits pretrained.handle=FILE optim=muon ~stages.all",  # the baseline's
    "optim=adam optim.beta_1=0.8 optim.beta_2=0.8",
    "augment=heavy augment.policy_ops=3 augment.mix_probability=0.5",
    TUNING + "pretrained.load_weights=false",
    TUNING + "stages.all.layer_decay=0.5",
    TUNING + "optim.schedule_scope=run",
    TUNING + "~stages.head '+stages.more={epochs: 2}' optim.learning_rate=0.1",
    "recipe=finetune_digits pretrained.handle=FILE optim.learning_rate=0.1",  # the baseline's
    TUNING + "'+stages.lora={trainable: lora, epochs: 2, lora_rank: 4, learning_rate: 0.1}'",
)
SAID = {
    "data.workers=3": "data.workers=3 has no effect: images of this data set are all decoded",
    "data.cache_mb=3": "data.cache_mb=3 has no effect",
    "data.layout=classes": "data.layout=classes has no effect",
    "data.suffixes=[.png]": "data.suffixes=['.png'] has no effect",
    "data.tfds_dir=/sets": "data.tfds_dir=/sets has no effect: the data are not of TensorFlow",
    "data.download=true": "data.download=true has no effect",
    "data.fold=1/5 data.validation_fraction=0.2": "data.validation_fraction=0.2 has no effect: a",
    "train.epochs=3 train.early_stopping=3": "train.early_stopping=3 has no effect: no stage has",
    TUNING
    + "stages.head.warmup_ratio=0 stages.all.warmup_ratio=0": "optim.warmup_ratio=0.1 has no",
    "recipe=finetune_digits pretrained.handle=FILE optim.learning_rate=0.1": (
        "optim.learning_rate=0.1 has no effect: on these stages, which have their own; the baseline"
    ),
    TUNING + "augment=shift stages.head.augment=false stages.all.augment=false": (
        "augment.crop_padding=1 has no effect: every stage has augment=false"
    ),
}


@pytest.fixture
def typed(tmp_path):
    (tmp_path / "vit.npz").write_bytes(b"")  # it is not looked into yet
    return lambda words: shlex.split(words.replace("FILE", str(tmp_path / "vit.npz")))


@pytest.mark.parametrize("words", UNUSED)
def test_a_setting_without_effect_is_refused(words, typed):
    with pytest.raises(SettingError) as refused:
        load_config(*typed(words))
    assert str(refused.value).startswith(UNUSED[words])
    assert "; leave it out, or set " in str(refused.value)


@pytest.mark.parametrize("words", USED)
def test_a_setting_with_an_effect_is_taken(words, typed):
    load_config(*typed(words))


@pytest.mark.parametrize("words", SAID)
def test_what_need_not_be_refused_is_reported(words, typed):
    (remark,) = effect_remarks(load_config(*typed(words)), None)
    assert remark.startswith(SAID[words])


def test_a_validation_fraction_of_data_with_their_own_split_is_reported():
    config, counts = load_config("data.validation_fraction=0.2"), {"train": 9, "validation": 3}
    (remark,) = effect_remarks(config, counts)
    assert remark.startswith("data.validation_fraction=0.2 has no effect")
    assert effect_remarks(config, {"train": 9}) == []
    assert effect_remarks(load_config(), counts) == []


def test_every_rule_is_of_settings_and_tested():
    names = {name for rule in (*REFUSED, *REPORTED) for name in rule.settings}
    assert names <= {*setting_names()}
    tried = " ".join((*UNUSED, *SAID))
    untested = [name for name in sorted(names) if not name.startswith(("augment.", "pretrained."))]
    assert [name for name in untested if f"{name}=" not in tried and name not in tried] == [
        "optim.warmup_ratio"  # of the recipe
    ]


def test_a_run_of_an_earlier_version_goes_on_with_its_setting(tmp_path):
    config = load_config(f"run.dir={tmp_path / 'run'}")
    config.optim.momentum = 0.5
    run_dir.create(config).close()
    assert load_config(f"run.resume={tmp_path / 'run'}").optim.momentum == 0.5
    config.run.dir = str(tmp_path / "run" / "baseline")
    preflight.check(config)
    config.run.dir = str(tmp_path / "new")
    with pytest.raises(SettingError, match=r"optim.momentum=0.5 has no effect"):
        preflight.check(config)


DOUBLES = {
    "optim.momentum=0.9,0.8": "optim.momentum=0.8 has no effect",
    "augment.policy=none,randaugment augment.policy_ops=2,3": "augment.policy_ops=3 has no effect",
    "model.dropout=0,0.0": "model.dropout=0 and model.dropout=0.0 train the same run twice",
    "name=a,b": "name=a and name=b train the same run twice",
}


@pytest.mark.parametrize("words", DOUBLES)
def test_a_sweep_that_trains_doubles_is_refused(words):
    with pytest.raises(SettingError) as refused:
        hydra_app.check_sweep(words.split())
    assert DOUBLES[words] in str(refused.value)


def test_a_sweep_over_what_differs_is_counted():
    assert hydra_app.check_sweep(["train.seed=1,2", "optim=adam,sgd"]) == 4
    assert (
        hydra_app.check_sweep(["optim.learning_rate=interval(1,2)", "hydra/sweeper=optuna"]) is None
    )
