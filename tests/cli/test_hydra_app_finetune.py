"""Wrong settings of fine-tuning are refused at once, in one line; valid ones are accepted."""

import shlex

import pytest

from vit_keras import SettingError, load_config
from vit_keras.runs import run_dir

# What a user types besides a handle; what the answer has to have. VIT is a file,
# PHOTOS a folder of two classes, the second without an image.
MISTAKES = {
    "trains": (
        "stages.head.trainable=haed",
        "stages.head.trainable=haed",
        "use head, all, prompt, bias, norm, lora",
    ),
    "no_last_block": ("'stages.all.trainable={last: 0}'", "stages.all.trainable=", "{last: 4}"),
    "last_block_text": ("'stages.all.trainable={last: x}'", "stages.all.trainable=", "{last: 4}"),
    "lora_first": ("stages.head.trainable=lora", "stages.head.trainable=lora", "put it last"),
    "stage_epochs": ("stages.head.epochs=0", "stages.head.epochs=0", "1 or more"),
    "stage_rate": ("stages.all.learning_rate=0", "stages.all.learning_rate=0", "above 0"),
    "stage_warmup": ("stages.all.warmup_ratio=1", "stages.all.warmup_ratio=1", "0.9 at most"),
    "layer_decay": ("stages.all.layer_decay=1.5", "stages.all.layer_decay=1.5", "1 at most"),
    "lora_rank": ("stages.all.lora_rank=0", "stages.all.lora_rank=0", "1 or more"),
    "two_lengths": ("train.epochs=3", "train.epochs=3", "stages.head.epochs", "train.epochs=null"),
    "no_length": ("~stages.head ~stages.all", "train.epochs=null", "set train.epochs"),
    "stage_field": ("stages.head.epoch=2", "stages.head.epoch ", "did you mean stages.head.epochs"),
    "stage_name": ("stages.hed.epochs=2", "stages.hed.epochs", "no stage hed", "'+stages.hed={"),
    "stage_of_none": ("stages.epochs=2", "stages.epochs", "stages.head.epochs"),
    "new_stage_field": ("'+stages.more={epoch: 2}'", "stages.more.epoch ", "stages.more.epochs"),
    "new_stage_in_parts": (
        "+stages.more.trainable=head",
        "+stages.more.trainable=head",
        "'+stages.more={trainable: head}'",
    ),
    "all_stages_away": ("~stages", "~stages", "~stages.head"),
    "no_such_stage_away": ("~stages.last", "Could not delete", "'stages.last' does not exist"),
    "no_stages": ("stages={}", "stages={}", "~stages.head"),
    "architecture": ("model.depth=3", "model.depth=3", "pretrained.handle=VIT", "leave it out"),
    "switch": ("model.position=sincos2d", "model.position=sincos2d", "leave it out"),
    "gelu": ("model.gelu=relu", "model.gelu=relu", "exact, quick, tanh"),
    "variant": ("model=b16", "model.variant=b16", "pretrained.handle=VIT", "model=pretrained"),
    "rate": ("model.dropout=1", "model.dropout=1.0", "below 1"),
    "no_file": ("pretrained.handle=./vit.npz", "pretrained.handle=./vit.npz", "a local path"),
    "load_weights": (
        "pretrained.load_weights=foo",
        "pretrained.load_weights=foo",
        "not a valid bool",
    ),
    "train_all": (
        "pretrained.train_all=true",
        "train_all=true",
        "pretrained.wrap_saved_model=true",
    ),
    "folder": ("recipe=finetune_folder", "data.name=folder", "data.path"),
    "no_folder": ("data=folder data.path=x data.image_size=8", "data.path=x is no folder"),
    "no_size": ("data=folder data.path=PHOTOS", "data.image_size", "data.image_size=224"),
    "one_class": ("data=folder data.image_size=8 data.path=PHOTOS/ant", "0 sub-folders", "two"),
    "no_image": ("data=folder data.image_size=8 data.path=PHOTOS", "PHOTOS: bee has no image"),
}


# Beside them, those that only the script can refuse.
FROM_A_SHELL = {
    **{name: MISTAKES[name] for name in ("trains", "two_lengths", "stage_field", "no_image")},
    "no_handle": ("pretrained.handle=null recipe=digits", "pretrained.handle", "=finetune_digits"),
    "null_handle": ("pretrained.handle=null", "pretrained.handle is not set", "=finetune_digits"),
    "grid": ("-m stages.all.learning_rate=1e-3,0", "stages.all.learning_rate=0", "above 0"),
}


@pytest.fixture
def typed(tmp_path):
    """Splits what is typed into arguments, with a handle that is there and real places."""
    (tmp_path / "vit.npz").write_bytes(b"")  # it is not looked into yet
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    (tmp_path / "photos" / "ant" / "1.jpg").write_bytes(b"")

    def fill(text):
        for name in ("vit.npz", "photos"):
            text = text.replace(name.partition(".")[0].upper(), str(tmp_path / name))
        return text

    def split(words):
        given = [] if "handle=" in words else ["pretrained.handle=VIT"]
        return [fill(word) for word in (*given, *shlex.split(words))]

    split.fill = fill
    return split


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_fine_tuning_is_refused(mistake, typed):
    words, *phrases = MISTAKES[mistake]
    recipe = [] if "recipe=" in words else ["recipe=finetune_digits"]
    with pytest.raises(SettingError) as refused:
        load_config(*recipe, *typed(words))
    assert "\n" not in str(refused.value)
    for phrase in phrases:
        assert typed.fill(phrase) in str(refused.value)


@pytest.mark.parametrize("mistake", FROM_A_SHELL)
def test_fine_tuning_mistake_is_refused_before_keras_is_imported(mistake, refusal, typed):
    words, *phrases = FROM_A_SHELL[mistake]
    answer = refusal(*typed(words), name="finetune_hub")
    for phrase in phrases:
        assert typed.fill(phrase) in answer


@pytest.mark.parametrize(
    "words",
    [
        "stages.head.epochs=2",
        "~stages.head ~stages.all train.epochs=2",
        "'+stages.more={trainable: head, epochs: 1}' 'stages.all.trainable={last: 2}'",
        "--multirun stages.all.learning_rate=1e-3,1e-4 ~stages.head",
        "-m '+stages.more={trainable: {last: 1}, epochs: 1}' train.seed=1,2",
    ],
)
def test_stages_can_be_changed_from_a_shell(words, script, typed):
    _, text = script(*typed(words), name="finetune_hub")
    assert "import of keras halted" in text


def test_a_stage_that_is_added_comes_last_and_has_what_was_given(typed):
    words = typed("recipe=finetune_digits '+stages.more={epochs: 3}' stages.head.epochs=2")
    stages = load_config(*words).stages
    assert {name: stage.epochs for name, stage in stages.items()} == dict(head=2, all=20, more=3)
    assert (stages["head"].trainable, stages["more"].trainable) == ("head", "all")


@pytest.fixture
def started_run(typed, tmp_path):
    words = typed("recipe=finetune_digits stages.all.epochs=7")
    made = run_dir.create(load_config(*words, f"run.dir={tmp_path / 'run'}"))
    made.close()
    return made.path


@pytest.mark.parametrize("word", ["stages.all.epochs=9", "+stages.more={epochs: 1}", "~stages.all"])
def test_a_resumed_run_keeps_its_stages(word, started_run):
    """Dropped without a word, they would seem to be obeyed."""
    with pytest.raises(SettingError, match=r"run\.resume.*start a new run") as refused:
        load_config(f"run.resume={started_run}", word)
    assert word in str(refused.value)


def test_a_fine_tuned_run_is_resumed_with_its_own_stages(started_run, script):
    _, text = script(f"run.resume={started_run}", name="finetune_hub")
    assert "import of keras halted" in text
    kept = load_config(f"run.resume={started_run}")
    assert (list(kept.stages), kept.stages["all"].epochs) == (["head", "all"], 7)
