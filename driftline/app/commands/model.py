"""Commands for model files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from driftline.app.commands import options
from driftline.app.commands.output import Answer
from driftline.errors import InputError

model = options.Group(help="Convert model files.")


@model.command("convert")
def convert(
    file: Annotated[str, "MODEL", "Model file, or folder with one."],
    output: Annotated[str, "OUT", "File or URI to write, .onnx."],
    reference: Annotated[
        list[str], "--reference", "Rows on which both models must agree (repeatable)."
    ],
    exclude: Annotated[
        list[str] | None, "Column that the model does not take (repeatable)."
    ] = None,
    config_file: options.SettingsFile = None,
) -> Answer:
    """Convert a model of scikit-learn, xgboost or lightgbm to ONNX.

    Both models answer the rows of the reference. Where probabilities, or numbers in relation to the
    largest, differ by more than 0.0001, nothing is written, and the exit code is 3.

    Example: driftline model convert late.skops late.onnx --reference train.parquet
    """
    if not output.endswith(".onnx"):
        raise InputError(f'output "{output}"; expected a name that ends in .onnx')
    # Imported here: what runs models is slow to import.
    import pyarrow as pa

    from driftline.formats.source import open_source
    from driftline.serving.hosting.conversion import convert as convert_model

    settings = options.load_settings(config_file)
    options.open_places(*reference, output, config_file=config_file)
    source = open_source(list(reference))
    table = pa.Table.from_batches(source.batches(), source.schema)
    kept = [name for name in table.column_names if name not in (exclude or [])]
    difference = convert_model(
        Path(file), output, table.select(kept), trust_pickle=settings.serving.trust_pickle
    )
    return Answer(
        {"rows": table.num_rows, "difference": difference, "output": output},
        [
            f"{output}: answers {table.num_rows:,} rows as {Path(file).name} does, to within "
            f"{difference:.3g}"
        ],
    )
