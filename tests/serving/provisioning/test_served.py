"""Since when callers of an endpoint get its models, as applies change them."""

import shutil

import sklearn.base
import skops.io
from sklearn.linear_model import LogisticRegression

from driftline.serving.resources.artifacts import model_digest


def test_an_endpoint_is_deployed_when_its_callers_get_other_models(
    shared, trained, declare, tmp_path
):
    moving, other = tmp_path / "moving.skops", tmp_path / "other.skops"
    turned = sklearn.base.clone(trained.model).set_params(classify=LogisticRegression(C=0.001))
    shutil.copyfile(trained.file, moving)
    skops.io.dump(turned.fit(trained.inputs, trained.frame["late"]), other)
    resources = [
        declare("Model", "replaced", path=str(moving)),
        declare("Model", "beside", path=str(other)),
        declare("Endpoint", "served", model="replaced"),
    ]

    def deployed():
        found = shared.client.get("/api/v1/endpoints/served").json()
        now = found["status"]["deployed"]
        return now["models"], now["since"], found["generation"]

    shared.apply(*resources)
    first = deployed()
    shared.apply(*(one | {"tags": {"release": "2"}, "owner": "ops"} for one in resources))
    retagged = deployed()
    shutil.copyfile(other, moving)
    shared.apply(resources[0])
    replaced = deployed()
    resources[2]["spec"]["model"] = "beside"  # Another name of the same file.
    shared.apply(resources[2])
    renamed = deployed()
    shutil.copyfile(trained.file, other)
    shared.apply(resources[1])

    restored = deployed()

    before, after = (model_digest(one) for one in (trained.file, moving))
    assert (first[0], replaced[0], restored[0]) == ([before], [after], [before])
    assert retagged == (*first[:2], 2)
    assert renamed == (*replaced[:2], 3)
    assert (replaced[2], restored[2]) == (2, 3)  # Who changes the endpoint is not held up by it.
