"""The form of a new training, without a browser: what is typed, and what it says of it."""

import pytest
from PIL import Image

from helpers.paths import ROOT

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("psutil", reason="needs the extra `studio`")

from streamlit.testing.v1 import AppTest

from helpers.training_form import field, open_form, shown_words
from vit_keras.config.fields import options, stage_options
from vit_keras.studio.components import sweep_values, training_choice
from vit_keras.studio.components.setting_inputs import label_of
from vit_keras.studio.components.typed_values import as_value, in_words, problem
from vit_keras.studio.jobs.command import as_typed, default_recipe, override, recipes, to_text


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The Training page without a browser, in a folder with the released models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    return open_form(tmp_path, monkeypatch)


def errors(app):
    return texts(app.error)


def texts(elements):
    """Their Markdown without the escapes."""
    return [element.value.replace("\\", "") for element in elements]


def start(app):
    (button,) = (one for one in app.button if one.label == "Start training")
    return button


def test_the_first_page_can_be_started_and_has_few_controls(app):
    assert not start(app).disabled
    in_view = [one.label for one in (*app.text_input, *app.number_input, *app.selectbox)]
    assert in_view == [*("Name", "Learning rate", "Epochs", "Data set", "Model size", "Batch size")]


def test_a_decimal_comma_is_understood(app):
    field(app, "text_input", "Learning rate").set_value("0,0005").run()
    assert "optim.learning_rate=0.0005" in shown_words(app)
    assert not start(app).disabled


@pytest.mark.parametrize(
    ("kind", "label", "typed", "said"),
    [
        ("number_input", "Epochs", None, "Epochs: no value; use a whole number, 1 or more"),
        ("number_input", "Epochs", 0, "Epochs: 0 is out of range; use 1 or more"),
        ("text_input", "Learning rate", "1e99", "Learning rate: 1e99 is far too large"),
        ("text_input", "Learning rate", "", "Learning rate: no value; use a number, above 0"),
        ("text_input", "Learning rate", "fast", "Learning rate: fast is not a number, above 0"),
        ("text_input", "Name", "", "Name: no value"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_beside_start(app, kind, label, typed, said):
    field(app, kind, label).set_value(typed).run()
    assert sum(said in text for text in errors(app)) == 2
    assert start(app).disabled
    assert not app.exception


def test_what_differs_from_the_recipe_is_said_beside_start_and_can_be_reset(app):
    """Most of it is out of view, and may be of another day."""
    before = shown_words(app)
    field(app, "text_input", "Learning rate").set_value("0.0007").run()
    assert "Changed from the recipe: Learning rate 0.0007." in texts(app.markdown)
    (reset,) = (one for one in app.button if one.label == "Reset the changes")
    reset.click().run()
    assert shown_words(app) == before
    assert not [text for text in texts(app.markdown) if text.startswith("Changed")]


def fill_in(app, slots):
    """What another page does: `kept_values.put`."""
    app.session_state["kept_values"] = {**app.session_state["kept_values"], **slots}
    app.session_state["kept_version"] = 7
    return app.run()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("many", "Batch size: many is not a whole number, 1 or more or auto"),
        ("5000", "“Batch size = 5000” is more than the"),
    ],
)
def test_so_is_what_only_the_check_of_the_training_finds(app, typed, said):
    fill_in(app, {"training train.batch_size": typed})
    assert sum(said in text for text in errors(app)) == 2
    assert start(app).disabled


def test_a_free_name_becomes_that_of_a_folder(app):
    field(app, "text_input", "Name").set_value("Meine erste KI!").run()
    shown = texts(app.markdown)
    assert "As a folder: Meine_erste_KI" in shown
    assert "Folder: Meine_erste_KI-<date>-<time>" in shown
    assert 'name="Meine erste KI!"' in shown_words(app)
    for typed, shown in {".hidden": "hidden", "a" * 300: "a" * 100}.items():
        field(app, "text_input", "Name").set_value(typed).run()
        assert f"As a folder: {shown}" in texts(app.markdown)
        assert not start(app).disabled


def test_the_advanced_settings_are_found_by_search_and_keep_what_was_typed(app):
    app.session_state["advanced"] = True
    app.run()
    assert field(app, "number_input", "Early stopping patience (epochs)").placeholder == "off"
    field(app, "text_input", "Search the settings").set_value("warm-up").run()
    assert not [one for one in app.number_input if one.label.startswith("Early")]
    field(app, "slider", "Warm-up fraction").set_value(0.25).run()
    field(app, "text_input", "Search the settings").set_value("nothing like this").run()
    assert "optim.warmup_ratio=0.25" in shown_words(app)


def test_null_has_a_word_for_each_setting(app):
    app.session_state["advanced"] = True
    app.run()
    pool = field(app, "selectbox", "Pooling")
    assert pool.options[:2] == ["auto (token)", "token"]
    assert field(app, "number_input", "Decoding threads").placeholder.startswith("auto (")
    assert field(app, "number_input", "Images at most").placeholder == "all"


def test_a_pretrained_model_that_needs_no_network_comes_first(app):
    field(app, "radio", "Starting point").set_value(True).run()
    assert "On this computer: nothing is downloaded." in [one.value for one in app.markdown]
    model = field(app, "selectbox", "Pretrained model")
    assert shown_words(app)[:2] == ["finetune", "recipe=finetune_digits"]
    assert not [one for one in app.selectbox if one.label == "Model size"]
    model.set_value("dinov2_s14").run()
    (said,) = (text for text in texts(app.info) if "downloaded" in text)
    assert said.startswith("About 86 MB are downloaded once from huggingface.co")
    assert {"pretrained.handle=dinov2_s14"} <= {*shown_words(app)}


def test_what_is_recommended_for_the_images_is_taken_by_one_click(app, tmp_path):
    for name in ("cats", "dogs"):
        for number in range(20):
            file = tmp_path / "photos" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (number, 0, 0)).save(file)
    fill_in(app, {"images": "A folder on this computer", "folder": "photos"})
    assert shown_words(app)[:2] == ["train", "recipe=folder"]
    assert any("“Batch size = 32” is more than the" in text for text in errors(app))
    assert "40 images of 2 classes: cats, dogs." in texts(app.markdown)
    (said,) = (text for text in texts(app.info) if "Recommended" in text)
    assert "start from pretrained weights, 30 epochs" in said
    (take,) = (one for one in app.button if one.label == "Take the recommendation")
    take.click().run()
    assert shown_words(app)[:2] == ["finetune", "recipe=finetune_photos"]
    assert not start(app).disabled
    assert not [one for one in app.button if one.label == "Take the recommendation"]


def test_another_page_fills_in_the_form(app, tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "my photos" / name).mkdir(parents=True)
    wanted = [
        *("recipe=finetune_photos", "data=folder", 'data.path="my photos"', "name=again"),
        *("train.batch_size=8", "stages.head.epochs=3", "augment=heavy", "optim.clip_norm=2.5"),
        *("run.dir=elsewhere", "+stages.more={trainable: all, epochs: 5}"),
    ]
    at = "from vit_keras.studio.components import training_choice; training_choice.fill_in({!r})"
    filled = AppTest.from_string(at.format(wanted))
    filled.run()
    fill_in(app, filled.session_state["kept_values"])
    shown = shown_words(app)
    assert shown[0] == "finetune"
    assert {*wanted} - {*shown} == {"data=folder", "run.dir=elsewhere"}
    assert field(app, "number_input", "Epochs (head)").value == 3


def test_overrides_are_typed_and_read_back():
    settings = {
        "optim.learning_rate": "0.0003",
        "augment.flip": "true",
        "optim.clip_norm": "",
        "model.pixel_mean": "[0.1,0.2,0.3]",
        "data.tfds_dir": 'my "sets", {x}',
        "train.class_weight": "{a: 2}",
    }
    for name, text in settings.items():
        option = options()[name]
        word = override(name, option.kind, option.is_optional, text)
        assert as_typed([word]) == {name: text}


def test_a_number_is_held_to_its_declaration():
    rate, epochs = options()["optim.learning_rate"], options()["train.epochs"]
    assert [as_value(rate, text) for text in (" 0,001 ", "1,5e-3", "1,2,3")] == [
        *("0.001", "1.5e-3", "1,2,3")
    ]
    assert as_value(options()["data.image_size"], "64,32") == "64,32"
    assert "write a list as [64,32]" in problem(options()["data.image_size"], "64,32")
    assert problem(epochs, "3.5") == "3.5 is not a whole number, 1 or more, 1000000 at most"
    assert problem(options()["train.batch_size"], "auto") == ""
    assert problem(options()["model.dropout"], "1") == "1 is out of range; use 0 or more, below 1"


def test_an_error_of_the_command_line_reads_in_words():
    said = "train.epochs=null leaves a run no epochs; set train.epochs, or data.x=1 (see a.b)"
    assert in_words(said, label_of) == (
        "“Epochs = none” leaves a run no epochs; set “Epochs”, or data.x=1 (see a.b)"
    )
    assert in_words("stages.head.epochs=0 is out", label_of) == "“Epochs (head) = 0” is out"
    assert in_words("data.image_size=[64,32]: odd", label_of) == "“Image size = [64,32]”: odd"


def test_each_label_is_of_one_setting():
    for known in (options(), stage_options()):
        labels = [option.label for option in known.values()]
        assert sorted(labels) == sorted({*labels})
        assert all(label[0].isupper() and "_" not in label for label in labels)


def test_a_recipe_is_found_for_each_start():
    embedded = training_choice.EMBEDDED
    assert default_recipe(False, "digits").name == "digits"
    assert default_recipe(True, "digits", embedded).name == "finetune_digits"
    assert default_recipe(True, "csv", embedded).name == "finetune_photos"
    assert default_recipe(True, "cifar100", embedded).name == "finetune_photos"
    assert default_recipe(True, "folder", "dinov2_s14").name == "finetune_folder"
    (tfhub,) = {one.handle for one in recipes() if one.name == "finetune_cifar10"}
    assert default_recipe(True, "cifar10", tfhub).name == "finetune_cifar10"


def test_the_values_of_a_range():
    rates = sweep_values.Range(1e-4, 1e-2, is_log=True, is_whole=False)
    assert rates.values(3) == ["0.0001", "0.001", "0.01"]
    assert rates.interval() == "tag(log,interval(0.0001,0.01))"
    depths = sweep_values.Range(2, 4, is_log=False, is_whole=True)
    assert depths.values(5) == ["2", "3", "4"]
    assert depths.interval() == "interval(2,4)"


@pytest.mark.parametrize("name", ["optim.learning_rate", "model.dropout", "train.epochs"])
def test_a_range_begins_around_the_value_and_within_the_bounds(name):
    option = options()[name]
    for value in (option.default, None):
        found = sweep_values.default_range(option, value)
        assert found.low < found.high
        assert problem(option, to_text(found.low)) == ""
        if value:
            assert found.low <= value <= found.high
