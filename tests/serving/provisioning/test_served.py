"""Which models an endpoint served, and since when, as applies change them."""

import shutil

import sklearn.base
import skops.io
from sklearn.linear_model import LogisticRegression

from driftline.serving.resources.model_files import model_digest


def test_it_is_known_which_models_an_endpoint_served_and_since_when(
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

    def served():
        found = shared.client.get("/api/v1/endpoints/served").json()
        digests = [line["variants"]["AllTraffic"] for line in found["status"]["served"]]
        assert all(line["since"] for line in found["status"]["served"])
        return digests, found["generation"]

    shared.apply(*resources)
    first = served()
    shared.apply(*(one | {"tags": {"release": "2"}, "owner": "ops"} for one in resources))
    retagged = served()
    shutil.copyfile(other, moving)
    shared.apply(resources[0])
    replaced = served()
    resources[2]["spec"]["model"] = "beside"  # Another name of the same file.
    shared.apply(resources[2])
    renamed = served()
    shutil.copyfile(trained.file, other)
    shared.apply(resources[1])

    before, after = (model_digest(one) for one in (trained.file, moving))
    assert (first, retagged) == (([before], 1), ([before], 2))
    assert replaced == ([before, after], 2)  # Who changes the endpoint is not held up by it.
    assert renamed == ([before, after], 3)
    assert served() == ([before, after, before], 3)
