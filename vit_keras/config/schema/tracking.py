"""The settings `tracking.*`."""

from dataclasses import dataclass

from vit_keras.validators import setting

NONE, MLFLOW = TOOLS = ("none", "mlflow")


@dataclass
class TrackingConfig:
    """Where a run is recorded beside its own directory."""

    name: str = setting(
        NONE, "Record the run in MLflow too, while it trains.", choices=TOOLS, label="Tracking"
    )
    uri: str | None = setting(
        None,
        "MLflow's store: the address of a server, such as http://host:5000, or a database, such as "
        "sqlite:///runs.db.",
        label="MLflow store",
        unset="MLFLOW_TRACKING_URI, or mlflow.db in run.root",
    )
    experiment: str | None = setting(
        None, "MLflow's experiment that the run belongs to.", unset="the recipe's name"
    )
    sweep: str | None = setting(
        None,
        "Name of the sweep that the run belongs to; --multirun sets it.",
        unset="none",
    )
    artifacts: bool = setting(
        True,
        "Copy the files of the run directory to MLflow when it ends, its checkpoints aside.",
        label="Copy the run's files",
    )
