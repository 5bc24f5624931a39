"""A wrong setting is refused at once, in one line with its name, its value and valid values."""

import json
from dataclasses import asdict

import pytest
from omegaconf import OmegaConf

from helpers.paths import ROOT
from vit_keras import SettingError, load_config
from vit_keras.config.schema import Config, setting_names
from vit_keras.data import registry
from vit_keras.data.splits import image_size
from vit_keras.runs import run_dir
from vit_keras.training import preflight

RECIPES = sorted(path.stem for path in ROOT.glob("vit_keras/conf/recipe/*.yaml"))

# What a user types; what the answer has to have: the setting, its value and the way out.
MISTAKES = {
    "patch_size": (
        "model.patch_size=3",
        "model.patch_size=3",
        "image_size=8",
        "2, 4 or 8",
        "6 or 9",
    ),
    "image_width": (
        "data.image_size=[8,9]",
        *("patch_size=", "image_size=[8,9] (width 9)", "image_size=8 or [8,12]"),
    ),
    "image_height_and_width": (
        "data.image_size=[9,15] model.patch_size=4",
        *(
            "model.patch_size=4",
            "image_size=[9,15] (height 9, width 15); use 3,",
            "=[8,12] or [12,16]",
        ),
    ),
    "image_size_huge": ("data.image_size=100000", "=100000", "625,000,000 patches", "=1024"),
    "image_size_kind": ("data.image_size=big", "data.image_size=big", "[height, width]"),
    "num_heads": ("model.width=12 model.num_heads=5", "model.num_heads=5", "12", "1, 2, 3, 4, 6"),
    "rope": ("model.position=rope2d model.num_heads=8", "model.num_heads=8", "1, 2, 3, 4, 6 or 12"),
    "depth": ("model.depth=0", "model.depth=0", "1 or more"),
    "dropout": ("model.dropout=1", "model.dropout=1", "0 or more, below 1"),
    "dropout_nan": ("model.dropout=nan", "model.dropout=nan", "not a number", "below 1"),
    "depth_text": ("model.depth=abc", "model.depth=abc", "could not be converted to Integer"),
    "recipe": ("recipe=cifar11", "recipe=cifar11", "did you mean cifar10?"),
    "data_set": ("data=cifr10", "data=cifr10", "did you mean cifar10?"),
    "data_name": ("data.name=cifr10", "data.name=cifr10", "did you mean cifar10?"),
    "data_name_of_no_set": ("data=tfds", "data=tfds names no data set", "data.name=fashion_mnist"),
    "data_name_odd": ("data.name=a/b/c", "data.name=a/b/c is not the name", "name:1.0.0"),
    "arrays_on_a_command_line": ("data=arrays", "data.name=arrays", "data=npz"),
    "npz_without_a_path": ("data=npz", "data.path", "x_train"),
    "optimizer": ("optim=adamx", "optim=adamx", "did you mean adam"),
    "optimizer_name": ("optim.name=adamx", "optim.name=adamx", "did you mean adam"),
    "variant": ("model.variant=vit_b16", "model.variant=vit_b16", "did you mean b16?"),
    "precision": ("train.precision=float16", "train.precision=float16", "mixed_float16"),
    "jit": ("train.jit_compile=maybe", "train.jit_compile=maybe", "auto, false, layers, true"),
    "unknown": ("train.epoch=3", "train.epoch ", "did you mean train.epochs?"),
    "unknown_group": ("trian.epochs=3", "trian.epochs ", "did you mean train.epochs?"),
    "unknown_added": ("+train.epoch=3", "train.epoch", "train.epochs"),
    "no_group": ("model=null", "model"),
    "group_number": ("model=3", "model=3", "vit_keras/conf/model/"),
    "group_text": ("recipe=", "recipe=", "vit_keras/conf/recipe/"),
    "part_of_a_setting": ("data.classes.x=1", "data.classes.x", "data.classes=..."),
    "taken_away": ("~model.depth", "~model.depth", "leave it out", "model.depth=null"),
    "rate_taken_away": ("~optim.learning_rate", "~optim.learning_rate", "=0.001, its default"),
    "unknown_taken_away": ("~train.epoch", "train.epoch ", "did you mean train.epochs?"),
    "reference": ("name=${nope}", "name has no value", "'nope' not found"),
    "reference_to_text": ("model.depth=${name}", "model.depth", "${name}", "Integer"),
    "endless_folder": (f"run.dir={'x' * 300}", f"run.dir={'x' * 300}", "too long", "choose"),
    "endless_run": (f"run.resume={'x' * 300}", f"run.resume={'x' * 300}", "is not a run"),
    "no_end": ("run.dir=", "run.dir= has no value", "leave run.dir out"),
    "no_end_root": ("run.root=", "run.root= has no value", "leave run.root out"),
    "no_end_data": ("data.tfds_dir=", "data.tfds_dir= has no value", "leave data.tfds_dir out"),
    "no_end_quoted": ("run.dir=''", "run.dir='' has no value", "leave run.dir out"),
    "no_value": ("train.epochs", "train.epochs sets nothing", "setting=value"),
    "text": ("train.epochs=many", "train.epochs=many", "could not be converted to Integer"),
    "text_for_a_rate": ("optim.clip_norm=no_idea", "optim.clip_norm=no_idea", "converted to Float"),
    "list_for_text": ("model.pool=[a]", "model.pool=[a]", "Cannot convert 'list' to string"),
    "fraction": ("train.epochs=1.5", "train.epochs=1.5", "Integer"),
    "switch": ("data.download=perhaps", "data.download=perhaps", "not a valid bool"),
    "null": ("train.seed=null", "train.seed=null", "'train.seed' is not Optional"),
    "seed": ("train.seed=4294967296", "train.seed=4294967296", "4294967295 at most"),
    "epochs_zero": ("train.epochs=0", "train.epochs=0", "1 or more"),
    "epochs_negative": ("train.epochs=-1", "train.epochs=-1", "1 or more"),
    "shorthand": ("epochs=3", "epochs is", "did you mean train.epochs?"),
    "no_sign": ("digits", "digits", "recipe=digits"),
    "no_name": ("=3", "=3 sets nothing", "setting=value"),
    "unreadable": ("run.dir=a=b", "run.dir=a=b", """'run.dir="a=b"'"""),
    "two_signs": ("model.depth==3", "model.depth==3", "extraneous input '='", "setting=value"),
    "spaces": ("model.depth = 3", "model.depth sets nothing", "without spaces"),
    "space": (
        "optim.learning_rate=1e-3, 3e-4",
        "optim.learning_rate=1e-3, cannot be read",
        "without spaces",
    ),
    "space_in_a_list": (
        "data.classes=[0 ,1]",
        "data.classes=[0 ",
        "without spaces",
        "data.classes=[1,2]",
    ),
    "comma": ("train.epochs=1, train.seed=2", "train.epochs=1, cannot be read", "setting=value"),
    "option": ("--epochs 3", "--epochs", "write a setting without dashes, train.epochs=3"),
    "option_with_a_sign": ("--learning-rate=1e-3", "without dashes, optim.learning_rate=1e-3"),
    "option_of_many": ("--name sets", "--name", "data.name=sets or optim.name=sets"),
    "option_for_a_recipe": ("train.seed=1 --recipe mnist", "--recipe", "recipe=mnist"),
    "option_of_other_programs": ("--lr 1e-3", "--lr", "such as train.epochs=3"),
    "option_of_hydras": ("--cfg all_of_it", "--cfg", "all_of_it", "'job'", "--hydra-help"),
    "batch_of_more_than_all": (
        "data.limit=50 train.batch_size=46",
        "train.batch_size=46",
        "45 images",
        "data.limit=50",
    ),
    "accumulating_too_much": (
        "optim.gradient_accumulation_steps=9999",
        "optim.gradient_accumulation_steps=9999",
        "1600",
    ),
    "validating_on_all": (
        "data.limit=2 data.validation_fraction=0.9",
        "data.validation_fraction=0.9",
        "data.limit=2",
    ),
    "repeats_zero": (
        "augment.repeated_augmentation=0",
        "augment.repeated_augmentation=0",
        "1 or more",
    ),
    "repeats": (
        "augment.repeated_augmentation=5",
        "augment.repeated_augmentation=5",
        "train.batch_size=64",
        "1 or 2 or 4 or 8",
    ),
    "repeats_of_one_image": (
        "augment.repeated_augmentation=8 train.batch_size=8",
        "augment.repeated_augmentation=8",
        "train.batch_size=8",
        "1 or 2 or 4,",
    ),
    "overfit_batches": ("train.overfit_batches=0", "train.overfit_batches=0", "1 or more"),
    "overfit_batches_of_all": (
        "train.overfit_batches=21",
        "train.overfit_batches=21",
        "1,294 images",
        "use 20 or less",
    ),
    "limit_steps": ("train.limit_train_batches=0", "train.limit_train_batches=0", "1 or more"),
    "batch_zero": ("train.batch_size=0", "train.batch_size=0", "1 or more"),
    "batch_negative": ("train.batch_size=-8", "train.batch_size=-8", "1 or more"),
    "rate_zero": ("optim.learning_rate=0", "optim.learning_rate=0", "above 0"),
    "rate_negative": ("optim.learning_rate=-1", "optim.learning_rate=-1", "above 0"),
    "rate_nan": ("optim.learning_rate=nan", "optim.learning_rate=nan", "above 0"),
    "rate_infinite": ("optim.learning_rate=inf", "optim.learning_rate=inf", "above 0"),
    "warmup": ("optim.warmup_ratio=1", "optim.warmup_ratio=1", "0.9 at most"),
    "ema": ("optim.ema_momentum=1", "optim.ema_momentum=1", "0.999999 at most"),
    "crop_padding": ("augment.crop_padding=9", "augment.crop_padding=9", "8 at most"),
    "crop_padding_negative": ("augment.crop_padding=-1", "augment.crop_padding=-1", "0 or more"),
    "path_of_a_known_set": ("data.path=photos", "data.path=photos", "name=digits", "data=folder"),
    "augment": ("augment=deit", "augment=deit", "did you mean deit3?"),
    "policy": ("augment.policy=randaug", "=randaug", "did you mean randaugment?"),
    "policy_ops": ("augment.policy_ops=0", "augment.policy_ops=0", "1 or more, 8 at most"),
    "policy_ops_many": ("augment.policy_ops=9", "augment.policy_ops=9", "8 at most"),
    "policy_magnitude": ("augment.policy_magnitude=31", "=31", "0 or more, 30 at most"),
    "erase": ("augment.random_erasing=1.1", "augment.random_erasing=1.1", "0 or more, 1 at most"),
    "mixup": ("augment.mixup=-0.1", "augment.mixup=-0.1", "0 or more"),
    "cutmix": ("augment.cutmix=nan", "augment.cutmix=nan", "0 or more"),
    "mix_probability": ("augment.mix_probability=2", "augment.mix_probability=2", "1 at most"),
    "no_repeats": (
        "augment.repeated_augmentation=0",
        "augment.repeated_augmentation=0",
        "1 or more",
    ),
    "jitter_short": (
        "augment.color_jitter=[0.3,0.3]",
        "jitter=[0.3, 0.3] has 2 values",
        "hue",
        "give 4",
    ),
    "jitter_number": (
        "augment.color_jitter=0.3",
        "augment.color_jitter=0.3",
        "float is not a ListConfig, list",
    ),
    "jitter_hue": (
        "augment.color_jitter=[0,0,0,0.6]",
        "jitter=[0.0, 0.0, 0.0, 0.6]: hue=0.6",
        "0.5 at",
    ),
    "jitter_text": (
        "augment.color_jitter=[a,b,c,d]",
        "augment.color_jitter=[a,b,c,d]",
        "converted to Float",
    ),
    "resized_crop": ("augment.resized_crop=[2,1]", "resized_crop=[2.0, 1.0]", "[0.08,1]"),
    "resized_crop_zero": ("augment.resized_crop=[0,1]", "resized_crop=[0.0, 1.0]", "above 0"),
    "resized_crop_one": ("augment.resized_crop=[0.5]", "resized_crop=[0.5]", "[0.08,1]"),
    "two_crops": (
        "augment.crop_padding=1 augment.resized_crop=[0.5,1]",
        "augment.resized_crop=[0.5, 1.0] and augment.crop_padding=1",
        "augment.resized_crop=null or augment.crop_padding=0",
    ),
    "limit": ("data.limit=0", "data.limit=0", "1 or more"),
    "classes_text": ("data.classes=cat", "data.classes=cat", "str is not a ListConfig, list"),
    "pixel_mean": (
        "model.pixel_mean=[0.1,0.2]",
        "[0.1, 0.2] has 2 values",
        "1 channel; use 1 of them",
    ),
    "pixel_mean_text": ("model.pixel_mean=abc", "model.pixel_mean=abc", "use 0 to 1"),
    "one_class": ("data.classes=[3]", "data.classes=", "at least two"),
    "class_twice": ("data.classes=[3,3]", "data.classes", "3 twice", "once"),
    "class_beyond": ("data.classes=[3,10]", "data.classes has 10", "0 to 9"),
    "class_negative": ("data.classes=[3,-1]", "data.classes has -1", "0 to 9"),
    "grid": ("-m train.epochs=1,0", "train.epochs=0", "1 or more"),
    "grid_option_last": ("train.epochs=1,0 --multirun", "train.epochs=0", "(run 2 of 2, "),
    "grid_option_between": ("train.seed=1,2 -m model.depth=0", "model.depth=0", "1 or more"),
    "grid_of_two": ("-m train.seed=1,2 model.patch_size=2,3", "model.patch_size=3", "2, 4 or 8"),
    "grid_of_recipes": ("-m recipe=digits,cifr10", "recipe=cifr10", "did you mean cifar10?"),
    "grid_of_a_range": ("-m model.num_heads=range(4,6)", "model.num_heads=5", "does not divide"),
    "grid_in_one_folder": ("-m run.dir=mine train.seed=1,2", "run.dir=mine"),
}


@pytest.fixture
def prepared(tmp_path):
    """A folder with each TFDS set as far as it is looked at before TensorFlow: no images."""
    for name in sorted({*registry.WELL_KNOWN} - {"digits"}):
        version = tmp_path / "sets" / name / "1.0.0"
        version.mkdir(parents=True)
        splits = [{"name": split, "shardLengths": ["500", "500"]} for split in ("train", "test")]
        (version / "dataset_info.json").write_text(json.dumps({"splits": splits}))
        for split in ("train", "test"):
            for shard in ("00000-of-00002", "00001-of-00002"):
                (version / f"{name}-{split}.tfrecord-{shard}").write_bytes(b"x")
    return tmp_path / "sets"


@pytest.fixture
def finished_run(tmp_path):
    """The directory of a run that nobody holds."""
    made = run_dir.create(load_config(f"run.dir={tmp_path / 'run'}"))
    made.close()
    return made.path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_before_keras_is_imported(mistake, refusal):
    words, *phrases = MISTAKES[mistake]
    answer = refusal(*words.split())
    for phrase in phrases:
        assert phrase in answer


@pytest.mark.parametrize(
    "words",
    ["recipe=digits", "data=cifar10", "-m train.seed=1,2", "train.seed=1,2 --multirun name=mine"],
)
def test_right_settings_get_as_far_as_keras(words, script, prepared):
    """So that the refusals above are of the settings, and not of whatever is run this way."""
    _, text = script(*words.split(), f"data.tfds_dir={prepared}")
    assert "import of keras halted" in text


@pytest.mark.parametrize(
    "words",
    ["--help", "--hydra-help", "--version", "train.epochs=3 --cfg job train.seed=1", "-i config"],
)
def test_hydras_own_options_work(words, script):
    assert script(*words.split()) == (0, "")


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config("run.root=~/runs").run.root == str(tmp_path / "runs")


@pytest.mark.parametrize(("backend", "way_out"), [("torch", "jax, tensorflow"), ("jx", "jax?")])
def test_a_backend_that_nothing_is_trained_on_is_refused(backend, way_out, refusal, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    answer = refusal()
    assert f"KERAS_BACKEND={backend}" in answer
    assert way_out in answer


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
def test_an_absent_data_set_is_refused_with_the_ways_to_get_it(name, refusal, tmp_path):
    answer = refusal(
        f"recipe={name}" if name == "mnist" else f"data={name}", f"data.tfds_dir={tmp_path}"
    )
    for phrase in (f"data.name={name}", str(tmp_path), "data.download=true", "TFDS_DATA_DIR"):
        assert phrase in answer


@pytest.mark.parametrize(
    ("words", "named"), [((), "TFDS_DATA_DIR"), (("data.tfds_dir=/b",), "data.tfds_dir")]
)
def test_the_place_of_the_data_is_named_by_what_says_it(words, named, refusal, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/a")
    place = "/b" if words else "/a"
    assert f"not prepared under {named}={place};" in refusal("recipe=mnist", *words)


DAMAGE = {
    "a_shard_missing": ("cifar10-train.tfrecord-00001-of-00002", None),
    "a_shard_empty": ("cifar10-test.tfrecord-00000-of-00002", b""),
    "info_missing": ("dataset_info.json", None),
    "info_empty": ("dataset_info.json", b""),
    "info_not_json": ("dataset_info.json", b'{"splits": ['),
    "info_not_text": ("dataset_info.json", b"\xff\xfe\x00"),
    "info_without_splits": ("dataset_info.json", b"[]"),
    "info_without_a_test_split": (
        "dataset_info.json",
        b'{"splits": [{"name": "train", "shardLengths": ["1", "1"]}]}',
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_data_set_is_refused_with_the_way_to_mend_it(damage, refusal, prepared):
    name, content = DAMAGE[damage]
    file = prepared / "cifar10" / "1.0.0" / name
    file.unlink() if content is None else file.write_bytes(content)
    answer = refusal("data=cifar10", "model=cifar", f"data.tfds_dir={prepared}")
    assert str(prepared / "cifar10") in answer
    assert "delete" in answer
    assert "data.download=true" in answer


def test_a_set_whose_preparation_was_killed_is_not_taken_for_whole(refusal, prepared):
    """TFDS prepares in `incomplete.<letters>_<version>`, which only a killed process leaves."""
    whole = prepared / "cifar10" / "1.0.0"
    whole.rename(whole.with_name("incomplete.JH5KNX_1.0.0"))
    answer = refusal("data=cifar10", "model=cifar", f"data.tfds_dir={prepared}")
    assert "holds no prepared version" in answer


def test_a_version_that_is_not_prepared_is_refused_with_those_that_are(refusal, prepared):
    words = ("data=tfds", "data.name=cifar10:2.0.0", "model=cifar", f"data.tfds_dir={prepared}")
    assert "which has cifar10:1.0.0; name one of these" in refusal(*words)


def test_a_run_directory_with_something_in_it_is_refused(refusal, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    assert f"run.dir={tmp_path / 'mine'} is not empty" in refusal(f"run.dir={tmp_path / 'mine'}")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"


def test_the_directory_of_an_earlier_run_is_refused_with_how_to_go_on(refusal, finished_run):
    assert f"run.resume={finished_run}" in refusal(f"run.dir={finished_run}")


@pytest.mark.parametrize("below", ["", "/run"])
@pytest.mark.parametrize(
    ("grid", "setting"),
    [
        ((), "run.dir"),
        ((), "hydra.run.dir"),
        (("-m", "train.seed=1,2"), "run.root"),
        (("-m", "train.seed=1,2"), "hydra.sweep.dir"),
    ],
)
def test_a_run_directory_that_is_a_file_is_refused(grid, setting, below, refusal, tmp_path):
    (tmp_path / "notes").write_text("")
    answer = refusal(*grid, f"{setting}={tmp_path}/notes{below}")
    assert f"{setting}={tmp_path}/notes{below}" in answer
    assert "choose" in answer


@pytest.mark.parametrize("name", ["absent", "here"])
def test_resuming_what_is_no_run_is_refused(name, refusal, tmp_path):
    answer = refusal(f"run.resume={tmp_path / name}")
    assert f"run.resume={tmp_path / name} is not a run" in answer


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: b"model: [", id="not_yaml"),
        pytest.param(lambda text: b"\xff\xfe\x00", id="not_text"),
        pytest.param(lambda text: b"model: {wide: 3}", id="unknown_setting"),
        pytest.param(lambda text: text[: text.index(b"optim:")], id="cut_short"),
        pytest.param(lambda text: b"", id="empty"),
    ],
)
def test_resuming_with_a_damaged_configuration_is_refused(damage, refusal, finished_run):
    """And not filled up with defaults, which the run was not trained with."""
    file = finished_run / "config.yaml"
    file.write_bytes(damage(file.read_bytes()))
    answer = refusal(f"run.resume={finished_run}")
    for phrase in (str(file), "damaged", f"run.resume={finished_run}", "start a new run"):
        assert phrase in answer


def test_resuming_a_released_run_is_refused(refusal, finished_run):
    """It would be trained from the start again, over the files that were released."""
    (finished_run / "best.keras").write_bytes(b"released")
    answer = refusal(f"run.resume={finished_run}")
    for phrase in (f"run.resume={finished_run}", "no checkpoint/", "start a new run"):
        assert phrase in answer


def test_resuming_with_no_checkpoint_but_junk_is_refused(refusal, finished_run):
    (finished_run / "checkpoint").mkdir()
    (finished_run / "checkpoint" / "epoch-00001.npz").write_bytes(b"junk")
    answer = refusal(f"run.resume={finished_run}")
    for phrase in (f"run.resume={finished_run}", "is damaged", "start a new run"):
        assert phrase in answer


def test_a_run_stopped_in_its_first_epoch_starts_it_again(script, finished_run):
    (finished_run / "history.csv").write_text("written before the first checkpoint\n")
    _, text = script(f"run.resume={finished_run}")
    assert "import of keras halted" in text


def test_resuming_a_run_that_another_process_holds_is_refused(refusal, finished_run):
    holder = run_dir.Run(finished_run)
    try:
        answer = refusal(f"run.resume={finished_run}")
    finally:
        holder.close()
    assert f"{finished_run} is in use" in answer


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("data.classes=[0,1]", ["has 2 classes", "has 10"]),
        ("model.width=96", ["model.width=96 differs from 48"]),
        ("optim.learning_rate=0.5", ["optim.learning_rate=0.5 differs from 0.002"]),
        ("data=mnist", ["data.name=mnist differs from digits"]),
        ("recipe=mnist", ["name=mnist differs from digits"]),
    ],
)
def test_resuming_with_other_settings_is_refused(setting, changed, refusal, tmp_path):
    folder = tmp_path / "run"
    run_dir.create(
        load_config(f"run.dir={folder}", "model.width=48", "optim.learning_rate=2e-3")
    ).close()
    answer = refusal(f"run.resume={folder}", setting)
    for phrase in (*changed, f"run.resume={folder}", "start a new run"):
        assert phrase in answer


@pytest.mark.parametrize(
    "override", ["train.epochs=0", "recipe=none", "train.epoch=1", "train.epochs=x", "model=null"]
)
def test_python_gets_a_setting_error(override):
    with pytest.raises(SettingError):
        load_config(override)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_valid(recipe, prepared):
    words = [f"recipe={recipe}", f"data.tfds_dir={prepared}"]
    if recipe.startswith("finetune_"):  # of weights that may not be here; of photos that are not
        words.append(f"pretrained.handle={prepared}")
    if recipe in ("folder", "finetune_folder", "finetune_photos"):
        words += [f"data.path={prepared / 'photos'}", "train.batch_size=2"]
        for name in ("ant", "bee"):
            (prepared / "photos" / name).mkdir(parents=True, exist_ok=True)
            for index in range(3):
                (prepared / "photos" / name / f"{index}.jpg").write_bytes(b"")
    config = load_config(*words)
    assert isinstance(config, Config)
    assert config.name == recipe


PROMISES = {
    "mnist": dict(
        image_size=(28, 28),
        patch_size=7,
        width=16,
        num_heads=4,
        depth=4,
        mlp_dim=64,
        optimizer="adam",
        learning_rate=1e-3,
        epochs=10,
    ),
    "cifar10": dict(image_size=(32, 32), patch_size=4, depth=9, width=192),
    "cifar10_512": dict(
        image_size=(32, 32), depth=6, num_heads=4, width=512, patch_size=8, dropout=0.1
    ),
    "cifar100_subset": dict(image_size=(32, 32), classes=20),
    "cifar100_hour": dict(image_size=(32, 32), classes=20, optimizer="muon", epochs=420),
    "vit_b16_cifar10": dict(image_size=(224, 224), patch_size=16, width=768, depth=12),
}


@pytest.mark.parametrize("recipe", PROMISES)
def test_a_recipe_holds_what_it_promises(recipe, prepared):
    config = load_config(f"recipe={recipe}", f"data.tfds_dir={prepared}")
    facts = dict(
        **asdict(preflight.architecture(config.model)),
        image_size=image_size(config.data),
        classes=len(
            config.data.classes or range(registry.WELL_KNOWN[config.data.name].num_classes)
        ),
        optimizer=config.optim.name,
        learning_rate=config.optim.learning_rate,
        epochs=config.train.epochs,
    )
    assert {name: facts[name] for name in PROMISES[recipe]} == PROMISES[recipe]


def test_every_field_can_be_set_by_its_name():
    def leaves(node, prefix=""):
        if not isinstance(node, dict):
            return [prefix]
        return [n for key, value in node.items() for n in leaves(value, f"{prefix}.{key}")]

    schema = OmegaConf.to_container(OmegaConf.structured(Config))
    names = [name.removeprefix(".") for name in leaves(schema)]
    assert [name for name in setting_names() if name != "stages"] == names  # it holds any names

    config = load_config()
    typed = OmegaConf.structured(config)
    values = {name: OmegaConf.select(typed, name) for name in names}
    words = ["null" if value is None else str(value) for value in values.values()]
    assert load_config(*map("=".join, zip(names, words, strict=True))) == config
