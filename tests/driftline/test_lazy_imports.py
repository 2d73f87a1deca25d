"""A process that starts lean gets what it left out when it asks for it."""

import subprocess
import sys


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_lean_process_gets_pandas_when_it_asks_for_it() -> None:
    code = (
        "from driftline.lazy_imports import start_lean; start_lean(); import pyarrow as pa; "
        "frame = pa.table({'a': [1]}).to_pandas(); print(type(frame).__name__, "
        "pa.array(frame['a']).type)"
    )
    assert _run(code) == "DataFrame int64"


def test_a_lean_process_knows_the_objects_of_a_pandas_that_came_later() -> None:
    code = (
        "from driftline.lazy_imports import start_lean; start_lean(); "
        "import pandas as pd, pyarrow as pa; "
        "from importlib.resources import files; assert files('pandas').is_dir(); "
        "print(pa.array(pd.Series([1.0, None])).null_count, pa.array(pd.Series(['a', None])).type)"
    )
    assert _run(code).split()[0] == "1"


def test_a_lean_process_writes_nested_nanoseconds_as_any_other_does() -> None:
    code = (
        "import pyarrow as pa; from driftline.formats.arrow_types import plain_array; "
        "kind = pa.struct([('t', pa.timestamp('ns')), ('d', pa.duration('ns'))]); "
        "print(plain_array(pa.array([{'t': 7, 'd': 7}], pa.struct([('t', pa.int64()), "
        "('d', pa.int64())])).cast(kind)).to_pylist())"
    )
    lean = _run(f"from driftline.lazy_imports import start_lean; start_lean(); {code}")
    assert "00:00:00.000000007" in lean
    assert lean == _run(code)


def test_what_is_imported_late_is_imported_when_it_is_called() -> None:
    code = (
        "import sys; from driftline.lazy_imports import late\n"
        "with late('scipy.stats'):\n"
        "    from scipy.stats import rankdata\n"
        "    from scipy import stats\n"
        "assert 'scipy.stats' not in sys.modules\n"
        "print(rankdata([3, 1, 2]).tolist(), stats.norm.ppf(0.5))\n"
        "import scipy.stats; print(scipy.stats is sys.modules['scipy.stats'], "
        "scipy.stats.norm.cdf(0))"
    )
    assert _run(code).split("\n") == ["[3.0, 1.0, 2.0] 0.0", "True 0.5"]


def test_a_models_process_imports_statistics_when_a_model_needs_them() -> None:
    code = (
        "import sys, driftline.serving.hosting.worker; before = 'scipy.stats' in sys.modules\n"
        "import numpy as np; from sklearn.neighbors import KNeighborsClassifier\n"
        "model = KNeighborsClassifier(1).fit(np.array([[0.0], [1.0]]), [0, 1])\n"
        "from sklearn.preprocessing import QuantileTransformer\n"
        "to_normal = QuantileTransformer(n_quantiles=2, output_distribution='normal')\n"
        "median = to_normal.fit(np.array([[0.0], [1.0]])).transform(np.array([[0.5]]))\n"
        "print(before, model.predict([[0.9]]).tolist(), round(float(median[0, 0]), 6))"
    )
    assert _run(code) == "False [1] 0.0"
